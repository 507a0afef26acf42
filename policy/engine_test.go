package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// dir makes an operator's directory of the given files.
func dir(tb testing.TB, files map[string]string) string {
	tb.Helper()
	d := tb.TempDir()
	for name, text := range files {
		write(tb, d, name, text)
	}
	return d
}

func listed() Data {
	return Data{"federation": "listed", "peers": map[string]any{
		"partner.example": map[string]any{"proof": "pkix"},
		"old.example":     map[string]any{"channel": "plaintext", "until": "2999-06-30"},
		"rival.example":   map[string]any{"deny": true},
	}, "internal": map[string]any{
		"users":   map[string]any{"ceo@corp.example": true},
		"domains": map[string]any{"intranet.corp.example": true},
	}}
}

// between is a stanza from one address to another, the local one first or last as the direction says.
func between(direction, local, remote string) *Input {
	address := func(s string) Address {
		l, d, _ := strings.Cut(s, "@")
		return Address{Bare: s, Local: l, Domain: d}
	}
	in := &Input{Direction: direction, Stanza: StanzaFacts{Kind: "message", Type: "chat"}}
	l, r := address(local), address(remote)
	in.Local, in.Remote = l.Domain, r.Domain
	if in.From, in.To = l, r; direction == "in" {
		in.From, in.To = r, l
	}
	return in
}

func TestStanza(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{}, listed()).Snapshot()
	for _, test := range []struct {
		name            string
		in              *Input
		effect          Effect
		rule, condition string
	}{
		{"listed, out", between("out", "juliet@corp.example", "romeo@partner.example"), Allow, "allow", ""},
		{"listed, in", between("in", "juliet@corp.example", "romeo@partner.example"), Allow, "allow", ""},
		{"stranger", between("in", "juliet@corp.example", "x@stranger.example"), Deny, "peer-not-listed", "not-allowed"},
		{"denied", between("out", "juliet@corp.example", "x@rival.example"), Deny, "peer-denied", "not-allowed"},
		{"internal user, out", between("out", "ceo@corp.example", "romeo@partner.example"), Deny, "internal-user", "forbidden"},
		{"internal user, in", between("in", "ceo@corp.example", "romeo@partner.example"), Deny, "internal-user", "service-unavailable"},
		{"internal domain", between("out", "a@intranet.corp.example", "romeo@partner.example"), Deny, "internal-domain", "forbidden"},
		{"dated", between("out", "juliet@corp.example", "x@old.example"), Allow, "allow", ""},
	} {
		d := s.Stanza(t.Context(), test.in)
		if d.Effect != test.effect || d.Rule != test.rule || d.Condition != test.condition {
			t.Errorf("%s: %v %s %s, want %v %s %s", test.name, d.Effect, d.Rule, d.Condition, test.effect, test.rule, test.condition)
		}
		if d.Would != d.Effect || d.Revision != s.Revision() || len(d.Revision) != 12 {
			t.Errorf("%s: would %v, revision %q", test.name, d.Would, d.Revision)
		}
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{}, listed()).Snapshot()
	in := &Input{Direction: "out", Local: "corp.example", Remote: "old.example"}
	d := s.Link(t.Context(), in)
	if want := (Requirement{"plaintext", "dialback", "1.2"}); d.Effect != Allow || d.Require != want || !d.Provisional || !d.Uncacheable {
		t.Errorf("got %+v, want allowed with %+v, provisional and uncacheable", d, want)
	}
	// The day of `until` belongs to the exception.
	if want := time.Date(2999, 7, 1, 0, 0, 0, 0, time.UTC); !d.Until.Equal(want) {
		t.Errorf("until %v, want %v", d.Until, want)
	}
	in.Remote = "partner.example"
	in.Link = LinkFacts{Channel: "tls", Proof: "dialback+tls", TLSVersion: "TLS 1.3"}
	d = s.Link(t.Context(), in)
	if d.Effect != Deny || d.Rule != "proof-floor" || d.Provisional || d.Uncacheable || !d.Until.IsZero() || d.Require.Proof != "pkix" {
		t.Errorf("got %+v, want proof-floor, final", d)
	}
	in.Link.Proof = "pkix"
	if d = s.Link(t.Context(), in); d.Effect != Allow {
		t.Errorf("got %+v, want allowed", d)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{Mode: "observe"}, listed()).Snapshot()
	in := between("out", "juliet@corp.example", "x@stranger.example")
	for range 2 { // evaluated, then remembered
		if d := s.Stanza(t.Context(), in); d.Effect != Allow || d.Would != Deny || d.Rule != "peer-not-listed" {
			t.Errorf("got %+v, want allowed and would be denied", d)
		}
	}
	if d := s.Link(t.Context(), in); d.Effect != Allow || d.Would != Deny || d.Require != floor() {
		t.Errorf("got %+v, want allowed over the floor and would be denied", d)
	}
}

