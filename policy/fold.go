package policy

import (
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// fold makes of compiled rules those that the data of a revision leaves to be asked, for an evaluation costs what it goes through: a rule about
// rooms is tried at each stanza also where data.internal names no room. What it takes out could not have answered, what it computes is the same
// at each evaluation, and so the answers are those of the rules as they are written. As with OPA's own index of rules, an error, or rules in
// conflict, may be seen or not in a body that another part of it fails.
func fold(c *ast.Compiler, w *world, entries ...string) (*ast.Compiler, error) {
	f := &folder{written: c, world: w, modules: make(map[string]*ast.Module, len(c.Modules)), pure: map[*ast.Rule]bool{}, until: time.Now().Add(foldTime)}
	for name, m := range c.Modules {
		f.modules[name] = m.Copy()
	}
	f.plant()
	f.keep(entries)
	if !f.replaces() {
		f.compute()
		f.plant()
		for n := 0; n < foldRounds && f.round(); n++ {
			f.plant()
		}
		f.keep(entries)
	}
	// All that is left to do is to index: the rules have been checked, and are in the form that is evaluated.
	folded := ast.NewCompiler().WithCapabilities(c.Capabilities()).WithSkipStages(slices.DeleteFunc(ast.AllStages(), func(s ast.StageID) bool {
		switch s {
		case ast.StageInitLocalVarGen, ast.StageSetModuleTree, ast.StageSetRuleTree, ast.StageBuildRuleIndices, ast.StageBuildComprehensionIndices:
			return true
		}
		return false
	})...)
	if folded.Compile(f.modules); folded.Failed() {
		return nil, faultsOf(folded.Errors)
	}
	folded.TypeEnv = c.TypeEnv
	return folded, nil
}

// folder is at work on copies of the modules.
type folder struct {
	written *ast.Compiler
	world   *world
	modules map[string]*ast.Module
	tree    *ast.Compiler // of the modules as they are now: for its tree of rules alone
	pure    map[*ast.Rule]bool
	until   time.Time
}

// foldRounds and foldTime bound what one load spends on folding, and foldOnce one evaluation in it: what is left over is evaluated when it is
// asked for.
const (
	foldRounds = 20
	foldTime   = 5 * time.Second
	foldOnce   = time.Second
)

func (f *folder) plant() {
	f.tree = ast.NewCompiler()
	f.tree.RuleTree = ast.NewRuleTree(ast.NewModuleTree(f.modules))
}

func (f *folder) rules(ref ast.Ref) []*ast.Rule {
	return f.tree.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true})
}

// keep leaves out the rules that the entries do not lead to.
func (f *folder) keep(entries []string) {
	seen := map[*ast.Rule]bool{}
	for _, e := range entries {
		f.reach(ast.MustParseRef(e), seen)
	}
	for _, m := range f.modules {
		m.Rules = slices.DeleteFunc(m.Rules, func(r *ast.Rule) bool { return !seen[r] })
	}
}

func (f *folder) reach(ref ast.Ref, seen map[*ast.Rule]bool) {
	for _, r := range f.rules(ref) {
		if seen[r] {
			continue
		}
		seen[r] = true
		ast.WalkRefs(r, func(ref ast.Ref) bool {
			if ref[0].Equal(ast.DefaultRootDocument) {
				f.reach(ref, seen)
			}
			return false
		})
	}
}

// replaces tells whether rules put something in the place of data or of a function for a while, in which case nothing is settled.
func (f *folder) replaces() (found bool) {
	for _, m := range f.modules {
		ast.WalkWiths(m, func(w *ast.With) bool {
			target, ok := w.Target.Value.(ast.Ref)
			found = found || !ok || !target[0].Equal(ast.InputRootDocument)
			return found
		})
	}
	return found
}

// round folds each rule once, and tells whether anything has changed.
func (f *folder) round() (changed bool) {
	for _, m := range f.modules {
		var rules []*ast.Rule
		for _, r := range m.Rules {
			if !time.Now().Before(f.until) {
				rules = append(rules, r)
				continue
			}
			several, ok := f.spread(r)
			if !ok {
				several, ok = f.lift(r)
			}
			if ok {
				rules, changed = append(rules, several...), true
				continue
			}
			changed = f.chain(r) || changed
			rules = append(rules, r)
		}
		m.Rules = unsilenced(rules)
		changed = changed || len(m.Rules) < len(rules)
	}
	return changed
}

// unsilenced leaves out the rules that never hold, but for one where there is no other.
func unsilenced(rules []*ast.Rule) []*ast.Rule {
	heard := map[string]bool{}
	for _, r := range rules {
		heard[nameOf(r)] = heard[nameOf(r)] || !silent(r)
	}
	var left []*ast.Rule
	for _, r := range rules {
		if !silent(r) || !heard[nameOf(r)] {
			left, heard[nameOf(r)] = append(left, r), true
		}
	}
	return left
}

// nameOf is the part of a rule's path that is written down.
func nameOf(r *ast.Rule) string { return r.Ref().GroundPrefix().String() }

