package audit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestForgedDeletion: a line behind the last checkpoint, which anybody can write, excuses no lines that are gone.
func TestForgedDeletion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		gone []int
		of   SeqRange
	}{
		{"the first segment", []int{1}, SeqRange{1, 4}},
		{"one in the middle", []int{2}, SeqRange{5, 10}},
	} {
		dir := sound(t)
		a := kept(t, dir)
		own := map[string][]byte{}
		for _, name := range []string{treeName, checkpointsName, publicKeysName} {
			own[name], _ = os.ReadFile(filepath.Join(dir, name))
		}
		l := open(t, Config{Dir: dir, Secrets: t.TempDir()}) // with a key of the forger's
		appendAll(t, l, []Event{{Kind: AuditDelete, Of: []SeqRange{c.of}, Segment: segmentName(c.gone[0])}})
		closeLog(t, l)
		for name, b := range own {
			write(t, filepath.Join(dir, name), b)
		}
		for _, n := range c.gone {
			change(t, dir, segmentName(n), func([]byte) []byte { return nil })
		}
		r, err := a.Verify(dir)
		if err != nil || !strings.Contains(faultLines(r), "which no checkpoint covers") {
			t.Errorf("%s: found\n%s\n%v", c.name, faultLines(r), err)
		}
	}
}

// TestCheckpointsRemoved: that the file of checkpoints is gone shows to who has one, also without a tree.
func TestCheckpointsRemoved(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	a := kept(t, dir)
	for _, name := range []string{checkpointsName, treeName} {
		change(t, dir, name, func([]byte) []byte { return nil })
	}
	if r, err := a.Verify(dir); err != nil || !strings.Contains(faultLines(r), "it ends with number 0; number 4") {
		t.Errorf("found\n%s\n%v", faultLines(r), err)
	}
}

// TestPostedBehindHalfANote: what a full disk has left of a checkpoint that was to be posted does not spoil the one behind it, wherever it
// was cut.
func TestPostedBehindHalfANote(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	keys := kept(t, dir).Keys
	notes, _, err := readCheckpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "posted")
	for cut := range len(notes[2]) {
		write(t, path, notes[2][:cut])
		if err := appendFile(path, notes[3]); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		posted, rest := SplitNotes(b)
		if len(posted) == 0 || len(rest) > 0 {
			t.Fatalf("cut at %d: %d notes, %q", cut, len(posted), rest)
		}
		if c, err := keys.OpenPosted(posted[len(posted)-1]); err != nil || c.Number != 4 {
			t.Errorf("cut at %d: %+v, %v", cut, c, err)
		}
	}
}

