package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

type schema struct {
	Ref         string            `json:"$ref"`
	Type        string            `json:"type"`
	Closed      *bool             `json:"additionalProperties"`
	Required    []string          `json:"required"`
	Properties  map[string]schema `json:"properties"`
	Definitions map[string]schema `json:"definitions"`
}

// leaves gives the type of every attribute under its path.
func (s schema) leaves(t *testing.T, root schema, path string, into map[string]string) {
	t.Helper()
	if name, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
		s = root.Definitions[name]
	}
	if s.Type != "object" {
		into[path] = s.Type
		return
	}
	if s.Closed == nil || *s.Closed {
		t.Errorf("%s takes attributes that it does not name", path)
	}
	for name, property := range s.Properties {
		if path != "" && !slices.Contains(s.Required, name) {
			t.Errorf("%s.%s is not required, and yet always there", path, name)
		}
		property.leaves(t, root, strings.TrimPrefix(path+"."+name, "."), into)
	}
}

// The schema, which operators read and the compiler holds them to, and the attributes in Go are the same.
func TestSchemaHasTheFields(t *testing.T) {
	t.Parallel()
	text, err := shipped.ReadFile("schema/input.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	leaves := map[string]string{}
	root.leaves(t, root, "", leaves)
	for f := Field(0); f < fieldCount; f++ {
		want := "string"
		if _, list := (&Input{}).list(f); list {
			want = "array"
		}
		if _, truth := (&Input{}).truth(f); truth {
			want = "boolean"
		}
		if f == FieldSize {
			want = "integer"
		}
		if leaves[f.path()] != want {
			t.Errorf("%v is %q in the schema, want %q", f, leaves[f.path()], want)
		}
		delete(leaves, f.path())
	}
	delete(leaves, "v")
	if len(leaves) > 0 {
		t.Errorf("the schema has what no policy is given: %v", leaves)
	}
	if got := fieldCount.String(); got != "input" {
		t.Errorf("a field beyond the last is %s", got)
	}
}

// Each attribute reaches Rego with the value that it has in Go, and none is taken for another.
func TestFieldsReachRego(t *testing.T) {
	t.Parallel()
	var in Input
	n := 0
	fillEach(reflect.ValueOf(&in).Elem(), &n)
	all := make([]Field, fieldCount)
	for f := range all {
		all[f] = Field(f)
	}
	object := shapeOf(all).object(&in)
	seen := map[string]Field{}
	for _, f := range all {
		ref := ast.Ref{}
		for _, name := range strings.Split(f.path(), ".") {
			ref = append(ref, ast.StringTerm(name))
		}
		value, err := object.Find(ref)
		if err != nil {
			t.Errorf("%v: %v", f, err)
			continue
		}
		text := value.String()
		if _, truth := in.truth(f); truth {
			text = f.String() + text // there are two of them only
		}
		if other, twice := seen[text]; twice || !strings.ContainsAny(text, "123456789t") {
			t.Errorf("%v is %s, as is %v", f, text, other)
		}
		seen[text] = f
	}
	if len(seen) != n {
		t.Errorf("%d attributes reach Rego of the %d in Go", len(seen), n)
	}
}

// fillEach gives each field a value of its own.
func fillEach(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillEach(v.Field(i), n)
		}
		return
	case reflect.String:
		v.SetString(fmt.Sprint("value ", *n+1))
	case reflect.Int:
		v.SetInt(int64(*n + 1))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{fmt.Sprint("value ", *n+1)}))
	}
	*n++
}

// Built-in functions: what could make two evaluations differ is refused, but for the clock, which is watched.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, b := range capabilities().Builtins {
		names[b.Name] = true
		if b.Nondeterministic && b.Name != "time.now_ns" {
			t.Errorf("%s is let through", b.Name)
		}
	}
	for _, name := range []string{"http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "uuid.rfc4122", "io.jwt.decode_verify", "providers.aws.sign_req"} {
		if names[name] {
			t.Errorf("%s is let through", name)
		}
	}
	for _, name := range []string{"time.now_ns", "regex.match", "net.cidr_contains", "sprintf"} {
		if !names[name] {
			t.Errorf("%s is refused", name)
		}
	}
	if len(ast.CapabilitiesForThisVersion().Builtins) <= len(names) {
		t.Error("OPA's own list was changed")
	}
}

// Of two attributes that are true or false, each is its own.
func TestTruthsAreApart(t *testing.T) {
	t.Parallel()
	for f, in := range map[Field]Input{FieldContact: {Contact: true}, FieldHasBody: {Stanza: StanzaFacts{HasBody: true}}} {
		for g := range fieldCount {
			if value, ok := in.truth(g); ok && value != (f == g) {
				t.Errorf("%v is %t where %v is true", g, value, f)
			}
		}
	}
}

// A stanza is judged again by its link where policy reads what stands under input.link.
func TestOfLink(t *testing.T) {
	t.Parallel()
	for f := Field(0); f < fieldCount; f++ {
		if want := strings.HasPrefix(f.path(), "link."); setOf([]Field{f}).OfLink() != want {
			t.Errorf("%s is of the link: %v", f, !want)
		}
	}
}
