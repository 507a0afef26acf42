package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkpoints reads those of a record, which must all be signed.
func checkpoints(t testing.TB, dir string) []Checkpoint {
	t.Helper()
	keys, err := RecordKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	notes, rest, err := readCheckpoints(dir)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	var all []Checkpoint
	for _, signed := range notes {
		c, err := keys.OpenCheckpoint(signed)
		if err != nil {
			t.Fatalf("%v: %s", err, signed)
		}
		all = append(all, c)
	}
	return all
}

func eventsOf(all []Checkpoint) (events []string) {
	for _, c := range all {
		events = append(events, fmt.Sprintf("%s %d", c.Event, c.Size))
	}
	return events
}

// checkTree holds a record's tree against the library's over its lines.
func checkTree(t testing.TB, dir string) {
	t.Helper()
	var want memoryTree
	n := int64(0)
	numbers, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range numbers {
		content, err := os.ReadFile(filepath.Join(dir, segmentName(number)))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			hashes, err := tlog.StoredHashes(n, bytes.TrimSuffix(line, []byte("\n")), want)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hashes {
				want = append(want, h[:]...)
			}
			n++
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, treeName))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the tree over %d lines has %d bytes, want %d, or differs: %v", n, len(got), len(want), err)
	}
	for _, c := range checkpoints(t, dir) {
		if root, err := tlog.TreeHash(c.Size, want); err != nil || root != c.Root {
			t.Errorf("checkpoint %d of %d lines signs %s, the lines have %s, %v", c.Number, c.Size, c.Root, root, err)
		}
	}
}

// TestCheckpointFormat: what is written is a C2SP checkpoint, byte for byte, and reads back.
func TestCheckpointFormat(t *testing.T) {
	t.Parallel()
	c := Checkpoint{Origin: "gate-1", Size: 7, Number: 3, Time: time.Date(2026, 7, 30, 12, 0, 0, 5, time.UTC), Event: CheckpointTick, Every: time.Minute, Durability: Sync}
	secret, public, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), "gate-1")
	if err != nil {
		t.Fatal(err)
	}
	by, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.sign(by); err != nil {
		t.Fatal(err)
	}
	const want = "gate-1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nnumber 3\ntime 2026-07-30T12:00:00.000000005Z\nevent tick\nevery 1m0s\ndurability sync\n\n— gate-1 "
	if !strings.HasPrefix(string(c.Note), want) {
		t.Errorf("%s", c.Note)
	}
	keys, err := ParseKeys(public + "\n\n" + public)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keys.OpenCheckpoint(c.Note)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(c) {
		t.Errorf("%+v, %v", got, err)
	}
	if derived, err := publicOf(by, strings.TrimSpace(secret)); err != nil || derived != public {
		t.Errorf("derived %s, %v, want %s", derived, err, public)
	}
}