// An answer that policy fails to give is a denial that says why.
func TestEngineFaultsDeny(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, decision, reason string }{
		{"undefined", `{"effect": input.stanza[input.stanza.id]}`, "undefined"},
		{"conflict", `{"effect": ["allow", "deny"][_], "rule": "r"}`, "conflict"},
		{"error of a built-in", `{"effect": "allow", "rule": to_number(input.direction)}`, "to_number"},
		{"no object", `"allow"`, "no object"},
		{"no effect", `{"rule": "r"}`, "no effect"},
		{"no rule", `{"effect": "allow"}`, "names no rule"},
		{"effect of no known kind", `{"effect": "permit", "rule": "r"}`, `"permit"`},
		{"effect that is no text", `{"effect": true, "rule": "r"}`, "no text"},
		{"condition of no known kind", `{"effect": "deny", "rule": "r", "condition": "go-away"}`, "go-away"},
		{"part of no known kind", `{"effect": "allow", "rule": "r", "audt": "content"}`, "audt"},
		{"level of no known kind", `{"effect": "allow", "rule": "r", "audit": "all"}`, `"all"`},
		{"a transform that is no object", `{"effect": "allow", "rule": "r", "transforms": ["mask"]}`, "transforms"},
		{"a transform without a pattern", `{"effect": "allow", "rule": "r", "transforms": [{"rule": "t", "do": "mask", "with": "#"}]}`, "mask takes pattern"},
		{"a pattern that is none", `{"effect": "allow", "rule": "r", "transforms": [{"rule": "t", "do": "mask", "with": "#", "pattern": "("}]}`, "missing closing"},
		{"a transform of no known kind", `{"effect": "allow", "rule": "r", "transforms": [{"rule": "t", "do": "shout"}]}`, "shout"},
		{"a transform that nothing names", `{"effect": "allow", "rule": "r", "transforms": [{"do": "fold-presence"}]}`, "names no rule"},
		{"a notice without a text", `{"effect": "allow", "rule": "r", "notify": [{"rule": "n", "to": "officer"}]}`, "a rule and a text"},
		{"a denial that would deny", `{"effect": "deny", "rule": "r", "would": "deny"}`, "would"},
		{"labels that are no list", `{"effect": "allow", "rule": "r", "labels": "x"}`, "labels"},
		{"a key that is no text", `{"effect": "allow", "rule": "r", 1: 2}`, "key 1"},
	}
	rego := "package sallyport.stanza\n"
	for _, test := range tests {
		rego += fmt.Sprintf("decision := %s if input.stanza.id == %q\n", test.decision, test.name)
	}
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": rego})}, nil).Snapshot()
	for _, test := range tests {
		in := between("out", "juliet@corp.example", "romeo@partner.example")
		in.Stanza.ID = test.name
		d := s.Stanza(t.Context(), in)
		if d.Effect != Deny || d.Rule != RuleEngineError || !strings.Contains(d.Reason, test.reason) || d.Condition != "internal-server-error" {
			t.Errorf("%s: got %+v, want %s for %q", test.name, d, RuleEngineError, test.reason)
		}
	}
	if s.memo.len() != 0 {
		t.Error("failures are remembered")
	}
}

