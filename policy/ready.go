package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// readyFor gives the document that switches on a module of base/ready, which bears its name.
func readyFor(name string) (document string, ok bool) {
	file, ok := strings.CutPrefix(name, "base/ready/")
	return strings.TrimSuffix(file, ".rego"), ok
}

// wanted leaves out the ready-made policies that no document asks for: what is not loaded reads nothing, and costs nothing.
func wanted(base map[string]*ast.Module, data map[string]any) map[string]*ast.Module {
	all := maps.Clone(base)
	for name := range base {
		if document, ready := readyFor(name); ready && data[document] == nil {
			delete(all, name)
		}
	}
	return all
}

// blank finds documents that are null: whoever wrote the key meant to switch something on, and nothing is.
func (m *material) blank() (faults Faults) {
	for name := range m.base {
		document, ready := readyFor(name)
		if value, given := m.data[document]; ready && given && value == nil {
			faults = append(faults, Fault{Text: "data." + document + " is null, must be an object; {} asks for the defaults"})
		}
	}
	return faults
}

// readyPackages are the packages whose members base collects.
var readyPackages = ast.MustParseRef("data.sallyport.ready")

// quiet takes out the rules that collect what no module has, and where a set would have no rule left it leaves one whose body is false: a
// third of an evaluation would go into finding out each time that there is nothing (40 rather than 59 µs, BenchmarkStanzaFull). The modules
// that it changes are copies.
func quiet(modules map[string]*ast.Module) {
	given := map[string]bool{}
	for _, m := range modules {
		if len(m.Package.Path) > len(readyPackages) && m.Package.Path.HasPrefix(readyPackages) {
			for _, r := range m.Rules {
				given[r.Head.Ref()[0].String()] = true
			}
		}
	}
	for name, m := range modules {
		idle := func(r *ast.Rule) bool {
			set, collects := collected(r.Body)
			return collects && !given[set]
		}
		if slices.ContainsFunc(m.Rules, idle) {
			modules[name] = silenced(m.Copy(), idle)
		}
	}
}

func silenced(m *ast.Module, idle func(*ast.Rule) bool) *ast.Module {
	others := map[string]bool{}
	for _, r := range m.Rules {
		others[r.Head.Ref()[0].String()] = others[r.Head.Ref()[0].String()] || !idle(r)
	}
	m.Rules = slices.DeleteFunc(m.Rules, func(r *ast.Rule) bool { return idle(r) && others[r.Head.Ref()[0].String()] })
	for _, r := range m.Rules {
		if idle(r) {
			never := ast.NewExpr(ast.BooleanTerm(false).SetLocation(r.Location)).SetLocation(r.Location)
			r.Body = append(ast.NewBody(never), r.Body...)
			for i, e := range r.Body {
				e.Index = i
			}
		}
	}
	return m
}

// collected gives the X of a body that ranges over data.sallyport.ready[_].X.
func collected(body ast.Body) (set string, ok bool) {
	ast.WalkRefs(body, func(r ast.Ref) bool {
		n := len(readyPackages)
		if len(r) > n+1 && r.HasPrefix(readyPackages) && !r[n].IsGround() {
			if s, isText := r[n+1].Value.(ast.String); isText {
				set, ok = string(s), true
			}
		}
		return ok
	})
	return set, ok
}
