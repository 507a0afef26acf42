package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// settledForms are ways in which Rego can hang on data. Each is a package of its own, as those of TestMemoisedIsFresh are.
var settledForms = []struct{ name, rego string }{
	{"a part that is absent", `deny contains {"rule": "a"} if data.acme.none[input.stanza.kind]
deny contains {"rule": "b"} if not data.acme.none[input.stanza.kind]`},
	{"a part that is false", `deny contains {"rule": "a"} if data.acme.off
deny contains {"rule": "b"} if { not data.acme.off; input.stanza.kind == "iq" }`},
	{"a part that is null", `deny contains {"rule": "a"} if { data.acme.nothing; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if data.acme.nothing.more`},
	{"nothing in it", `deny contains {"rule": "a"} if { some _ in data.acme.empty; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if { data.acme.empty; input.stanza.kind == "iq" }
deny contains {"rule": "c"} if { data.acme.empty == {}; input.stanza.type == "get" }`},
	{"else", `deny contains {"rule": t} if t
t := "a" if { data.acme.off; input.stanza.kind == "iq" } else := "b" if { data.acme.none } else := input.stanza.kind if { data.acme.get == 1 } else := "d"`},
	{"the last else", `deny contains {"rule": t} if t
t := "a" if input.stanza.kind == "iq" else := "b" if data.acme.none`},
	{"else of a function", `deny contains {"rule": f(input.stanza.kind)}
f(k) := "a" if { data.acme.off; k == "iq" } else := k if { k != "message"; data.acme.get } else := "c"`},
	{"a function that never answers", `deny contains {"rule": "a"} if f(input.stanza.kind)
deny contains {"rule": "b"} if not f(input.stanza.kind)
f(k) if data.acme.none[k]`},
	{"default", `deny contains {"rule": t}
default t := "a"
t := "b" if { data.acme.off; input.stanza.kind == "iq" }
t := "c" if { data.acme.get == 1; input.stanza.type == "get" }`},
	{"a set without members", `deny contains {"rule": "a"} if { count(t) == 0; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if some _ in t
deny contains {"rule": "c"} if { t; not t.x; input.stanza.type == "get" }
t contains k if { k := data.acme.none[input.stanza.kind] }
t contains k if { data.acme.off; k := input.stanza.kind }`},
	{"an object without members", `deny contains {"rule": "a"} if { t == {}; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if t[input.stanza.kind]
t[k] := v if { some k, v in data.acme.empty; input.stanza.kind == "iq" }`},
	{"computed once", `deny contains {"rule": "a", "labels": t} if { u[input.stanza.kind]; o.x > 1 }
deny contains {"rule": "b", "reason": o.y[input.stanza.size]}
t := sort([k | some k, _ in data.acme])
u contains k if some k in ["iq", data.acme.kind]
o[k] := v if some k, v in {"x": count(data.acme), "y": [data.acme.kind, "z"]}`},
	{"computed and undefined", `deny contains {"rule": "a"} if { t; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if not t
t := data.acme.get if data.acme.get > 1`},
	{"computed and in conflict", `deny contains {"rule": "a"} if { input.stanza.kind == "iq"; t }
t := v if some v in ["x", data.acme.kind, "y"]`},
	{"computed with an error", `deny contains {"rule": "a"} if { input.stanza.kind == "iq"; t > 0 }
t := 1 / (data.acme.get - 1)`},
	{"a part of a rule", `deny contains {"rule": "a"} if { o.b.c == "x"; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if { o.b[data.acme.kind]; input.stanza.kind == "iq" }
deny contains {"rule": "c"} if not o.b[data.acme.kind]
o := {"b": {"c": data.acme.kind}}`},
	{"parts of a package", `deny contains {"rule": "a"} if { some k; data.other[k] == data.acme.kind }
deny contains {"rule": "b"} if { o := data.other; count(o) == 3; input.stanza.kind == "iq" }`},
	{"a comprehension", `deny contains {"rule": "a", "labels": [k | data.acme.off; k := input.stanza.kind]}
deny contains {"rule": "b"} if { {k | some k in [input.stanza.kind]; data.acme.none} == set(); input.stanza.type == "get" }
deny contains {"rule": "c"} if count({k: 1 | k := input.stanza.kind; data.acme.get}) == 1`},
	{"a key that is a number", `deny contains {"rule": "a"} if { data.beside.numbered[1]; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if { not data.beside.list["0"]; input.stanza.kind == "iq" }
deny contains {"rule": "c"} if { data.beside.list[1.0]; input.stanza.type == "get" }
deny contains {"rule": "d"} if not data.beside.numbered[true]`},
	{"rules beside data", `deny contains {"rule": "a"} if { data.beside[_].y; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if { count([1 | data.beside[_].z]) == 0; input.stanza.type == "get" }`},
	{"a package without rules", `deny contains {"rule": "a"} if { data.beside.bare; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if { data.beside.list == ["x", "y"]; not data.beside.bare.more; input.stanza.type == "get" }`},
	{"else of a function whose argument has no name", `deny contains {"rule": f(1)}
f(_) := "a" if { data.acme.none } else := input.stanza.kind if { data.acme.get == 1 } else := "c"`},
	{"a path that is known", `deny contains {"rule": "a"} if { t == {}; input.stanza.type == "get" }
deny contains {"rule": "b"} if { u[1.0] == 1; u[[1]] == 1 }
t[k] contains v if { k := data.acme.kind; v := input.stanza.lang; v != "" }
u[k] := 1 if { k := data.acme.get; input.stanza.kind == "iq" }
u[k] := 1 if { k := [data.acme.get]; input.stanza.kind == "iq" }`},
	{"every", `deny contains {"rule": "a"} if every k in data.acme.empty { k == input.stanza.kind }
deny contains {"rule": "b"} if every k in data.acme.none { k == input.stanza.kind }
deny contains {"rule": "d"} if every n in [1, 2] { n < input.stanza.size }
deny contains {"rule": "c"} if every k in [input.stanza.kind] { data.acme.get == 1; k == "iq" }`},
	{"not of several", `deny contains {"rule": "a"} if not p
p if { data.acme.get == 1; input.stanza.kind == "iq" }
deny contains {"rule": "b"} if not q
q if data.acme.get == 1`},
	{"compared", `deny contains {"rule": "a"} if data.acme.kind == input.stanza.kind
deny contains {"rule": "b"} if { data.acme.kind == "x"; input.stanza.kind == "iq" }
deny contains {"rule": "c"} if { "y" == data.acme.kind; input.stanza.kind == "iq" }
deny contains {"rule": "d"} if { data.acme.kind != "y"; data.acme.get < 2; input.stanza.type == "get" }`},
	{"with data", `deny contains {"rule": "a"} if p with data.acme.off as true
p if { data.acme.off; input.stanza.kind == "iq" }`},
	{"with input", `deny contains {"rule": "a"} if p with input as {"stanza": {"kind": data.acme.kind}}
p if input.stanza.kind == data.acme.kind`},
	{"the clock", `deny contains {"rule": "a"} if { time.now_ns() > data.acme.get; input.stanza.kind == "iq" }
deny contains {"rule": "b", "reason": t}
t := time.format(time.now_ns())`},
	{"ready-made packages", `deny contains m if some m in data.sallyport.ready[_].sets
deny contains {"rule": "a"} if not any(input.stanza.kind)
any(k) if data.sallyport.ready[_].marks[k]
any(k) if { some name; data.sallyport.ready[name].named == k; name == "one" }
deny contains {"rule": "many"} if { input.stanza.type == "never"; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9; count(data.sallyport.ready[_].sets) < 9 }
deny contains {"rule": "b"} if { some name; data.sallyport.ready[name].marks; data.sallyport.ready[name].named == "iq" }`},
	{"members of another set", `deny contains {"rule": "a", "labels": t.x} if input.stanza.type == "get"
deny contains {"rule": "b", "labels": u} if { count(u) > 0; input.stanza.type == "set" }
t.x contains "none"
t[k] contains m if m := s[k]
s contains k if k := input.stanza.kind
u contains m if some m in v
v contains k if k := input.stanza.kind
v contains data.acme.kind if input.stanza.kind == "iq"`},
}

