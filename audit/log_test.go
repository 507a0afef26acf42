package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAppendSetsSeqTimeAndID(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	before := time.Now().Add(-time.Second)
	a, b := stanzas(0, 3), stanzas(3, 2)
	appendAll(t, l, a)
	appendAll(t, l, b)
	all := records(t, l.cfg.Dir)
	for i, e := range append(a, b...) {
		if e.Seq != uint64(i+1) || e.Time.Before(before) || e.ID.IsZero() {
			t.Errorf("event %d: seq %d, time %s, id %q", i, e.Seq, e.Time, e.ID)
		}
		if r := all[i]; r.Seq != e.Seq || !r.Time.Equal(e.Time) || r.ID != e.ID || r.Stanza.ID != string(e.Stanza.ID) || r.Node != "gate-1" {
			t.Errorf("event %d is recorded as %+v", i, r)
		}
	}
}

// TestAppendIsDurable: when Append returns, the events can be read, and a sync came after the write.
func TestAppendIsDurable(t *testing.T) {
	t.Parallel()
	d := newTestDisk()
	l := openWith(t, Config{Dir: t.TempDir()}, d, time.Now)
	for i := range 5 {
		_, before := d.counts()
		appendAll(t, l, stanzas(i, 1))
		if _, syncs := d.counts(); syncs != before+1 {
			t.Errorf("batch %d: %d syncs", i, syncs-before)
		}
		if n := len(records(t, l.cfg.Dir)); n != i+1 {
			t.Errorf("%d events after %d batches", n, i+1)
		}
	}
}

// TestConcurrentAppenders: nothing is lost or doubled, each caller's events keep their order and stand together, and those who wait
// share a commit.
func TestConcurrentAppenders(t *testing.T) {
	t.Parallel()
	const callers, batches, size = 32, 20, 5
	d := newTestDisk()
	l := openWith(t, Config{Dir: t.TempDir(), SegmentBytes: 200 << 10}, d, time.Now)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			batch := make([]Event, size)
			for b := range batches {
				for i := range batch {
					batch[i] = stanzaEvent(0)
					batch[i].Link = fmt.Sprintf("link%d", c)
					batch[i].Stanza.ID = fmt.Appendf(nil, "%d", b*size+i)
				}
				if err := l.Append(context.Background(), batch); err != nil {
					t.Error(err)
					return
				}
				for i := 1; i < size; i++ {
					if batch[i].Seq != batch[0].Seq+uint64(i) {
						t.Errorf("a batch has seqs %d and %d", batch[i-1].Seq, batch[i].Seq)
					}
				}
				l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{batch[0].Seq, batch[size-1].Seq}}})
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	next := map[string]int{}
	deliveries := 0
	for _, r := range records(t, l.cfg.Dir) {
		if r.Kind == "delivery" {
			deliveries++
			continue
		}
		if r.Stanza.ID != fmt.Sprint(next[r.Link.ID]) {
			t.Fatalf("%s: stanza %s where %d is due", r.Link.ID, r.Stanza.ID, next[r.Link.ID])
		}
		next[r.Link.ID]++
	}
	for c := range callers {
		if n := next[fmt.Sprintf("link%d", c)]; n != batches*size {
			t.Errorf("link%d has %d events", c, n)
		}
	}
	if deliveries != callers*batches {
		t.Errorf("%d delivery events", deliveries)
	}
	if writes, _ := d.counts(); writes >= callers*batches {
		t.Errorf("%d writes for %d batches: nobody shared", writes, callers*batches)
	}
	if open, err := Unsettled(l.cfg.Dir); len(open) > 0 || err != nil {
		t.Errorf("%d unsettled, %v", len(open), err)
	}
}

