package audit

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/reference/audit-events.md and schema/event.json anew")

// everywhere are the fields that every event has; anywhere those that every event can have.
const (
	everywhere = "v seq time id node kind code"
	anywhere   = "since cut"
)

// examples has at least one event of each kind.
func examples() []Event {
	stanza := stanzaEvent(7)
	denied := stanzaEvent(8)
	denied.Stanza.Class = []string{"file"}
	denied.Decision = DecisionPart{Effect: "deny", Rule: "no-files", Reason: "file transfer leaves the company", Revision: "5f2c9e10", Mode: "enforce"}
	denied.Condition, denied.Text = "policy-violation", "files stay inside"
	onLink := stanzaEvent(9)
	onLink.Level = LevelLink
	link := Event{Dir: "out", Local: "corp.example", Remote: "partner.example", Link: "o17", Channel: "tls", Proof: "pkix", TLS: "TLS 1.3",
		Cipher: "TLS_AES_128_GCM_SHA256", RemoteIP: "198.51.100.7", Address: "xmpp.partner.example:5269", CertIssuer: "CN=R11,O=Let's Encrypt,C=US",
		CertSPKI: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", CertNotAfter: "2026-10-01T00:00:00Z"}
	inBox, inClear := stanzaEvent(10), stanzaEvent(11)
	inBox.Level, inBox.Content = LevelSealed, ContentPart{Body: []byte("the offer is 4 million"), Lang: "en"}
	inClear.Level, inClear.Content = LevelContent, inBox.Content
	as := func(k Kind, e Event, change func(e *Event)) Event {
		e.Kind = k
		change(&e)
		return e
	}
	none := func(*Event) {}
	dialback := Event{Dir: "in", From: "partner.example", To: "corp.example", Link: "i4", RemoteIP: "198.51.100.7"}
	noon := time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)
	return []Event{
		stanza, denied, onLink, inBox, inClear,
		{Kind: Delivery, Dir: "out", Local: "corp.example", Remote: "partner.example", Link: "o17", Of: []SeqRange{{1001, 1032}, {1040, 1040}}, Outcome: Written, settled: 1033},
		{Kind: Delivery, Dir: "out", Local: "corp.example", Remote: "gone.example", Of: []SeqRange{{1033, 1033}}, Outcome: Bounced, Condition: "remote-server-not-found",
			Text: "the domain was not found, or its name servers do not answer", settled: 1034},
		as(LinkOpen, link, none),
		as(LinkClose, link, func(e *Event) { e.Text, e.Count = "closed by the peer", 57 }),
		as(LinkDeny, link, func(e *Event) {
			e.Decision = DecisionPart{Effect: "deny", Rule: "not-listed", Revision: "5f2c9e10"}
			e.Condition = "not-allowed"
		}),
		as(LinkFail, link, func(e *Event) {
			e.Step, e.Error, e.Proof = "cert", "the certificate is for other.example, not for partner.example", "none"
			e.Cert, e.Advice, e.NextTry = "CN=other.example, issued by R11, until 2026-10-01", "the peer's operator has to mend its certificate", 20*time.Second
		}),
		as(Downgrade, link, func(e *Event) {
			e.Error = "the domain proved itself by pkix before, the link has dialback+tls"
			e.Decision = DecisionPart{Effect: "deny", Rule: "ratchet-proof", Revision: "5f2c9e10"}
		}),
		as(CertChanged, link, func(e *Event) {
			e.Text = "key sha256/n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg= is now sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
		}),
		{Kind: PolicyNotify, Dir: "out", Local: "corp.example", Remote: "partner.example", From: "juliet@corp.example/balcony", To: "romeo@partner.example", Link: "5b1d0c6a9e2f",
			Stanza: StanzaPart{Kind: "message", Type: "chat", ID: []byte("m7"), Size: 312}, Decision: DecisionPart{Rule: "dlp"}, Address: "officer", Text: "2 card numbers"},
		{Kind: AuthFlood, Dir: "in", Count: 1840, Since: noon, Until: noon.Add(time.Minute), Address: "203.0.113.9", Text: "failed proofs and the like, beyond limits.failures_per_address or limits.failures: 1830 from 203.0.113.9, 10 from 198.51.100.7"},
		{Kind: ConfigPeer, Remote: "partner.example", Text: "forgive"},
		as(DialbackValid, dialback, none),
		as(DialbackInvalid, dialback, func(e *Event) { e.Text = "asked as authoritative server: not a key of ours" }),
		as(DialbackError, dialback, func(e *Event) { e.Step, e.Condition, e.Text = "dns", "remote-server-not-found", "no such domain" }),
		{Kind: AuthSpoof, Dir: "in", Local: "corp.example", Remote: "partner.example", From: "alice@corp.example", To: "bob@corp.example", Link: "i4", RemoteIP: "198.51.100.7", Condition: "invalid-from"},
		as(AuthUnsolicited, dialback, func(e *Event) { e.Text = "db:result type=valid" }),
		{Kind: AuthMisaddressed, Dir: "out", From: "alice@corp.example/pc", To: "bob smith@partner.example", Link: "i7", RemoteIP: "127.0.1.1", Condition: "jid-malformed", Error: "bad to: localpart is not allowed"},
		{Kind: PolicyReload, Revision: "60aa12c4"},
		{Kind: PolicyReload, Error: "policy/partners.rego:12: rego_type_error: undefined function"},
		{Kind: ConfigReload, Error: `sallyport.yaml:9: unknown key "fedration"`},
		{Kind: AuditRepair, Segment: "00000003.jsonl", Bytes: 214, SHA256: strings.Repeat("9f86d081", 8), Text: `{"v":1,"seq":88213,"time":"2026-07-30T11:59`},
		{Kind: AuditGap, Count: 96, Passed: 90, Since: noon.Add(-time.Minute), Until: noon, Error: "write 00000003.jsonl: no space left on device"},
		{Kind: AuditClock, Since: noon.Add(time.Hour)},
		{Kind: AuditSpace, Bytes: 734003200},
		{Kind: AuditCount, Dir: "in", Local: "corp.example", Remote: "partner.example", Count: 1204, Since: noon.Add(-time.Minute), Decision: DecisionPart{Effect: "allow"}},
		{Kind: AuditKey, Key: "default/2026-07-30-1", SHA256: strings.Repeat("9f86d081", 8), Text: "2 recipients"},
		{Kind: AuditOpen, Deed: DeedPart{Who: "compliance (uid 1004)", Why: "case 2026-117", Query: "id 01K1DVJ9G0N0000000000000AB"}, Count: 1},
		{Kind: AuditSearch, Deed: DeedPart{Who: "root (uid 0)", As: "maria", Query: "user=alice@corp.example since=2026-07-01T00:00:00Z"}},
		{Kind: AuditExport, Deed: DeedPart{Who: "root (uid 0)", As: "maria", Why: "case 2026-117", Query: "user=alice@corp.example format=eml"}, Count: 412, SHA256: strings.Repeat("9f86d081", 8)},
		{Kind: AuditHold, Deed: DeedPart{Who: "root (uid 0)", As: "maria", Why: "case 2026-117", Query: "name=case-117 domain=partner.example"}, Count: 9120},
		{Kind: AuditRelease, Deed: DeedPart{Who: "root (uid 0)", As: "maria", Why: "case 2026-117 is closed", Query: "name=case-117"}},
		{Kind: AuditDelete, Deed: DeedPart{Who: "the gate", Why: "the retention is over", Query: "expired"}, Of: []SeqRange{{1, 264107}}, Segment: "00000003.jsonl", Count: 88213, SHA256: strings.Repeat("9f86d081", 8)},
		{Kind: AuditDestroy, Deed: DeedPart{Who: "root (uid 0)", As: "maria", Why: "erasure, article 17", Query: "class=default before=2026-07-01"}, Count: 30},
		{Kind: AuditSigner, Text: "gate-1+8f2c7a01+AWUuM5SQxFmRzzC4Tr0mJo3W8CzrrZQ2lQvYw3v2yJ0L", Error: "the key before it was gate-1+0c1f55d3+AXm2yZ4l1bA9sD9r7fC1b3v0oP4gV5j3n8Qq2Yk7xk1t"},
		{Kind: AuditMismatch, Error: "line 88213 is not the one that was recorded"},
		{Kind: NodeStart, Revision: "60aa12c4", Text: "sallyport 0.1.0"},
		{Kind: NodeStop, Text: "SIGTERM"},
	}
}

