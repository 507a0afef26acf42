package audit

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// packAll brings all segments of a record but the last one into their compressed form.
func packAll(t testing.TB, dir string) {
	t.Helper()
	numbers, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &packer{disk: osDisk{}, dir: dir, log: slog.New(slog.DiscardHandler)}
	p.open.Store(int64(numbers[len(numbers)-1]))
	if err := p.round(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// longRecord makes a record of several segments, the first of several blocks.
func longRecord(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	l := open(t, Config{Dir: dir, SegmentBytes: 700 << 10})
	for n := range 30 {
		appendAll(t, l, longStanzas(n*20, 20))
	}
	closeLog(t, l)
	if numbers, _ := segments(dir); len(numbers) < 3 {
		t.Fatalf("only segments %v", numbers)
	}
	return dir
}

// longStanzas are stanzas of some 3,500 bytes a line, none like the other: segments of many blocks in few lines.
func longStanzas(n, size int) []Event {
	batch := stanzas(n, size)
	chance := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range batch {
		body := make([]byte, 2800)
		for at := range body {
			body[at] = ' ' + 1 + byte(chance.IntN(90))
		}
		batch[i].Level, batch[i].Content.Body = LevelContent, body
	}
	return batch
}

// linesOf reads a record's lines as they stand in it.
func linesOf(t testing.TB, dir string) (all [][]byte) {
	t.Helper()
	numbers, err := segments(dir)
	if err == nil {
		err = eachLine(t.Context(), dir, numbers, func(line []byte, _ head) error {
			all = append(all, bytes.Clone(line))
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCompressedIsTheSame: whatever is asked of a record, its compressed form gives the same answer.
func TestCompressedIsTheSame(t *testing.T) {
	t.Parallel()
	dir := longRecord(t)
	plain, lines := segmentBytes(t, dir, 1), linesOf(t, dir)
	report, err := Verify(dir)
	if err != nil || !report.OK() {
		t.Fatal(report.Faults, err)
	}
	unsettled, err := Unsettled(dir)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]int64{}
	for _, n := range []int{1, 10, 400, 1 << 20} {
		ends[n], _, _ = lastLines(dir, 1, n)
	}

	packAll(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(left) != 1 {
		t.Fatalf("in the plain form are %v, want the last segment only", left)
	}
	if !bytes.Equal(segmentBytes(t, dir, 1), plain) || !slices.EqualFunc(linesOf(t, dir), lines, bytes.Equal) {
		t.Error("the lines are not the same")
	}
	again, err := Verify(dir)
	if err != nil || !again.OK() || again.Events != report.Events || again.Segments != report.Segments {
		t.Errorf("%+v, %v", again, err)
	}
	if found, err := Unsettled(dir); err != nil || len(found) != len(unsettled) {
		t.Errorf("%d unsettled, were %d, %v", len(found), len(unsettled), err)
	}
	for n, want := range ends {
		if at, _, err := lastLines(dir, 1, n); at != want || err != nil {
			t.Errorf("the last %d lines begin at %d, want %d, %v", n, at, want, err)
		}
	}
	var tail [][]byte
	if err := tailOf(context.Background(), dir, false, -1, func(line []byte, _ Record) error {
		tail = append(tail, bytes.Clone(line))
		return nil
	}); err != nil || !slices.EqualFunc(tail, lines, bytes.Equal) {
		t.Errorf("the tail has %d lines, %v", len(tail), err)
	}
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 1))
	closeLog(t, l)
	records(t, dir)
}

func segmentBytes(t testing.TB, dir string, number int) []byte {
	t.Helper()
	src, err := openSegment(dir, number)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	all, err := io.ReadAll(io.NewSectionReader(src, 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestZstdcatReadsIt: the form is nobody's own.
func TestZstdcatReadsIt(t *testing.T) {
	t.Parallel()
	zstdcat := program(t, "zstdcat")
	dir := longRecord(t)
	plain := segmentBytes(t, dir, 1)
	packAll(t, dir)
	out, err := exec.CommandContext(t.Context(), zstdcat, filepath.Join(dir, segmentName(1)+packedSuffix)).Output()
	if err != nil || !bytes.Equal(out, plain) {
		t.Errorf("%d bytes, want %d, %v", len(out), len(plain), err)
	}
}

// TestLogCompresses: what the gate has closed is compressed by and by, at the next start at the latest, and followed on the way.
func TestLogCompresses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		c := Config{Dir: dir, Compress: None, SegmentBytes: 20 << 10}
		l := open(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		f := follow(ctx, dir, -1)
		for n := range 10 {
			appendAll(t, l, stanzas(n*100, 100))
		}
		closeLog(t, l)
		c.Compress = Zstd
		l = open(t, c)
		for n := range 10 {
			appendAll(t, l, stanzas(1000+n*100, 100))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		numbers, err := segments(dir)
		if err != nil || len(numbers) < 15 {
			t.Fatal(numbers, err)
		}
		packed, _ := filepath.Glob(filepath.Join(dir, "*"+packedSuffix))
		left, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		if len(packed) != len(numbers)-1 || len(left) != 1 {
			t.Errorf("%d segments are compressed and %d not, of %d", len(packed), len(left), len(numbers))
		}
		closeLog(t, l)
		time.Sleep(time.Second)
		cancel()
		if seqs := f.got(); len(seqs) < 2000 || !slices.Equal(seqs, span(1, uint64(len(seqs)))) {
			t.Errorf("followed %d events", len(seqs))
		}
	})
	records(t, dir)
}

// TestCompressionFails: at each moment that the disk fails or the power goes, one of the two forms is there whole.
func TestCompressionFails(t *testing.T) {
	t.Parallel()
	from := longRecord(t)
	want := linesOf(t, from)
	for seed := range uint64(4) {
		d := newPowerDisk(t.TempDir(), rand.New(rand.NewPCG(seed, 3)))
		dir := filepath.Join(d.top, "audit")
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		d.each(t, func(path string, content []byte, _ bool) { d.durable[path], d.named[path] = content, true })
		d.fails = true
		numbers, _ := segments(dir)
		p := &packer{disk: d, dir: dir, log: slog.New(slog.DiscardHandler)}
		p.open.Store(int64(numbers[len(numbers)-1]))
		for range 3 {
			err := p.round(t.Context())
			if !slices.EqualFunc(linesOf(t, dir), want, bytes.Equal) {
				t.Fatalf("seed %d: after %v the lines are not the same", seed, err)
			}
			d = d.cut(t, t.TempDir())
			dir = filepath.Join(d.top, "audit")
			if !slices.EqualFunc(linesOf(t, dir), want, bytes.Equal) {
				t.Fatalf("seed %d: after %v and a power cut the lines are not the same", seed, err)
			}
			d.fails = true
			p.disk, p.dir = d, dir
		}
		d.fails = false
		if err := p.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) != 0 {
			t.Errorf("seed %d: %v is left", seed, left)
		}
	}
}

// TestDeletedWhileCompressed: a segment that is taken away while it is being compressed does not come back.
func TestDeletedWhileCompressed(t *testing.T) {
	t.Parallel()
	dir := longRecord(t)
	p := &packer{disk: deletingDisk{dir: dir}, dir: dir}
	if err := p.pack(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if numbers, _ := segments(dir); slices.Contains(numbers, 1) {
		t.Error("the segment is there again")
	}
}

// deletingDisk loses the first segment whenever something gets its name.
type deletingDisk struct {
	osDisk
	dir string
}

func (d deletingDisk) rename(from, to string) error {
	if err := os.Remove(filepath.Join(d.dir, segmentName(1))); err != nil {
		return err
	}
	return d.osDisk.rename(from, to)
}

// readable is as much of a segment as can be read.
func readable(t *testing.T, dir string, number int) []byte {
	t.Helper()
	src, err := openSegment(dir, number)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	all, _ := io.ReadAll(io.NewSectionReader(src, 0, 1<<40))
	return all
}

// FuzzCompressed changes a compressed segment. No reader may fail by it, and none may see lines that Verify does not object to.
func FuzzCompressed(f *testing.F) {
	sound := longRecord(f)
	packAll(f, sound)
	name := segmentName(1) + packedSuffix
	content, err := os.ReadFile(filepath.Join(sound, name))
	if err != nil {
		f.Fatal(err)
	}
	rest, err := os.ReadDir(sound)
	if err != nil {
		f.Fatal(err)
	}
	rest = slices.DeleteFunc(rest, func(e os.DirEntry) bool { return e.Name() == name })
	plain := segmentBytes(f, sound, 1)
	for _, at := range []int{0, 4, 5, 8, 12, len(content) / 3, len(content) / 2, len(content) - 4, len(content) - 1} {
		f.Add(uint(at), []byte{0xff}, false)
		f.Add(uint(at), []byte{0}, true)
	}
	f.Add(uint(0), content[:len(content)/2], true)
	f.Fuzz(func(t *testing.T, at uint, change []byte, cut bool) {
		changed := slices.Clone(content)
		n := int(at % uint(len(content)))
		copy(changed[n:], change)
		if cut {
			changed = append(changed[:n], change...)
		}
		dir := t.TempDir()
		for _, e := range rest {
			if err := os.Link(filepath.Join(sound, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, name), changed)
		_ = Search(t.Context(), dir, Query{}, func([]byte, Record) error { return nil })
		_ = tailOf(t.Context(), dir, false, 3, func([]byte, Record) error { return nil })
		_, _, _ = firstHead(dir, 1)
		r, err := Verify(dir)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() && !bytes.Equal(readable(t, dir, 1), plain) {
			t.Error("the lines are not the same, and Verify does not object")
		}
	})
}

// TestShortSegmentsCompress: a block of less than 256 bytes has its size in its header too, without which no reader finds it.
func TestShortSegmentsCompress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []byte
	for n, size := range []int{0, 1, 200, 255, 256, 257, 1023, 1024, 1025, blockBytes, blockBytes + 1, 3*blockBytes + 100} {
		plain := bytes.Repeat([]byte("x"), size)
		for at := 99; at < size; at += 100 {
			plain[at] = '\n'
		}
		if err := os.WriteFile(filepath.Join(dir, segmentName(n+1)), plain, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, plain...)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(100)), nil, 0o600); err != nil { // the open one
		t.Fatal(err)
	}
	packAll(t, dir)
	var got []byte
	for n := range 12 {
		if _, err := os.Stat(filepath.Join(dir, segmentName(n+1)+packedSuffix)); err != nil {
			t.Error(err)
		}
		got = append(got, segmentBytes(t, dir, n+1)...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d", len(got), len(want))
	}
}

// TestTwoFormsAreOne: a compressed form that is left beside the plain one says the same, or verify tells.
func TestTwoFormsAreOne(t *testing.T) {
	t.Parallel()
	dir := longRecord(t)
	plain := segmentBytes(t, dir, 1)
	packAll(t, dir)
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := Verify(dir); err != nil || !report.OK() {
		t.Errorf("the same twice: %+v, %v", report.Faults, err)
	}
	other, err := os.ReadFile(filepath.Join(dir, segmentName(2)+packedSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)+packedSuffix), other, 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := Verify(dir); err != nil || report.OK() || report.Faults[0].Segment != segmentName(1)+packedSuffix {
		t.Errorf("another one beside it: %+v, %v", report.Faults, err)
	}
}
