package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// powerDisk is a real directory together with what a power cut would leave of it: of a file what was synced and, by chance, some
// of what was written since; of names those whose directory was synced. It fails by chance, too, if fails is set.
type powerDisk struct {
	osDisk
	top string // the directory above that of the record

	mu      sync.Mutex
	chance  *rand.Rand
	fails   bool
	durable map[string][]byte // synced content by path below top; of a directory nil
	named   map[string]bool   // whose names are synced
}

func newPowerDisk(top string, chance *rand.Rand) *powerDisk {
	return &powerDisk{top: top, chance: chance, durable: map[string][]byte{}, named: map[string]bool{}}
}

func (d *powerDisk) rel(path string) string {
	rel, err := filepath.Rel(d.top, path)
	if err != nil {
		panic(err)
	}
	return rel
}

// mood is an error now and then.
func (d *powerDisk) mood() error {
	if d.fails && d.chance.IntN(6) == 0 {
		return []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}[d.chance.IntN(3)]
	}
	return nil
}

func (d *powerDisk) mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.osDisk.mkdir(dir)
}

func (d *powerDisk) create(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mood(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.create(path)
	return &powerFile{f, d, path}, err
}

func (d *powerDisk) open(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mood(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.open(path)
	return &powerFile{f, d, path}, err
}

func (d *powerDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mood(); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (d *powerDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mood(); err != nil {
		return err
	}
	d.durable[d.rel(to)] = d.durable[d.rel(from)]
	return d.osDisk.rename(from, to)
}

func (d *powerDisk) syncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mood(); err != nil {
		return err
	}
	for path := range d.named {
		if filepath.Dir(path) == d.rel(dir) {
			delete(d.named, path)
		}
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		d.named[d.rel(filepath.Join(dir, e.Name()))] = true
	}
	return err
}

type powerFile struct {
	file
	d    *powerDisk
	path string
}

func (f *powerFile) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.mood(); err != nil {
		n, _ := f.file.WriteAt(b[:f.d.chance.IntN(len(b))], at)
		return n, err
	}
	return f.file.WriteAt(b, at)
}

func (f *powerFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.mood(); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *powerFile) sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.mood(); err != nil {
		return err
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	f.d.durable[f.d.rel(f.path)] = content
	return f.file.sync()
}

// cut makes under top what the power cut leaves, and a disk that goes on from there: all of it is durable.
func (d *powerDisk) cut(t *testing.T, top string) *powerDisk {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newPowerDisk(top, d.chance)
	d.each(t, func(path string, content []byte, dir bool) {
		if !d.named[path] && d.chance.IntN(2) == 0 {
			return
		}
		after.named[path] = true
		if !dir {
			content = d.left(path, content)
			after.durable[path] = content
		}
		after.put(t, path, content, dir)
	})
	return after
}

// left is what is left of a file.
func (d *powerDisk) left(path string, content []byte) []byte {
	left := d.durable[path]
	if len(content) < len(left) { // it was cut, and that was not synced
		return [][]byte{left, content}[d.chance.IntN(2)]
	}
	fresh := content[len(left):]
	fresh = fresh[:d.chance.IntN(len(fresh)+1)]
	if d.chance.IntN(3) == 0 { // its size reached the disk, its bytes did not
		fresh = make([]byte, len(fresh))
	}
	return slices.Concat(left, fresh)
}

// kill makes under top what the end of the process leaves: all that was written, of which no more is durable than was.
func (d *powerDisk) kill(t *testing.T, top string) *powerDisk {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newPowerDisk(top, d.chance)
	after.durable, after.named = maps.Clone(d.durable), maps.Clone(d.named)
	d.each(t, func(path string, content []byte, dir bool) { after.put(t, path, content, dir) })
	return after
}

func (d *powerDisk) each(t *testing.T, f func(path string, content []byte, dir bool)) {
	err := filepath.WalkDir(d.top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == d.top || e.Name() == "lock" {
			return err
		}
		if e.IsDir() {
			f(d.rel(path), nil, true)
			return nil
		}
		content, err := os.ReadFile(path)
		f(d.rel(path), content, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// put makes a file. One whose directory is gone goes with it.
func (d *powerDisk) put(t *testing.T, path string, content []byte, dir bool) {
	full := filepath.Join(d.top, path)
	var err error
	if dir {
		err = os.Mkdir(full, 0o700)
	} else {
		err = os.WriteFile(full, content, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// TestCrashes lets the disk fail, the process be killed and the power be cut, in any order, at any time. Whatever was answered for
// is in the record, under the seq that was given, once; and the record is sound (DESIGN §5, 1 and 3).
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{Sync, Async} {
		for seed := range uint64(8) {
			compress := []string{None, Zstd}[seed%2]
			t.Run(fmt.Sprint(durability, compress, seed), func(t *testing.T) {
				t.Parallel()
				tops := make([]string, 6)
				for i := range tops {
					tops[i] = t.TempDir()
				}
				secrets := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(48 * time.Hour) // bubbles begin on the first day that is not absurd
					c := crasher{t: t, durability: durability, compress: compress, secrets: secrets, passed: map[string]uint64{}, d: newPowerDisk(tops[0], rand.New(rand.NewPCG(seed, 7)))}
					for _, top := range tops[1:] {
						c.live()
						c.crash(top)
					}
				})
			})
		}
	}
}

type crasher struct {
	t          *testing.T
	durability string
	compress   string
	secrets    string
	d          *powerDisk
	l          *Log
	passed     map[string]uint64 // seq by stanza id
	n          int
}

// live opens the record, holds it against what passed before, and appends for a while.
func (c *crasher) live() {
	c.t.Helper()
	config := Config{Dir: filepath.Join(c.d.top, "var", "audit"), Secrets: c.secrets, Durability: c.durability, Compress: c.compress, SegmentBytes: 2500}
	c.l = openWith(c.t, config, c.d, time.Now)
	synctest.Wait() // a repair is noted
	c.check(config.Dir)
	chance := c.d.chance
	for range 8 {
		c.d.mu.Lock()
		c.d.fails = chance.IntN(3) == 0
		batch := stanzas(c.n, 1+chance.IntN(3))
		pause := time.Duration(chance.IntN(400)) * time.Millisecond
		c.d.mu.Unlock()
		c.n += len(batch)
		if err := c.l.Append(context.Background(), batch); err == nil {
			for _, e := range batch {
				c.passed[string(e.Stanza.ID)] = e.Seq
			}
			c.l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{batch[0].Seq, batch[len(batch)-1].Seq}}})
		} else if !errors.Is(err, ErrUnrecorded) {
			c.t.Fatal(err)
		}
		time.Sleep(pause)
	}
	c.d.mu.Lock()
	c.d.fails = false
	c.d.mu.Unlock()
}

func (c *crasher) check(dir string) {
	c.t.Helper()
	recorded := map[string]uint64{}
	for _, r := range records(c.t, dir) {
		if r.Kind != "stanza" {
			continue
		}
		if seq, twice := recorded[r.Stanza.ID]; twice {
			c.t.Errorf("stanza %s is recorded as seq %d and %d", r.Stanza.ID, seq, r.Seq)
		}
		recorded[r.Stanza.ID] = r.Seq
	}
	for id, seq := range c.passed {
		if recorded[id] != seq {
			c.t.Fatalf("stanza %s passed as seq %d, and is recorded as %d", id, seq, recorded[id])
		}
	}
}

// crash ends it all and prepares what is left.
func (c *crasher) crash(top string) {
	defer c.l.Close() // in what is no longer looked at
	synctest.Wait()
	secrets := top + ".secrets"
	copySecrets(c.t, secrets, c.secrets)
	c.secrets = secrets
	if c.d.chance.IntN(2) == 0 {
		c.d = c.d.kill(c.t, top)
		return
	}
	if c.durability == Async {
		time.Sleep(syncEvery + retryEvery) // what is younger may be lost
		synctest.Wait()
	}
	c.d = c.d.cut(c.t, top)
}

// TestSegmentBegunInACrash: the next segment is there and its name is not synced yet, because the process was killed in between.
func TestSegmentBegunInACrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		d := newPowerDisk(t.TempDir(), rand.New(rand.NewPCG(seed, 1)))
		c := Config{Dir: filepath.Join(d.top, "audit"), Secrets: t.TempDir()}
		l := openWith(t, c, d, time.Now)
		appendAll(t, l, stanzas(0, 1))
		closeLog(t, l)
		if _, err := d.create(filepath.Join(c.Dir, segmentName(2))); err != nil {
			t.Fatal(err)
		}
		l = openWith(t, c, d, time.Now)
		appendAll(t, l, stanzas(1, 1))
		closeLog(t, l)
		after := d.cut(t, t.TempDir())
		if got := stanzaIDs(records(t, filepath.Join(after.top, "audit"))); len(got) != 2 {
			t.Errorf("after the power cut the record has %v", got)
		}
	}
}

