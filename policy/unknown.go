package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// unknownAttributes finds attributes that do not exist where the compiler does not look for them: in a function that is called
// with a part of input, in object.get, and in what `with` puts in the place of input. Each would be an undefined, or a default,
// where the author expects a value. Values that an attribute never has are found beside them.
func unknownAttributes(c *ast.Compiler, schema any) (faults Faults) {
	s := spelling{compiler: c, values: map[string][]string{}, faults: &faults}
	valuesOf(schema, "", s.values)
	for _, m := range c.Modules {
		for _, rule := range m.Rules {
			s.seen = map[string]bool{}
			s.rule(rule, nil)
		}
	}
	return faults
}

// spelling follows parts of input through a rule and the functions that it calls.
type spelling struct {
	compiler *ast.Compiler
	seen     map[string]bool     // functions, with the parts that they were called with
	values   map[string][]string // all that an attribute can be, by its path
	faults   *Faults
}

// parts are the variables of one rule that stand for a part of input, by its path, or for an object that is written out.
type parts struct {
	paths   map[ast.Var][]string
	objects map[ast.Var]ast.Object
}

// rule looks at one rule, of which parameters may stand for parts of input.
func (s *spelling) rule(r *ast.Rule, params map[ast.Var][]string) {
	p := partsIn(r, params)
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if path, ok := p.beginning(x); ok {
				s.exists(path, x[0].Location)
			}
		case *ast.Expr:
			s.call(x, p)
			s.compared(x, p)
			for _, w := range x.With {
				s.with(w, p)
			}
		}
		return false
	}).Walk(r)
}

// partsIn looks for `s = input.stanza` until no more is found: the compiler has put the equations in no certain order.
func partsIn(r *ast.Rule, params map[ast.Var][]string) parts {
	p := parts{paths: map[ast.Var][]string{}, objects: map[ast.Var]ast.Object{}}
	maps.Copy(p.paths, params)
	for known := -1; known < len(p.paths); {
		known = len(p.paths)
		ast.WalkExprs(r, func(e *ast.Expr) bool {
			if e.IsEquality() && len(e.With) == 0 {
				p.equal(e.Operand(0), e.Operand(1))
			}
			return false
		})
	}
	return p
}

// equal takes note of an equation. A variable that stands for different things, in comprehensions beside each other, is none that
// is known.
func (p *parts) equal(a, b *ast.Term) {
	name, ok := a.Value.(ast.Var)
	if !ok {
		return
	}
	if object, ok := b.Value.(ast.Object); ok {
		p.objects[name] = object
	}
	path, ok := p.path(b)
	if had, twice := p.paths[name]; twice && !slices.Equal(had, path) {
		path = notKnown
	}
	if ok {
		p.paths[name] = path
	}
}

// notKnown is a path that no attribute has.
var notKnown = []string{"?"}

// path tells which part of input a term is. A reference that has more than constants in it is none that is known.
func (p *parts) path(t *ast.Term) ([]string, bool) {
	switch v := t.Value.(type) {
	case ast.Var:
		path, ok := p.paths[v]
		return path, ok && !slices.Equal(path, notKnown)
	case ast.Ref:
		path, ok := p.beginning(v)
		return path, ok && len(constants(v)) == len(v)-1
	}
	return nil, false
}

// beginning tells which part of input a reference leads into, as far as its path is known before evaluation.
func (p *parts) beginning(r ast.Ref) ([]string, bool) {
	if r[0].Equal(ast.InputRootDocument) {
		return constants(r), true
	}
	name, _ := r[0].Value.(ast.Var)
	path, ok := p.path(ast.NewTerm(name))
	return slices.Concat(path, constants(r)), ok
}

// call looks into what is called with a part of input.
func (s *spelling) call(e *ast.Expr, p parts) {
	if !e.IsCall() {
		return
	}
	args := e.Operands()
	if e.Operator().String() == ast.ObjectGet.Name && len(args) > 1 {
		if path, ok := p.path(args[0]); ok {
			s.exists(slices.Concat(path, keyPath(args[1])), args[1].Location)
		}
		return
	}
	for _, rule := range s.compiler.GetRulesExact(e.Operator()) {
		params := map[ast.Var][]string{}
		for i, param := range rule.Head.Args {
			if i < len(args) {
				p.match(args[i], param, params)
			}
		}
		if key := keyOf(rule, params); len(params) > 0 && !s.seen[key] {
			s.seen[key] = true
			s.rule(rule, params)
		}
	}
}

// match finds which parameters an argument gives a part of input to.
func (p *parts) match(arg, param *ast.Term, into map[ast.Var][]string) {
	if list, ok := param.Value.(*ast.Array); ok {
		if given, ok := arg.Value.(*ast.Array); ok && given.Len() == list.Len() {
			for i := range list.Len() {
				p.match(given.Elem(i), list.Elem(i), into)
			}
		}
		return
	}
	if name, ok := param.Value.(ast.Var); ok {
		if path, ok := p.path(arg); ok {
			into[name] = path
		}
	}
}

func keyOf(rule *ast.Rule, params map[ast.Var][]string) string {
	key := rule.Loc().String() + rule.Head.String()
	for _, name := range slices.Sorted(maps.Keys(params)) {
		key += " " + string(name) + " " + strings.Join(params[name], ".")
	}
	return key
}

// keyPath is the constant key, or path of keys, that object.get is asked for.
func keyPath(t *ast.Term) (path []string) {
	switch v := t.Value.(type) {
	case ast.String:
		return []string{string(v)}
	case *ast.Array:
		for i := range v.Len() {
			key, ok := v.Elem(i).Value.(ast.String)
			if !ok {
				break
			}
			path = append(path, string(key))
		}
	}
	return path
}

// with looks at what takes the place of input, or of a part of it.
func (s *spelling) with(w *ast.With, p parts) {
	target, ok := w.Target.Value.(ast.Ref)
	if !ok || !target[0].Equal(ast.InputRootDocument) {
		return
	}
	if path := constants(target); s.exists(path, w.Location) {
		s.keys(path, w.Value, p)
	}
}

func (s *spelling) keys(path []string, t *ast.Term, p parts) {
	object, ok := t.Value.(ast.Object)
	if name, isVar := t.Value.(ast.Var); isVar {
		object, ok = p.objects[name]
	}
	if !ok {
		return
	}
	object.Foreach(func(k, v *ast.Term) {
		if key, ok := k.Value.(ast.String); ok {
			if below := append(slices.Clone(path), string(key)); s.exists(below, k.Location) {
				s.keys(below, v, p)
			}
		}
	})
}

// exists tells whether there is such an attribute, or an object of attributes, and notes the fault when there is not.
func (s *spelling) exists(path []string, at *ast.Location) bool {
	for n := range path {
		if !attribute(path[:n+1]) {
			*s.faults = append(*s.faults, faultAt(at, "%s has no %q", strings.Join(append([]string{"input"}, path[:n]...), "."), path[n]))
			return false
		}
	}
	return true
}

func attribute(path []string) bool {
	for f := range fieldCount {
		if own := strings.Split(f.path(), "."); len(path) <= len(own) && slices.Equal(own[:len(path)], path) {
			return true
		}
	}
	return slices.Equal(path, []string{"v"})
}