// field is one value of a line, by its path.
type field struct {
	path, doc string
	typ       reflect.Type
}

// fields lists all values of a line in their order, objects before what is in them.
func fields() []field {
	var all []field
	var add func(prefix string, t reflect.Type)
	add = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			all = append(all, field{prefix + name, f.Tag.Get("doc"), f.Type})
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[time.Time]() {
				add(prefix+name+".", f.Type)
			}
		}
	}
	add("", reflect.TypeFor[Record]())
	return all
}

func (f field) isObject() bool {
	return f.typ.Kind() == reflect.Struct && f.typ != reflect.TypeFor[time.Time]()
}

func (f field) typeName() string {
	switch {
	case f.typ == reflect.TypeFor[time.Time]():
		return "time"
	case f.typ == reflect.TypeFor[ID]():
		return "id"
	case f.typ == reflect.TypeFor[[]SeqRange]():
		return "ranges"
	case f.typ.Kind() == reflect.Slice:
		return "strings"
	case f.typ.Kind() == reflect.String:
		return "string"
	case f.typ.Kind() == reflect.Bool:
		return "true"
	}
	return "number"
}

// TestExamplesKeepTheFieldLists: an example has what its kind must have, and nothing that its kind cannot have.
func TestExamplesKeepTheFieldLists(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, f := range fields() {
		known[f.path] = true
	}
	shown := map[Kind]bool{}
	for _, e := range examples() {
		info := e.Kind.info()
		shown[e.Kind] = true
		has := pathsOf(t, line(e))
		must := strings.Fields(everywhere + " " + info.must)
		may := strings.Fields(anywhere + " " + info.may)
		for _, p := range append(must, may...) {
			if !known[p] {
				t.Errorf("%s names the field %s, which no record has", e.Kind, p)
			}
		}
		for _, p := range must {
			if !slices.Contains(has, p) {
				t.Errorf("%s: the example has no %s", e.Kind, p)
			}
		}
		for _, p := range has {
			if !slices.Contains(must, p) && !slices.Contains(may, p) {
				t.Errorf("%s: the example has %s, which is not listed", e.Kind, p)
			}
		}
	}
	for k := Kind(1); k < kindEnd; k++ {
		if !shown[k] {
			t.Errorf("%s has no example", k)
		}
	}
}

