package policy

import (
	"context"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// constantSize bounds what is put in the place of a reference.
const constantSize = 256

// constant gives the value of a reference that is the same whatever is asked.
func (f *folder) constant(t *ast.Term) *ast.Term {
	v := f.value(t)
	if v == nil || !small(v) {
		return nil
	}
	return ast.NewTerm(v).SetLocation(t.Location)
}

// value is that of a reference that has one, and the same, whatever is asked.
func (f *folder) value(t *ast.Term) ast.Value {
	ref, ok := t.Value.(ast.Ref)
	if !ok || !ref[0].Equal(ast.DefaultRootDocument) || !ref.IsGround() || len(ref) < 2 {
		return nil
	}
	if r := f.only(ref); r != nil {
		v, _ := lookup(r.Head.Value.Value, ref[len(r.Ref()):])
		return v
	}
	if len(f.rules(ref)) > 0 || f.packaged(ref) {
		return nil
	}
	v, _ := f.document(ref)
	return v
}

// finding is what is known of a place in a document before it is evaluated.
type finding int

const (
	unsure finding = iota
	absent
	present
)

// document looks a reference up in the data, by the way on which OPA does, for there 1 finds what is under "1".
func (f *folder) document(ref ast.Ref) (ast.Value, finding) {
	path, err := storage.NewPathForRef(ref)
	if err != nil {
		return nil, unsure
	}
	v, err := f.world.store.Read(context.Background(), f.world.txn, path)
	if storage.IsNotFound(err) {
		return nil, absent
	}
	value, ok := v.(ast.Value)
	if err != nil || !ok {
		return nil, unsure
	}
	return value, present
}

// lookup looks up what a rule has as its value.
func lookup(v ast.Value, path ast.Ref) (ast.Value, finding) {
	for _, key := range path {
		object, isObject := v.(ast.Object)
		if _, isText := key.Value.(ast.String); !isObject || !isText {
			return nil, unsure
		}
		next := object.Get(key)
		if next == nil {
			return nil, absent
		}
		v = next.Value
	}
	return v, present
}

// known tells a reference that has a value other than false.
func (f *folder) known(t *ast.Term) bool {
	v := f.value(t)
	return v != nil && v.Compare(ast.Boolean(false)) != 0
}

// only gives the rule that a reference is to, or into, where it has one value and no other.
func (f *folder) only(ref ast.Ref) *ast.Rule {
	if rules := f.rules(ref); len(rules) == 1 && fixed(rules[0]) && ref.HasPrefix(rules[0].Ref()) {
		return rules[0]
	}
	return nil
}

// fixed tells a rule that always has one value.
func fixed(r *ast.Rule) bool {
	return r.Head.RuleKind() == ast.SingleValue && r.Ref().IsGround() && len(r.Head.Args) == 0 && r.Else == nil && ast.IsConstant(r.Head.Value.Value) &&
		(r.Default || len(r.Body) == 1 && len(r.Body[0].With) == 0 && constantly(r.Body[0], true))
}

func small(v ast.Value) bool {
	left := constantSize
	var count func(t *ast.Term) bool
	count = func(t *ast.Term) bool {
		left -= 1 + size(t.Value)
		if left < 0 {
			return false
		}
		switch v := t.Value.(type) {
		case ast.Object:
			return !v.Until(func(key, value *ast.Term) bool { return !count(key) || !count(value) })
		case *ast.Array:
			return !v.Until(func(t *ast.Term) bool { return !count(t) })
		case ast.Set:
			return !v.Until(func(t *ast.Term) bool { return !count(t) })
		}
		return true
	}
	return count(ast.NewTerm(v))
}

// compute evaluates the rules that depend on nothing but data, and puts their values in their place.
func (f *folder) compute() {
	groups := map[string][]*ast.Rule{}
	for _, m := range f.modules {
		for _, r := range m.Rules {
			groups[nameOf(r)] = append(groups[nameOf(r)], r)
		}
	}
	values := map[*ast.Rule]*ast.Term{}
	for _, rules := range groups {
		path := rules[0].Ref().GroundPrefix()
		if slices.ContainsFunc(rules, func(r *ast.Rule) bool { return len(r.Head.Args) > 0 || !f.settled(r) }) || len(f.rules(path)) != len(rules) {
			continue
		}
		switch value, err := f.evaluate(ast.Equality.Expr(ast.NewTerm(path), ast.NewTerm(answerVar))); {
		case err == errUndefined:
			for _, r := range rules {
				r.Body, r.Else = just(false, r.Location), nil
			}
		case err == nil && small(value):
			for _, r := range rules {
				values[r] = nil
			}
			values[rules[0]] = ast.NewTerm(value)
		}
	}
	for _, m := range f.modules {
		m.Rules = slices.DeleteFunc(m.Rules, func(r *ast.Rule) bool {
			value, known := values[r]
			if value != nil {
				head := ast.RefHead(r.Head.Ref().GroundPrefix())
				head.Value, head.Location = value, r.Head.Location
				r.Head, r.Body, r.Else, r.Default = head, just(true, r.Location), nil, false
			}
			return known && value == nil
		})
	}
}

// settled tells that a rule, and those that it names, read neither input nor the clock.
func (f *folder) settled(r *ast.Rule) bool {
	if known, seen := f.pure[r]; seen {
		return known
	}
	f.pure[r] = false
	reads := false
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		switch {
		case ref[0].Equal(ast.InputRootDocument), ref.Equal(ast.NowNanos.Ref()):
			reads = true
		case ref[0].Equal(ast.DefaultRootDocument):
			reads = reads || slices.ContainsFunc(f.rules(ref), func(next *ast.Rule) bool { return !f.settled(next) })
		}
		return reads
	})
	ast.WalkTerms(r, func(t *ast.Term) bool {
		reads = reads || t.Equal(ast.InputRootDocument)
		return reads
	})
	f.pure[r] = !reads
	return !reads
}