// TestKilledBeforeTheNextSegment: a segment was begun and could not be used, so that the one before was written on, and the process was
// killed in the middle of a line. What is whole there is as durable as in the last segment, and what is not is cut off.
func TestKilledBeforeTheNextSegment(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		d := newPowerDisk(t.TempDir(), rand.New(rand.NewPCG(seed, 2)))
		c := Config{Dir: filepath.Join(d.top, "audit"), Secrets: t.TempDir()}
		l := openWith(t, c, d, time.Now)
		appendAll(t, l, stanzas(0, 1))
		closeLog(t, l)
		path, content := lastSegment(t, c.Dir)
		l2 := open(t, Config{Dir: t.TempDir()})
		appendAll(t, l2, stanzas(0, 2))
		_, two := lastSegment(t, l2.cfg.Dir)
		second := bytes.SplitAfter(two, []byte("\n"))[1]
		unstopped(t, c)
		write(t, path, slices.Concat(content, second, []byte(`{"v":1`)))
		if _, err := d.create(filepath.Join(c.Dir, segmentName(2))); err != nil {
			t.Fatal(err)
		}
		l = openWith(t, c, d, time.Now)
		closeLog(t, l)
		all := records(t, filepath.Join(d.cut(t, t.TempDir()).top, "audit"))
		if got := kindsOf(all); !slices.Equal(got, []string{"stanza", "stanza", "audit.repair"}) {
			t.Errorf("after the power cut the record has %v", got)
		}
	}
}