var settledBesides = map[string]string{
	"b.rego":    "package beside\n\nr := {\"x\": 1}\n",
	"e.rego":    "package beside.bare\n",
	"b.json":    `{"beside": {"numbered": {"1": true}, "list": ["x", "y"], "part": {"y": true}}}`,
	"o.rego":    "package other\n\nkind := input.stanza.kind\n\nget := data.acme.get\n\niq := {\"kind\": input.stanza.kind}\n",
	"r1.rego":   "package sallyport.ready.one\n\nsets contains {\"rule\": \"one\"} if input.stanza.kind == \"iq\"\n\nmarks.iq := true\n\nnamed := \"iq\" if input.stanza.type == \"get\"\n",
	"r2.rego":   "package sallyport.ready.two\n\nsets contains {\"rule\": \"two\"} if data.acme.off\n\nmarks[k] if some k in [input.stanza.type]\n",
	"acme.json": `{"acme": {"get": 1, "kind": "x", "off": false, "nothing": null, "empty": {}, "stanza": {"kind": "z"}}}`,
}

// Folded rules answer as those do that are written, whichever way they hang on data.
func TestFoldedFormsAnswerAsWritten(t *testing.T) {
	t.Parallel()
	const decision = `
decision := {"effect": "allow", "rule": "none"} if count(deny) == 0 else := object.union({"effect": "deny", "all": deny}, sort([[d.rule, d] | some d in deny])[0][1])
`
	both := slices.Concat(forms, settledForms)
	files := maps.Clone(settledBesides)
	for i, form := range both {
		text := fmt.Sprintf("package forms.f%d\n%s", i, form.rego)
		if !strings.Contains(text, "decision :=") {
			text += decision
		}
		files[fmt.Sprintf("f%d.rego", i)] = text
	}
	compiling.Lock()
	defer compiling.Unlock()
	m, err := gather(Config{Dir: dir(t, files)}, listed())
	if err != nil {
		t.Fatal(err)
	}
	c, err := compile(m.modules, m.world)
	if err != nil {
		t.Fatal(err)
	}
	for i, form := range both {
		rule := fmt.Sprintf("data.forms.f%d.decision", i)
		folded, err := fold(c, m.world, rule)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		said := alike(t, form.name, c, folded, m.world, rule, Field.ofStanza, 60, func() *Input { return randomInput(random) })
		if len(said) < 2 && i >= len(forms) && form.name != "computed with an error" {
			t.Logf("%s: all that is said is %v", form.name, said)
		}
	}
}

