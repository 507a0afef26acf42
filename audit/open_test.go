package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestReopenGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var last Event
	for i := range 4 {
		l := open(t, Config{Dir: dir})
		batch := stanzas(3*i, 3)
		appendAll(t, l, batch)
		if batch[0].Seq != uint64(3*i+1) || batch[0].ID.String() <= last.ID.String() {
			t.Errorf("opening %d: seq %d after %d, id %s after %s", i, batch[0].Seq, last.Seq, batch[0].ID, last.ID)
		}
		last = batch[2]
		closeLog(t, l)
	}
	if n := len(records(t, dir)); n != 12 {
		t.Errorf("%d events", n)
	}
	if numbers, _ := segments(dir); !slices.Equal(numbers, []int{1}) {
		t.Errorf("segments %v", numbers)
	}
}

// TestTornTail cuts the last segment at every byte, as a crash in the middle of a write does. The record opens again, has every
// whole line, tells of the rest, and goes on.
func TestTornTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendAll(t, l, []Event{{Kind: LinkOpen, Link: "a", Dir: "in"}, {Kind: LinkClose, Link: "a"}, {Kind: LinkClose, Link: "é"}})
	closeLog(t, l)
	_, content := lastSegment(t, dir)
	for at := range len(content) + 1 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, segmentName(1)), content[:at])
			whole := bytes.LastIndexByte(content[:at], '\n') + 1
			lines := bytes.Count(content[:at], []byte("\n"))
			l := open(t, Config{Dir: dir})
			appendAll(t, l, stanzas(0, 1))
			closeLog(t, l)
			all := records(t, dir)
			if whole < at {
				sum := sha256.Sum256(content[whole:at])
				r := all[lines]
				if r.Kind != "audit.repair" || r.Bytes != uint64(at-whole) || r.Segment != segmentName(1) || r.SHA256 != hex.EncodeToString(sum[:]) {
					t.Errorf("the repair is recorded as %+v", r)
				}
				all = slices.Delete(all, lines, lines+1)
			}
			if len(all) != lines+1 || all[lines].Kind != "stanza" {
				t.Errorf("recorded %v after %d whole lines", kindsOf(all), lines)
			}
			if _, now := lastSegment(t, dir); !bytes.HasPrefix(now, content[:whole]) {
				t.Error("whole lines were changed")
			}
		})
	}
}

// TestTornPages: a power cut can leave the later pages of a write on the disk and zeros in the place of the earlier ones.
func TestTornPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 3))
	closeLog(t, l)
	path, content := lastSegment(t, dir)
	write(t, path, append(content, append(make([]byte, 300), "\"end\":1}\n\x00\x00"...)...))
	l = open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(3, 1))
	closeLog(t, l)
	all := records(t, dir)
	if got := kindsOf(all); !slices.Equal(got, []string{"stanza", "stanza", "stanza", "audit.repair", "stanza"}) || all[3].Bytes != 311 {
		t.Errorf("recorded %v, cut off %d bytes", got, all[3].Bytes)
	}
}

// TestDamageIsLeftAlone: a bad line with good ones behind it is not a crash's work. It stays as evidence, the gate goes on behind
// it, and nobody is told that all is well.
func TestDamageIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 5))
	closeLog(t, l)
	path, content := lastSegment(t, dir)
	damaged := bytes.Replace(content, []byte(`{"v":1,"seq":3`), []byte(`{"v":1,"seq":"3`), 1)
	write(t, path, damaged)
	l = open(t, Config{Dir: dir})
	batch := stanzas(5, 1)
	appendAll(t, l, batch)
	closeLog(t, l)
	if _, now := lastSegment(t, dir); !bytes.HasPrefix(now, damaged) || batch[0].Seq != 6 {
		t.Errorf("the next seq is %d", batch[0].Seq)
	}
	report, err := Verify(dir)
	if err != nil || report.OK() || report.Faults[0].Line != 3 {
		t.Errorf("Verify: %+v, %v", report, err)
	}
	var damage *DamageError
	found := 0
	err = Search(context.Background(), dir, Query{}, func([]byte, Record) error { found++; return nil })
	if !errors.As(err, &damage) || damage.Lines != 1 || damage.First != "00000001.jsonl:3" || found != 5 {
		t.Errorf("Search finds %d and says %v", found, err)
	}
	if left, err := Unsettled(dir); !errors.As(err, &damage) || len(left) != 5 {
		t.Errorf("Unsettled finds %d and says %v", len(left), err)
	}
}

