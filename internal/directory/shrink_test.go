package directory

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/slapd"
	"sallyport/policy"
)

// groupsOf is a document in which each group has so many people, the first of all there are.
func groupsOf(sizes map[string]int) []byte {
	m := memberships{}
	for name, n := range sizes {
		m[name] = map[string]struct{}{}
		for i := range n {
			m[name][fmt.Sprintf("u%d@corp.example", i)] = struct{}{}
		}
	}
	text, _ := json.Marshal(map[string]any{"groups": m})
	return text
}

// A directory that suddenly shows next to nobody takes nothing away.
func TestShrink(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		was, now map[string]int
		shrink   int
		fault    string // empty: it is taken
	}{
		"nearly all are gone":      {map[string]int{"staff": 10000}, map[string]int{"staff": 3}, 0, "9997 of 10000 memberships are gone, more than directory.shrink, 20%, allows: staff keeps 3 of 10000; "},
		"all are gone":             {map[string]int{"staff": 10}, map[string]int{"staff": 0}, 0, "10 of 10 memberships"},
		"a group is gone":          {map[string]int{"staff": 1000, "council": 12}, map[string]int{"staff": 1000}, 0, "council keeps 0 of 12"},
		"as much as is allowed":    {map[string]int{"staff": 100}, map[string]int{"staff": 80}, 0, ""},
		"one more":                 {map[string]int{"staff": 100}, map[string]int{"staff": 79}, 0, "21 of 100"},
		"a small group":            {map[string]int{"staff": 1000, "council": 5}, map[string]int{"staff": 1000, "council": 2}, 0, ""},
		"many small groups":        {map[string]int{"a": 5, "b": 5, "c": 5}, map[string]int{"a": 1, "b": 1, "c": 1}, 0, "12 of 15"},
		"it grows":                 {map[string]int{"staff": 10}, map[string]int{"staff": 1000, "new": 5}, 0, ""},
		"others in their place":    {map[string]int{"staff": 100}, map[string]int{"stuff": 100}, 0, "staff keeps 0 of 100"},
		"another share":            {map[string]int{"staff": 100}, map[string]int{"staff": 50}, 60, ""},
		"any share":                {map[string]int{"staff": 100}, map[string]int{"staff": 0}, 100, ""},
		"there was nothing before": {nil, map[string]int{"staff": 1}, 0, ""},
	} {
		f := feed(t, Config{URL: "ldaps://x.example", File: filepath.Join(t.TempDir(), "groups.json"), Shrink: test.shrink})
		before := policy.Supply{Files: []policy.File{{Text: groupsOf(test.was)}}}
		_, err := f.Source.Open(groupsOf(test.now), &before)
		if test.fault == "" && err != nil || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
			t.Errorf("%s: %v, want %q", name, err, test.fault)
		}
		if _, err := f.Source.Open(groupsOf(test.now), nil); err != nil {
			t.Errorf("%s, with nothing in force: %v", name, err)
		}
	}
	for _, share := range []int{-1, 101} {
		if _, err := New(Config{URL: "ldaps://x.example", Shrink: share}); err == nil || !strings.HasPrefix(err.Error(), "shrink: ") {
			t.Errorf("%d%%: %v", share, err)
		}
	}
}

// What an operator accepts is that document and no other.
func TestShrinkAccepted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "groups.json")
	f := feed(t, Config{URL: "ldaps://x.example", File: file})
	before := policy.Supply{Files: []policy.File{{Text: groupsOf(map[string]int{"staff": 100})}}}
	few := groupsOf(map[string]int{"staff": 3})
	_, err := f.Source.Open(few, &before)
	m := regexp.MustCompile(`echo ([0-9a-f]{12}) > (\S+)$`).FindStringSubmatch(fmt.Sprint(err))
	if m == nil || m[2] != file+".accept" {
		t.Fatalf("it does not say how to accept it: %v", err)
	}
	must(t, os.WriteFile(m[2], []byte(m[1]+"\n"), 0o600))
	if _, err := f.Source.Open(few, &before); err != nil {
		t.Errorf("accepted, and refused: %v", err)
	}
	if _, err := f.Source.Open(groupsOf(map[string]int{"staff": 2}), &before); err == nil {
		t.Error("another document is taken with it")
	}
}

// TestSlapdShrinks: a real directory loses its people while it feeds a policy. What it said before stays in force, also over a restart, until
// somebody accepts the loss.
func TestSlapdShrinks(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, 100)
	c := configOf(t, s, "ldaps")
	f := feed(t, c)
	first, err := f.First(t.Context())
	must(t, err)
	must(t, os.WriteFile(c.File, first.Files[0].Text, 0o600))
	e, err := policy.New(policy.Config{Supplies: []policy.Supply{first}}, policy.Data{"federation": "open", "internal": map[string]any{"groups": map[string]any{"everyone": true}}})
	must(t, err)
	kept := func() bool {
		in := &policy.Input{Direction: "out", Local: "corp.example", Remote: "partner.example"}
		in.From.Bare, in.To.Bare, in.Stanza.Kind = "u7@corp.example", "romeo@partner.example", "message"
		return e.Snapshot().Stanza(t.Context(), in).Rule == "internal-group"
	}
	if !kept() {
		t.Fatal("the group is not kept inside")
	}
	s.Members("everyone", 1)
	ask := func() error {
		f := feed(t, c) // as after a restart
		was, err := f.Kept()
		must(t, err)
		text, _, err := f.Source.Fetch(t.Context(), "")
		must(t, err)
		now, err := f.Source.Open(text, &was)
		return errors.Join(err, func() error {
			if err != nil {
				return nil
			}
			return e.Use(now)
		}())
	}
	err = ask()
	if err == nil || !strings.Contains(err.Error(), "everyone keeps 1 of 102") || !kept() {
		t.Fatalf("%v; the group is kept inside: %t", err, kept())
	}
	m := regexp.MustCompile(`echo (\S+) > (\S+)$`).FindStringSubmatch(err.Error())
	must(t, os.WriteFile(m[2], []byte(m[1]), 0o600))
	if err := ask(); err != nil || kept() {
		t.Errorf("accepted: %v; still in force: %t", err, kept())
	}
}
