package policy

import (
	"fmt"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// misspelt finds names in the data that no address or domain can be equal to, in ways that Rego cannot see: RFC 7622 §3.3 and
// IDNA leave neither compatibility characters nor invisible ones in a canonical name, nor letters with their accents apart. Such
// a name looks like a rule, and nothing would enforce it. base/check.rego finds the other ways.
func misspelt(data map[string]any) (faults Faults) {
	internal, _ := data["internal"].(map[string]any)
	groups, _ := data["groups"].(map[string]any)
	look := func(path []string, document any) {
		names, _ := document.(map[string]any)
		for name := range names {
			if !canonicalText(name) {
				faults = append(faults, Fault{Text: fmt.Sprintf("%s[%+q]: would never match: canonical names are in Unicode's form NFKC, without invisible characters", dotted(path), name)})
			}
		}
	}
	look([]string{"data", "peers"}, data["peers"])
	for _, kind := range []string{"domains", "users", "rooms"} {
		look([]string{"data", "internal", kind}, internal[kind])
	}
	for group, members := range groups {
		look([]string{"data", "groups", group}, members)
	}
	return faults
}

// canonicalText tells whether a name could be a canonical one as far as its characters go. The two joiners belong to the spelling
// of some scripts.
func canonicalText(name string) bool {
	for _, r := range name {
		if unicode.In(r, unicode.Cc, unicode.Cf) && r != '\u200c' && r != '\u200d' {
			return false
		}
	}
	return norm.NFKC.IsNormalString(name)
}
