package policy

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func stringTerm(s string) *ast.Term { return ast.StringTerm(s) }

// Two stanzas that differ in what the policy reads are two evaluations; in anything else they are one.
func TestMemoIsExact(t *testing.T) {
	t.Parallel()
	const rego = `package sallyport.stanza
deny contains {"rule": "acme"} if {
	input.stanza.size > 1000
	input.stanza.has_body
	some p in input.stanza.payloads
	p in {"a|file", "a|gateway"}
	input.link.tls.version == "1.2"
}`
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": rego})}, listed()).Snapshot()
	read := map[string]func(*Input){
		"direction": func(in *Input) { in.Direction = "in" },
		"local":     func(in *Input) { in.Local = "x.example" },
		"remote":    func(in *Input) { in.Remote = "x.example" },
		"from":      func(in *Input) { in.From.Bare = "x@corp.example" },
		"to":        func(in *Input) { in.To.Bare = "x@partner7.example" },
		"size":      func(in *Input) { in.Stanza.Size++ },
		"has_body":  func(in *Input) { in.Stanza.HasBody = false },
		"payloads":  func(in *Input) { in.Stanza.Payloads = []string{"a|text", "a|file"} },
		"tls":       func(in *Input) { in.Link.TLSVersion = "1.2" },
	}
	unread := map[string]func(*Input){
		"id":       func(in *Input) { in.Stanza.ID = "m2" },
		"kind":     func(in *Input) { in.Stanza.Kind = "iq" },
		"resource": func(in *Input) { in.From.Resource = "garden" },
		"body":     func(in *Input) { in.Stanza.Body = "Good night." },
		"link":     func(in *Input) { in.Link.ID = "l2" },
		"lang":     func(in *Input) { in.Stanza.Lang = "de" },
		"same TLS": func(in *Input) { in.Link.TLSVersion = "1.3" },
	}
	if d := s.Stanza(t.Context(), crossing()); d.Cached {
		t.Fatal("remembered before it was asked")
	}
	for name, change := range unread {
		in := crossing()
		change(in)
		if d := s.Stanza(t.Context(), in); !d.Cached {
			t.Errorf("%s is not read, and cost an evaluation", name)
		}
	}
	for name, change := range read {
		in := crossing()
		change(in)
		if d := s.Stanza(t.Context(), in); d.Cached {
			t.Errorf("%s is read, and was not looked at", name)
		}
		if d := s.Stanza(t.Context(), in); !d.Cached {
			t.Errorf("%s: not remembered", name)
		}
	}
	for f, want := range map[Field]bool{FieldSize: true, FieldHasBody: true, FieldPayloads: true, FieldBody: false, FieldURLs: false, FieldID: false} {
		if s.Reads(f) != want {
			t.Errorf("Reads(%v) is %v", f, !want)
		}
	}
}

// A link decision is remembered under what the policy reads of the link, and what the gate does not know yet is told anew each time.
func TestLinkMemoIsExact(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{}, listed()).Snapshot()
	ask := func(change func(*Input)) LinkDecision {
		in := crossing()
		in.Remote = "partner.example"
		change(in)
		return s.Link(t.Context(), in)
	}
	first := ask(func(*Input) {})
	if first.Effect != Allow || s.links.len() != 1 {
		t.Fatalf("%+v, %d remembered", first, s.links.len())
	}
	for name, change := range map[string]func(*Input){
		"nothing": func(*Input) {},
		"id":      func(in *Input) { in.Link.ID = "l2" },
		"stanza":  func(in *Input) { in.Stanza.Kind, in.From.Bare = "iq", "x@corp.example" },
	} {
		if d := ask(change); !reflect.DeepEqual(d, first) || s.links.len() != 1 {
			t.Errorf("%s: %+v, %d remembered", name, d, s.links.len())
		}
	}
	for name, change := range map[string]func(*Input){
		"remote":  func(in *Input) { in.Remote = "stranger.example" },
		"proof":   func(in *Input) { in.Link.Proof = "none" },
		"channel": func(in *Input) { in.Link.Channel = "plaintext" },
	} {
		before := s.links.len()
		if d := ask(change); d.Effect != Deny || s.links.len() != before+1 {
			t.Errorf("%s is read: %+v, %d more remembered", name, d, s.links.len()-before)
		}
	}
	early := ask(func(in *Input) { in.Link = LinkFacts{} })
	if again := ask(func(in *Input) { in.Link = LinkFacts{} }); !early.Provisional || !again.Provisional || first.Provisional {
		t.Errorf("provisional: at first %v, remembered %v, when all is known %v", early.Provisional, again.Provisional, first.Provisional)
	}
}

// What read the clock, and what policy failed to say, is asked again.
func TestLinkIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, rego := range []string{
		`decision := {"effect": "allow", "rule": "r"} if time.now_ns() > 0`,
		`decision := 7`,
		`decision := {"effect": "allow", "rule": "r", "reason": concat("", ["long" | some n in numbers.range(1, 1000)])}`,
	} {
		s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport.link\n\n" + rego})}, listed()).Snapshot()
		s.Link(t.Context(), crossing())
		if n := s.links.len(); n != 0 {
			t.Errorf("%s\n%d are remembered", rego, n)
		}
	}
}