// called computes a call of a built-in function that is given values alone. can is false where that cannot be, as it is an error; output is
// what the call sets, if it does.
func (f *folder) called(terms []*ast.Term) (value, output *ast.Term, can bool) {
	b, known := ast.BuiltinMap[terms[0].Value.String()]
	if !known || b.Nondeterministic || b.Relation || b.Decl.Result() == nil {
		return nil, nil, false
	}
	given := terms[1:]
	if n := len(b.Decl.FuncArgs().Args); len(given) > n {
		given, output = given[:n], given[n]
	}
	if slices.ContainsFunc(given, func(t *ast.Term) bool { return !ast.IsConstant(t.Value) }) || output != nil && !isVar(output) {
		return nil, nil, false
	}
	v, err := f.evaluate(ast.NewExpr(slices.Concat(terms[:1], given, []*ast.Term{ast.NewTerm(answerVar)})))
	switch {
	case err == errUndefined && output == nil:
		return nil, nil, true
	case err != nil || !small(v):
		return nil, nil, false
	}
	return ast.NewTerm(v).SetLocation(terms[0].Location), output, true
}

func isVar(t *ast.Term) bool {
	_, ok := t.Value.(ast.Var)
	return ok
}

// propagate puts values in the place of the variables of a rule that its body says are equal to them.
func propagate(r *ast.Rule) (changed bool) {
	for i := 0; i < len(r.Body); i++ {
		e := r.Body[i]
		if !e.IsEquality() || len(e.With) > 0 || e.Negated {
			continue
		}
		name, value := e.Operand(0), e.Operand(1)
		if !isVar(name) {
			name, value = value, name
		}
		if !isVar(name) || !ast.IsConstant(value.Value) || !replaceable(r, name.Value.(ast.Var)) {
			continue
		}
		rest := slices.Delete(slices.Clone(r.Body), i, i+1)
		if len(rest) == 0 {
			rest = just(true, r.Body.Loc())
		}
		for i, e := range rest {
			e.Index = i
		}
		r.Body, changed = rest, true
		i--
		put := replacement{name.Value.(ast.Var), value}
		put.body(r.Body)
		put.in(&r.Head.Key)
		put.in(&r.Head.Value)
	}
	return changed
}

