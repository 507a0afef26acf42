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
		switch value, err := f.evaluate(path); {
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

func isVar(t *ast.Term) bool {
	_, ok := t.Value.(ast.Var)
	return ok
}

// evaluate asks for the value of a rule, as it is written.
func (f *folder) evaluate(rule ast.Ref) (ast.Value, error) {
	left := time.Until(f.until)
	if left <= 0 {
		return nil, errLate
	}
	q := question{compiler: f.written, world: f.world, timeout: min(left, foldOnce), shape: &branch{}, query: ast.NewBody(ast.Equality.Expr(ast.NewTerm(rule), ast.NewTerm(answerVar)))}
	value, _, err := q.ask(context.Background(), &Input{})
	return value, err
}
