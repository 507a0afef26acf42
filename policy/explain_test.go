package policy

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What is proposed lets the crossing pass, where it is data that is complete; and a rule is found where it is written.
func TestRemediesWork(t *testing.T) {
	t.Parallel()
	type data = map[string]any
	out, in := crossing(), crossing()
	in.Direction, in.From, in.To = "in", out.To, out.From
	of := func(in *Input, class ...string) *Input {
		c := *in
		c.Stanza.Class = class
		return &c
	}
	presence := of(out, "presence")
	presence.Stanza.Kind = "presence"
	foreign := of(in, "gateway", "text")
	foreign.To = Address{Bare: "a%b@corp.example", Local: "a%b", Domain: "corp.example"}
	for _, test := range []struct {
		rule, file string
		data       Data
		in         *Input
	}{
		{"peer-not-listed", "peer.rego", Data{"federation": "listed"}, out},
		{"files", "ready/files.rego", Data{"federation": "open", "files": data{}}, of(out, "file")},
		{"calls", "ready/calls.rego", Data{"federation": "open", "calls": data{}}, of(out, "call.video")},
		{"e2ee", "ready/e2ee.rego", Data{"federation": "open", "e2ee": data{"default": "required"}}, of(out, "text")},
		{"matrix", "ready/matrix.rego", Data{"federation": "open", "matrix": data{}}, out},
		{"matrix", "ready/matrix.rego", Data{"federation": "open", "matrix": data{"corp.example": data{"partner7.example": data{"out": data{"message": true, "file": false}}}}}, of(out, "file", "text")},
		{"rights", "ready/rights.rego", Data{"federation": "open", "rights": data{"default": "none"}}, out},
		{"presence", "ready/presence.rego", Data{"federation": "open", "presence": data{"default": "none"}}, presence},
		{"initiative", "ready/initiative.rego", Data{"federation": "open", "initiative": data{}}, of(in, "text")},
		{"hours", "ready/hours.rego", Data{"federation": "open", "hours": data{"days": []any{}, "from": "08:00", "to": "09:00"}}, out},
		{"gateway", "surface.rego", Data{"federation": "open"}, foreign},
		{"admin", "surface.rego", Data{"federation": "open"}, of(in, "admin")},
	} {
		s := engine(t, Config{}, test.data).Snapshot()
		if d := s.Decide(t.Context(), test.in); d.Rule != test.rule {
			t.Errorf("%s: the rule is %s", test.rule, d.Rule)
			continue
		}
		e := s.Explain(test.rule, test.in, false)
		if !e.Defined || len(e.Data) == 0 && test.file != "surface.rego" || slices.ContainsFunc(e.Where, func(at string) bool { return !strings.HasPrefix(at, "base/"+test.file+":") }) {
			t.Errorf("%s: %+v", test.rule, e)
		}
		tried := e.Remedy[:1]
		if n := len(e.Remedy); test.rule == "peer-not-listed" || test.rule == "matrix" || test.rule == "files" {
			tried = []string{e.Remedy[0], e.Remedy[n-1]} // the grant too
		}
		for _, remedy := range tried {
			s := engine(t, Config{}, remedied(t, test.data, remedy)).Snapshot()
			if d, l := s.Decide(t.Context(), test.in), s.Link(t.Context(), test.in); d.Effect != Allow || l.Effect != Allow {
				t.Errorf("%s: with %s it is still refused: %s, %s; %s, %s", test.rule, remedy, d.Rule, d.Reason, l.Rule, l.Reason)
			}
		}
	}
}

// remedied is the data with a remedy in it, written out as an operator would.
func remedied(t *testing.T, given Data, remedy string) Data {
	remedy = strings.NewReplacer("<name>", "g", "<who>", "me", "<number>", "\"1\"", "<why>", "so", "<day>", "2999-12-31").Replace(remedy)
	lines, err := readYAML([]byte(remedy))
	if err != nil {
		t.Fatalf("%s: %v", remedy, err)
	}
	return merged(map[string]any(given), lines.(map[string]any))
}

func merged(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	for key, value := range b {
		below, _ := value.(map[string]any)
		if had, _ := all[key].(map[string]any); had != nil && below != nil {
			value = merged(had, below)
		}
		all[key] = value
	}
	return all
}

// No grant is proposed where none helps, nor for users where only one for all does.
func TestRemediesOfFirmRules(t *testing.T) {
	t.Parallel()
	s := engine(t, Config{}, Data{"federation": "open"}).Snapshot()
	q, err := newQuestion(s.written, s.stanza.world, "data.sallyport.names.firm", func(Field) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	q.timeout = checkTime
	answer, _, err := q.ask(t.Context(), &Input{})
	if err != nil {
		t.Fatal(err)
	}
	firm, err := texts(answer)
	if err != nil || len(firm) == 0 {
		t.Fatal(firm, err)
	}
	for _, rule := range append(firm, "mark", "strip") { // of those two, what is refused is a change that cannot be done
		for _, link := range []bool{false, true} {
			if e := s.Explain(rule, crossing(), link); strings.Contains(strings.Join(e.Remedy, " "), "grants:") {
				t.Errorf("%s: %q", rule, e.Remedy)
			}
		}
	}
	if e := s.Explain("mine", crossing(), true); strings.Contains(e.Remedy[0], "users") {
		t.Errorf("of a link: %q", e.Remedy)
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
