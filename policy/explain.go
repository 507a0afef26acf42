package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	data, reads := map[string]bool{}, newWalk(s.written)
	for _, r := range saying(s.written, rule) {
		e.Defined = true
		e.Where = append(e.Where, fmt.Sprintf("%s:%d", r.Location.File, r.Location.Row))
		documents(s.written, r, data, map[*ast.Rule]bool{})
		if err := reads.follow(r); err != nil {
			reads.found.whole = true
		}
	}
	if e.Rests = reads.found.among(q.set.Has); !e.Defined || rule == "allow" {
		e.Rests = slices.Clone(q.reads)
	}
	e.Where, e.Data = slices.Compact(e.Where), slices.Sorted(maps.Keys(data))
	e.Remedy = remedies(rule, in, link)
	return e
}

// saying are the rules that can say the name: those that have it in the member that they add or, where there are none, among their texts, for
// they may hand it to the function that makes the member.
func saying(c *ast.Compiler, name string) (found []*ast.Rule) {
	var loosely []*ast.Rule
	for _, module := range slices.Sorted(maps.Keys(c.Modules)) {
		for _, r := range c.Modules[module].Rules {
			member, anywhere := says(r, name)
			if member {
				found = append(found, r)
			}
			if anywhere {
				loosely = append(loosely, r)
			}
		}
	}
	if found == nil {
		return loosely
	}
	return found
}

// says tells whether a rule has the name in a member, as its rule, and whether it has it at all. A list of names, which is the same whatever is
// asked, says none.
func says(r *ast.Rule, name string) (member, anywhere bool) {
	if fixed(r) {
		return false, false
	}
	is := func(t *ast.Term) bool {
		s, ok := t.Value.(ast.String)
		return ok && string(s) == name
	}
	ast.WalkTerms(r, func(t *ast.Term) bool {
		anywhere = anywhere || is(t)
		if o, ok := t.Value.(ast.Object); ok {
			value := o.Get(ast.InternedTerm("rule"))
			member = member || value != nil && is(value)
		}
		return false
	})
	return member, anywhere
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
		if len(path) > 2 { // a rule, and not all that are ready
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

// remedies are what would let this crossing pass the rule: lines of data, and what to do where data alone does not help. For rules that are not
// ours there is the grant alone, and for some of ours there is none (base/names.rego, firm).
func remedies(rule string, in *Input, link bool) (lines []string) {
	if firm, ok := firmRemedies(rule, in); ok {
		return firm
	}
	peer := func(entry string) string { return fmt.Sprintf("peers: {%s: {%s}}", in.Remote, entry) }
	ours, way := in.From.Bare, in.Direction
	if in.Direction == "in" {
		ours = in.To.Bare
	}
	switch rule {
	case "peer-not-listed", "peer-ended":
		lines, link = append(lines, peer("")), true
	case "peer-denied":
		lines, link = append(lines, "take deny out of the entry of "+in.Remote+" in peers"), true
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
		what := `"` + strings.Join(append([]string{in.Stanza.Kind}, in.Stanza.Class...), `": true, "`) + `": true`
		lines, link = append(lines, fmt.Sprintf("matrix: {%s: {%s: {%s: {%s}}}}", in.Local, in.Remote, way, what)), true
	case "rights":
		lines = append(lines, fmt.Sprintf("rights: {users: {%s: {%s: %s}}}", ours, in.Remote, way))
	case "hours":
		lines = append(lines, fmt.Sprintf("hours: {peers: {%s: true}}", in.Remote))
	case "urls":
		lines = append(lines, "urls: {hosts: {<host>: true}}, of the host that the reason names")
	case "dlp":
		lines = append(lines, "do: notify in the finder of dlp.finders that the reason names")
	case "gateway":
		lines = append(lines, fmt.Sprintf("gateways: {%s: true}", in.Local))
	case "register", "admin", "archive":
		lines = append(lines, fmt.Sprintf("surface: {allow: {%s: true}}", rule))
	case "surface":
		lines = append(lines, "surface: {refuse: {<name>: false}}, of what the reason names")
	}
	users := fmt.Sprintf(" users: [%s],", ours)
	if link { // of a link nobody knows who will write; see base/ready/grants.rego
		users = ""
	}
	return append(lines, fmt.Sprintf("grants: {<name>: {rules: [%s], peers: [%s],%s owner: <who>, ticket: <number>, reason: <why>, until: \"<day>\"}}", rule, in.Remote, users))
}

// firmRemedies are those of rules that a grant does not help against: of firm ones, of what a link has to show, and of changes that cannot be
// done.
func firmRemedies(rule string, in *Input) (lines []string, ok bool) {
	switch rule {
	case "channel-floor":
		return []string{fmt.Sprintf("peers: {%s: {channel: plaintext, until: \"<day>\"}}", in.Remote)}, true
	case "proof-floor", "tls-floor", "pin", "revoked", "revocation-unknown", "ratchet-proof", "ratchet-channel":
		return []string{"have " + in.Remote + " show what its entry in peers asks for; sallyport probe " + in.Remote + " says what it shows"}, true
	case "internal-user", "internal-room", "internal-group", "internal-domain", "internal-label":
		return []string{"take the name out of internal." + strings.TrimPrefix(rule, "internal-") + "s"}, true
	case "freeze":
		return []string{"take freeze.all back, or the name of " + in.Remote + " in freeze.peers"}, true
	case "mark":
		return []string{fmt.Sprintf("mark: {except: {%s: true}}", in.Remote)}, true
	case "strip":
		return []string{"take what it strips out of strip"}, true
	case RuleEngineError:
		return []string{"mend the rule that fails; the reason says which"}, true
	case "allow", "grant", "forged-envelope":
		return nil, true
	}
	return nil, false
}

// Decide asks as the gate does, without remembering: for tools.
func (s *Snapshot) Decide(ctx context.Context, in *Input) Decision {
	d, _, _ := s.judge(ctx, in)
	return d
}

// At is the same policy with its clock standing at a moment: for tools that judge what is past.
func (s *Snapshot) At(moment time.Time) *Snapshot {
	then, link, stanza := *s, *s.link, *s.stanza
	link.at, stanza.at = moment, moment
	then.link, then.stanza = &link, &stanza // what was remembered did not look at the clock
	return &then
}

// ReadsStanza lists the attributes that decisions on stanzas can depend on, and ReadsLink those that decisions on links can.
func (s *Snapshot) ReadsStanza() []Field { return slices.Clone(s.stanza.reads) }

// ReadsLink is ReadsStanza for links.
func (s *Snapshot) ReadsLink() []Field { return slices.Clone(s.link.reads) }