// TestLinesOfOthersAreLeftAlone: what is whole and was not written by us is no crash's work, and is not cut off.
func TestLinesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"{}\n", `{"v":1,"seq":4,"note":"mine"}` + "\n", `{"v":0}` + "\n"} {
		dir := t.TempDir()
		l := open(t, Config{Dir: dir})
		appendAll(t, l, stanzas(0, 3))
		closeLog(t, l)
		path, content := lastSegment(t, dir)
		write(t, path, append(content, other+"torn"...))
		l = open(t, Config{Dir: dir})
		batch := stanzas(3, 1)
		appendAll(t, l, batch)
		closeLog(t, l)
		_, now := lastSegment(t, dir)
		if !bytes.HasPrefix(now, append(content, other...)) || bytes.Contains(now, []byte("torn{")) || batch[0].Seq != 5 {
			t.Errorf("behind %q the record goes on with seq %d: %s", other, batch[0].Seq, now[len(content):])
		}
	}
}

// TestLaterVersion: an older program neither cuts off nor goes on behind what a later one wrote.
func TestLaterVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 1))
	closeLog(t, l)
	path, content := lastSegment(t, dir)
	content = append(content, `{"v":2,"n":2,"id":{"of":"another shape"}}`+"\ntorn"...)
	write(t, path, content)
	_, err := Open(Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "00000001.jsonl, line 2: written by a later version of the program (format 2)") {
		t.Errorf("Open: %v", err)
	}
	if _, now := lastSegment(t, dir); !bytes.Equal(now, content) {
		t.Error("the segment was changed")
	}
}

func TestEmptyLastSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 3))
	closeLog(t, l)
	write(t, filepath.Join(dir, segmentName(2)), nil)
	l = open(t, Config{Dir: dir})
	batch := stanzas(3, 1)
	appendAll(t, l, batch)
	closeLog(t, l)
	if batch[0].Seq != 4 || len(records(t, dir)) != 4 {
		t.Errorf("seq %d", batch[0].Seq)
	}
}

// TestLockHelper is the other process of TestLock.
func TestLockHelper(t *testing.T) {
	dir := os.Getenv("SALLYPORT_LOCK_HELPER")
	if dir == "" {
		return
	}
	l, err := Open(Config{Dir: dir})
	if err != nil {
		fmt.Println("refused:", err)
		return
	}
	fmt.Println("opened")
	l.Close()
}

// TestLock: a second process is refused, and told who is there.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	other := func() string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLockHelper$")
		cmd.Env = append(os.Environ(), "SALLYPORT_LOCK_HELPER="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		return string(out)
	}
	want := fmt.Sprintf("refused: opening the audit record: audit directory %s is in use by process %d", dir, os.Getpid())
	if out := other(); !strings.Contains(out, want) {
		t.Errorf("the second process says %q, want %q", out, want)
	}
	var locked *LockedError
	if _, err := Open(Config{Dir: dir}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("Open again: %v", err)
	}
	appendAll(t, l, stanzas(0, 1))
	closeLog(t, l)
	if out := other(); !strings.Contains(out, "opened") {
		t.Errorf("after Close the second process says %q", out)
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{Dir: t.TempDir(), Durability: "maybe", OnFailure: "cry", SegmentBytes: -1, SegmentAge: -1, LowSpace: -1})
	for _, s := range []string{`audit.durability "maybe": must be sync or async`, `audit.on_failure "cry": must be refuse or pass`, "audit.segment_bytes", "audit.segment_age", "audit.low_space"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %s", err, s)
		}
	}
	if err := (Config{}).Check(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

func TestDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "audit")
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 1))
	path, _ := lastSegment(t, dir)
	for p, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		st, err := os.Stat(p)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
}

