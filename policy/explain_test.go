package policy

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What is proposed lets the crossing pass, where it is a line of data that is complete.
func TestRemediesWork(t *testing.T) {
	t.Parallel()
	for rule, given := range map[string]struct {
		data  Data
		class []string
	}{
		"peer-not-listed": {Data{"federation": "listed"}, nil},
		"files":           {Data{"federation": "open", "files": map[string]any{}}, []string{"file"}},
		"calls":           {Data{"federation": "open", "calls": map[string]any{}}, []string{"call.video"}},
		"e2ee":            {Data{"federation": "open", "e2ee": map[string]any{"default": "required"}}, []string{"text"}},
		"matrix":          {Data{"federation": "open", "matrix": map[string]any{}}, nil},
		"rights":          {Data{"federation": "open", "rights": map[string]any{"default": "none"}}, nil},
	} {
		in := crossing()
		in.Direction, in.Stanza.Kind, in.Stanza.Class = "out", "message", given.class
		s := engine(t, Config{}, given.data).Snapshot()
		d := s.Decide(t.Context(), in)
		if d.Rule != rule {
			t.Errorf("%s: the rule is %s", rule, d.Rule)
			continue
		}
		e := s.Explain(rule, in, false)
		if !e.Defined || len(e.Where) == 0 || !strings.HasPrefix(e.Where[0], "base/") || len(e.Data) == 0 || len(e.Remedy) == 0 {
			t.Errorf("%s: %+v", rule, e)
			continue
		}
		dir := dir(t, map[string]string{"remedy.yaml": e.Remedy[0]})
		if d := engine(t, Config{Dir: dir}, given.data).Snapshot().Decide(t.Context(), in); d.Effect != Allow {
			t.Errorf("%s: with %s it is still refused: %s, %s", rule, e.Remedy[0], d.Rule, d.Reason)
		}
	}
}

func TestExplainNamesOperatorsRule(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{Dir: dir(t, map[string]string{"mine.rego": "package sallyport.stanza\n\ndeny contains {\"rule\": \"mine\"} if not data.peers[input.remote.domain].mine"})}, Data{"federation": "open"}).Snapshot()
	e := s.Explain("mine", crossing(), false)
	if !e.Defined || len(e.Where) != 1 || !strings.HasSuffix(e.Where[0], "mine.rego:3") || !slices.Contains(e.Data, "data.peers[…].mine") {
		t.Errorf("%+v", e)
	}
	if e := s.Explain("no such rule", crossing(), true); e.Defined || len(e.Where) != 0 {
		t.Errorf("%+v", e)
	}
}

// ReadInput has every attribute of the schema, and no other.
func TestReadInput(t *testing.T) {
	t.Parallel()
	var want Input
	n := 0
	fillEach(reflect.ValueOf(&want).Elem(), &n)
	want.Direction = "in"
	all := make([]Field, fieldCount)
	for f := range all {
		all[f] = Field(f)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(shapeOf(all).object(&want).String()), &object); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadInput(text)
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	for _, bad := range []string{`{}`, `{"direction": "in", "local": {"domain": "a"}, "remote": {"domain": "b"}, "stanz": {}}`, `{"direction": "up"}`, `[`, `{"v": 2, "direction": "in", "local": {"domain": "a"}, "remote": {"domain": "b"}}`} {
		if _, err := ReadInput([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
