package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// spread makes of a rule that ranges over the ready-made packages one for each that has what it is about. One that does so at several places
// stays, for it would become as many as there are combinations.
func (f *folder) spread(r *ast.Rule) (several []*ast.Rule, ok bool) {
	if r.Else != nil || r.Default {
		return nil, false
	}
	var found ast.Ref
	var at, operand int
	for i, e := range r.Body {
		terms, isCall := e.Terms.([]*ast.Term)
		if !isCall || len(e.With) > 0 || e.Negated {
			continue
		}
		for j, t := range terms {
			if ref, ranges := ranging(t, r); ranges {
				if found != nil {
					return nil, false
				}
				found, at, operand = ref, i, j
			}
		}
	}
	if found == nil {
		return nil, false
	}
	for _, name := range f.packages(found) {
		one := r.Copy()
		ref := slices.Clone(found)
		ref[len(readyPackages)] = name
		terms := one.Body[at].Terms.([]*ast.Term)
		terms[operand] = ast.NewTerm(ref).SetLocation(terms[operand].Location)
		several = append(several, one)
	}
	return several, len(several) > 0
}

// readyPackages are the packages whose members base collects.
var readyPackages = ast.MustParseRef("data.sallyport.ready")

// ranging tells data.sallyport.ready[_].X, in which _ stands for nothing else in the rule.
func ranging(t *ast.Term, r *ast.Rule) (ast.Ref, bool) {
	ref, ok := t.Value.(ast.Ref)
	n := len(readyPackages)
	if !ok || len(ref) < n+2 || !ref.HasPrefix(readyPackages) || !ast.IsConstant(ref[n+1].Value) {
		return nil, false
	}
	name, ok := ref[n].Value.(ast.Var)
	times := 0
	ast.WalkVars(r, func(v ast.Var) bool {
		if v.Equal(name) {
			times++
		}
		return false
	})
	return ref, ok && times == 1
}

// packages are those that have something in the place of the _; none where that is not written down.
func (f *folder) packages(ref ast.Ref) (names []*ast.Term) {
	for _, r := range f.rules(ref) {
		if len(r.Module.Package.Path) <= len(readyPackages) {
			return nil
		}
		name := r.Ref()[len(readyPackages)]
		if !slices.ContainsFunc(names, name.Equal) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b *ast.Term) int { return a.Value.Compare(b.Value) })
	return names
}

// lift makes of a rule that adds the members of another set to its own those rules that the members come from, where nothing else asks for that set.
func (f *folder) lift(r *ast.Rule) (several []*ast.Rule, ok bool) {
	if r.Else != nil || r.Head.RuleKind() != ast.MultiValue || !r.Ref().IsGround() || len(r.Body) != 1 || !r.Body[0].IsEquality() || len(r.Body[0].With) > 0 {
		return nil, false
	}
	member := r.Body[0].Operand(0)
	from, isRef := r.Body[0].Operand(1).Value.(ast.Ref)
	if !isRef || !isVar(member) || !member.Equal(r.Head.Key) || !from[0].Equal(ast.DefaultRootDocument) {
		return nil, false
	}
	n := len(from) - 1
	if !from[:n].IsGround() || !isVar(from[n]) || from[n].Equal(member) || f.named(from[:n]) > 1 {
		return nil, false
	}
	for _, source := range f.rules(from[:n]) {
		if source.Head.RuleKind() != ast.MultiValue || !source.Ref().Equal(from[:n]) || source.Else != nil {
			return nil, false
		}
		lifted := source.Copy()
		lifted.Module, lifted.Head = r.Module, r.Head.Copy()
		lifted.Head.Key = source.Head.Key.Copy()
		several = append(several, lifted)
	}
	slices.SortFunc(several, func(a, b *ast.Rule) int { return a.Location.Compare(b.Location) })
	return several, len(several) > 0
}

// named counts the references that may be to a path, to what is in it or to what it is in.
func (f *folder) named(path ast.Ref) (times int) {
	for _, m := range f.modules {
		for _, r := range m.Rules {
			ast.WalkRefs(r, func(ref ast.Ref) bool {
				if meet(path, ref) {
					times++
				}
				return false
			})
		}
	}
	return times
}

func meet(a, b ast.Ref) bool {
	for i := range min(len(a), len(b)) {
		if !a[i].Equal(b[i]) && (i == 0 || ast.IsConstant(a[i].Value) && ast.IsConstant(b[i].Value)) {
			return false
		}
	}
	return true
}