// TestEveryFileCut: whichever file beside the open segment a power cut shortens, at any of some thirty places, the gate starts again. What is
// derived from the lines is made anew and the record is sound; a compressed segment that is cut shows, and so do checkpoints and a sealing key.
func TestEveryFileCut(t *testing.T) {
	t.Parallel()
	whole, secrets, id := t.TempDir(), t.TempDir(), officer(t)
	c := Config{Dir: whole, Secrets: secrets, Compress: Zstd, SegmentBytes: 1, Sealing: Sealing{Recipients: recipients(id)}}
	for i := range 2 {
		l := openWith(t, c, newTestDisk(), time.Now)
		appendAll(t, l, []Event{secretStanza(i, "for the officers"), stanzaEvent(10 + i)})
		closeLog(t, l)
	}
	p := packer{disk: osDisk{}, dir: whole, log: slog.New(slog.DiscardHandler)}
	p.open.Store(int64(lastPlain(t, whole)))
	if err := p.round(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := stanzaIDs(records(t, whole))
	files := map[string]int{}
	for _, pattern := range []string{treeName, "checkpoints", "*.idx", "*.jsonl.zst", "keys/*/*.age"} {
		found, err := filepath.Glob(filepath.Join(whole, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		st, err := os.Stat(found[0])
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(whole, found[0])
		files[rel] = int(st.Size())
	}
	for name, size := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 0; n < size; n += max(1, size/31) {
				c, dir := c, filepath.Join(t.TempDir(), "audit")
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(filepath.Join(dir, name), int64(n)); err != nil {
					t.Fatal(err)
				}
				c.Dir, c.Secrets, c.SegmentBytes, c.Compress = dir, dir+".secrets", 1<<20, None
				copySecrets(t, c.Secrets, secrets)
				l := openWith(t, c, newTestDisk(), time.Now)
				appendAll(t, l, []Event{secretStanza(20, "later")})
				closeLog(t, l)
				if strings.HasSuffix(name, packedSuffix) || name == checkpointsName {
					if r, err := Verify(dir); err != nil || r.OK() {
						t.Errorf("cut to %d of %d bytes, and nobody says so: %v", n, size, err)
					}
					continue
				}
				if got := stanzaIDs(records(t, dir)); !slices.Equal(got[:len(got)-1], want) {
					t.Errorf("cut to %d of %d bytes: the record has %v", n, size, got)
				}
				o := NewOpener(dir, id)
				for _, s := range sealedLines(t, dir) {
					if _, err := o.Open(s.line, s.Record); (err != nil) != (filepath.Join(keysDir, s.Sealed.Key+keySuffix) == name) {
						t.Errorf("cut to %d of %d bytes: what %s sealed: %v", n, size, s.Sealed.Key, err)
					}
				}
			}
		})
	}
}