// pathsOf lists the values of a line.
func pathsOf(t *testing.T, line string) []string {
	t.Helper()
	var paths []string
	var walk func(prefix string, v map[string]any)
	walk = func(prefix string, v map[string]any) {
		for name, value := range v {
			if inner, ok := value.(map[string]any); ok {
				walk(prefix+name+".", inner)
				continue
			}
			paths = append(paths, prefix+name)
		}
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatal(err)
	}
	walk("", v)
	return paths
}

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	golden(t, "../docs/reference/audit-events.md", reference())
}

func golden(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		write(t, path, want)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says; run: go test ./audit -run IsCurrent -update", path)
	}
}

func reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	for _, f := range fields() {
		if f.isObject() {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.path, f.typeName(), f.doc)
	}
	b.WriteString("\n## Kinds\n\nEvery event has " + code(everywhere) + "; any can have " + code(anywhere) + ". Each kind's further fields are listed with it.\n")
	for k := Kind(1); k < kindEnd; k++ {
		info := k.info()
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n%s\n\n", info.name, info.doc, codesOf(k))
		if info.must != "" {
			fmt.Fprintf(&b, "Always: %s.\n", code(info.must))
		}
		if info.may != "" {
			fmt.Fprintf(&b, "Where known: %s.\n", code(optional(info)))
		}
		b.WriteString("\n```json\n")
		for _, e := range examples() {
			if e.Kind == k {
				b.WriteString(line(e))
			}
		}
		b.WriteString("```\n")
	}
	return b.Bytes()
}