// chain folds a rule and its elses. One whose body cannot hold gives its place to its else, or is silenced and not taken out, because a set
// without rules is not the same as an empty one.
func (f *folder) chain(r *ast.Rule) (changed bool) {
	if r.Default || silent(r) {
		return false
	}
	body, holds, changed := f.body(r.Body)
	switch {
	case holds:
		r.Body = body
	case r.Else != nil && slices.EqualFunc(r.Head.Args, r.Else.Head.Args, (*ast.Term).Equal): // each _ has a name of its own
		r.Head.Value, r.Body, r.Location, r.Else = r.Else.Head.Value, r.Else.Body, r.Else.Location, r.Else.Else
		f.chain(r)
		return true
	default:
		changed = !never(r.Body)
		r.Body = just(false, r.Location)
	}
	if r.Else != nil {
		changed = f.chain(r.Else) || changed
		if silent(r.Else) {
			r.Else, changed = nil, true
		}
	}
	return changed
}

// just is a body that always holds, or never.
func just(truth bool, at *ast.Location) ast.Body {
	return ast.NewBody(ast.NewExpr(ast.BooleanTerm(truth).SetLocation(at)).SetLocation(at))
}

// silent tells a rule that never holds.
func silent(r *ast.Rule) bool {
	return r.Else == nil && !r.Default && never(r.Body)
}

func never(b ast.Body) bool { return len(b) == 1 && len(b[0].With) == 0 && constantly(b[0], false) }

func constantly(e *ast.Expr, truth bool) bool {
	t, ok := e.Terms.(*ast.Term)
	return ok && !e.Negated && t.Equal(ast.InternedTerm(truth))
}

// body folds what stands in a body. holds is false for one that cannot.
func (f *folder) body(b ast.Body) (folded ast.Body, holds, changed bool) {
	for _, e := range b {
		outcome, again := f.expr(e)
		changed = changed || again
		switch outcome {
		case fails:
			return b, false, true
		case open:
			folded = append(folded, e)
		}
	}
	switch {
	case len(folded) == len(b), len(b) == 1 && constantly(b[0], true):
		return b, true, changed
	case len(folded) == 0:
		return just(true, b.Loc()), true, true
	}
	for i, e := range folded {
		e.Index = i
	}
	return folded, true, true
}

// outcome is what is known of an expression before it is evaluated.
type outcome int

const (
	open  outcome = iota
	fails         // undefined, or false
	holds         // and binds nothing
)

// expr folds an expression in its place.
func (f *folder) expr(e *ast.Expr) (o outcome, changed bool) {
	if e.Negated || len(e.With) > 0 {
		return open, false
	}
	switch t := e.Terms.(type) {
	case *ast.Term:
		if f.undefined(t) {
			return fails, true
		}
		switch {
		case t.Equal(ast.InternedTerm(false)):
			return fails, true
		case ast.IsConstant(t.Value):
			return holds, false
		}
		if f.known(t) {
			return holds, false
		}
	case []*ast.Term:
		return f.call(e, t)
	case *ast.Not:
		body, can, folded := f.body(t.Body)
		switch {
		case !can:
			return holds, true
		case len(body) == 1 && constantly(body[0], true):
			return fails, true
		}
		t.Body = body
		return open, folded
	}
	return open, false
}

func (f *folder) call(e *ast.Expr, terms []*ast.Term) (o outcome, changed bool) {
	if function, ok := terms[0].Value.(ast.Ref); ok && function[0].Equal(ast.DefaultRootDocument) && f.unanswered(function) {
		return fails, true
	}
	for i, t := range terms[1:] {
		if f.undefined(t) {
			return fails, true
		}
		if c := f.constant(t); c != nil {
			terms[i+1], changed = c, true
		}
	}
	if e.IsEquality() {
		switch {
		case !ast.IsConstant(terms[1].Value) || !ast.IsConstant(terms[2].Value):
			return open, changed
		case terms[1].Equal(terms[2]):
			return holds, true
		}
		return fails, true
	}
	return open, changed
}

// undefined tells a reference that has no value, whatever is asked.
func (f *folder) undefined(t *ast.Term) bool {
	ref, ok := t.Value.(ast.Ref)
	if !ok || !ref[0].Equal(ast.DefaultRootDocument) {
		return false
	}
	if r := f.only(ref); r != nil {
		_, found := lookup(r.Head.Value.Value, ref[len(r.Ref()):])
		return found == absent
	}
	if !f.unanswered(ref) {
		return false
	}
	ground := ref.GroundPrefix()
	v, found := f.document(ground)
	return found == absent || found == present && len(ground) < len(ref) && size(v) == 0
}

// size is how many members a collection has.
func size(v ast.Value) int {
	switch v := v.(type) {
	case ast.Object:
		return v.Len()
	case *ast.Array:
		return v.Len()
	case ast.Set:
		return v.Len()
	}
	return 0
}

// unanswered tells that no rule has a value at the reference, and no package, which is there and empty where it has no rules.
func (f *folder) unanswered(ref ast.Ref) bool {
	return !f.packaged(ref) && !slices.ContainsFunc(f.rules(ref), func(r *ast.Rule) bool {
		path := r.Ref()
		own := len(path.GroundPrefix())
		if r.Head.RuleKind() == ast.MultiValue || own < len(path) {
			own++ // the set, or the object, itself is there, and empty
		}
		return !silent(r) || len(ref) < own
	})
}

// packaged tells whether a package is at or below the reference.
func (f *folder) packaged(ref ast.Ref) bool {
	for _, m := range f.modules {
		path := m.Package.Path
		if len(path) >= len(ref) && slices.EqualFunc(ref, path[:len(ref)], func(a, b *ast.Term) bool { return a.Equal(b) || !ast.IsConstant(a.Value) }) {
			return true
		}
	}
	return false
}