// TestBadCheckpoints: what is no checkpoint, or not signed by whom it must be, is refused.
func TestBadCheckpoints(t *testing.T) {
	t.Parallel()
	secret, public, _ := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), "gate-1")
	other, _, _ := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{8}, 64)), "gate-1")
	by, _ := note.NewSigner(secret)
	stranger, _ := note.NewSigner(other)
	keys, err := ParseKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	const root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, c := range []struct {
		text string
		by   note.Signer
		want string
	}{
		{"gate-1\n7\n" + root + "\n", by, ""},
		{"gate-1\n7\n" + root + "\nwitnessed by the moon\n", by, ""},
		{"gate-1\n7\n" + root + "\n", stranger, "none of the keys given"},
		{"gate-2\n7\n" + root + "\n", by, "a checkpoint of gate-2, signed by gate-1"},
		{"gate-1\n07\n" + root + "\n", by, "not a checkpoint"},
		{"gate-1\n-7\n" + root + "\n", by, "not a checkpoint"},
		{"gate-1\n7\n" + root[4:] + "\n", by, "not a checkpoint"},
		{"gate-1\n7\n" + strings.Replace(root, "A=", "B=", 1) + "\n", by, "not a checkpoint"}, // the same bytes, spelled otherwise
		{"gate-1\n7\n", by, "not a checkpoint"},
		{"gate-1\n7\n" + root + "\n\nnumber 1\n", by, "not a checkpoint"},
		{"gate-1\n7\n" + root + "\nnumber x\n", by, "checkpoint: number"},
		{"gate-1\n7\n" + root + "\ntime yesterday\n", by, "checkpoint: time"},
		{"gate-1\n7\n" + root + "\nevery now\n", by, "checkpoint: every"},
	} {
		signed, err := note.Sign(&note.Note{Text: c.text}, c.by)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = keys.OpenCheckpoint(signed); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	for _, text := range []string{"nonsense", "a+b+c", "gate-1+00000000+AQ=="} {
		if _, err := ParseKeys(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func TestSplitNotes(t *testing.T) {
	t.Parallel()
	a, b := "x\n1\n\n— n sig\n— w sig\n", "y\n2\nz\n\n— n sig\n"
	for text, want := range map[string]struct {
		notes []string
		rest  string
	}{
		"": {}, a: {[]string{a}, ""}, a + b: {[]string{a, b}, ""}, a + b[:7]: {[]string{a}, b[:7]}, a + b[:len(b)-1]: {[]string{a}, b[:len(b)-1]},
		"x\n\ny\n": {nil, "x\n\ny\n"}, "\n\n": {nil, "\n\n"},
	} {
		notes, rest := SplitNotes([]byte(text))
		var got []string
		for _, n := range notes {
			got = append(got, string(n))
		}
		if !slices.Equal(got, want.notes) || string(rest) != want.rest {
			t.Errorf("%q is %q and %q", text, got, rest)
		}
	}
}

// TestCheckpointsAreMade at start, when it is time, also with nothing to do, before a new segment, and at the end; each of them of lines
// that are on the disk (AUDIT "The proof").
func TestCheckpointsAreMade(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{Sync, Async} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
			var posted []string
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(48 * time.Hour)
				begin := time.Now()
				c := Config{Dir: dir, Durability: durability, SegmentAge: 150 * time.Second, CheckpointTo: copied, OnCheckpoint: func(b []byte) { posted = append(posted, string(b)) }}
				l := openWith(t, c, newTestDisk(), time.Now)
				appendAll(t, l, stanzas(0, 3))
				time.Sleep(130 * time.Second)
				appendAll(t, l, stanzas(3, 1))
				time.Sleep(30 * time.Second)
				appendAll(t, l, stanzas(4, 1)) // in a new segment, by age
				closeLog(t, l)
				all := checkpoints(t, dir)
				if got := eventsOf(all); !slices.Equal(got, []string{"start 0", "tick 3", "tick 3", "rotate 4", "stop 5"}) {
					t.Errorf("made %v", got)
				}
				for i, c := range all {
					if c.Number != uint64(i+1) || c.Origin != "gate-1" || c.Durability != durability || c.Every != time.Minute || c.Time.Before(begin) {
						t.Errorf("%+v", c)
					}
				}
				if took := all[2].Time.Sub(all[1].Time); took != time.Minute {
					t.Errorf("%s between two", took)
				}
			})
			kept, err := os.ReadFile(filepath.Join(dir, checkpointsName))
			if err != nil {
				t.Fatal(err)
			}
			if elsewhere, err := os.ReadFile(copied); err != nil || !bytes.Equal(elsewhere, kept) || strings.Join(posted, "") != string(kept) {
				t.Errorf("elsewhere are %d bytes, posted %d notes, in the record %d bytes, %v", len(elsewhere), len(posted), len(kept), err)
			}
			checkTree(t, dir)
		})
	}
}

// TestCheckpointNeverClaimsWhatIsLost: after a commit that failed the tree has none of its lines, and what is signed is on the disk.
func TestCheckpointNeverClaimsWhatIsLost(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := newTestDisk()
				l := openWith(t, Config{Dir: dir, Checkpoint: time.Second, Durability: Async}, d, time.Now)
				appendAll(t, l, stanzas(0, 3))
				for range 3 {
					d.set(f.fail)
					for i := range 4 {
						l.Append(t.Context(), stanzas(100+i, 2))
						l.Note(Event{Kind: LinkFail, Step: "dns"})
						time.Sleep(400 * time.Millisecond)
					}
					d.set(f.cure)
					time.Sleep(3 * time.Second)
					appendAll(t, l, stanzas(200, 2))
				}
				closeLog(t, l)
				records(t, dir)
				checkTree(t, dir)
				if all := checkpoints(t, dir); all[len(all)-1].Event != CheckpointStop || len(all) < 5 {
					t.Errorf("made %v", eventsOf(all))
				}
			})
		})
	}
}

