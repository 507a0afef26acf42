package policy

import (
	"fmt"
	"slices"
	"strings"

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
	return append(faults, strayKeys(modules, data["peers"])...)
}

// peerKeys are what the shipped rules read of an entry of data.peers.
var peerKeys = []string{"calls", "channel", "clearance", "deny", "e2ee", "files", "initiative", "pins", "presence", "proof", "ratchet", "revocation", "tls_min", "until"}

// strayKeys is strays for what an entry of data.peers says: `dney: true` would let the peer in.
func strayKeys(modules map[string]*ast.Module, peers any) (faults Faults) {
	entries, _ := peers.(map[string]any)
	for name, entry := range entries {
		keys, _ := entry.(map[string]any)
		for key := range keys {
			meant := slices.IndexFunc(peerKeys, func(k string) bool { return slip(k, key) })
			if meant >= 0 && !slices.Contains(peerKeys, key) && !mentioned(modules, key) {
				faults = append(faults, Fault{Text: fmt.Sprintf("data.peers[%q].%s: no rule reads it; did you mean %s?", name, key, peerKeys[meant])})
			}
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Text, b.Text) })
	return faults
}

// mentioned tells whether a word stands anywhere in the rules.
func mentioned(modules map[string]*ast.Module, word string) (found bool) {
	for _, m := range modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			found = found || t.Equal(ast.StringTerm(word))
			return found
		})
	}
	return found
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
