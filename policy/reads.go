package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
)

// readings are the attributes of input that an answer can depend on.
type readings struct {
	at    map[Field]*ast.Location // a place that names the attribute
	whole bool                    // input is used as an object somewhere: whatever is in it is read
}

func (r *readings) add(path []string, at *ast.Location) {
	r.whole = r.whole || len(path) == 0
	for _, f := range fieldsUnder(path) {
		if len(path) > 0 && r.at[f] == nil {
			r.at[f] = at
		}
	}
}

// some tells whether anything at or below a path is read.
func (r *readings) some(path []string) bool {
	return r.whole || slices.ContainsFunc(fieldsUnder(path), func(f Field) bool { return r.at[f] != nil })
}

// among gives the attributes that are read, out of those that a question has.
func (r *readings) among(has func(Field) bool) (fields []Field) {
	for f := Field(0); f < fieldCount; f++ {
		if has(f) && (r.whole || r.at[f] != nil) {
			fields = append(fields, f)
		}
	}
	return fields
}

// readingsOf reads the compiled rules behind a query twice. The walk below counts each place where `input` is named, and
// so cannot miss one. OPA's own dependencies, which follow variables by other means, are the second opinion: what they find and
// the walk has found no part of is read too.
func readingsOf(c *ast.Compiler, query ast.Body) (*readings, error) {
	w := newWalk(c)
	if err := w.follow(query); err != nil {
		return nil, err
	}
	for _, path := range w.second {
		if !w.found.some(path) {
			w.found.add(path, query.Loc())
		}
	}
	return w.found, nil
}

// walk visits all rules that a query can reach. It does so itself also for the second opinion, for dependencies.Base compares rules,
// and panics at two that share a name and only one of which has a key (as of OPA 1.22).
type walk struct {
	compiler *ast.Compiler
	found    *readings
	second   [][]string // paths of input that dependencies finds
	seen     map[*ast.Rule]bool
}

func newWalk(c *ast.Compiler) *walk {
	return &walk{compiler: c, found: &readings{at: map[Field]*ast.Location{}}, seen: map[*ast.Rule]bool{}}
}

// follow notes what x reads and goes on into the rules that x names.
func (w *walk) follow(x any) error {
	names := namesIn(x)
	for _, n := range names.inputs {
		w.found.add(n.path, n.at)
	}
	for _, ref := range names.data {
		if err := w.into(ref); err != nil {
			return err
		}
	}
	refs, err := dependencies.Minimal(x)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if ref[0].Equal(ast.InputRootDocument) {
			w.second = append(w.second, constants(ref))
		} else if err := w.into(ref); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) into(ref ast.Ref) error {
	for _, rule := range w.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}) {
		if w.seen[rule] {
			continue
		}
		w.seen[rule] = true
		if err := w.follow(rule); err != nil {
			return err
		}
	}
	return nil
}

// inputName is one place where input is named, and the constant path that stands there.
type inputName struct {
	path []string
	at   *ast.Location
}

// names are what a rule, or a query, names.
type names struct {
	inputs  []inputName
	data    []ast.Ref
	aliases map[ast.Var]inputName   // s in s := input.stanza
	parts   map[ast.Var][]inputName // kind in s.kind
	whole   map[ast.Var]bool        // s itself is used, or s[x]
}

// namesIn collects them. A variable that stands for an object of input and is used for nothing but its parts counts as
// those parts: `s := input.stanza; s.kind == "iq"` reads the kind and not the whole stanza. The compiler has given each
// local variable of a rule its own name, so a name means one thing throughout the rule.
func namesIn(x any) names {
	n := names{aliases: map[ast.Var]inputName{}, parts: map[ast.Var][]inputName{}, whole: map[ast.Var]bool{}}
	var v *ast.GenericVisitor
	v = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			return n.alias(x)
		case ast.Ref:
			n.ref(x)
			for _, t := range x[1:] {
				v.Walk(t)
			}
			return true
		case ast.Var:
			n.whole[x] = true
		}
		return false
	})
	v.Walk(x)
	for name, alias := range n.aliases {
		if n.whole[name] || len(n.parts[name]) == 0 {
			n.inputs = append(n.inputs, alias)
			continue
		}
		for _, part := range n.parts[name] {
			n.inputs = append(n.inputs, inputName{slices.Concat(alias.path, part.path), part.at})
		}
	}
	return n
}

// alias takes note of `s = input.stanza` and tells that nothing more is in the expression.
func (n *names) alias(e *ast.Expr) bool {
	if !e.IsEquality() || len(e.With) > 0 {
		return false
	}
	name, isVar := e.Operand(0).Value.(ast.Var)
	ref, isRef := e.Operand(1).Value.(ast.Ref)
	if !isVar || !isRef || !ref[0].Equal(ast.InputRootDocument) || len(constants(ref)) != len(ref)-1 {
		return false
	}
	if _, twice := n.aliases[name]; twice {
		n.whole[name] = true
		return false
	}
	n.aliases[name] = inputName{constants(ref), e.Location}
	return true
}

func (n *names) ref(r ast.Ref) {
	head, ok := r[0].Value.(ast.Var)
	path := constants(r)
	switch {
	case !ok:
	case r[0].Equal(ast.InputRootDocument):
		n.inputs = append(n.inputs, inputName{path, r[0].Location})
	case r[0].Equal(ast.DefaultRootDocument):
		n.data = append(n.data, r)
	case len(path) == 0:
		n.whole[head] = true
	default:
		n.parts[head] = append(n.parts[head], inputName{path, r[0].Location})
	}
}

// constants is the path of a reference as far as it is known before evaluation.
func constants(r ast.Ref) (path []string) {
	for _, t := range r[1:] {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		path = append(path, string(s))
	}
	return path
}
