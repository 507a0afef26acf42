package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
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
	some c in input.stanza.class
	c in {"file", "gateway"}
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
		"class":     func(in *Input) { in.Stanza.Class = []string{"text", "file"} },
		"tls":       func(in *Input) { in.Link.TLSVersion = "1.2" },
	}
	unread := map[string]func(*Input){
		"id":       func(in *Input) { in.Stanza.ID = "m2" },
		"kind":     func(in *Input) { in.Stanza.Kind = "iq" },
		"resource": func(in *Input) { in.From.Resource = "garden" },
		"body":     func(in *Input) { in.Stanza.Body = "Good night." },
		"link":     func(in *Input) { in.Link.ID = "l2" },
		"urls":     func(in *Input) { in.Stanza.URLs = []string{"https://x.example"} },
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
	for f, want := range map[Field]bool{FieldSize: true, FieldHasBody: true, FieldClass: true, FieldBody: false, FieldURLs: false, FieldPayloads: false} {
		if s.Reads(f) != want {
			t.Errorf("Reads(%v) is %v", f, !want)
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
	const rego = "package sallyport.stanza\n\ndeny contains {\"rule\": \"words\"} if { contains(input.stanza.body, \"secret\"); count(input.stanza.urls) < 9 }"
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
	in.Stanza.URLs = make([]string, keySpace)
	if d := s.Stanza(t.Context(), in); d.Effect != Allow || s.memo.len() != 0 {
		t.Errorf("got %+v with %d remembered", d, s.memo.len())
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
	m := newMemo(bound)
	for i := range 20 * bound {
		key := fmt.Append(nil, "key ", i)
		m.put(key, Decision{Rule: string(key)})
		if r := m.get(key); r == nil || r.decision.Rule != string(key) || !r.decision.Cached {
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
	none := newMemo(1)
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

// What is remembered is what an evaluation that sees the whole input would say, for any input. The policy reads by all the
// ways in which a policy can.
func TestMemoisedIsFresh(t *testing.T) {
	t.Parallel()
	const rego = `package sallyport.stanza

import data.acme

deny contains {"rule": "alias", "reason": s.type} if {
	s := input.stanza
	s.kind == "iq"
	s.type != "get"
}

deny contains {"rule": "function"} if acme.long(input.to)

deny contains {"rule": "comprehension"} if {
	classes := {c | some c in input.stanza.class; c != "text"}
	count(classes) > 1
}

deny contains {"rule": "dynamic"} if {
	some name in ["a", "b"]
	acme.table[name]
}

deny contains {"rule": "else", "labels": [acme.shade]} if acme.shade == "dark"

deny contains {"rule": "not"} if {
	not input.stanza.has_body
	every u in input.stanza.urls { startswith(u, "https:") }
	input.link.proof == "pkix"
}
`
	const acme = `package acme

long(address) if count(address.resource) > 3

table.a if input.stanza.lang == "de"

table.b if input.link.tls.version == "1.2"

shade := "dark" if {
	input.stanza.size > 2
} else := "light" if {
	input.stanza.label == "x"
} else := input.stanza.e2ee
`
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": rego, "acme.rego": acme})}, listed()).Snapshot()
	whole := *s.stanza
	whole.reads = nil
	for f := Field(0); f < fieldCount; f++ {
		whole.reads = append(whole.reads, f)
	}
	whole.shape = shapeOf(whole.reads)
	fresh := &Snapshot{revision: s.revision, stanza: &whole}

	const rounds = 400
	random := rand.New(rand.NewPCG(1, 2))
	hits := 0
	var known []*Input
	for range rounds {
		in := randomInput(random)
		if len(known) > 20 {
			// An input seen before, with one part of another: some of these are the same to the policy and some are not.
			in = graft(random, known[random.IntN(20)], in)
		}
		known = append(known, in)
		got := s.Stanza(t.Context(), in)
		if got.Cached {
			hits++
		}
		got.Cached = false
		want, _, err := fresh.judge(t.Context(), in)
		if err != nil {
			t.Fatalf("%+v: %v", in, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v:\nremembered %+v\nfresh      %+v", in, got, want)
		}
	}
	if hits < rounds/10 || hits > rounds*9/10 {
		t.Errorf("%d of %d were remembered: the test shows nothing", hits, rounds)
	}
}

// graft gives an input that is like one but for a part, which is as in another.
func graft(r *rand.Rand, like, other *Input) *Input {
	in := *like
	switch r.IntN(6) {
	case 0:
		in.Direction, in.Local, in.Remote, in.From, in.To = other.Direction, other.Local, other.Remote, other.From, other.To
	case 1:
		in.Link = other.Link
	case 2:
		in.Stanza.ID, in.Stanza.Body, in.Stanza.Subject, in.Stanza.Payloads = "new", other.Stanza.Body, other.Stanza.Subject, other.Stanza.Payloads
	case 3:
		in.Stanza.Kind, in.Stanza.Type, in.Stanza.Size = other.Stanza.Kind, other.Stanza.Type, other.Stanza.Size
	case 4:
		in.Stanza.Class, in.Stanza.URLs = other.Stanza.Class, other.Stanza.URLs
	case 5:
		in.Link.ID, in.Link.Route = other.Link.ID, other.Link.Route
	}
	return &in
}

// randomInput draws every attribute from few values, so that inputs meet again.
func randomInput(r *rand.Rand) *Input {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	few := func(of ...string) (list []string) {
		for _, s := range of {
			if r.IntN(4) == 0 {
				list = append(list, s)
			}
		}
		return slices.Clip(list)
	}
	in := between(one("in", "out"), one("juliet", "ceo")+"@corp.example", "romeo@"+one("partner.example", "stranger.example"))
	in.From.Resource, in.To.Resource = one("", "balcony"), one("", "orchard")
	in.Link = LinkFacts{ID: one("1", "2"), TLSVersion: one("TLS 1.2", "1.3"), Proof: one("none", "pkix"), Route: one("", "r")}
	in.Stanza = StanzaFacts{
		Kind: one("message", "iq"), Type: one("get", "set"), ID: one("1", "2", "3"), Size: r.IntN(5), Lang: one("", "de"),
		Payloads: few("a|b", "c|d"), Class: few("text", "file", "muc"), Label: one("", "x"), HasBody: r.IntN(2) == 0,
		E2EE: one("", "omemo"), Body: one("", "x"), Subject: one("", "y"), URLs: few("http://a", "https://b"),
	}
	return in
}