// replaceable tells a variable in whose place a value can stand: neither an argument, which others set, nor a part of the rule's own path, for a
// path without variables has something at its end also where the rule does not hold, nor the head of a reference, which must be a name, as must
// what `every` ranges over.
func replaceable(r *ast.Rule, name ast.Var) bool {
	can := !name.IsWildcard()
	for _, t := range slices.Concat(r.Ref(), ast.Ref(r.Head.Args)) {
		ast.WalkVars(t, func(v ast.Var) bool {
			can = can && v != name
			return !can
		})
	}
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		can = can && ref[0].Value.Compare(name) != 0
		return !can
	})
	ast.WalkExprs(r, func(e *ast.Expr) bool {
		every, ok := e.Terms.(*ast.Every)
		can = can && len(e.With) == 0 && !(ok && every.Domain.Value.Compare(name) == 0)
		return !can
	})
	return can
}

// replacement puts a value in the place of a variable.
type replacement struct {
	name  ast.Var
	value *ast.Term
}

func (p replacement) body(b ast.Body) {
	for _, e := range b {
		switch t := e.Terms.(type) {
		case *ast.Term:
			p.in(&t)
			e.Terms = t
		case []*ast.Term:
			for i := range t {
				p.in(&t[i])
			}
		case *ast.Every:
			p.in(&t.Domain)
			p.body(t.Body)
		case *ast.Not:
			p.body(t.Body)
		case *ast.LogicalAnd:
			p.body(t.Lhs)
			p.body(t.Rhs)
		case *ast.LogicalOr:
			p.body(t.Lhs)
			p.body(t.Rhs)
		}
	}
}

func (p replacement) in(t **ast.Term) {
	if *t == nil || ast.IsConstant((*t).Value) {
		return
	}
	each := func(t *ast.Term) (*ast.Term, error) {
		p.in(&t)
		return t, nil
	}
	value := (*t).Value
	switch v := value.(type) {
	case ast.Var:
		if v == p.name {
			value = p.value.Value
		}
	case ast.Ref:
		v = slices.Clone(v)
		for i := range v[1:] {
			p.in(&v[i+1])
		}
		value = v
	case *ast.Array:
		terms := make([]*ast.Term, v.Len())
		for i := range terms {
			terms[i], _ = each(v.Elem(i))
		}
		value = ast.NewArray(terms...)
	case ast.Object:
		value, _ = v.Map(func(key, value *ast.Term) (*ast.Term, *ast.Term, error) {
			p.in(&key)
			p.in(&value)
			return key, value, nil
		})
	case ast.Set:
		value, _ = v.Map(each)
	case *ast.ArrayComprehension:
		p.in(&v.Term)
		p.body(v.Body)
	case *ast.SetComprehension:
		p.in(&v.Term)
		p.body(v.Body)
	case *ast.ObjectComprehension:
		p.in(&v.Key)
		p.in(&v.Value)
		p.body(v.Body)
	}
	*t = ast.NewTerm(value).SetLocation((*t).Location)
}

// evaluate asks for the value that an expression gives to the answer, by the rules as they are written.
func (f *folder) evaluate(e *ast.Expr) (ast.Value, error) {
	left := time.Until(f.until)
	if left <= 0 {
		return nil, errLate
	}
	q := question{compiler: f.written, world: f.world, timeout: min(left, foldOnce), shape: &branch{}, query: ast.NewBody(e)}
	value, _, err := q.ask(context.Background(), &Input{})
	return value, err
}