const referenceHead = `# Events of the audit record

This page is made from the code (` + "`go test ./audit -run IsCurrent -update`" + `); do not edit it.

The record is a directory of segments, ` + "`00000001.jsonl`, `00000002.jsonl`" + ` and so on. Each line is one event, a JSON object. Lines are only
ever added. A closed segment is compressed, its lines unchanged: ` + "`zstdcat 00000001.jsonl.zst`" + ` shows them. The same is described for programs in ` + "`audit/schema/event.json`" + `.

- ` + "`seq`" + ` is the order of events at a node. It starts at 1 and has no gap.
- ` + "`id`" + ` names an event among those of all nodes. It sorts by age, and stands in bounces as "decision …".
- ` + "`time`" + ` never goes back within a segment. When a node's clock does, a new segment begins.
- Fields come in one fixed order. Empty ones are left out.
- Every character that is not printable is escaped, so that a line can be shown on a terminal as it is. Bytes that are not UTF-8 are
  recorded as U+FFFD. A value longer than 1024 bytes (an address: 3071; a body, a subject or the markup
  of a stanza: ` + "`audit.content`" + `) is cut, ends with "…", and the line has ` + "`\"cut\":true`" + `.
- Codes are stable: a code is never given another meaning, and new cases get new codes.

## Levels

Policy chooses per stanza how much is recorded: ` + "`none`" + ` (counted in ` + "`audit.count`" + ` events only), ` + "`link`" + ` (domains, link, kind, size and
decision, nothing that names a person, but keyed hashes of the bare addresses), ` + "`metadata`" + ` (the default: addresses, ids, classes, labels),
` + "`sealed`" + ` (what the stanza says, encrypted to the officers) and ` + "`content`" + ` (the same in clear). audit-sealing.md says how to have it and how
to open it. Where policy does not choose, it is ` + "`audit.level`" + `.

## From stanza to delivery

A stanza event is committed before the stanza goes anywhere. What became of the stanza is a later event, ` + "`delivery`" + `, which names it by
` + "`seq`" + `: ` + "`\"of\":[[1001,1032]]`" + ` settles all stanza events from 1001 to 1032.

| outcome | meaning |
|---|---|
| ` + "`acked`" + ` | the next server says that it has taken it (XEP-0198); where ` + "`text`" + ` says so, on a second stream, after a first one ended without a word about it |
| ` + "`written`" + ` | handed to the next server's connection; that server does not acknowledge |
| ` + "`bounced`" + ` | answered with a stanza error; ` + "`condition`" + ` has its condition |
| ` + "`dropped`" + ` | neither passed nor answered: of a kind that gets no answer |
| ` + "`lost`" + ` | accepted before a crash and not known to have been written; its sender was told |

An allowed stanza without a delivery event is still on its way, or was lost in a crash. ` + "`settled`" + ` says below which ` + "`seq`" + ` there is none.

## What the format leaves room for

Version 1 grows by fields and kinds; readers pass over those they do not know.

- **A Merkle tree** (RFC 6962 §2.1) stands over the lines: [proof.md](../proof.md). A leaf is a line as it stands, without its line end; its
  index is ` + "`seq`" + ` less one, because ` + "`seq`" + ` has no gap. Lines are encoded in one way only, so the bytes of a line are fixed by the event, and
  closed segments never change. The tree takes in what is committed: lines that are taken back after a failed write, and a torn end that is
  cut off, never were leaves. A deleted segment leaves its hashes behind.

## Fields

`

// code sets words in code type.
func code(words string) string {
	return "`" + strings.Join(strings.Fields(words), "`, `") + "`"
}

// optional lists the fields that a kind can have besides those it must have, in the order of a line.
func optional(info *kindInfo) string {
	var sorted []string
	for _, f := range fields() {
		if slices.Contains(strings.Fields(info.may), f.path) && !slices.Contains(strings.Fields(info.must), f.path) {
			sorted = append(sorted, f.path)
		}
	}
	return strings.Join(sorted, " ")
}

// codesOf lists the codes of a kind with what tells them apart.
func codesOf(k Kind) string {
	cases := []struct {
		when string
		e    Event
	}{{"", Event{}}}
	switch k {
	case Stanza:
		cases = cases[:0]
		for _, effect := range []string{"allow", "deny", "drop"} {
			cases = append(cases, struct {
				when string
				e    Event
			}{effect, Event{Decision: DecisionPart{Effect: effect}}}, struct {
				when string
				e    Event
			}{effect + " when judged again", Event{Again: true, Decision: DecisionPart{Effect: effect}}})
		}
	case Delivery:
		cases = cases[:0]
		for _, outcome := range []string{Written, Bounced, Dropped, Lost, Acked, Replaced, Untold} {
			cases = append(cases, struct {
				when string
				e    Event
			}{outcome, Event{Outcome: outcome}})
		}
	case PolicyReload, ConfigReload:
		cases = append(cases, struct {
			when string
			e    Event
		}{"with an error", Event{Error: "x"}})
	}
	var list []string
	for _, c := range cases {
		c.e.Kind = k
		s := fmt.Sprintf("%d", c.e.Code())
		if c.when != "" {
			s += " " + c.when
		}
		list = append(list, s)
	}
	return "Code: " + strings.Join(list, ", ") + "."
}