// A decision that is put together part by part is one when all its parts are there.
func TestPartialAnswers(t *testing.T) {
	t.Parallel()
	const who = "if input.stanza.kind == \"message\""
	for _, test := range []struct{ rego, reason string }{
		{`decision contains {"effect": "allow", "rule": "r"}`, "no object"},
		{`decision contains "effect"`, "no object"},
		{"decision.effect := \"allow\" if input.stanza.kind == \"iq\"\n\ndecision.rule := \"r\"", "no effect"},
		{"decision.effect := \"allow\"\n\ndecision.rule := \"r\" if input.stanza.kind == \"iq\"", "names no rule"},
		{"decision[key] := \"allow\" if some key in [\"effect\", \"rule\", \"rul\"]", "rul: is not a part"},
		{"decision.effect := \"allow\" " + who + "\n\ndecision.effect := \"deny\"\n\ndecision.rule := \"r\"", "conflict"},
		{"decision.effect.now := \"allow\"\n\ndecision.rule := \"r\"", "effect"},
		{"decision := {\"effect\": \"allow\", \"rule\": \"r\"} " + who + "\n\ndecision := {\"effect\": \"deny\", \"rule\": \"s\"}", "conflict"},
		{"decision := [{\"effect\": \"allow\", \"rule\": \"r\"}]", "no object"},
		{"decision.effect := \"allow\"\n\ndecision.rule := \"r\"", ""},
	} {
		s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport.stanza\n\n" + test.rego})}, nil).Snapshot()
		d := s.Stanza(t.Context(), between("out", "juliet@corp.example", "romeo@partner.example"))
		switch {
		case test.reason == "" && d.Effect != Allow:
			t.Errorf("%s\n%+v", test.rego, d)
		case test.reason != "" && (d.Effect != Deny || d.Rule != RuleEngineError || !strings.Contains(d.Reason, test.reason)):
			t.Errorf("%s\n%+v, want %s for %q", test.rego, d, RuleEngineError, test.reason)
		}
	}
}

func TestLinkFaultsDeny(t *testing.T) {
	t.Parallel()
	decisions := []string{
		`{"effect": "drop", "rule": "r"}`,
		`{"effect": "allow", "rule": "r", "require": {"channel": "none"}}`,
		`{"effect": "allow", "rule": "r", "require": {"chanel": "tls"}}`,
		`{"effect": "allow", "rule": "r", "until": "soon"}`,
		`{"effect": "allow", "rule": "r", "until": 2027}`,
		`{"effect": "allow", "rule": "r", "require": []}`,
		`{"effect": "allow"}`,
	}
	rego := "package sallyport.link\n"
	for i, decision := range decisions {
		rego += fmt.Sprintf("decision := %s if input.link.id == \"%d\"\n", decision, i)
	}
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": rego})}, nil).Snapshot()
	for i, decision := range decisions {
		d := s.Link(t.Context(), &Input{Link: LinkFacts{ID: strconv.Itoa(i)}})
		if d.Effect != Deny || d.Rule != RuleEngineError || d.Require != floor() || !strings.Contains(d.Reason, "not a decision") {
			t.Errorf("%s: got %+v, want %s", decision, d, RuleEngineError)
		}
	}
}

// A gap in a document does not silence a denial that negates something about it.
func TestNegationOfAGap(t *testing.T) {
	t.Parallel()
	const rego = `package sallyport.stanza
deny contains {"rule": "prefix"} if not startswith(lower(data.peers[input.remote.domain].prefix), "acme-")`
	for name, file := range map[string]string{"as it is": rego, "imported": strings.Replace(rego, "\n", "\nimport future.keywords.not\n", 1)} {
		s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": file})}, listed()).Snapshot()
		if d := s.Stanza(t.Context(), between("out", "juliet@corp.example", "romeo@partner.example")); d.Rule != "prefix" {
			t.Errorf("%s: got %+v, want a denial", name, d)
		}
	}
}

const slow = `package sallyport.stanza
deny contains {"rule": "slow"} if {
	some a in numbers.range(1, 100000)
	some b in numbers.range(1, 100000)
	a + b < 0
	input.direction == "out"
}`

