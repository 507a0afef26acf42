package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Explanation says how a decision comes about.
type Explanation struct {
	Rule    string
	Where   []string // file:line of the rules that can say it
	Data    []string // documents and keys that they look at, as data.peers[…].files
	Reads   []Field  // attributes that the whole decision can depend on
	Rests   []Field  // attributes that the rule rests on: those that it reads or, where nothing refuses, those of the whole decision
	Remedy  []string // what would change it, each a line of data
	Defined bool     // whether the policy has such a rule at all
}

// Explain looks a rule up by its name, as it stands in a decision, for a crossing. link tells whether it is one about links.
func (s *Snapshot) Explain(rule string, in *Input, link bool) Explanation {
	q := s.stanza
	if link {
		q = s.link
	}
	e := Explanation{Rule: rule, Reads: slices.Clone(q.reads)}
	data, reads := map[string]bool{}, newWalk(q.compiler)
	for _, name := range slices.Sorted(maps.Keys(q.compiler.Modules)) {
		for _, r := range q.compiler.Modules[name].Rules {
			if says(r, rule) {
				e.Defined = true
				e.Where = append(e.Where, fmt.Sprintf("%s:%d", name, r.Location.Row))
				documents(q.compiler, r, data, map[*ast.Rule]bool{})
				if err := reads.follow(r); err != nil {
					reads.found.whole = true
				}
			}
		}
	}
	if e.Rests = reads.found.among(q.set.Has); !e.Defined || rule == "allow" {
		e.Rests = slices.Clone(q.reads)
	}
	e.Where, e.Data = slices.Compact(e.Where), slices.Sorted(maps.Keys(data))
	e.Remedy = remedies(rule, in)
	return e
}

// says tells whether a rule has the name among its texts: in the member that it adds, or in what it hands to the function that makes one.
func says(r *ast.Rule, name string) (found bool) {
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if s, ok := t.Value.(ast.String); ok && string(s) == name {
			found = true
		}
		return found
	})
	return found
}

// documents notes the data that a rule, and the rules that it names, look at.
func documents(c *ast.Compiler, r *ast.Rule, into map[string]bool, seen map[*ast.Rule]bool) {
	if seen[r] {
		return
	}
	seen[r] = true
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		path := constants(ref)
		if !ref[0].Equal(ast.DefaultRootDocument) || len(path) == 0 {
			return false
		}
		if path[0] != "sallyport" {
			into[shown(ref)] = true
			return false
		}
		if len(path) > 2 && path[1] != "ready" {
			for _, next := range c.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}) {
				documents(c, next, into, seen)
			}
		}
		return false
	})
}

// shown writes a reference as Rego does, with … for what the compiler has put a variable for.
func shown(ref ast.Ref) string {
	var b strings.Builder
	b.WriteString("data")
	for _, t := range ref[1:] {
		switch s, isText := t.Value.(ast.String); {
		case isText && name(string(s)):
			b.WriteString("." + string(s))
		case isText:
			fmt.Fprintf(&b, "[%q]", string(s))
		default:
			b.WriteString("[…]")
		}
	}
	return b.String()
}

// remedies are lines of data that would let this crossing pass the rule. For rules that are not base's there is the grant alone.
func remedies(rule string, in *Input) (lines []string) {
	peer := func(entry string) string { return fmt.Sprintf("peers: {%s: {%s}}", in.Remote, entry) }
	ours, way := in.From.Bare, in.Direction
	if in.Direction == "in" {
		ours = in.To.Bare
	}
	switch rule {
	case "peer-not-listed", "peer-ended":
		lines = append(lines, peer(""))
	case "peer-denied":
		lines = append(lines, "take deny out of the entry of "+in.Remote+" in peers")
	case "channel-floor":
		return []string{peer("channel: plaintext, until: \"<day>\"")}
	case "proof-floor", "tls-floor", "pin", "revoked", "revocation-unknown", "ratchet-proof", "ratchet-channel":
		return []string{"have " + in.Remote + " show what its entry in peers asks for; sallyport probe " + in.Remote + " says what it shows"}
	case "internal-user", "internal-room", "internal-group", "internal-domain", "internal-label":
		lines = append(lines, "take the name out of internal."+strings.TrimPrefix(rule, "internal-")+"s")
	case "files":
		lines = append(lines, peer("files: "+way))
	case "calls":
		lines = append(lines, peer("calls: video"))
	case "e2ee":
		lines = append(lines, peer("e2ee: any"))
	case "labels":
		lines = append(lines, peer("clearance: \"<label>\""))
	case "presence":
		lines = append(lines, peer("presence: folded"))
	case "initiative":
		lines = append(lines, peer("initiative: both"), "or "+ours+" writes first")
	case "matrix":
		lines = append(lines, fmt.Sprintf("matrix: {%s: {%s: {%s: {%s: true}}}}", in.Local, in.Remote, way, in.Stanza.Kind))
	case "rights":
		lines = append(lines, fmt.Sprintf("rights: {users: {%s: {%s: %s}}}", ours, in.Remote, way))
	case "gateway":
		lines = append(lines, fmt.Sprintf("gateways: {%s: true}", in.Local))
	case "register", "admin", "archive":
		lines = append(lines, fmt.Sprintf("surface: {allow: {%s: true}}", rule))
	case RuleEngineError:
		return []string{"mend the rule that fails; the reason says which"}
	case "freeze", "allow", "grant":
		return nil
	}
	return append(lines, fmt.Sprintf("grants: {<name>: {rules: [%s], peers: [%s], users: [%s], owner: <who>, ticket: <number>, reason: <why>, until: \"<day>\"}}", rule, in.Remote, ours))
}

// Decide asks as the gate does, without remembering: for tools.
func (s *Snapshot) Decide(ctx context.Context, in *Input) Decision {
	d, _, _ := s.judge(ctx, in)
	return d
}

// ReadsStanza lists the attributes that decisions on stanzas can depend on, and ReadsLink those that decisions on links can.
func (s *Snapshot) ReadsStanza() []Field { return slices.Clone(s.stanza.reads) }

// ReadsLink is ReadsStanza for links.
func (s *Snapshot) ReadsLink() []Field { return slices.Clone(s.link.reads) }