// alike asks the same of written and of folded rules, and gives what they say.
func alike(t *testing.T, name string, written, folded *ast.Compiler, w *world, rule string, has func(Field) bool, rounds int, next func() *Input) map[string]bool {
	t.Helper()
	said := map[string]bool{}
	was, wasErr := newQuestion(written, w, rule, has)
	is, isErr := newQuestion(folded, w, rule, has)
	if wasErr != nil || isErr != nil {
		t.Fatalf("%s: written %v, folded %v", name, wasErr, isErr)
	}
	if is.set&^was.set != 0 {
		t.Errorf("%s: folded rules read what the written ones do not: %b, %b", name, is.set, was.set)
	}
	was.timeout, is.timeout = time.Minute, time.Minute
	was.at, is.at = time.Unix(1_800_000_000, 0), time.Unix(1_800_000_000, 0)
	for range rounds {
		in := next()
		want, clock, wantErr := was.ask(t.Context(), in)
		got, gotClock, gotErr := is.ask(t.Context(), in)
		if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) || wantErr == nil && want.Compare(got) != 0 || gotClock && !clock {
			t.Fatalf("%s: %s of %+v:\nwritten %v %v %v\nfolded  %v %v %v", name, rule, in, want, wantErr, clock, got, gotErr, gotClock)
		}
		said[fmt.Sprint(want, wantErr)] = true
	}
	return said
}

// So do the policies that ship, each and all at once, over the data of their pages.
func TestFoldedPoliciesAnswerAsWritten(t *testing.T) {
	t.Parallel()
	sets := map[string]map[string]string{"none": {}, "all": {"own.rego": noFiles}, "sparse": {"data.yaml": "federation: open\ninternal: {rooms: {}, domains: {\"*.lab.example\": true}}\nobserve: {rules: {}}\nstrip: {}\nhours: {from: \"08:00\", to: \"18:00\"}\ngrants: {}\n"}}
	pages, err := filepath.Glob("../docs/policies/*.md")
	if err != nil || len(pages) < 15 {
		t.Fatal(pages, err)
	}
	for _, file := range pages {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range yamlBlock.FindAllStringSubmatch(string(page), -1) {
			sets[fmt.Sprint(filepath.Base(file), i)] = map[string]string{"data.yaml": block[1]}
			sets["all"][fmt.Sprint(filepath.Base(file), i, ".yaml")] = block[1]
		}
	}
	for name, files := range sets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compiling.Lock()
			defer compiling.Unlock()
			m, err := gather(Config{Dir: dir(t, files)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := compile(m.modules, m.world)
			if err != nil {
				t.Fatal(err)
			}
			folded, err := fold(c, m.world, linkRule, stanzaRule)
			if err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(3, 4))
			draw := drawn(random, m.data)
			alike(t, name, c, folded, m.world, stanzaRule, Field.ofStanza, 200, draw)
			alike(t, name, c, folded, m.world, linkRule, Field.ofLink, 100, draw)
		})
	}
}