func TestLateIsDeny(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": slow}), Timeout: time.Millisecond}, listed()).Snapshot()
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	if d := s.Stanza(t.Context(), in); d.Effect != Deny || d.Rule != RuleEngineError || !strings.Contains(d.Reason, "too late") {
		t.Errorf("got %+v, want a denial for lateness", d)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	s = engine(t, Config{}, listed()).Snapshot()
	if d := s.Stanza(cancelled, in); d.Effect != Deny || !strings.Contains(d.Reason, context.Canceled.Error()) {
		t.Errorf("got %+v, want a denial for the caller's end", d)
	}
	if d := s.Stanza(t.Context(), in); d.Effect != Allow {
		t.Errorf("the lateness stuck: %+v", d)
	}
}

// Answers that policy fails to give are counted, and told once in a while with the place of the rule.
func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		const rego = "package sallyport.stanza\n\ndeny contains {\"rule\": \"x\"} if to_number(input.stanza.body) > 3\n"
		d := dir(t, map[string]string{"p.rego": rego})
		e := engine(t, Config{Dir: d, Log: slog.New(slog.NewTextHandler(&out, nil))}, listed())
		in := between("out", "juliet@corp.example", "romeo@partner.example")
		for n, minute := uint64(0), 0; minute < 2; minute++ {
			for range 5 {
				in.Stanza.Body = "not a number"
				e.Snapshot().Stanza(t.Context(), in)
				in.Stanza.Body = "2"
				e.Snapshot().Stanza(t.Context(), in)
				if n++; e.Failures() != n {
					t.Errorf("%d failures, want %d", e.Failures(), n)
				}
			}
			time.Sleep(tellEvery)
		}
		write(t, d, "p.rego", "package sallyport.link\n\ndecision := {\"effect\": \"permit\", \"rule\": \"x\"}\n")
		if err := e.Reload(listed()); err != nil {
			t.Fatal(err)
		}
		e.Snapshot().Link(t.Context(), in)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		e.Snapshot().Link(gone, in)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || e.Failures() != 11 || !strings.Contains(lines[0], "p.rego:3: eval_builtin_error: to_number") || !strings.Contains(lines[1], "failures=6") ||
			!strings.Contains(lines[2], "data.sallyport.link.decision") {
			t.Errorf("%d failures, logged:\n%s", e.Failures(), out.String())
		}
	})
}

