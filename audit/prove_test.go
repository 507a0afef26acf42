package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProve: every line of a record can be shown to be in it, by a file and the gate's public key (AUDIT "The proof").
func TestProve(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	a := kept(t, dir)
	for _, r := range records(t, dir) {
		p, err := Prove(t.Context(), dir, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Keys.OpenProof(p.Format())
		if err != nil {
			t.Fatalf("%v\n%s", err, p.Format())
		}
		if read, err := ParseRecord(got.Line); err != nil || read.ID != r.ID || got.Index != int64(r.Seq)-1 || got.Checkpoint.Size != 16 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if _, err := Prove(t.Context(), dir, ID{}); err == nil {
		t.Error("an event that is none is proved")
	}
}

// TestProveFirstAndOnly: the proof of a tree of one line has no hashes.
func TestProveFirstAndOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	batch := stanzas(0, 1)
	appendAll(t, l, batch)
	if _, err := Prove(t.Context(), dir, batch[0].ID); err == nil || !strings.Contains(err.Error(), "no checkpoint covers seq 1 yet") {
		t.Errorf("before the checkpoint: %v", err)
	}
	closeLog(t, l)
	p, err := Prove(t.Context(), dir, batch[0].ID)
	if err != nil || len(p.Path) != 0 {
		t.Fatal(p, err)
	}
	if _, err := kept(t, dir).Keys.OpenProof(p.Format()); err != nil {
		t.Error(err)
	}
}

// TestProofsAreChecked: nothing of a proof can be changed.
func TestProofsAreChecked(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	a := kept(t, dir)
	all := records(t, dir)
	p, err := Prove(t.Context(), dir, all[6].ID)
	if err != nil {
		t.Fatal(err)
	}
	text := string(p.Format())
	line := base64.StdEncoding.EncodeToString(p.Line)
	forged := base64.StdEncoding.EncodeToString(bytes.Replace(p.Line, []byte("gate-1"), []byte("gate-2"), 1))
	for name, c := range map[string]struct{ text, want string }{
		"another line":        {strings.Replace(text, line, forged, 1), "the line is not the one"},
		"another index":       {strings.Replace(text, "index 6", "index 7", 1), "the line is not the one"},
		"an index behind":     {strings.Replace(text, "index 6", "index 99", 1), "the line is not the one"},
		"a negative index":    {strings.Replace(text, "index 6", "index -6", 1), "its index"},
		"a hash less":         {strings.Replace(text, p.Path[0].String()+"\n", "", 1), "the line is not the one"},
		"hashes swapped":      {strings.Replace(strings.Replace(strings.Replace(text, p.Path[0].String(), "!!", 1), p.Path[1].String(), p.Path[0].String(), 1), "!!", p.Path[1].String(), 1), "the line is not the one"},
		"no hash":             {strings.Replace(text, p.Path[0].String(), "nonsense", 1), "its path"},
		"another checkpoint":  {strings.Replace(text, "\n16\n", "\n17\n", 1), "invalid signature"},
		"no checkpoint":       {text[:strings.Index(text, "\n\n")+2], "the proof's checkpoint"},
		"another version":     {strings.Replace(text, "@v1", "@v2", 1), "not a proof"},
		"no line":             {strings.Replace(text, "extra "+line+"\n", "", 1), "not a proof"},
		"a line that is none": {strings.Replace(text, line, "%%%", 1), "its line"},
		"nothing":             {"", "not a proof"},
	} {
		if _, err := a.Keys.OpenProof([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := (Keys{}).OpenProof([]byte(text)); err == nil || !strings.Contains(err.Error(), "none of the keys") {
		t.Errorf("without a key: %v", err)
	}
	change(t, dir, segmentName(2), swap("purple00000004", "purple00000009"))
	if _, err := Prove(t.Context(), dir, all[7].ID); err == nil || !strings.Contains(err.Error(), "audit verify says what is wrong") {
		t.Errorf("a line that was changed is proved: %v", err)
	}
}

// TestConsistent: any two checkpoints of one record agree, those of two histories do not.
func TestConsistent(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	all := checkpoints(t, dir)
	for _, a := range all {
		for _, b := range all {
			if err := Consistent(dir, a, b); err != nil {
				t.Error(err)
			}
		}
	}
	other := checkpoints(t, sound(t))
	for i, a := range all {
		for j, b := range other {
			err := Consistent(dir, a, b)
			if same := a.Size == 0 || b.Size == 0; same != (err == nil) {
				t.Errorf("%d and %d of another record: %v", i, j, err)
			}
		}
	}
	stranger := all[2]
	stranger.Origin = "gate-2"
	if err := Consistent(dir, all[1], stranger); err == nil || !strings.Contains(err.Error(), "one is of gate-1, the other of gate-2") {
		t.Error(err)
	}
	if last, err := LastCheckpoint(dir); err != nil || fmt.Sprint(last) != fmt.Sprint(all[3]) {
		t.Errorf("the last is %+v, %v", last, err)
	}
	if err := os.Remove(filepath.Join(dir, treeName)); err != nil {
		t.Fatal(err)
	}
	if err := Consistent(dir, all[1], all[2]); err == nil || !strings.Contains(err.Error(), "no tree") {
		t.Errorf("without a tree: %v", err)
	}
}

// FuzzProof: whatever stands in a file, reading it as a proof comes to an end, and only what Prove wrote is one.
func FuzzProof(f *testing.F) {
	dir := f.TempDir()
	l := open(f, Config{Dir: dir, Secrets: f.TempDir()})
	batch := stanzas(0, 5)
	appendAll(f, l, batch)
	closeLog(f, l)
	keys := kept(f, dir).Keys
	lines := map[string]bool{}
	for _, e := range batch {
		p, err := Prove(context.Background(), dir, e.ID)
		if err != nil {
			f.Fatal(err)
		}
		lines[string(p.Line)] = true
		f.Add(p.Format())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := keys.OpenProof(b); err == nil && !lines[string(p.Line)] {
			t.Errorf("%q is proved", p.Line)
		}
	})
}
