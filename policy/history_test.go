package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each revision that was in force can be asked again, with rules, data and supplies as they were.
func TestRecall(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"files.rego": noFiles})
	c := Config{Dir: d, History: filepath.Join(t.TempDir(), "policy"), Supplies: []Supply{{Origin: "bundle", Version: "3", Files: []File{{"people.csv", []byte("rhea@corp.example,research\n")}}}}}
	e := engine(t, c, listed())
	e.KeepHistory()
	first := e.Snapshot()
	write(t, d, "files.rego", strings.ReplaceAll(noFiles, "no-files", "files-stay"))
	data := listed()
	data["internal"].(map[string]any)["groups"] = map[string]any{"research": true}
	if err := e.Reload(data); err != nil {
		t.Fatal(err)
	}
	file := between("out", "juliet@corp.example", "romeo@partner.example")
	file.Stanza.Payloads = []string{"jabber:x:oob|x"}
	for _, then := range []*Snapshot{first, e.Snapshot()} {
		s, err := Recall(Config{History: c.History}, then.Revision())
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []*Input{file, between("out", "rhea@corp.example", "romeo@partner.example"), between("in", "ceo@corp.example", "romeo@partner.example")} {
			want, got := then.Decide(t.Context(), in), s.Decide(t.Context(), in)
			if got.Rule != want.Rule || got.Revision != want.Revision || got.Effect != want.Effect {
				t.Errorf("%s: %+v, then %+v", then.Revision(), got, want)
			}
		}
		if was, is := then.Explain("files-stay", file, false), s.Explain("files-stay", file, false); !slices.Equal(was.Where, is.Where) {
			t.Errorf("the rule was at %v, and is at %v", was.Where, is.Where)
		}
	}
	if _, err := Recall(Config{History: c.History}, "0123456789ab"); !errors.Is(err, ErrForgotten) {
		t.Errorf("a revision that never was: %v", err)
	}
	if _, err := Recall(Config{History: c.History}, "../../etc/passwd"); !errors.Is(err, ErrForgotten) {
		t.Errorf("a path for a revision: %v", err)
	}
}

// What is kept is what its name says, or nothing.
func TestRecallOfDamage(t *testing.T) {
	t.Parallel()
	c := Config{History: t.TempDir()}
	kept := func(base Data) string {
		e := engine(t, c, base)
		e.KeepHistory()
		return e.Snapshot().Revision()
	}
	revision, other := kept(listed()), kept(Data{"federation": "open"})
	path, wrong := history{dir: c.History}.path(revision), history{dir: c.History}.path(other)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.History, filepath.Base(wrong), string(whole))
	if _, err := Recall(c, other); err == nil || !strings.Contains(err.Error(), "holds revision "+revision) {
		t.Errorf("another revision's file: %v", err)
	}
	write(t, c.History, filepath.Base(path), string(whole[:len(whole)/2]))
	if _, err := Recall(c, revision); err == nil {
		t.Error("half a file was taken")
	}
}

// policy.history_count and policy.history_bytes bound what is kept; what was in force last stays, and what came into force again counts
// as new.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"v.yaml": "v: 0\n"})
	e := engine(t, Config{Dir: d, History: t.TempDir(), HistoryCount: 3}, listed())
	e.KeepHistory()
	c := e.config
	at := time.Now().Add(-time.Hour)
	var revisions []string
	turn := func(n int) {
		write(t, d, "v.yaml", fmt.Sprintf("v: %d\n", n))
		if err := e.Reload(listed()); err != nil {
			t.Fatal(err)
		}
		now := e.Snapshot().Revision()
		if !slices.Contains(revisions, now) {
			revisions = append(revisions, now)
		}
		at = at.Add(time.Minute) // file systems' clocks are coarse
		if err := os.Chtimes(history{dir: c.History}.path(now), at, at); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (n []int) {
		for i, r := range revisions {
			if _, err := Recall(c, r); err == nil {
				n = append(n, i)
			}
		}
		return n
	}
	for _, n := range []int{0, 1, 2, 0, 3} {
		turn(n)
	}
	if got := kept(); !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("kept are %v, want 0, 2 and 3", got)
	}
	e.keeps.bytes = 1
	turn(4)
	if got := kept(); !slices.Equal(got, []int{4}) {
		t.Errorf("kept are %v, want the newest alone", got)
	}
}

// A history that cannot be written holds no policy back.
func TestHistoryUnwritable(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"file": ""})
	e, err := New(Config{History: filepath.Join(d, "file", "policy")}, listed())
	if err != nil {
		t.Fatal(err)
	}
	e.KeepHistory()
	if err := e.Reload(Data{"federation": "open"}); err != nil {
		t.Error(err)
	}
}
