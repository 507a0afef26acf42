package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A ready-made policy is in force where its document is, and reads nothing where it is not.
func TestReadyMadePoliciesAreSwitchedOnByData(t *testing.T) {
	t.Parallel()
	in := crossing()
	in.Stanza.Class = []string{"file", "text"}
	off := engine(t, Config{}, Data{"federation": "open"}).Snapshot()
	if d := off.Stanza(t.Context(), in); d.Effect != Allow || off.Reads(FieldText) || off.Reads(FieldJIDs) {
		t.Errorf("without a document: %+v; the text is read: %t", d, off.Reads(FieldText))
	}
	on := Data{"federation": "open"}
	on["files"] = map[string]any{}
	if d := engine(t, Config{}, on).Snapshot().Stanza(t.Context(), in); d.Effect != Deny || d.Rule != "files" {
		t.Errorf("with data.files: %+v", d)
	}
}

// Only an iq answers (RFC 6120 §8.2.3): a message that calls itself a result asks what it asks.
func TestOnlyAnIQAnswers(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{}, Data{"federation": "open", "surface": map[string]any{"refuse": map[string]any{"disclosure": true}}}).Snapshot()
	for class, rule := range map[string]string{"admin": "admin", "archive": "archive", "register": "register", "disclosure": "surface"} {
		for kind, want := range map[string]Effect{"message": Deny, "presence": Deny, "iq": Allow} {
			in := between("in", "x@partner.example", "juliet@corp.example")
			in.Stanza.Kind, in.Stanza.Type, in.Stanza.Class = kind, "result", []string{class}
			if d := s.Stanza(t.Context(), in); d.Effect != want || want == Deny && d.Rule != rule {
				t.Errorf("a result with %s in %s: %+v", class, kind, d)
			}
		}
	}
}

// What an operator adds to a ready-made policy's place is collected like the others, though none of them is loaded.
func TestOperatorsReadyPackage(t *testing.T) {
	t.Parallel()
	for set, check := range map[string]func(Decision) bool{
		`deny contains {"rule": "mine"} if input.stanza.kind == "message"`: func(d Decision) bool { return d.Effect == Deny && d.Rule == "mine" },
		`transform contains {"rule": "mine", "do": "fold-presence"}`:       func(d Decision) bool { return len(d.Transforms) == 1 },
		`notify contains {"rule": "mine", "text": "look"}`:                 func(d Decision) bool { return len(d.Notify) == 1 },
		`audit contains {"rule": "mine", "level": "link"}`:                 func(d Decision) bool { return d.Audit == "link" },
		`retention contains {"rule": "mine", "class": "7y"}`:               func(d Decision) bool { return d.Retention == "7y" },
	} {
		d := dir(t, map[string]string{"mine.rego": "package sallyport.ready.mine\n\n" + set})
		in := crossing()
		in.Stanza.Kind = "message"
		if got := engine(t, Config{Dir: d}, Data{"federation": "open"}).Snapshot().Stanza(t.Context(), in); !check(got) {
			t.Errorf("%s: %+v", set, got)
		}
	}
}

// Each ready-made policy refuses a document that it does not understand, and has tests; its document is no other's.
func TestReadyMadePolicies(t *testing.T) {
	t.Parallel()
	files, err := readSources("")
	if err != nil {
		t.Fatal(err)
	}
	var names, tested []string
	for _, f := range files.base {
		if document, ok := readyFor(f.name); ok {
			names = append(names, document)
		}
	}
	for _, f := range files.baseTests {
		if document, ok := readyFor(f.name); ok {
			tested = append(tested, strings.TrimSuffix(document, "_test"))
		}
	}
	if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(tested))) || len(names) < 15 {
		t.Errorf("policies %q, tests for %q", names, tested)
	}
	for _, name := range names {
		if got, want := faultsOfLoad(t, map[string]string{"d.yaml": name + ":\n"}, nil), "d.yaml:1: data."+name+" is null, must be an object"; len(got) == 0 || !strings.HasPrefix(got[0], want) {
			t.Errorf("data.%s without a value: %q", name, got)
		}
		bad := Data{"federation": "open"}
		maps.Copy(bad, Data{name: map[string]any{"no such key": true}})
		if _, err := New(Config{}, bad); err == nil || !strings.Contains(err.Error(), "data."+name) {
			t.Errorf("a misspelt key in data.%s is taken: %v", name, err)
		}
	}
}
