package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testDisk is the real file system with faults to order, and a count of what was asked of it.
type testDisk struct {
	osDisk
	mu       sync.Mutex
	room     int64 // bytes that can still be written; negative: as many as you like
	failed   error // every write, sync and truncation fails with it
	noSync   error // only syncs do
	noDir    error // only syncs of directories do
	noRemove error // no file can be removed
	noNew    error // no new segment
	noProof  error // writes fail, but for segments
	space    uint64
	stall    chan struct{} // writes wait until it is closed
	slow     time.Duration // what a sync of a segment takes
	writes   int
	syncs    int
}

func newTestDisk() *testDisk { return &testDisk{room: -1, space: 1 << 40} }

// set changes the disk's mood under its lock.
func (d *testDisk) set(f func(d *testDisk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *testDisk) counts() (writes, syncs int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes, d.syncs
}

func (d *testDisk) create(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.noNew, d.failed); err != nil {
		return nil, err
	}
	f, err := d.osDisk.create(path)
	return &testFile{f, d, filepath.Ext(path) == segmentSuffix}, err
}

func (d *testDisk) open(path string) (file, error) {
	f, err := d.osDisk.open(path)
	if err != nil {
		return nil, err
	}
	return &testFile{f, d, filepath.Ext(path) == segmentSuffix}, nil
}

func (d *testDisk) free(string) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.space, nil
}

type testFile struct {
	file
	d       *testDisk
	segment bool // those alone stall and are counted
}

// WriteAt writes what there is room for, as a full disk does.
func (f *testFile) WriteAt(b []byte, at int64) (int, error) {
	if f.segment && f.d.stall != nil {
		<-f.d.stall
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.segment {
		f.d.writes++
	}
	if f.d.failed != nil {
		return 0, f.d.failed
	}
	if f.d.noProof != nil && !f.segment {
		return 0, f.d.noProof
	}
	if f.d.room >= 0 && int64(len(b)) > f.d.room {
		n, _ := f.file.WriteAt(b[:f.d.room], at)
		f.d.room = 0
		return n, syscall.ENOSPC
	}
	if f.d.room >= 0 {
		f.d.room -= int64(len(b))
	}
	return f.file.WriteAt(b, at)
}

func (f *testFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.failed != nil {
		return f.d.failed
	}
	return f.file.Truncate(size)
}

func (d *testDisk) syncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.failed, d.noDir); err != nil {
		return err
	}
	return d.osDisk.syncDir(dir)
}

func (d *testDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.failed, d.noRemove); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (f *testFile) sync() error {
	f.d.mu.Lock()
	slow := f.d.slow
	f.d.mu.Unlock()
	if f.segment {
		time.Sleep(slow)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.segment {
		f.d.syncs++
	}
	if err := errors.Join(f.d.failed, f.d.noSync); err != nil {
		return err
	}
	return f.file.sync()
}

// open opens a record that is closed with the test.
func open(t testing.TB, c Config) *Log {
	t.Helper()
	return openWith(t, c, osDisk{}, time.Now)
}

// program finds another's program that reads what we wrote. CI has it (internal/xmpptest/lab/install.sh); elsewhere the test is skipped.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", name)
	} else if err != nil {
		t.Skipf("%s is not installed (make peers)", name)
	}
	return path
}

// hand is a clock that a test turns, while others read it.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func (h *hand) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hand) turn(by time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(by)
}

func openWith(t testing.TB, c Config, d disk, now func() time.Time) *Log {
	t.Helper()
	if c.Node == "" {
		c.Node = "gate-1"
	}
	if c.Compress == "" {
		c.Compress = None // tests that read the files find them where they were written
	}
	l, err := openOn(c, d, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// stanzas makes a batch whose stanza ids are n, n+1, ….
func stanzas(n, size int) []Event {
	batch := make([]Event, size)
	for i := range batch {
		batch[i] = stanzaEvent(n + i)
	}
	return batch
}

func appendAll(t testing.TB, l *Log, batch []Event) {
	t.Helper()
	if err := l.Append(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// records reads a whole record, which must be sound.
func records(t testing.TB, dir string) []Record {
	t.Helper()
	r, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Faults {
		t.Errorf("the record is not sound: %s", f)
	}
	var all []Record
	if err := Search(context.Background(), dir, Query{}, func(_ []byte, r Record) error {
		all = append(all, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if uint64(len(all)) != r.Events {
		t.Errorf("Search finds %d events, Verify %d", len(all), r.Events)
	}
	return all
}

// kindsOf lists the kinds of records in their order.
func kindsOf(all []Record) []string {
	var names []string
	for _, r := range all {
		names = append(names, r.Kind)
	}
	return names
}

// stanzaIDs lists the ids of the recorded stanzas.
func stanzaIDs(all []Record) []string {
	var ids []string
	for _, r := range all {
		if r.Kind == "stanza" {
			ids = append(ids, r.Stanza.ID)
		}
	}
	return ids
}

// lastSegment reads the newest file.
func lastSegment(t testing.TB, dir string) (path string, content []byte) {
	t.Helper()
	numbers, err := segments(dir)
	if err != nil || len(numbers) == 0 {
		t.Fatal(numbers, err)
	}
	path = filepath.Join(dir, segmentName(numbers[len(numbers)-1]))
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// strip takes from a record what proves it: lines of which nothing else is known.
func strip(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{treeName, checkpointsName, publicKeysName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// copySecrets copies a directory of secrets.
func copySecrets(t testing.TB, to, from string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, e.Name()), b)
	}
}

// unstopped takes back the checkpoint that a gate has made at its end, as if it had been killed.
func unstopped(t testing.TB, c Config) {
	t.Helper()
	changeNotes(t, c.Dir, func(n [][]byte) [][]byte {
		write(t, filepath.Join(c.SecretsDir(), lastName), n[len(n)-2])
		return n[:len(n)-1]
	})
}

// edit changes the newest segment.
func edit(t testing.TB, dir string, f func(lines [][]byte) [][]byte) {
	t.Helper()
	path, content := lastSegment(t, dir)
	write(t, path, bytes.Join(f(bytes.SplitAfter(content, []byte("\n"))), nil))
}

// readCheckpoints gives the notes in a record's directory.
func readCheckpoints(dir string) (notes [][]byte, rest []byte, err error) {
	b, err := os.ReadFile(filepath.Join(dir, checkpointsName))
	if gone(err) {
		return nil, nil, nil
	}
	notes, rest = SplitNotes(b)
	return notes, rest, err
}