// TestPipeInPlace: a pipe in the place of a file, which has no writer, holds no reader up.
func TestPipeInPlace(t *testing.T) {
	t.Parallel()
	for _, name := range []string{segmentName(2), treeName, checkpointsName} {
		dir := sound(t)
		a := kept(t, dir)
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := a.Verify(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestStartWithoutCheckpoints: a gate that has a key, and finds lines without a checkpoint, says so before it signs them.
func TestStartWithoutCheckpoints(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), Secrets: t.TempDir()}
	l := open(t, c)
	appendAll(t, l, stanzas(0, 3))
	closeLog(t, l)
	for _, name := range []string{checkpointsName, treeName, publicKeysName} {
		change(t, c.Dir, name, func([]byte) []byte { return nil })
	}
	change(t, c.Secrets, lastName, func([]byte) []byte { return nil })
	closeLog(t, open(t, c))
	if got := kindsOf(records(t, c.Dir)); !slices.Contains(got, "audit.mismatch") {
		t.Errorf("the record has %v", got)
	}
}

// TestTakenBack: who can write to the record, and not to the gate's secrets, cannot take it back to an earlier state, nor put another in its
// place, without the gate's notice at its next start; and what it signs then shows that something is missing.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(t *testing.T, dir, earlier string)
		want string
	}{
		{"to what it was, all of it", func(t *testing.T, dir, earlier string) {
			for _, name := range []string{segmentName(1), treeName, checkpointsName, publicKeysName} {
				b, err := os.ReadFile(filepath.Join(earlier, name))
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, name), b)
			}
		}, "its last checkpoint has number 2, and this gate has signed 4 of "},
		{"the last checkpoints alone", func(t *testing.T, dir, _ string) {
			changeNotes(t, dir, func(n [][]byte) [][]byte { return n[:2] })
		}, "its last checkpoint has number 2, and this gate has signed 4 of "},
		{"another record with another key", func(t *testing.T, dir, _ string) {
			own, err := os.ReadFile(filepath.Join(dir, publicKeysName))
			if err != nil {
				t.Fatal(err)
			}
			forged := Config{Dir: t.TempDir(), Secrets: t.TempDir()}
			for range 3 {
				l := open(t, forged)
				appendAll(t, l, stanzas(50, 9))
				closeLog(t, l)
			}
			for _, name := range []string{segmentName(1), treeName, checkpointsName, publicKeysName} {
				b, err := os.ReadFile(filepath.Join(forged.Dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if name == publicKeysName {
					b = slices.Concat(b, own)
				}
				write(t, filepath.Join(dir, name), b)
			}
		}, "its first 6 lines are not those that this gate has signed in checkpoint 4 of "},
		{"lines while it is stopped", func(t *testing.T, dir, earlier string) {
			l := open(t, Config{Dir: earlier, Secrets: t.TempDir()})
			appendAll(t, l, stanzas(50, 9))
			closeLog(t, l)
			b, err := os.ReadFile(filepath.Join(earlier, segmentName(1)))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(b), "\n")
			change(t, dir, segmentName(1), func(b []byte) []byte { return append(b, strings.Join(lines[6:], "")...) })
		}, "it had 6 lines when the gate stopped at "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := Config{Dir: t.TempDir(), Secrets: t.TempDir()}
			earlier := filepath.Join(t.TempDir(), "earlier")
			for i := range 2 {
				l := open(t, config)
				appendAll(t, l, stanzas(3*i, 3))
				closeLog(t, l)
				if i == 0 {
					if err := os.CopyFS(earlier, os.DirFS(config.Dir)); err != nil {
						t.Fatal(err)
					}
				}
			}
			keys := kept(t, config.Dir).Keys
			if r, err := (Auditor{Keys: keys}).Verify(config.Dir); err != nil || !r.OK() {
				t.Fatal(faultLines(r), err)
			}
			c.do(t, config.Dir, earlier)
			closeLog(t, open(t, config))
			told := ""
			if err := Search(t.Context(), config.Dir, Query{Kind: "audit.mismatch"}, func(_ []byte, r Record) error { told += r.Error; return nil }); err != nil || !strings.Contains(told, c.want) {
				t.Errorf("told %q, %v, want %q", told, err, c.want)
			}
			if r, err := (Auditor{Keys: keys}).Verify(config.Dir); err != nil || r.OK() {
				t.Errorf("it verifies: %+v, %v", r, err)
			}
			closeLog(t, open(t, config))
			again := ""
			if err := Search(t.Context(), config.Dir, Query{Kind: "audit.mismatch"}, func(_ []byte, r Record) error { again += r.Error; return nil }); err != nil || again != told {
				t.Errorf("told again: %q, %v", again, err)
			}
		})
	}
}

// TestUnreadableCopyOfTheLastCheckpoint stops the start: without it a record that was cut off would be taken for whole.
func TestUnreadableCopyOfTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), Secrets: t.TempDir()}
	closeLog(t, open(t, c))
	write(t, filepath.Join(c.Secrets, lastName), []byte("x"))
	if _, err := openOn(c, osDisk{}, time.Now); err == nil || !strings.Contains(err.Error(), "the copy of the last checkpoint") {
		t.Error(err)
	}
}
