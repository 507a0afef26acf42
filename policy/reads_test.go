package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
)

// every attribute below a path, as Rego writes it.
func every(prefix string) (all []string) {
	for f := Field(0); f < fieldCount; f++ {
		if strings.HasPrefix(f.String(), prefix) {
			all = append(all, f.String())
		}
	}
	return all
}

// readers are policies with the attributes that their decision can depend on.
var readers = []struct {
	name, rego string
	reads      []string
}{
	{"nothing", `d := 1`, nil},
	{"one", `d if input.stanza.kind == "iq"`, []string{"input.stanza.kind"}},
	{"version is a constant", `d if input.v == 1`, nil},
	{"element of a list", `d if input.stanza.class[0] == "file"`, []string{"input.stanza.class"}},
	{"iteration", `d if { some c in input.stanza.class; c == "file" }`, []string{"input.stanza.class"}},
	{"every", `d if { every c in input.stanza.class { c == "file" } }`, []string{"input.stanza.class"}},
	{"negation", `d if not input.stanza.has_body`, []string{"input.stanza.has_body"}},
	{"negation of more", `d if not startswith(lower(data.peers[input.remote.domain].prefix), input.from.local)`, []string{"input.from.local", "input.remote.domain"}},
	{"negated body", `d if not { s := input.stanza; s.kind == "iq"; some c in s.class; c == "file" }`, []string{"input.stanza.class", "input.stanza.kind"}},
	{"head value", `d := input.stanza.lang`, []string{"input.stanza.lang"}},
	{"set member", `d contains {"rule": input.stanza.label} if input.direction == "in"`, []string{"input.direction", "input.stanza.label"}},
	{"else", `d := 1 if { false } else := 2 if { input.link.route == "x" } else := input.stanza.id`, []string{"input.link.route", "input.stanza.id"}},
	{"alias", `d if { s := input.stanza; s.kind == "iq"; s.type == "get" }`, []string{"input.stanza.kind", "input.stanza.type"}},
	{"alias of an alias", `d if { l := input.link; c := l.cert; c.spki == "x" }`, every("input.link.cert.")},
	{"alias in a comprehension", `d if { s := input.stanza; count([1 | s.size > 9]) > 0 }`, []string{"input.stanza.size"}},
	{"alias used whole", `d if { s := input.stanza; s.kind == "iq"; f(s) }
f(x) if x.type == "get"`, every("input.stanza.")},
	{"alias enumerated", `d if { a := input.from; some k; a[k] == "juliet" }`, every("input.from.")},
	{"alias in a with", `d if { s := input.from; e with data.peers as s; s.local == "x" }
e if data.peers.local`, every("input.from.")},
	{"object handed on", `d if f(input.from)
f(x) if x.local == "juliet"`, every("input.from.")},
	{"object enumerated", `d if { some k; input.to[k] == "romeo" }`, every("input.to.")},
	{"object looked into", `d if object.get(input, ["stanza", "kind"], "") == "iq"`, every("input.")},
	{"input alone", `d := count(input)`, every("input.")},
	{"input walked", `d if { walk(input, [_, v]); v == "x" }`, every("input.")},
	{"in a function", `d if f(1)
f(x) if input.stanza.size > x`, []string{"input.stanza.size"}},
	{"through a rule", `d if e
e if not g
g if input.remote.domain == "x"`, []string{"input.remote.domain"}},
	{"through a name known only later", `d if { some k in ["a", "b"]; data.other[k] }`, []string{"input.local.domain", "input.stanza.e2ee", "input.stanza.id"}},
	{"mocked", `d if e with input.stanza.kind as "iq"
e if input.direction == "in"`, []string{"input.direction", "input.stanza.kind"}},
	{"as a key of data", `d if data.peers[input.remote.domain][input.stanza.kind]`, []string{"input.remote.domain", "input.stanza.kind"}},
	{"template", "d := $`x {input.stanza.subject}`", []string{"input.stanza.subject"}},
	{"unreachable", `d := 1
e if input.stanza.body == "x"`, nil},
	{"default", `default d := 1
d := 2 if input.stanza.urls`, []string{"input.stanza.urls"}},
}

const other = `package other
a if input.local.domain == "x"
b if input.stanza.e2ee == "x"
c if input.stanza.id == "x"`

func compiled(t *testing.T, rego string) (*ast.Compiler, ast.Body) {
	t.Helper()
	modules, err := parse([]source{{file: "test.rego", text: []byte("package test\n" + rego)}, {file: "other.rego", text: []byte(other)}})
	if err != nil {
		t.Fatal(err)
	}
	compiling.Lock()
	defer compiling.Unlock()
	c, err := newCompiler()
	if err != nil {
		t.Fatal(err)
	}
	if c.Compile(modules); c.Failed() {
		t.Fatal(c.Errors)
	}
	query, err := c.QueryCompiler().Compile(ast.MustParseBody("data.test.d = answer"))
	if err != nil {
		t.Fatal(err)
	}
	return c, query
}

func TestReads(t *testing.T) {
	t.Parallel()
	for _, test := range readers {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, query := compiled(t, test.rego)
			found, err := readingsOf(c, query)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found.among(func(Field) bool { return true }) {
				got = append(got, f.String())
			}
			want := slices.Clone(test.reads)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("reads %v, want %v", got, want)
			}
		})
	}
}

// The walk alone finds whatever OPA's dependencies find: it needs no second opinion.
func TestWalkMissesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range readers {
		c, query := compiled(t, test.rego)
		w := newWalk(c)
		if err := w.follow(query); err != nil {
			t.Fatal(err)
		}
		for _, path := range w.second {
			if len(fieldsUnder(path)) > 0 && !w.found.some(path) {
				t.Errorf("%s: the walk missed %v", test.name, path)
			}
		}
		refs, err := dependencies.Base(c, query)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			if path := constants(ref); ref[0].Equal(ast.InputRootDocument) && len(fieldsUnder(path)) > 0 && !w.found.some(path) {
				t.Errorf("%s: the walk missed %v", test.name, ref)
			}
		}
	}
}
