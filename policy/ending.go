package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Ending lists the grants and peers that end within a span from now, and the grants that have ended, a line each: who is to be asked whether they go on.
func (s *Snapshot) Ending(now time.Time, within time.Duration) (lines []string) {
	for _, kind := range []string{"grants", "peers"} {
		table, ok := get(s.stanza.world.root, kind).(ast.Object)
		if !ok {
			continue
		}
		table.Foreach(func(k, v *ast.Term) {
			entry, ok := v.Value.(ast.Object)
			if !ok {
				return
			}
			until, err := untilOf(get(entry, "until"))
			if err != nil || until.Sub(now) > within {
				return
			}
			word := "ends"
			if !until.After(now) {
				if kind == "peers" {
					return // the configuration tells its own
				}
				word = "has ended"
			}
			line := fmt.Sprintf("data.%s[%s] %s: until %s", kind, k, word, get(entry, "until"))
			for _, key := range []string{"owner", "ticket"} {
				if v := get(entry, key); v != nil {
					line += fmt.Sprintf(", %s %s", key, v)
				}
			}
			lines = append(lines, line)
		})
	}
	slices.Sort(lines)
	return lines
}

// get is the value of a key; nil for none.
func get(o ast.Object, key string) ast.Value {
	if t := o.Get(ast.StringTerm(key)); t != nil {
		return t.Value
	}
	return nil
}
