package policy

import (
	"reflect"
	"strings"
	"testing"
)

func TestGroupsFromCSV(t *testing.T) {
	t.Parallel()
	got, err := readCSV([]byte("\ufeffaddress;group\n"))
	if err != nil || len(got["groups"].(map[string]any)) != 0 {
		t.Errorf("a heading alone: %v, %v", got, err)
	}
	got, err = readCSV([]byte("JID,group,further\n# a comment\njuliet@corp.example, staff, board\n\"romeo@corp.example\",staff,\n"))
	empty := map[string]any{}
	want := map[string]any{"groups": map[string]any{"staff": map[string]any{"juliet@corp.example": empty, "romeo@corp.example": empty}, "board": map[string]any{"juliet@corp.example": empty}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, fault := range map[string]string{
		"a@x.example,staff\njuliet,staff\n": "line 2: \"juliet\" is no address",
		"a@x.example\n":                     "line 1: a@x.example has no group",
		"a@x.example,\n":                    "line 1: a@x.example has no group",
		"a@x.example,\"staff\n":             "line 1: ",
	} {
		if _, err := readCSV([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), fault) {
			t.Errorf("%q: %v, want %s", text, err, fault)
		}
	}
}

// A file of groups is data like any other: it is joined with the rest, and a misspelt address in it is a fault.
func TestGroupsFileIsData(t *testing.T) {
	t.Parallel()
	files := map[string]string{"people.csv": "rhea@corp.example,research\n", "rules.yaml": "internal: {groups: {research: true}}\ngroups: {research: {ceo@corp.example: {}}}\n"}
	s := engine(t, Config{Dir: dir(t, files)}, Data{"federation": "open"}).Snapshot()
	for _, bare := range []string{"rhea@corp.example", "ceo@corp.example"} {
		in := crossing()
		in.Direction, in.From.Bare = "out", bare
		if d := s.Stanza(t.Context(), in); d.Rule != "internal-group" {
			t.Errorf("%s: %+v", bare, d)
		}
	}
	files["people.csv"] = "Rhea@corp.example,research\n"
	if _, err := New(Config{Dir: dir(t, files)}, nil); err == nil || !strings.Contains(err.Error(), "Rhea@corp.example") {
		t.Errorf("a misspelt address: %v", err)
	}
}