// TestTreeIsMadeAnew where it is missing, short, long or wrong; a checkpoint that a crash cut in two is taken off.
func TestTreeIsMadeAnew(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(tree, notes []byte) ([]byte, []byte){
		"nothing":      func(a, b []byte) ([]byte, []byte) { return a, b },
		"no tree":      func(_, b []byte) ([]byte, []byte) { return nil, b },
		"short":        func(a, b []byte) ([]byte, []byte) { return a[:300], b },
		"odd":          func(a, b []byte) ([]byte, []byte) { return a[:len(a)-5], b },
		"long":         func(a, b []byte) ([]byte, []byte) { return append(a, make([]byte, 1000)...), b },
		"zeros":        func(a, b []byte) ([]byte, []byte) { return make([]byte, len(a)), b },
		"a late leaf":  func(a, b []byte) ([]byte, []byte) { a[tlog.StoredHashIndex(0, 14)*32] ^= 1; return a, b },
		"a node":       func(a, b []byte) ([]byte, []byte) { a[tlog.StoredHashIndex(3, 0)*32] ^= 1; return a, b },
		"half a note":  func(a, b []byte) ([]byte, []byte) { return a, b[:len(b)-9] },
		"nonsense":     func(a, b []byte) ([]byte, []byte) { return a, append(b, bytes.Repeat([]byte("x"), 3*maxNote)...) },
		"no notes":     func(a, _ []byte) ([]byte, []byte) { return a, nil },
		"nothing left": func(_, _ []byte) ([]byte, []byte) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sound(t)
			a, err := os.ReadFile(filepath.Join(dir, treeName))
			b, err2 := os.ReadFile(filepath.Join(dir, checkpointsName))
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			a, b = damage(a, b)
			write(t, filepath.Join(dir, treeName), a)
			write(t, filepath.Join(dir, checkpointsName), b)
			change(t, dir+".secrets", lastName, func([]byte) []byte { return nil })
			l := open(t, Config{Dir: dir, SegmentBytes: 1})
			appendAll(t, l, stanzas(10, 2))
			closeLog(t, l)
			checkTree(t, dir)
			want := 18
			if len(b) == 0 { // and the key is there: somebody took the checkpoints away
				want++
			}
			if all := records(t, dir); len(all) != want || all[want-1].Kind != "stanza" || slices.Contains(kindsOf(all), "audit.mismatch") != (want > 18) {
				t.Errorf("recorded %v", kindsOf(all))
			}
		})
	}
}

// TestTreeOutlivesSegments: where old segments were deleted, their hashes go on standing for them; without those, nobody's line has
// theirs, and the record goes on.
func TestTreeOutlivesSegments(t *testing.T) {
	t.Parallel()
	for _, without := range []int{1, 2} {
		dir := sound(t)
		before := checkpoints(t, dir)
		if err := os.Remove(filepath.Join(dir, segmentName(without))); err != nil {
			t.Fatal(err)
		}
		l := open(t, Config{Dir: dir, SegmentBytes: 1})
		appendAll(t, l, stanzas(10, 2))
		closeLog(t, l)
		all := checkpoints(t, dir)
		hashes, closer, err := openHashes(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		for _, c := range all {
			if !hashes.holds(c) {
				t.Errorf("without segment %d the tree does not hold checkpoint %d", without, c.Number)
			}
		}
		if last := all[len(all)-1]; len(all) <= len(before) || last.Size != 18 {
			t.Errorf("the last is %+v", last)
		}
	}
	dir := sound(t)
	if err := errors.Join(os.Remove(filepath.Join(dir, segmentName(1))), os.Remove(filepath.Join(dir, treeName))); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(10, 2))
	closeLog(t, l)
	var told []string
	if err := Search(t.Context(), dir, Query{Kind: "audit.mismatch"}, func(_ []byte, r Record) error { told = append(told, r.Error); return nil }); err != nil || len(told) != 1 || !strings.Contains(told[0], "its first 16 lines are not those of") {
		t.Errorf("told %v, %v", told, err)
	}
}