// ABUSE 6: a fault inside the check is a no.
func TestPanicIsDeny(t *testing.T) {
	t.Parallel()
	s := *engine(t, Config{}, listed()).Snapshot()
	broken := *s.stanza
	broken.world = nil
	s.stanza, s.link = &broken, &broken
	if d := s.Stanza(t.Context(), crossing()); d.Effect != Deny || !strings.Contains(d.Reason, "panic") {
		t.Errorf("got %+v, want a denial for the panic", d)
	}
	if d := s.Link(t.Context(), crossing()); d.Effect != Deny || !strings.Contains(d.Reason, "panic") {
		t.Errorf("got %+v, want a denial for the panic", d)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := Config{}.withDefaults()
	if want := (Config{Mode: "enforce", Watch: 10 * time.Second, Sample: 10, Timeout: 100 * time.Millisecond, Cache: 65536, EndsSoon: 14 * 24 * time.Hour, HistoryCount: 1000, HistoryBytes: 256 << 20, Log: c.Log}); err != nil || !reflect.DeepEqual(c, want) || c.Log == nil {
		t.Errorf("got %+v %v, want %+v", c, err, want)
	}
}

func TestZeroValuesDeny(t *testing.T) {
	t.Parallel()
	var d Decision
	var l LinkDecision
	if d.Effect != Deny || l.Effect != Deny || d.Effect.String() != "deny" {
		t.Errorf("zero values are %v and %v", d.Effect, l.Effect)
	}
	// Without any configuration the allow-list is empty and in force.
	s := engine(t, Config{}, nil).Snapshot()
	if d := s.Stanza(t.Context(), crossing()); d.Effect != Deny || d.Rule != "peer-not-listed" {
		t.Errorf("without configuration: %+v", d)
	}
	if d := s.Stanza(t.Context(), &Input{}); d.Effect != Deny {
		t.Errorf("of nothing: %+v", d)
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"files.rego": noFiles})
	e := engine(t, Config{Dir: d}, listed())
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	in.Stanza.Payloads = []string{"jabber:x:oob|x"}
	before := e.Snapshot()
	if got := before.Stanza(t.Context(), in); got.Rule != "no-files" {
		t.Fatalf("got %+v, want no-files", got)
	}

	write(t, d, "files.rego", "package sallyport.stanza\n\ndeny contains {\"rule\": \"x\"} if input.stanza.knd == \"iq\"\n")
	err := e.Reload(listed())
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Line != 3 || !strings.HasSuffix(faults[0].File, "files.rego") {
		t.Errorf("got %v, want one fault at files.rego:3", err)
	}
	if e.Snapshot() != before {
		t.Error("a bad policy replaced the running one")
	}

	write(t, d, "files.rego", strings.ReplaceAll(noFiles, "no-files", "files-stay"))
	if err := e.Reload(listed()); err != nil {
		t.Fatal(err)
	}
	if got := e.Snapshot().Stanza(t.Context(), in); got.Rule != "files-stay" || got.Cached {
		t.Errorf("after the reload: %+v", got)
	}
	if got := before.Stanza(t.Context(), in); got.Rule != "no-files" || got.Revision == e.Snapshot().Revision() {
		t.Errorf("the snapshot moved: %+v", got)
	}

	// Nothing has changed: what is remembered stays.
	now := e.Snapshot()
	if err := e.Reload(listed()); err != nil || e.Snapshot() != now {
		t.Errorf("an empty reload replaced the policy: %v", err)
	}
	data := listed()
	delete(data["peers"].(map[string]any), "partner.example")
	if err := e.Reload(data); err != nil || e.Snapshot() == now {
		t.Errorf("changed data did not: %v", err)
	}
	if got := e.Snapshot().Stanza(t.Context(), in); got.Rule != "files-stay" && got.Rule != "peer-not-listed" {
		t.Errorf("after the change of data: %+v", got)
	}
}

// Each decision is wholly of one revision while policies change under it.
func TestReloadWhileDeciding(t *testing.T) {
	t.Parallel()
	d := dir(t, nil)
	version := func(n int) string {
		return fmt.Sprintf("package sallyport.stanza\n\ndecision := {\"effect\": \"deny\", \"rule\": \"v%d\", \"reason\": sprintf(\"v%d %%s\", [input.to.bare])}\n", n, n)
	}
	write(t, d, "p.rego", version(0))
	e := engine(t, Config{Dir: d, Cache: 64}, nil)
	var mu sync.Mutex
	ruleOf := map[string]string{}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for worker := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s := e.Snapshot()
				in := between("out", "juliet@corp.example", fmt.Sprintf("u%d@partner.example", i%(20+worker)))
				got := s.Stanza(t.Context(), in)
				s.Link(t.Context(), in)
				if want := got.Rule + " " + in.To.Bare; got.Reason != want {
					t.Errorf("got %q, want %q", got.Reason, want)
				}
				mu.Lock()
				if rule, ok := ruleOf[got.Revision]; ok && rule != got.Rule || got.Revision != s.Revision() {
					t.Errorf("revision %s says %s and %s", got.Revision, rule, got.Rule)
				}
				ruleOf[got.Revision] = got.Rule
				mu.Unlock()
			}
		})
	}
	for n := 1; n <= 3; n++ {
		write(t, d, "p.rego", version(n))
		if err := e.Reload(nil); err != nil {
			t.Error(err)
		}
		write(t, d, "p.rego", "package sallyport.stanza\n\ndecision := nonsense(1)\n")
		if err := e.Reload(nil); err == nil {
			t.Error("nonsense was taken")
		}
	}
	close(stop)
	wg.Wait()
}
