package policy

import (
	"encoding/json"
	"fmt"
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

// shapeless finds documents that are no objects: whoever wrote `freeze: true` meant to switch something on, and nothing would be.
func (m *material) shapeless() (faults Faults) {
	for name := range m.base {
		document, ready := readyFor(name)
		value, given := m.data[document]
		if _, object := value.(map[string]any); !ready || !given || object {
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			text = []byte(err.Error())
		}
		faults = append(faults, Fault{Text: fmt.Sprintf("data.%s is %s, must be an object; {} asks for the defaults", document, text)})
	}
	return faults
}
