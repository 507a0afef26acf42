package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// forms are ways in which Rego can come at the input. Each is a package of its own, less its first line and the decision that
// is made from its deny; beside them are the package other and the document acme below.
var forms = []struct{ name, rego string }{
	{"attribute", `deny contains {"rule": "a"} if input.stanza.kind == "iq"`},
	{"variable key", `deny contains {"rule": k} if { some k in ["direction", "v"]; input[k] == "in" }`},
	{"variable key further down", `deny contains {"rule": "a"} if { some k in ["kind", "type"]; input.stanza[k] == "iq" }`},
	{"any key", `deny contains {"rule": "a"} if { some k; input.link[k] == "pkix" }`},
	{"key out of the input", `deny contains {"rule": "a"} if input[{"get": "stanza", "set": "link"}[input.stanza.type]].id == "1"`},
	{"computed key", `deny contains {"rule": "a"} if input.stanza[concat("", ["ki", "nd"])] == "iq"`},
	{"alias of all", `deny contains {"rule": "a"} if { x := input; x.stanza.kind == "iq" }`},
	{"alias of an alias", `deny contains {"rule": "a"} if { x := input; y := x; z := y.stanza; z.kind == "iq" }`},
	{"alias with a variable key", `deny contains {"rule": "a"} if { x := input; k := "stanza"; x[k].kind == "iq" }`},
	{"alias by an array", `deny contains {"rule": "a"} if { [s, _] := [input.stanza, 1]; s.kind == "iq" }`},
	{"alias by an object", `deny contains {"rule": "a"} if { {"a": s} := {"a": input.stanza}; s.kind == "iq" }`},
	{"alias backwards", `deny contains {"rule": "a"} if { input.stanza = s; s.kind == "iq" }`},
	{"alias later", `deny contains {"rule": "a"} if { s.kind == "iq"; s = input.stanza }`},
	{"alias in two scopes", `deny contains {"rule": "a"} if { count([1 | s = input.link; s.id == "1"]) == 1; count([1 | s = input.stanza; s.kind == "iq"]) == 1 }`},
	{"alias in a not", `deny contains {"rule": "a"} if { s := input.stanza; not s.has_body; not p(s) }
p(s) if s.kind == "iq"`},
	{"alias in a head", `deny contains {"rule": sprintf("%v", [s])} if { s := input.stanza; s.kind == "iq" }`},
	{"alias as a key", `deny contains {"rule": "a"} if { s := input.stanza; {"iq": 1}[s.kind] }`},
	{"alias under with", `deny contains {"rule": "a"} if { s = input.stanza with input.stanza as input.link; s.id == "1" }`},
	{"aliases compared", `deny contains {"rule": "a"} if { a := input.from; b := input.to; a.local == b.local }
deny contains {"rule": "b"} if { a := input.from; b := input.to; not a == b; a.resource == "" }`},
	{"in an array", `deny contains {"rule": "a"} if [input][0].stanza.kind == "iq"`},
	{"in an object", `deny contains {"rule": "a"} if {"i": input}["i"].stanza.kind == "iq"`},
	{"in a set", `deny contains {"rule": "a"} if { some i in {input}; i.stanza.kind == "iq" }`},
	{"some key and value", `deny contains {"rule": "a"} if { some k, v in input.stanza; k == "kind"; v == "iq" }`},
	{"every key and value", `deny contains {"rule": "a"} if { every k, v in input.from { k != "v"; v != "" } }`},
	{"object comprehension", `deny contains {"rule": "a"} if { o := {k: v | some k, v in input.stanza}; o.lang == "de" }`},
	{"comprehension over all", `deny contains {"rule": "a"} if { o := {k | some k, v in input; v.id == "1"}; count(o) == 2 }`},
	{"function of all", `deny contains {"rule": "a"} if f(input)
f(i) if i.stanza.kind == "iq"`},
	{"function with a key", `deny contains {"rule": "a"} if f(input.stanza, "kind") == "iq"
f(i, k) := i[k]`},
	{"function with a pattern", `deny contains {"rule": "a"} if f([input.stanza])
f([s]) if s.kind == "iq"`},
	{"function that reads by itself", `deny contains {"rule": "a"} if f("kind") == "iq"
f(k) := input.stanza[k]`},
	{"function that returns a part", `deny contains {"rule": "a"} if f(1).kind == "iq"
f(_) := input.stanza`},
	{"function with a default", `deny contains {"rule": "a"} if f(input.stanza.kind) == 2
default f(_) := 1
f(k) := 2 if k == "iq"`},
	{"function that is replaced", `deny contains {"rule": "a"} if e with lower as f
e if lower("x") == "iq"
f(_) := input.stanza.kind`},
	{"function that replaces another", `deny contains {"rule": "a"} if e with g as f
e if g("x") == "iq"
g(x) := x
f(_) := input.stanza.kind`},
	{"rule that returns all", `deny contains {"rule": "a"} if s.stanza.kind == "iq"
s := input`},
	{"rule of an object", `deny contains {"rule": "a"} if t.b == "iq"
t := {"a": input.stanza.size, "b": input.stanza.kind}`},
	{"rule named by the input", `deny contains {"rule": "a"} if t.a.get.x
t.a[input.stanza.type].x if input.stanza.kind == "iq"`},
	{"set named by the input", `deny contains {"rule": "a"} if "iq" in t.a.get
t.a[input.stanza.type] contains input.stanza.kind`},
	{"else", `deny contains {"rule": "a"} if t == "iq"
t := 1 if { s := input.link; s.id == "1" } else := s.kind if { s := input.stanza; s.type == "get" } else := input.stanza.lang`},
	{"default", `deny contains {"rule": t.k} if t.k
default t := {}
t := {"k": input.stanza.kind} if input.stanza.type == "get"`},
	{"with another input", `deny contains {"rule": "a"} if e with input as {"stanza": {"id": input.stanza.type}}
e if input.stanza.id == "get"`},
	{"with the input and more", `deny contains {"rule": "a"} if e with input as object.union(input, {"direction": "in"})
e if { input.direction == "in"; input.stanza.kind == "iq" }`},
	{"with one part for another", `deny contains {"rule": "a"} if e with input.stanza as input.link
e if input.stanza.id == "1"`},
	{"with one attribute", `deny contains {"rule": "a"} if e with input.stanza.kind as "iq"
e if { input.stanza.kind == "iq"; input.stanza.type == "get" }`},
	{"with an alias", `deny contains {"rule": "a"} if { i := input; e with input as i }
e if input.stanza.kind == "iq"`},
	{"with data", `deny contains {"rule": "a"} if e with data.acme as input
e if data.acme.stanza.kind == "iq"`},
	{"object.get", `deny contains {"rule": "a"} if object.get(input, ["stanza", "kind"], "") == "iq"`},
	{"object.get twice", `deny contains {"rule": "a"} if object.get(object.get(input, "stanza", {}), "kind", "") == "iq"`},
	{"json.filter", `deny contains {"rule": "a"} if json.filter(input, ["stanza/kind"]).stanza.kind == "iq"`},
	{"json.remove", `deny contains {"rule": "a"} if json.remove(input, ["link"]).stanza.kind == "iq"`},
	{"json.patch", `deny contains {"rule": "a"} if json.patch(input, [{"op": "copy", "from": "/stanza/kind", "path": "/x"}]).x == "iq"`},
	{"json.marshal", `deny contains {"rule": "a"} if contains(json.marshal(input), "http:")`},
	{"sprintf", `deny contains {"rule": "a"} if contains(sprintf("%v", [input.stanza]), "http:")`},
	{"template", "deny contains {\"rule\": $`{input.stanza.kind}`} if input.stanza.type == \"get\""},
	{"walk", `deny contains {"rule": "a"} if { walk(input, [p, v]); p[1] == "kind"; v == "iq" }`},
	{"graph", `deny contains {"rule": "a"} if "iq" in graph.reachable({"a": [input.stanza.kind], "iq": []}, ["a"])`},
	{"comparison", `deny contains {"rule": "a"} if input.from == {"bare": "juliet@corp.example", "local": "juliet", "domain": "corp.example", "resource": "balcony"}`},
	{"membership", `deny contains {"rule": "a"} if "iq" in input.stanza`},
	{"count", `deny contains {"rule": "a"} if count({x | some x in input.stanza}) > 7`},
	{"document by the input", `deny contains {"rule": "a"} if data.acme[input.stanza.type]`},
	{"rule by the input", `deny contains {"rule": "a"} if data.other[input.stanza.type]`},
	{"any rule", `deny contains {"rule": "a"} if { some k; data.other[k] == "iq" }`},
	{"package as an object", `deny contains {"rule": "a"} if { o := data.other; k := "kind"; o[k] == "iq" }`},
	{"package in a function", `deny contains {"rule": "a"} if f(data.other)
f(o) if o.kind == "iq"`},
	{"package walked", `deny contains {"rule": "a"} if { walk(data.other, [_, v]); v == "iq" }`},
	{"import", `import data.other as o
import input.stanza as st
deny contains {"rule": "a"} if { o.kind == "iq"; st.type == "get" }`},
	{"import of all", `import input as i
deny contains {"rule": "a"} if i.stanza.kind == "iq"`},
	{"one of several answers", `deny contains {"rule": "a"} if e
e if { some c in input.stanza.payloads; c == "a|b" }
e if { some u in input.stanza.payloads; u == "c|d" }`},
	{"place in a list", `deny contains {"rule": "a"} if input.stanza.payloads[input.stanza.size] == "c|d"`},
	{"another decision", `decision := {"effect": "deny", "rule": input.stanza.kind, "labels": [v | some k, v in input.from; k != "bare"]}`},
	{"annotation", `# METADATA
# title: a
deny contains {"rule": rego.metadata.rule().title} if input.stanza.kind == "iq"`},
	{"many at once", `import data.other
deny contains {"rule": "alias", "reason": s.type} if { s := input.stanza; s.kind == "iq"; s.type != "get" }
deny contains {"rule": "function"} if long(input.to)
long(address) if count(address.resource) > 3
deny contains {"rule": "comprehension"} if { rest := {p | some p in input.stanza.payloads; p != "a|b"}; count(rest) > 1 }
deny contains {"rule": "dynamic"} if { some name in ["a", "b"]; table[name] }
table.a if input.stanza.lang == "de"
table.b if input.link.tls.version == "1.2"
deny contains {"rule": "else", "labels": [shade]} if shade == "dark"
shade := "dark" if { input.stanza.size > 2 } else := "light" if { input.stanza.lang == "" } else := other.kind
deny contains {"rule": "not"} if { not input.stanza.has_body; every p in input.stanza.payloads { not startswith(p, "http:") }; input.link.proof == "pkix" }`},
}