// Texts that run together the same way are still different keys.
func TestKeysDoNotCollide(t *testing.T) {
	t.Parallel()
	all := make([]Field, fieldCount)
	for f := range all {
		all[f] = Field(f)
	}
	inputs := []Input{
		{},
		{Local: "ab", Remote: "c"}, {Local: "a", Remote: "bc"}, {Local: "abc"},
		{Stanza: StanzaFacts{Class: []string{"ab"}}}, {Stanza: StanzaFacts{Class: []string{"a", "b"}}}, {Stanza: StanzaFacts{Class: []string{"a"}, Label: "b"}},
		{Stanza: StanzaFacts{Class: []string{""}}}, {Stanza: StanzaFacts{Payloads: []string{""}}}, {Stanza: StanzaFacts{URLs: []string{"", ""}}},
		{Stanza: StanzaFacts{Size: 1}}, {Stanza: StanzaFacts{Size: 256}}, {Stanza: StanzaFacts{HasBody: true}},
	}
	seen := map[string]int{}
	for i := range inputs {
		var k key
		if !k.fill(&inputs[i], all) {
			t.Fatal("does not fit")
		}
		if j, twice := seen[string(k.bytes[:k.n])]; twice {
			t.Errorf("inputs %d and %d have one key", i, j)
		}
		seen[string(k.bytes[:k.n])] = i
	}
}

func TestLongTextsAreNotRemembered(t *testing.T) {
	t.Parallel()
	const rego = "package sallyport.stanza\n\ndeny contains {\"rule\": \"words\"} if { contains(input.stanza.body, \"secret\"); count(input.stanza.payloads) < 9 }"
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": rego})}, listed()).Snapshot()
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	for _, in.Stanza.Body = range []string{string(make([]byte, keySpace)), string(make([]byte, 1<<19))} {
		for range 2 {
			if d := s.Stanza(t.Context(), in); d.Effect != Allow || d.Cached {
				t.Errorf("got %+v, want a fresh yes", d)
			}
		}
	}
	in.Stanza.Body = ""
	in.Stanza.Payloads = make([]string, keySpace)
	if d := s.Stanza(t.Context(), in); d.Effect != Allow || s.memo.len() != 0 {
		t.Errorf("got %+v with %d remembered", d, s.memo.len())
	}
}

// A policy that quotes its documents in every answer does not fill the memory with them.
func TestLongAnswersAreNotRemembered(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"reason":      `{"effect": "allow", "rule": "r", "reason": json.marshal(data.big)}`,
		"message":     `{"effect": "allow", "rule": "r", "message": json.marshal(data.big)}`,
		"rule":        `{"effect": "allow", "rule": json.marshal(data.big)}`,
		"labels":      `{"effect": "allow", "rule": "r", "labels": data.big}`,
		"transforms":  `{"effect": "allow", "rule": "r", "transforms": [{"rule": "s", "do": "strip", "payloads": data.big}]}`,
		"notices":     `{"effect": "allow", "rule": "r", "notify": [{"rule": "n", "text": json.marshal(data.big)}]}`,
		"retention":   `{"effect": "allow", "rule": "r", "retention": json.marshal(data.big)}`,
		"many labels": `{"effect": "allow", "rule": "r", "labels": ["" | some n in numbers.range(1, 3000)]}`,
	} {
		big := make([]string, 100)
		for i := range big {
			big[i] = fmt.Sprintf("word number %020d", i)
		}
		s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport.stanza\n\ndecision := " + answer})}, Data{"big": big}).Snapshot()
		for range 2 {
			if d := s.Stanza(t.Context(), crossing()); d.Effect != Allow || d.Cached {
				t.Errorf("%s: %v, cached %v, %s", name, d.Effect, d.Cached, d.Reason)
			}
		}
	}
}

// A decision on the way to which the clock was read is never remembered; its neighbours are.
func TestClockIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{}, listed()).Snapshot()
	for range 2 {
		if d := s.Stanza(t.Context(), between("out", "juliet@corp.example", "x@old.example")); d.Effect != Allow || d.Cached || !d.Uncacheable {
			t.Errorf("dated peer: %+v", d)
		}
	}
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	if d := s.Stanza(t.Context(), in); d.Uncacheable {
		t.Errorf("peer without a date: %+v", d)
	}
	if d := s.Stanza(t.Context(), in); !d.Cached {
		t.Errorf("peer without a date: %+v", d)
	}
}

func TestMemoIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 1024
	m := newMemo[Decision](bound)
	for i := range 20 * bound {
		key := fmt.Append(nil, "key ", i)
		m.put(key, Decision{Rule: string(key)})
		if r := m.get(key); r == nil || r.decision.Rule != string(key) {
			t.Fatalf("%s: got %+v", key, r)
		}
		if m.get([]byte("key 0")) == nil {
			t.Fatalf("what is always in use was forgotten after %d others", i)
		}
		if n := m.len(); n > bound {
			t.Fatalf("%d remembered, more than %d", n, bound)
		}
	}
	if m.len() < bound/2 {
		t.Errorf("only %d remembered of %d", m.len(), bound)
	}
	if m.get([]byte("key 1")) != nil {
		t.Error("nothing was forgotten")
	}
	none := newMemo[Decision](1)
	none.put([]byte("x"), Decision{})
	if none.get([]byte("x")) != nil || none.len() != 0 {
		t.Error("a memo without room remembers")
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	s := engine(t, Config{}, listed()).Snapshot()
	in := between("out", "juliet@corp.example", "romeo@partner.example")
	s.Stanza(t.Context(), in)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { s.Stanza(ctx, in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