// drawn makes inputs out of the words of data, and of those that the schema has.
func drawn(r *rand.Rand, data map[string]any) func() *Input {
	words := []string{"", "partner.example", "stranger.example", "corp.example", "juliet", "ceo%msn.example", `a\40corp.example`}
	var collect func(any)
	collect = func(v any) {
		switch v := v.(type) {
		case string:
			words = append(words, v)
		case []any:
			for _, v := range v {
				collect(v)
			}
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				words = append(words, strings.Replace(k, "*.", "any.", 1))
				collect(v[k])
			}
		}
	}
	collect(data)
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	few := func(of ...string) (list []string) {
		for range r.IntN(3) {
			list = append(list, one(of...))
		}
		return list
	}
	schema, _ := inputSchema()
	values := map[string][]string{}
	valuesOf(schema, "", values)
	word := func(f Field) string { return one(append(slices.Clone(values[f.path()]), "")...) }
	address := func(domain string) Address {
		if whole := one(words...); r.IntN(3) > 0 && strings.HasSuffix(whole, "@"+domain) {
			domain = strings.TrimSuffix(whole, "@"+domain)
		}
		local := one(words...)
		return Address{Bare: local + "@" + domain, Local: local, Domain: domain, Resource: one("", "r")}
	}
	host := func() string {
		w := one(words...)
		return w[strings.IndexByte(w, '@')+1:]
	}
	return func() *Input {
		local, remote := host(), host()
		in := &Input{Direction: one("in", "out"), Local: local, Remote: remote, From: address(local), To: address(remote), Contact: r.IntN(2) == 0}
		if whole := one(words...); strings.Contains(whole, "@") { // somebody whom the data names
			in.From.Bare = whole
			in.From.Local, in.From.Domain, _ = strings.Cut(whole, "@")
		}
		if in.Direction == "in" {
			in.From, in.To = in.To, in.From
		}
		in.Link = LinkFacts{Channel: word(FieldChannel), Proof: word(FieldProof), TLSVersion: one("", "1.2", "1.3"), CertSPKI: one("", "k"), Revocation: word(FieldRevocation),
			Known: Known{Channel: word(FieldKnownChannel), Proof: word(FieldKnownProof), Pin: word(FieldKnownPin)}}
		text := strings.Join(append(few(words...), few("4111 1111 1111 1111", "hello")...), " ")
		in.Stanza = StanzaFacts{Kind: word(FieldKind), Type: word(FieldType), Size: r.IntN(9), Class: few(values[FieldClass.path()]...), Payloads: few(append(words, "jabber:x:oob|x")...),
			Label: one(words...), HasBody: r.IntN(2) == 0, E2EE: one("", "omemo", "otr"), Body: text, Text: text, URLs: few("https://" + host() + "/x"), JIDs: few(words...)}
		return in
	}
}

// Rules that the data does not ask for are gone: what they would read is not read.
func TestFoldedPolicyReadsLess(t *testing.T) {
	t.Parallel()
	bare := engine(t, Config{}, Data{"federation": "open"}).Snapshot()
	if bare.Reads(FieldFromBare) || bare.Reads(FieldToBare) {
		t.Errorf("without data.internal, addresses are read: %v", bare.ReadsStanza())
	}
	kept := engine(t, Config{}, Data{"federation": "open", "internal": map[string]any{"users": map[string]any{"ceo@corp.example": true}}}).Snapshot()
	if !kept.Reads(FieldFromBare) || !kept.Reads(FieldToBare) {
		t.Errorf("with data.internal.users, addresses are not read: %v", kept.ReadsStanza())
	}
	if e := bare.Explain("internal-room", crossing(), false); !e.Defined || !strings.HasPrefix(e.Where[0], "base/inside.rego:") || len(e.Data) == 0 {
		t.Errorf("a rule that is folded away is not explained as it is written: %+v", e)
	}
}

// A rule in the place of the ready-made packages is none of them, and when the time for folding is over the rules stay as they are.
func TestFoldKeepsWhatItCannotTake(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport\n\nready := json.unmarshal(`{\"acme\": {\"deny\": [{\"rule\": \"a\"}]}}`)\n"})}, Data{"federation": "open"}).Snapshot()
	if d := s.Stanza(t.Context(), crossing()); d.Rule != "a" || d.Effect != Deny {
		t.Errorf("a rule called ready: %+v", d)
	}
	if v, err := (&folder{}).evaluate(readyPackages); v != nil || err != errLate {
		t.Errorf("after the end of its time: %v, %v", v, err)
	}
}