// TestNotesKeepTheirPlace: an event that nobody waits for stands where it was said, and is on the disk within 100 ms.
func TestNotesKeepTheirPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		l.Note(Event{Kind: LinkOpen, Link: "a", Dir: "in"}, Event{Kind: LinkOpen, Link: "b", Dir: "in"})
		appendAll(t, l, stanzas(0, 1))
		l.Note(Event{Kind: LinkClose, Link: "a"})
		time.Sleep(lull)
		synctest.Wait()
		if got := kindsOf(records(t, dir)); !slices.Equal(got, []string{"link.open", "link.open", "stanza", "link.close"}) {
			t.Errorf("recorded %v", got)
		}
		_, before := d.counts()
		time.Sleep(syncEvery - lull - time.Millisecond)
		synctest.Wait()
		if _, syncs := d.counts(); syncs != before {
			t.Error("a note alone was synced at once")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if _, syncs := d.counts(); syncs != before+1 {
			t.Errorf("%d syncs in the 100 ms after a note", syncs-before)
		}
		closeLog(t, l)
	})
}

// TestNotesShareAWrite: notes wait for each other, a bounded time and number, and not when somebody waits for the disk or the log closes.
func TestNotesShareAWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		written := func(want int, when string, does func(), after time.Duration) {
			t.Helper()
			before, _ := d.counts()
			does()
			time.Sleep(after)
			synctest.Wait()
			if now, _ := d.counts(); now != before+want {
				t.Errorf("%d writes %s, want %d", now-before, when, want)
			}
		}
		note := func(n int) func() {
			return func() {
				for range n {
					l.Note(Event{Kind: LinkClose, Link: "a"})
				}
			}
		}
		synctest.Wait()
		written(0, "within the lull", note(1), lull/2)
		written(1, "at its end", note(2), lull/2)
		note(1)()
		before, _ := d.counts()
		appendAll(t, l, stanzas(0, 1))
		if now, _ := d.counts(); now != before+1 {
			t.Errorf("a stanza behind a note took %d writes", now-before)
		}
		written(0, "after a stanza took a note along", func() {}, lull)
		written(1, "of many notes, at once", note(manyNotes), 0)
		written(1, "of what became of a stanza, at once", func() { l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{5, 5}}}) }, 0)
		note(1)()
		before, _ = d.counts()
		closeLog(t, l)
		if now, _ := d.counts(); now == before {
			t.Error("a note of the last moment is not in the record")
		}
		if got, want := len(records(t, dir)), 3+1+1+manyNotes+1+1; got != want {
			t.Errorf("%d events in the record, want %d", got, want)
		}
	})
}

// TestNoteKeepsNothingOfTheCaller: buffers may be reused when Note has returned, also when the disk makes it wait.
func TestNoteKeepsNothingOfTheCaller(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		appendAll(t, l, stanzas(0, 9))
		d.set(func(d *testDisk) { d.room = 0 })
		id, of := []byte("mine"), []SeqRange{{1, 2}}
		l.Note(Event{Kind: AuthSpoof, Stanza: StanzaPart{ID: id, Kind: "iq"}}, Event{Kind: Delivery, Outcome: Written, Of: of})
		copy(id, "xxxx")
		of[0] = SeqRange{8, 9}
		synctest.Wait()
		d.set(func(d *testDisk) { d.room = -1 })
		time.Sleep(time.Second)
		closeLog(t, l)
		all := records(t, dir)[9:]
		if len(all) != 2 || all[0].Stanza.ID != "mine" || all[1].Of[0] != (SeqRange{1, 2}) {
			t.Errorf("recorded %+v", all)
		}
	})
}

func TestAsyncSyncsEvery100ms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir, Durability: Async}, d, time.Now)
		for i := range 100 {
			appendAll(t, l, stanzas(i, 1))
			time.Sleep(10 * time.Millisecond)
		}
		if _, syncs := d.counts(); syncs < 8 || syncs > 11 {
			t.Errorf("%d syncs in a second", syncs)
		}
		if n := len(records(t, dir)); n != 100 {
			t.Errorf("%d events are written", n)
		}
		closeLog(t, l)
	})
}

func TestLevelNoneIsCountedOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		batch := stanzas(0, 4)
		batch[1].Level, batch[2].Level, batch[3].Level = LevelNone, LevelNone, LevelNone
		batch[3].Decision.Effect = "drop"
		appendAll(t, l, batch)
		if batch[0].Seq != 1 || batch[1].Seq != 0 || batch[1].ID.IsZero() {
			t.Errorf("seqs %d and %d, id %q", batch[0].Seq, batch[1].Seq, batch[1].ID)
		}
		writes, _ := d.counts()
		appendAll(t, l, batch[1:])
		if after, _ := d.counts(); after != writes {
			t.Error("a batch of level none was written")
		}
		time.Sleep(countEvery + tendEvery + time.Second)
		l.Append(context.Background(), batch[1:2])
		closeLog(t, l)
		sums := map[string]uint64{}
		for _, r := range records(t, dir) {
			if r.Kind == "audit.count" {
				sums[r.Local+" "+r.Remote+" "+r.Dir+" "+r.Decision.Effect] += r.Count
			}
		}
		if len(sums) != 2 || sums["corp.example partner.example out allow"] != 5 || sums["corp.example partner.example out drop"] != 2 {
			t.Errorf("counted %v", sums)
		}
	})
}

func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	var c counts
	for i := range 2 * maxCounts {
		e := Event{Dir: "in", Remote: fmt.Sprintf("d%d.example", i)}
		c.add(&e, time.Now())
	}
	if len(c.by) != maxCounts+1 || c.by[countKey{"in", "*", "*", ""}] != maxCounts {
		t.Errorf("%d keys, %d without a name", len(c.by), c.by[countKey{"in", "*", "*", ""}])
	}
}

func TestClosedLogTakesNothing(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	l.Note(Event{Kind: NodeStop})
	closeLog(t, l)
	if err := l.Append(context.Background(), stanzas(0, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	l.Note(Event{Kind: NodeStop})
	closeLog(t, l)
	if got := kindsOf(records(t, l.cfg.Dir)); !slices.Equal(got, []string{"node.stop"}) {
		t.Errorf("recorded %v: what was noted before Close must be there, and nothing else", got)
	}
}

func TestAppendWithEndedContext(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Append(ctx, stanzas(0, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	closeLog(t, l)
	if n := len(records(t, l.cfg.Dir)); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestLongDeliveriesAreSplit(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	appendAll(t, l, stanzas(0, 1000))
	var of []SeqRange
	for s := uint64(1); s <= 1000; s += 2 {
		of = append(of, SeqRange{s, s})
	}
	l.Note(Event{Kind: Delivery, Outcome: Written, Of: of})
	closeLog(t, l)
	longest := 0
	_, content := lastSegment(t, l.cfg.Dir)
	for s := range strings.Lines(string(content)) {
		longest = max(longest, len(s))
	}
	if longest > 4<<10 {
		t.Errorf("a line of %d bytes", longest)
	}
	left, err := Unsettled(l.cfg.Dir)
	if err != nil || len(left) != 500 || left[0].Seq != 2 {
		t.Errorf("%d unsettled, %v", len(left), err)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	batch := stanzas(0, 32)
	appendAll(t, l, batch)
	appendAll(t, l, batch)
	if n := testing.AllocsPerRun(50, func() { appendAll(t, l, batch) }); n > 1 {
		t.Errorf("appending a batch of 32 allocates %v times", n)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	batch := stanzas(0, 3)
	appendAll(t, l, batch)
	if s := l.Stats(); s.Seq != 3 || s.Segment != "00000001.jsonl" || s.Unsettled != 3 || s.Fault != nil || s.Held != 0 {
		t.Errorf("%+v", s)
	}
	l.Note(Event{Kind: Delivery, Outcome: Bounced, Of: []SeqRange{{2, 2}}})
	if s := l.Stats(); s.Unsettled != 2 {
		t.Errorf("%+v", s)
	}
}