// TestMismatchAtOpen: a gate that finds its record changed says so in it, names the line, and keeps the hash of the one that was there.
func TestMismatchAtOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(lines [][]byte) [][]byte
		want string
	}{
		"changed": {func(l [][]byte) [][]byte { l[1] = bytes.Replace(l[1], []byte("alice"), []byte("mallo"), 1); return l }, "line 12 is not the one"},
		"cut":     {func(l [][]byte) [][]byte { return l[:3] }, "it ends with line 13, and had 16 at "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := sound(t)
			before, err := os.ReadFile(filepath.Join(dir, treeName))
			if err != nil {
				t.Fatal(err)
			}
			edit(t, dir, c.edit)
			l := open(t, Config{Dir: dir})
			closeLog(t, l)
			_, content := lastSegment(t, dir)
			lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
			if r, err := ParseRecord(lines[len(lines)-1]); err != nil || r.Kind != "audit.mismatch" || !strings.Contains(r.Error, c.want) {
				t.Errorf("recorded %+v, %v", r, err)
			}
			if after, err := os.ReadFile(filepath.Join(dir, treeName)); err != nil || name == "changed" && !bytes.HasPrefix(after, before) {
				t.Errorf("the hash of the line that was there is gone, %v", err)
			}
		})
	}
}

// TestSigningKey: it is made once, for the gate alone, beside the record and not in it; a new one is told of in the record, and both
// stand beside it.
func TestSigningKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Node: "gate 1+"}
	l := open(t, c)
	public := l.PublicKey()
	closeLog(t, l)
	key := filepath.Join(dir+".secrets", signingKeyName)
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	if st, err := os.Stat(dir + ".secrets"); err != nil || st.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", st, err)
	}
	if beside, err := os.ReadFile(filepath.Join(dir, publicKeysName)); err != nil || string(beside) != public+"\n" || !strings.HasPrefix(public, "gate-1-+") {
		t.Errorf("%q, %q, %v", public, beside, err)
	}
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := openOn(c, osDisk{}, time.Now); err == nil || !strings.Contains(err.Error(), "can be read by others (mode 0640)") {
		t.Errorf("a key that others can read: %v", err)
	}
	write(t, key, []byte("PRIVATE+KEY+x+00000000+AAAA\n"))
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openOn(c, osDisk{}, time.Now); err == nil || !strings.Contains(err.Error(), "it is not the key that a gate made") || strings.Contains(err.Error(), "AAAA") {
		t.Errorf("a key that is none: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	closeLog(t, open(t, c))
	l = open(t, c)
	next := l.PublicKey()
	closeLog(t, l)
	if next == public {
		t.Fatal("the key is the old one")
	}
	all := records(t, dir)
	if len(all) != 1 || all[0].Kind != "audit.signer" || all[0].Text != next || !strings.Contains(all[0].Error, public) {
		t.Errorf("recorded %+v", all)
	}
	if got := eventsOf(checkpoints(t, dir)); !slices.Equal(got, []string{"start 0", "stop 0", "start 0", "stop 1", "start 1", "stop 1"}) {
		t.Errorf("made %v", got)
	}
	checkTree(t, dir)
}

// TestProofNeverStopsTraffic: where only the files of the proof cannot be written, all is recorded as before, and the proof catches up.
func TestProofNeverStopsTraffic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		d.set(func(d *testDisk) { d.noProof = syscall.EIO })
		for i := range 5 {
			appendAll(t, l, stanzas(i, 1))
			time.Sleep(time.Minute)
		}
		if s := l.Stats(); s.Fault != nil {
			t.Error(s.Fault)
		}
		d.set(func(d *testDisk) { d.noProof = nil })
		time.Sleep(30 * time.Second)
		appendAll(t, l, stanzas(5, 1))
		closeLog(t, l)
		checkTree(t, dir)
		if got := slices.Compact(eventsOf(checkpoints(t, dir))); !slices.Equal(got, []string{"start 0", "tick 5", "stop 6"}) {
			t.Errorf("made %v", got)
		}
	})
}

// TestTreeGivesUp writing a tree that cannot be written, rather than take all memory; the next start makes it from the lines.
func TestTreeGivesUp(t *testing.T) {
	t.Parallel()
	f := treeFile{file: broken{}}
	for range maxTail / (1 << 20) {
		f.pending = append(f.pending, make([]byte, 1<<20)...)
		if err := f.flush(); err == nil {
			t.Fatal("written")
		}
	}
	f.pending = append(f.pending, 1)
	if err := f.flush(); err != nil || !f.lost || len(f.pending) > 0 {
		t.Errorf("%v, lost %v, %d bytes pending", err, f.lost, len(f.pending))
	}
}

type broken struct{ file }

func (broken) WriteAt([]byte, int64) (int, error) { return 0, syscall.EIO }
