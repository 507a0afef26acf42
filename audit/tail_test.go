package audit

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// tailOf is Tail of one record.
func tailOf(ctx context.Context, dir string, follow bool, n int, yield func(line []byte, r Record) error) error {
	return Tail(ctx, []string{dir}, follow, n, func(h Hit) error { return yield(h.Line, h.Record) })
}

// follower collects what Tail gives.
type follower struct {
	mu   sync.Mutex
	seqs []uint64
	ids  []string
	done chan error
}

func follow(ctx context.Context, dir string, n int) *follower {
	f := &follower{done: make(chan error, 1)}
	go func() {
		f.done <- tailOf(ctx, dir, true, n, func(_ []byte, r Record) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.seqs, f.ids = append(f.seqs, r.Seq), append(f.ids, r.Stanza.ID)
			return nil
		})
	}()
	return f
}

func (f *follower) got() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seqs)
}

func span(first, last uint64) []uint64 {
	var s []uint64
	for i := first; i <= last; i++ {
		s = append(s, i)
	}
	return s
}

func TestTailLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, SegmentBytes: 2500})
	for i := range 20 {
		appendAll(t, l, stanzas(i, 1))
	}
	closeLog(t, l)
	path, content := lastSegment(t, dir)
	write(t, path, append(content, `{"v":1,"seq":21,"time"`...))
	for n, want := range map[int][]uint64{-1: span(1, 20), 0: nil, 1: {20}, 7: span(14, 20), 20: span(1, 20), 500: span(1, 20)} {
		var got []uint64
		err := tailOf(context.Background(), dir, false, n, func(_ []byte, r Record) error { got = append(got, r.Seq); return nil })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("the last %d: %v, %v", n, got, err)
		}
	}
	stop := errors.New("stop")
	if err := tailOf(context.Background(), dir, true, 5, func([]byte, Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("yield's error: %v", err)
	}
}

// TestTailOfSeveral: the records of two gates come as one, in order of time, the last of both together; and so they are followed.
func TestTailOfSeveral(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first := openWith(t, Config{Dir: one, Node: "gate-1"}, newTestDisk(), time.Now)
		second := openWith(t, Config{Dir: two, Node: "gate-2"}, newTestDisk(), time.Now)
		at := 0
		record := func(l *Log, n int) {
			for range n {
				appendAll(t, l, stanzas(at, 1))
				at++
				time.Sleep(time.Millisecond)
			}
		}
		record(first, 3)
		record(second, 2)
		record(first, 1)
		for n, want := range map[int]int{-1: 0, 0: 6, 2: 4, 4: 2, 6: 0, 100: 0} {
			var got []string
			if err := Tail(t.Context(), []string{one, two}, false, n, func(h Hit) error { got = append(got, h.Record.Stanza.ID); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(got) != 6-want || len(got) > 0 && (got[0] != string(stanzaEvent(want).Stanza.ID) || got[len(got)-1] != string(stanzaEvent(5).Stanza.ID)) || !slices.IsSorted(got) {
				t.Errorf("the last %d: %q", n, got)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var got []string
		done := make(chan error)
		go func() {
			done <- Tail(ctx, []string{one, two}, true, 1, func(h Hit) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, h.Record.Node+" "+h.Record.Stanza.ID)
				return nil
			})
		}()
		synctest.Wait()
		record(second, 2)
		record(first, 1)
		time.Sleep(pollEvery)
		synctest.Wait()
		record(second, 1)
		time.Sleep(pollEvery)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := []string{"gate-1 purple00000005", "gate-2 purple00000006", "gate-2 purple00000007", "gate-1 purple00000008", "gate-2 purple00000009"}
		if !slices.Equal(got, want) {
			t.Errorf("followed %q", got)
		}
		closeLog(t, first)
		closeLog(t, second)
	})
}

// TestLastLinesOverBlocks: lines that are longer than what is read at once.
func TestLastLinesOverBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	line := make([]byte, 100_000)
	for i := range line {
		line[i] = 'x'
	}
	line[len(line)-1] = '\n'
	write(t, filepath.Join(dir, segmentName(1)), slices.Concat(line, line, line, []byte("torn")))
	for n, want := range map[int]int64{1: 200_000, 2: 100_000, 3: 0, 4: 0} {
		if offset, lines, err := lastLines(dir, 1, n); offset != want || lines != min(n, 3) || err != nil {
			t.Errorf("the last %d begin at %d, are %d, %v", n, offset, lines, err)
		}
	}
}

func TestTailFollows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		f := follow(ctx, dir, 10) // there is no segment yet
		time.Sleep(time.Second)
		l := openWith(t, Config{Dir: dir, SegmentBytes: 2500}, newTestDisk(), time.Now)
		for i := range 30 {
			appendAll(t, l, stanzas(i, 1))
			if i%3 == 0 {
				time.Sleep(pollEvery)
			}
		}
		time.Sleep(pollEvery)
		synctest.Wait()
		if got := f.got(); !slices.Equal(got, span(1, 30)) {
			t.Errorf("followed %v", got)
		}
		second := follow(ctx, dir, 0)
		synctest.Wait()
		appendAll(t, l, stanzas(30, 2))
		time.Sleep(pollEvery)
		synctest.Wait()
		if got := second.got(); !slices.Equal(got, span(31, 32)) {
			t.Errorf("from now on: %v", got)
		}
		cancel()
		if err := errors.Join(<-f.done, <-second.done); err != nil {
			t.Errorf("an ended context: %v", err)
		}
		closeLog(t, l)
	})
}

// TestTailAfterLinesWereTakenBack: a reader may see a line a moment before it is durable. When the disk then fails, the line is cut
// off and its seq goes to another; the reader goes on at the right place, and shows nothing twice.
func TestTailAfterLinesWereTakenBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		appendAll(t, l, stanzas(0, 3))
		f := follow(ctx, dir, -1)
		synctest.Wait()
		d.set(func(d *testDisk) { d.failed, d.noSync = nil, syscall.EIO })
		if err := l.Append(context.Background(), stanzas(50, 2)); !errors.Is(err, ErrUnrecorded) {
			t.Fatal(err)
		}
		synctest.Wait() // the refusal is told before the lines are cut off
		path, content := lastSegment(t, dir)
		e := stanzaEvent(77) // what was refused, as it stood there for a moment
		e.Seq, e.Time = 4, time.Now()
		ids := newIDMaker(records(t, dir)[2].ID)
		e.ID = ids.make()
		enc := newEncoder("gate-1")
		enc.event(&e, appendTime(nil, e.Time), nil)
		write(t, path, append(content, enc.buf...))
		time.Sleep(pollEvery)
		synctest.Wait()
		d.set(func(d *testDisk) { d.noSync = nil })
		time.Sleep(time.Second)
		long := stanzas(3, 3)
		long[0].Stanza.Thread = []byte("longer than the line that was there before")
		appendAll(t, l, long)
		time.Sleep(pollEvery)
		synctest.Wait()
		cancel()
		<-f.done
		if want := []string{"purple00000000", "purple00000001", "purple00000002", "purple0000004d", "purple00000003", "purple00000004", "purple00000005"}; !slices.Equal(f.ids, want) {
			t.Errorf("followed %v, want %v", f.ids, want)
		}
		closeLog(t, l)
		records(t, dir)
	})
}
