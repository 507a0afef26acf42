package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// strays finds documents that no rule reads and whose name is a slip away from one that switches something on: `flies: {default: none}`
// looks like a rule, and nothing would enforce it. Documents of other names are for whoever reads them.
func strays(modules, base map[string]*ast.Module, data map[string]any) (faults Faults) {
	names := []string{"federation", "peers", "groups", "internal", "gateways"}
	for file := range base {
		if document, ready := readyFor(file); ready {
			names = append(names, document)
		}
	}
	slices.Sort(names)
	for name := range data {
		meant := slices.IndexFunc(names, func(n string) bool { return slip(n, name) })
		if meant >= 0 && !slices.Contains(names, name) && !read(modules, name) {
			faults = append(faults, Fault{Text: "data." + name + ": no rule reads it; did you mean " + names[meant] + "?"})
		}
	}
	return faults
}

// read tells whether a rule names a document, or reads one whose name it computes.
func read(modules map[string]*ast.Module, document string) (found bool) {
	for _, m := range modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if r[0].Equal(ast.DefaultRootDocument) && (len(r) == 1 || !r[1].IsGround() || r[1].Equal(ast.StringTerm(document))) {
				found = true
			}
			return found
		})
	}
	return found
}

// slip tells whether two words differ by one letter that was put in, left out or exchanged, or by two neighbours that changed places.
func slip(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) < 2 && len(b) < 2 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}
