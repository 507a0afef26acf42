package policy

import (
	"strings"
	"testing"
)

// What a supply gives is data and rules like any other; what does not go with the rest changes nothing.
func TestUse(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"rules.yaml": "internal: {groups: {research: true}}\n"})
	groups := func(text string) Supply {
		return Supply{Origin: "directory", Files: []File{{Name: "groups.json", Text: []byte(text)}}}
	}
	e := engine(t, Config{Dir: d, Supplies: []Supply{groups(`{"groups": {"research": {"rhea@corp.example": {}}}}`)}}, Data{"federation": "open"})
	rule := func(bare string) string {
		return e.Snapshot().Stanza(t.Context(), between("out", bare, "romeo@partner.example")).Rule
	}
	if rule("rhea@corp.example") != "internal-group" || rule("mia@corp.example") == "internal-group" {
		t.Fatal("the supply that was there at the start does not count")
	}
	if err := e.Use(groups(`{"groups": {"research": {"mia@corp.example": {}}}}`)); err != nil {
		t.Fatal(err)
	}
	if rule("rhea@corp.example") == "internal-group" || rule("mia@corp.example") != "internal-group" {
		t.Error("the new supply does not take the old one's place")
	}
	before := e.Snapshot()
	for text, fault := range map[string]string{
		`{"groups": {}}`: `research`, // which data.internal names
		`{"groups": {"research": {"Mia@corp.example": {}}}}`: "Mia@corp.example",
		`{"federation": "listed"}`:                           "directory:groups.json:1: data.federation is given by the configuration too",
		`{`:                                                  "directory:groups.json:1",
	} {
		if err := e.Use(groups(text)); err == nil || !strings.Contains(err.Error(), fault) || e.Snapshot() != before {
			t.Errorf("%s: %v", text, err)
		}
	}
	// What was refused is not what the next reload takes.
	if err := e.Reload(Data{"federation": "open"}); err != nil || e.Snapshot() != before {
		t.Errorf("a reload after refusals: %v", err)
	}
	bundle := Supply{Origin: "bundle", Version: "7-abc", Files: []File{{Name: "files.rego", Text: []byte(noFiles)}, {Name: "x_test.rego", Text: []byte("nonsense")}}}
	if err := e.Use(bundle); err != nil {
		t.Fatal(err)
	}
	if r := e.Snapshot().Revision(); len(r) != len("0123456789ab@7-abc") || !strings.HasSuffix(r, "@7-abc") {
		t.Errorf("the bundle's version is not in the revision: %s", r)
	}
	if rule("mia@corp.example") != "internal-group" || len(e.Supplies()) != 2 {
		t.Error("one supply has taken the place of another")
	}
}

// policy.mode changes with a reload, and back; nothing else does.
func TestReloadAs(t *testing.T) {
	t.Parallel()
	e := engine(t, Config{}, listed())
	decide := func() Decision {
		return e.Snapshot().Stanza(t.Context(), between("out", "juliet@corp.example", "romeo@rival.example"))
	}
	decide()
	for _, step := range []struct {
		mode   string
		effect Effect
	}{{"enforce", Deny}, {"observe", Allow}, {"observe", Allow}, {"", Deny}} {
		revision := e.Snapshot().Revision()
		if err := e.ReloadAs(step.mode, listed()); err != nil {
			t.Fatal(err)
		}
		if d := decide(); d.Effect != step.effect || d.Would != Deny || d.Revision != revision {
			t.Errorf("%q: %+v", step.mode, d)
		}
		// It stays so at the next change of the directory.
		if err := e.Reload(listed()); err != nil || decide().Effect != step.effect {
			t.Errorf("%q: a reload forgets the mode: %v", step.mode, err)
		}
	}
	if err := e.ReloadAs("watch", listed()); err == nil || decide().Effect != Deny {
		t.Errorf("an unknown mode: %v", err)
	}
}