var besides = map[string]string{
	"o.rego":    "package other\n\nkind := input.stanza.kind\n\nget := input.stanza.id\n\niq := {\"kind\": input.stanza.kind}\n",
	"acme.json": `{"acme": {"get": 1, "kind": "x", "stanza": {"kind": "z"}}}`,
}

// What is remembered is what an evaluation that sees the whole input would say, for any input, whichever way the policy comes at
// it. Were an attribute missed, the evaluation would not see it, and a denial that hangs on it would fall silent.
func TestMemoisedIsFresh(t *testing.T) {
	t.Parallel()
	const decision = `
decision := {"effect": "allow", "rule": "none"} if count(deny) == 0 else := object.union({"effect": "deny"}, sort([[d.rule, d] | some d in deny])[0][1])
`
	files := maps.Clone(besides)
	for i, form := range forms {
		text := fmt.Sprintf("package forms.f%d\n%s", i, form.rego)
		if !strings.Contains(text, "decision :=") {
			text += decision
		}
		files[fmt.Sprintf("f%d.rego", i)] = text
	}
	// All are compiled at once, because that takes most of the time; each is asked by itself, as the shipped decision would be.
	m, err := gather(Config{Dir: dir(t, files)}, listed())
	if err != nil {
		t.Fatal(err)
	}
	compiling.Lock()
	c, err := compile(m.modules, m.world)
	compiling.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			compiling.Lock()
			q, err := newQuestion(c, m.world, fmt.Sprintf("data.forms.f%d.decision", i), Field.ofStanza)
			compiling.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			q.timeout = time.Minute
			compareWithWhole(t, &Snapshot{stanza: q, memo: newMemo[Decision](4096)}, 100)
		})
	}
	t.Run("shipped", func(t *testing.T) {
		t.Parallel()
		compareWithWhole(t, engine(t, Config{}, listed()).Snapshot(), 100)
	})
}

