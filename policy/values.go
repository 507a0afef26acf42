package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// valuesOf gathers the attributes of which the schema lists all values.
func valuesOf(schema any, path string, into map[string][]string) {
	object, _ := schema.(map[string]any)
	if list, ok := object["enum"].([]any); ok {
		for _, v := range list {
			if s, ok := v.(string); ok {
				into[path] = append(into[path], s)
			}
		}
	}
	if items, ok := object["items"]; ok {
		valuesOf(items, path, into)
	}
	properties, _ := object["properties"].(map[string]any)
	for name, property := range properties {
		valuesOf(property, strings.TrimPrefix(path+"."+name, "."), into)
	}
}

// compared finds an attribute that is compared with a value that it never has: `input.direction == "outbound"` never holds, and
// nobody would notice.
func (s *spelling) compared(e *ast.Expr, p parts) {
	if len(e.With) > 0 || !e.IsCall() || len(e.Operands()) < 2 {
		return
	}
	a, b := e.Operand(0), e.Operand(1)
	switch e.Operator().String() {
	case ast.Equality.Name, ast.NotEqual.Name:
		s.value(a, b, p)
		s.value(b, a, p)
	case ast.Member.Name:
		s.value(b, a, p) // of an attribute that is a list
		switch list := b.Value.(type) {
		case ast.Set:
			list.Foreach(func(v *ast.Term) { s.value(a, v, p) })
		case *ast.Array:
			list.Foreach(func(v *ast.Term) { s.value(a, v, p) })
		}
	}
}

func (s *spelling) value(attribute, v *ast.Term, p parts) {
	path, ok := p.path(attribute)
	text, isText := v.Value.(ast.String)
	if values := s.values[strings.Join(path, ".")]; ok && isText && values != nil && !slices.Contains(values, string(text)) {
		*s.faults = append(*s.faults, faultAt(v.Location, "input.%s is never %q; it is one of %q", strings.Join(path, "."), string(text), values))
	}
}
