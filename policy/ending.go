package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Exception is a dated entry of the data documents: a grant, a peer, or a peer that is only observed.
type Exception struct {
	Document string    `json:"document"` // grants, peers or observe.peers
	Name     string    `json:"name"`
	Until    time.Time `json:"until"`
	Ended    bool      `json:"ended"`
	About    string    `json:"about"` // what it says of itself: until, owner, ticket, channel
}

// String says which it is, and its fate.
func (x Exception) String() string {
	return fmt.Sprintf("data.%s[%q] %s", x.Document, x.Name, x.Fate())
}

// Fate says when it ends, or that it has, and whom to ask whether it goes on.
func (x Exception) Fate() string {
	if x.Ended {
		return "has ended: " + x.About
	}
	return "ends: " + x.About
}

// Exceptions lists the dated entries, those that end first before the others.
func (s *Snapshot) Exceptions(now time.Time) []Exception {
	all := slices.Clone(s.dated)
	for i := range all {
		all[i].Ended = !all[i].Until.After(now)
	}
	return all
}

// Ending lists those that have ended and those that end within policy.ends_soon from now.
func (e *Engine) Ending(now time.Time) []Exception {
	limit := now.Add(e.config.EndsSoon)
	return slices.DeleteFunc(e.Snapshot().Exceptions(now), func(x Exception) bool { return x.Until.After(limit) })
}

// dated finds the entries that have an end.
func (w *world) dated() (all []Exception) {
	observe, _ := get(w.root, "observe").(ast.Object)
	for document, table := range map[string]ast.Value{"grants": get(w.root, "grants"), "peers": get(w.root, "peers"), "observe.peers": get(observe, "peers")} {
		entries, ok := table.(ast.Object)
		if !ok {
			continue
		}
		entries.Foreach(func(k, v *ast.Term) {
			entry, _ := v.Value.(ast.Object)
			name, _ := k.Value.(ast.String)
			until, err := untilOf(get(entry, "until"))
			if err != nil {
				return
			}
			x := Exception{Document: document, Name: string(name), Until: until, About: fmt.Sprintf("until %s", get(entry, "until"))}
			for _, key := range []string{"owner", "ticket", "channel"} {
				if v := get(entry, key); v != nil {
					x.About += fmt.Sprintf(", %s %s", key, v)
				}
			}
			all = append(all, x)
		})
	}
	slices.SortFunc(all, func(a, b Exception) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// get is the value of a key; nil for none, and where there is no object.
func get(o ast.Object, key string) ast.Value {
	if o == nil {
		return nil
	}
	if t := o.Get(ast.StringTerm(key)); t != nil {
		return t.Value
	}
	return nil
}