// shownAll is a question that is shown all that it may know.
func shownAll(q *question, has func(Field) bool) *question {
	all := *q
	all.reads = nil
	for f := range fieldCount {
		if has(f) {
			all.reads = append(all.reads, f)
		}
	}
	all.shape = shapeOf(all.reads)
	return &all
}

// compareWithWhole asks a snapshot and one that is shown the whole input.
func compareWithWhole(t *testing.T, s *Snapshot, rounds int) {
	t.Helper()
	whole := &Snapshot{revision: s.revision, stanza: shownAll(s.stanza, Field.ofStanza)}

	random := rand.New(rand.NewPCG(1, 2))
	said := map[string]bool{}
	var known []*Input
	for range rounds {
		in := randomInput(random)
		if len(known) > 20 {
			// An input seen before, with one part of another: some of these are the same to the policy and some are not.
			in = graft(random, known[random.IntN(20)], in)
		}
		known = append(known, in)
		got := s.Stanza(t.Context(), in)
		got.Cached = false
		want, _, err := whole.judge(t.Context(), in)
		if err != nil {
			t.Fatalf("%+v: %v", in, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v:\nremembered %+v\nfresh      %+v", in, got, want)
		}
		said[fmt.Sprint(want)] = true
	}
	if len(said) < 2 {
		t.Errorf("all that is said is %v: the test shows nothing", said)
	}
}

// Decisions on links are remembered alike.
func TestRememberedLinkIsFresh(t *testing.T) {
	t.Parallel()
	const rego = `package sallyport.link

deny contains {"rule": "a-part", "reason": k} if { some k, v in input.link; v == "r" }
deny contains {"rule": "b-alias"} if { l := input.link; not l.cert.spki == "k"; l.tls.alpn == "xmpp-server" }
deny contains {"rule": "c-function"} if f(input.link.cert)
f(c) if c.issuer == "ca"
`
	for name, files := range map[string]map[string]string{"shipped": nil, "own": {"p.rego": rego}} {
		s := engine(t, Config{Dir: dir(t, files)}, listed()).Snapshot()
		whole := &Snapshot{revision: s.revision, link: shownAll(s.link, Field.ofLink)}
		random := rand.New(rand.NewPCG(5, 6))
		said := map[string]bool{}
		for range 400 {
			one := func(of ...string) string { return of[random.IntN(len(of))] }
			in := between(one("in", "out"), "juliet@corp.example", "romeo@"+one("partner.example", "stranger.example", "any.example"))
			in.Link = LinkFacts{ID: one("1", "2"), Channel: one("", "tls"), Proof: one("", "none", "pkix", "dialback+tls"), TLSVersion: one("", "TLS 1.3"), ALPN: one("", "xmpp-server"),
				CertSPKI: one("", "k"), CertIssuer: one("", "ca"), Route: one("", "", "r")}
			got := s.Link(t.Context(), in)
			want, err := whole.judgeLink(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			want.Provisional = got.Provisional
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %+v:\nremembered %+v\nfresh      %+v", name, in, got, want)
			}
			said[want.Rule] = true
		}
		if len(said) < 3 {
			t.Errorf("%s: all that is said is %v: the test shows nothing", name, said)
		}
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
		in.Stanza.HasBody, in.Stanza.Lang = other.Stanza.HasBody, other.Stanza.Lang
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
		Payloads: few("a|b", "c|d", "http:e"), HasBody: r.IntN(2) == 0, Body: one("", "x"), Subject: one("", "y"),
	}
	return in
}
