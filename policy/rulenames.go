package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// ruleNames are the names of the rules that modules can answer with.
type ruleNames struct {
	has map[string]bool
	by  map[string]int // functions that answer with a name that they are given, and which argument it is
	// open: an operator's module takes a name from where only a stanza can tell it, so that any name may be one.
	open bool
}

// namesOf collects what stands under "rule" in modules, and what is given to functions that put it there. Where base computes a name, each text
// of that rule may be one.
func namesOf(base, own map[string]*ast.Module) *ruleNames {
	n := &ruleNames{has: map[string]bool{}, by: map[string]int{}}
	for _, modules := range []map[string]*ast.Module{base, own} {
		eachRule(modules, func(_ *ast.Module, r *ast.Rule) {
			for i, arg := range r.Head.Args {
				if slices.ContainsFunc(spoken(r), arg.Equal) {
					n.by[r.Head.Name.String()] = i
				}
			}
		})
	}
	eachRule(base, func(_ *ast.Module, r *ast.Rule) {
		if !n.collect(r) {
			ast.WalkTerms(r.Body, func(t *ast.Term) bool { n.add(t); return false })
		}
	})
	eachRule(own, func(m *ast.Module, r *ast.Rule) {
		borrowed := deciding(m.Package.Path) && r.Head.Name == "deny" && r.Head.Key != nil && len(spoken(r.Head.Key)) == 0 && n.given(r.Head.Key) == nil
		if !n.collect(r) || borrowed {
			n.open = true
		}
	})
	return n
}

func eachRule(modules map[string]*ast.Module, do func(*ast.Module, *ast.Rule)) {
	for _, m := range modules {
		ast.WalkRules(m, func(r *ast.Rule) bool { do(m, r); return false })
	}
}

// spoken are the values that stand under "rule" in objects.
func spoken(in any) (found []*ast.Term) {
	ast.WalkTerms(in, func(t *ast.Term) bool {
		if o, ok := t.Value.(ast.Object); ok {
			if name := o.Get(ast.InternedTerm("rule")); name != nil {
				found = append(found, name)
			}
		}
		return false
	})
	return found
}

// collect adds the names in a rule, and tells whether those are all that it can answer with.
func (n *ruleNames) collect(r *ast.Rule) (all bool) {
	all = true
	for _, name := range spoken(r) {
		all = (n.add(name) || slices.ContainsFunc(r.Head.Args, name.Equal)) && all
	}
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if name := n.given(t); name != nil {
			all = n.add(name) && all
		}
		return false
	})
	return all
}

func (n *ruleNames) add(t *ast.Term) bool {
	name, ok := t.Value.(ast.String)
	if ok {
		n.has[string(name)] = true
	}
	return ok
}

// given is what a call gives a function as the name to answer with.
func (n *ruleNames) given(t *ast.Term) *ast.Term {
	call, ok := t.Value.(ast.Call)
	if !ok {
		return nil
	}
	function := call[0].String()
	i, takes := n.by[function[strings.LastIndexByte(function, '.')+1:]]
	if !takes || i+1 >= len(call) {
		return nil
	}
	return call[i+1]
}

// nowhere finds rules that data.grants and data.observe name and no module has.
func (m *material) nowhere() (faults Faults) {
	names := namesOf(m.base, m.own)
	if names.open {
		return nil
	}
	look := func(rule, format string, at ...any) {
		if !names.has[rule] {
			faults = append(faults, Fault{Text: fmt.Sprintf(format, at...) + fmt.Sprintf(": no rule is named %q", rule)})
		}
	}
	grants, _ := m.data["grants"].(map[string]any)
	for id, grant := range grants {
		grant, _ := grant.(map[string]any)
		rules, _ := grant["rules"].([]any)
		for i, rule := range rules {
			if rule, ok := rule.(string); ok {
				look(rule, "data.grants[%q].rules[%d]", id, i)
			}
		}
	}
	observe, _ := m.data["observe"].(map[string]any)
	rules, _ := observe["rules"].(map[string]any)
	for rule := range maps.Keys(rules) {
		if rule != "*" {
			look(rule, "data.observe.rules[%q]", rule)
		}
	}
	return faults
}
