package audit

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestRotationBySize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, SegmentBytes: 5000})
	kept := map[int][]byte{}
	for i := range 40 {
		appendAll(t, l, stanzas(i, 1))
		numbers, err := segments(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range numbers[:len(numbers)-1] {
			content, err := os.ReadFile(filepath.Join(dir, segmentName(n)))
			if err != nil {
				t.Fatal(err)
			}
			if before, seen := kept[n]; seen && !bytes.Equal(before, content) {
				t.Errorf("segment %d changed after it was closed", n)
			}
			kept[n] = content
			if len(content) < 5000 || len(content) > 6000 {
				t.Errorf("segment %d has %d bytes", n, len(content))
			}
		}
	}
	closeLog(t, l)
	if ids := stanzaIDs(records(t, dir)); len(ids) != 40 || !slices.IsSorted(ids) || len(kept) < 3 {
		t.Errorf("%d stanzas in %d closed segments", len(ids), len(kept))
	}
	l = open(t, Config{Dir: dir, SegmentBytes: 5000})
	appendAll(t, l, stanzas(40, 1))
	closeLog(t, l)
	records(t, dir)
}

// TestRotationByAge: the age is that of the first line, also over a restart, and an empty segment has none.
func TestRotationByAge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := Config{Dir: dir, SegmentAge: time.Hour}
		count := func(want int, when string) {
			t.Helper()
			if numbers, err := segments(dir); err != nil || len(numbers) != want {
				t.Errorf("%s: segments %v, %v; want %d", when, numbers, err, want)
			}
		}
		l := openWith(t, c, newTestDisk(), time.Now)
		time.Sleep(2 * time.Hour)
		appendAll(t, l, stanzas(0, 1))
		count(1, "an empty segment does not age")
		time.Sleep(59 * time.Minute)
		appendAll(t, l, stanzas(1, 1))
		count(1, "after 59 minutes")
		time.Sleep(time.Minute)
		count(1, "nothing to write")
		appendAll(t, l, stanzas(2, 1))
		count(2, "after an hour")
		time.Sleep(30 * time.Minute)
		closeLog(t, l)
		l = openWith(t, c, newTestDisk(), time.Now)
		time.Sleep(30 * time.Minute)
		appendAll(t, l, stanzas(3, 1))
		count(3, "an hour with a restart in between")
		closeLog(t, l)
		records(t, dir)
	})
}

// TestRotationThatFails: that no new segment can be begun stops nobody; the old one does for longer.
func TestRotationThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir, SegmentBytes: 1000}, d, time.Now)
		d.set(func(d *testDisk) { d.noNew = fs.ErrPermission })
		for i := range 10 {
			appendAll(t, l, stanzas(i, 1))
		}
		d.set(func(d *testDisk) { d.noNew = nil })
		time.Sleep(rotateIn)
		appendAll(t, l, stanzas(10, 1))
		closeLog(t, l)
		if numbers, _ := segments(dir); len(numbers) != 2 || len(records(t, dir)) != 11 {
			t.Errorf("segments %v", numbers)
		}
	})
}

// TestRotationLeavesAFileBehind: the new segment's file is made, its name cannot be synced, and the file cannot be removed either.
// It is taken when the disk works again; until then the old segment is in use, and Tail does not leave it.
func TestRotationLeavesAFileBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir, SegmentBytes: 1000}, d, time.Now)
		appendAll(t, l, stanzas(0, 2))
		d.set(func(d *testDisk) { d.noDir, d.noRemove = syscall.EIO, syscall.EIO })
		appendAll(t, l, stanzas(2, 1))
		if numbers, _ := segments(dir); len(numbers) != 2 {
			t.Fatalf("segments %v: the test shows nothing", numbers)
		}
		d.set(func(d *testDisk) { d.noDir, d.noRemove = nil, nil })
		time.Sleep(rotateIn)
		appendAll(t, l, stanzas(3, 1))
		if s := l.Stats(); s.Segment != segmentName(2) || s.Fault != nil {
			t.Errorf("%+v", s)
		}
		closeLog(t, l)
		if got := stanzaIDs(records(t, dir)); len(got) != 4 {
			t.Errorf("recorded %v", got)
		}
	})
}

// TestRotationOntoAnothersFile: what somebody put where the next segment belongs is not written over.
func TestRotationOntoAnothersFile(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir(), SegmentBytes: 1000})
	path := filepath.Join(l.cfg.Dir, segmentName(2))
	write(t, path, []byte("mine\n"))
	for i := range 4 {
		appendAll(t, l, stanzas(i, 1))
	}
	closeLog(t, l)
	if content, err := os.ReadFile(path); err != nil || string(content) != "mine\n" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestSegmentsAreOurFilesOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"00000002.jsonl", "00000010.jsonl", "100000000.jsonl", "lock", "1.jsonl", "00000003.jsonl.gz", "00000000.jsonl", "notes.jsonl", "-0000001.jsonl"} {
		write(t, filepath.Join(dir, name), nil)
	}
	if err := os.Mkdir(filepath.Join(dir, "00000004.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	if numbers, err := segments(dir); err != nil || !slices.Equal(numbers, []int{2, 10, 100000000}) {
		t.Errorf("%v, %v", numbers, err)
	}
}
