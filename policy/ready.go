package policy

import (
	"maps"
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