// TestClockGoesBack: by more than a second it begins a segment and is told of; by less, time stands still. In a segment it never
// goes back, whatever the clock does, and ids and seq go on growing.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := &hand{at: time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)}
	l := openWith(t, Config{Dir: dir}, newTestDisk(), clock.now)
	appendAll(t, l, stanzas(0, 1))
	clock.turn(-500 * time.Millisecond)
	appendAll(t, l, stanzas(1, 1))
	clock.turn(-3 * time.Hour)
	appendAll(t, l, stanzas(2, 1))
	appendAll(t, l, stanzas(3, 1))
	closeLog(t, l)
	clock.turn(-24 * time.Hour) // while the gate was down
	l = openWith(t, Config{Dir: dir}, newTestDisk(), clock.now)
	appendAll(t, l, stanzas(4, 1))
	closeLog(t, l)
	all := records(t, dir)
	if got := kindsOf(all); !slices.Equal(got, []string{"stanza", "stanza", "audit.clock", "stanza", "stanza", "audit.clock", "stanza"}) {
		t.Fatalf("recorded %v", got)
	}
	if !all[1].Time.Equal(all[0].Time) || !all[2].Since.Equal(all[1].Time) || !all[2].Time.Equal(all[0].Time.Add(-3*time.Hour-500*time.Millisecond)) {
		t.Errorf("times %s, %s, then %s since %s", all[0].Time, all[1].Time, all[2].Time, all[2].Since)
	}
	if numbers, _ := segments(dir); len(numbers) != 3 {
		t.Errorf("segments %v", numbers)
	}
}

// TestClockGoesBackWhileTheDiskFails: the step is told of once, by the first event that is recorded after it.
func TestClockGoesBackWhileTheDiskFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour) // bubbles begin on the first day that is not absurd
		clock := &hand{at: time.Now()}
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, clock.now)
		appendAll(t, l, stanzas(0, 1))
		clock.turn(-time.Hour)
		d.set(func(d *testDisk) { d.room = 100 })
		if err := l.Append(context.Background(), stanzas(1, 1)); !errors.Is(err, ErrUnrecorded) {
			t.Fatal(err)
		}
		d.set(func(d *testDisk) { d.room = -1 })
		time.Sleep(time.Second)
		appendAll(t, l, stanzas(2, 1))
		closeLog(t, l)
		all := records(t, dir)
		if got := kindsOf(all); !slices.Equal(got, []string{"stanza", "audit.clock", "stanza"}) || all[2].Seq != 3 {
			t.Errorf("recorded %v", got)
		}
	})
}

// TestClockGoesBackAndNoSegmentCanBeBegun: the new time has no place to stand, so nothing is recorded and nothing passes, until a
// segment can be begun.
func TestClockGoesBackAndNoSegmentCanBeBegun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour) // bubbles begin on the first day that is not absurd
		clock := &hand{at: time.Now()}
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, clock.now)
		appendAll(t, l, stanzas(0, 1))
		clock.turn(-time.Hour)
		d.set(func(d *testDisk) { d.noDir = syscall.EIO })
		for range 3 {
			if err := l.Append(context.Background(), stanzas(1, 1)); !errors.Is(err, ErrUnrecorded) || !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		d.set(func(d *testDisk) { d.noDir = nil })
		time.Sleep(time.Second)
		appendAll(t, l, stanzas(2, 1))
		closeLog(t, l)
		all := records(t, dir)
		if got := kindsOf(all); !slices.Equal(got, []string{"stanza", "audit.clock", "stanza"}) || all[2].Stanza.ID != "purple00000002" {
			t.Errorf("recorded %v", got)
		}
	})
}

// TestLinksAreNotFollowed: who may write to the record's directory may not have root write elsewhere.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{segmentName(1), treeName, "lock"} {
		dir, foreign := t.TempDir(), filepath.Join(t.TempDir(), "foreign")
		if err := os.WriteFile(foreign, []byte("not the record's\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(foreign, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Dir: dir, Node: "gate-1"})
		if err == nil {
			l.Note(Event{Kind: NodeStart})
			l.Close()
		}
		if text, _ := os.ReadFile(foreign); string(text) != "not the record's\n" {
			t.Errorf("%s: what the link leads to is now %q", name, text)
		}
	}
}
