package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// faults are the ways in which a disk fails, each with its cure.
var faults = []struct {
	name  string
	cause error
	fail  func(d *testDisk)
	cure  func(d *testDisk)
}{
	{"full", syscall.ENOSPC, func(d *testDisk) { d.room = 0 }, func(d *testDisk) { d.room = -1 }},
	{"full in the middle of a line", syscall.ENOSPC, func(d *testDisk) { d.room = 1000 }, func(d *testDisk) { d.room = -1 }},
	{"I/O error at write", syscall.EIO, func(d *testDisk) { d.failed = syscall.EIO }, func(d *testDisk) { d.failed = nil }},
	{"I/O error at sync", syscall.EIO, func(d *testDisk) { d.noSync = syscall.EIO }, func(d *testDisk) { d.noSync = nil }},
	{"read-only", syscall.EROFS, func(d *testDisk) { d.failed = syscall.EROFS }, func(d *testDisk) { d.failed = nil }},
}

// TestRefuse: what is not recorded does not pass, whatever the disk does; and when it works again, so does the record, by itself
// and without a trace of what was refused (AUDIT "Failure", DESIGN §5, 1).
func TestRefuse(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := newTestDisk()
				l := openWith(t, Config{Dir: dir}, d, time.Now)
				appendAll(t, l, stanzas(0, 3))
				d.set(f.fail)
				for i := range 5 {
					batch := stanzas(100+10*i, 3)
					err := l.Append(context.Background(), batch)
					if !errors.Is(err, ErrUnrecorded) || !errors.Is(err, f.cause) {
						t.Fatalf("Append on a failing disk: %v", err)
					}
					if batch[0].Seq != 0 || batch[2].Seq != 0 {
						t.Errorf("a refused event has seq %d", batch[0].Seq)
					}
					if s := l.Stats(); s.Fault == nil || s.Seq != 3 {
						t.Errorf("%+v", s)
					}
					time.Sleep(300 * time.Millisecond)
				}
				l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{1, 3}}})
				synctest.Wait()
				d.set(f.cure)
				time.Sleep(time.Second)
				batch := stanzas(3, 2)
				appendAll(t, l, batch)
				if s := l.Stats(); s.Fault != nil || s.Held != 0 {
					t.Errorf("%+v", s)
				}
				closeLog(t, l)
				all := records(t, dir)
				if got := kindsOf(all); !slices.Equal(got, []string{"stanza", "stanza", "stanza", "delivery", "stanza", "stanza"}) {
					t.Errorf("recorded %v", got)
				}
				if batch[0].Seq != 5 || all[3].Since.IsZero() {
					t.Errorf("the first event after the fault has seq %d, the delivery happened at %s", batch[0].Seq, all[3].Since)
				}
			})
		})
	}
}

// TestPass: with on_failure pass nothing is refused, and the record says how many are missing.
func TestPass(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := newTestDisk()
				l := openWith(t, Config{Dir: dir, OnFailure: Pass}, d, time.Now)
				appendAll(t, l, stanzas(0, 3))
				d.set(f.fail)
				begin := time.Now()
				for i := range 5 {
					batch := stanzas(100+10*i, 3)
					appendAll(t, l, batch)
					if batch[0].Seq != 0 || batch[0].ID.IsZero() {
						t.Errorf("an unrecorded event has seq %d and id %q", batch[0].Seq, batch[0].ID)
					}
					time.Sleep(300 * time.Millisecond)
				}
				d.set(f.cure)
				time.Sleep(time.Second)
				synctest.Wait()
				all := records(t, dir)
				if got := kindsOf(all); len(got) < 4 || got[3] != "audit.gap" {
					t.Fatalf("recorded %v: the gap must be told of without waiting for traffic", got)
				}
				appendAll(t, l, stanzas(3, 1))
				closeLog(t, l)
				all = records(t, dir)
				missed := uint64(0)
				for _, r := range all[3 : len(all)-1] {
					if r.Kind != "audit.gap" || r.Error == "" || r.Since.Before(begin) || r.Until.Before(r.Since) {
						t.Errorf("%+v", r)
					}
					missed += r.Count
				}
				if missed != 15 || all[len(all)-1].Stanza.ID != "purple00000003" {
					t.Errorf("%d events are told of as missing, want 15; the last is %+v", missed, all[len(all)-1])
				}
			})
		})
	}
}

// TestAsyncSurvivesAFailedSync: what was written and answered for is written again when a sync has failed, for nobody can say
// whether it reached the disk.
func TestAsyncSurvivesAFailedSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir, Durability: Async}, d, time.Now)
		appendAll(t, l, stanzas(0, 3))
		d.set(func(d *testDisk) { d.noSync = syscall.EIO })
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		if err := l.Append(context.Background(), stanzas(50, 1)); !errors.Is(err, ErrUnrecorded) {
			t.Fatalf("Append after a failed sync: %v", err)
		}
		path, _ := lastSegment(t, dir)
		write(t, path, nil) // the kernel dropped the pages
		d.set(func(d *testDisk) { d.noSync = nil })
		time.Sleep(time.Second)
		appendAll(t, l, stanzas(3, 1))
		closeLog(t, l)
		if got := stanzaIDs(records(t, dir)); len(got) != 4 || got[0] != "purple00000000" || got[3] != "purple00000003" {
			t.Errorf("recorded %v", got)
		}
	})
}

// TestFailureUnderLoad: the disk comes and goes while many append. Exactly what was answered with nil is in the record.
func TestFailureUnderLoad(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{Sync, Async} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := newTestDisk()
				l := openWith(t, Config{Dir: dir, Durability: durability, SegmentBytes: 20 << 10}, d, time.Now)
				var mu sync.Mutex
				passed := map[string]uint64{}
				var wg sync.WaitGroup
				for c := range 8 {
					wg.Go(func() {
						for i := range 100 {
							batch := stanzas(c*1000+i*3, 3)
							if err := l.Append(context.Background(), batch); err == nil {
								mu.Lock()
								for _, e := range batch {
									passed[string(e.Stanza.ID)] = e.Seq
								}
								mu.Unlock()
								l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{batch[0].Seq, batch[2].Seq}}})
							}
							time.Sleep(time.Duration(7+c) * time.Millisecond)
						}
					})
				}
				for range 4 {
					for _, f := range faults {
						time.Sleep(40 * time.Millisecond)
						d.set(f.fail)
						time.Sleep(10 * time.Millisecond)
						d.set(f.cure)
					}
				}
				wg.Wait()
				closeLog(t, l)
				recorded := map[string]uint64{}
				for _, r := range records(t, dir) {
					if r.Kind == "stanza" {
						recorded[r.Stanza.ID] = r.Seq
					}
				}
				if len(passed) < 100 || len(passed) > 2300 {
					t.Errorf("%d of 2400 passed: the faults did not fall among them", len(passed))
				}
				for id, seq := range passed {
					if recorded[id] != seq {
						t.Fatalf("stanza %s passed with seq %d, and is recorded with %d", id, seq, recorded[id])
					}
				}
				if len(recorded) != len(passed) {
					t.Errorf("%d recorded, %d passed", len(recorded), len(passed))
				}
				if left, err := Unsettled(dir); len(left) > 0 || err != nil {
					t.Errorf("%d unsettled, %v: a delivery was lost", len(left), err)
				}
			})
		})
	}
}

// TestHeldNotesAreBounded: a disk that never comes back does not take all memory, and the loss is told.
func TestHeldNotesAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		d.room = 0
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		for range maxNotes + 500 {
			l.Note(Event{Kind: LinkFail, Step: "dns"})
		}
		synctest.Wait()
		for range 500 {
			l.Note(Event{Kind: LinkFail, Step: "dns"})
		}
		if s := l.Stats(); s.Held != maxNotes || s.Missed != 1000 {
			t.Errorf("%d held, %d missed", s.Held, s.Missed)
		}
		d.set(func(d *testDisk) { d.room = -1 })
		time.Sleep(time.Second)
		closeLog(t, l)
		var missed, failed uint64
		for _, r := range records(t, dir) {
			missed += r.Count
			if r.Kind == "link.fail" {
				failed++
			}
		}
		if missed != 1000 || failed != maxNotes {
			t.Errorf("%d missing, %d recorded", missed, failed)
		}
	})
}

// TestEndWhileTheDiskFails: what passed unrecorded and what waited for the disk is not forgotten when the gate stops, or is killed, before
// the disk works again: the next run tells of it, once. Close says so, and says so if that could not be kept.
func TestEndWhileTheDiskFails(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"stopped", "killed", "killed while it told"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := Config{Dir: t.TempDir(), Secrets: t.TempDir(), OnFailure: Pass}
			var kept []byte
			synctest.Test(t, func(t *testing.T) {
				d := newTestDisk()
				l := openWith(t, c, d, time.Now)
				appendAll(t, l, stanzas(0, 2))
				d.set(func(d *testDisk) { d.failed = syscall.EIO })
				appendAll(t, l, stanzas(2, 3))
				time.Sleep(time.Second)
				appendAll(t, l, stanzas(5, 1))
				l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{1, 2}}}, Event{Kind: NodeStop})
				time.Sleep(time.Second)
				if how != "stopped" {
					kept = readFile(t, filepath.Join(c.Secrets, leftoverName)) // as it is at any moment
				}
				if err := l.Close(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "6 events were not recorded, and are told of at the next start") {
					t.Errorf("Close: %v", err)
				}
			})
			left := filepath.Join(c.Secrets, leftoverName)
			if kept != nil {
				write(t, left, kept)
			} else {
				kept = readFile(t, left)
			}
			for again := range 2 {
				closeLog(t, openWith(t, c, osDisk{}, time.Now))
				if _, err := os.Stat(left); !gone(err) {
					t.Errorf("%s is still there: %v", left, err)
				}
				if again == 0 && how == "killed while it told" {
					write(t, left, kept)
				}
			}
			all := records(t, c.Dir)
			want := []string{"stanza", "stanza", "audit.gap"}
			if how == "stopped" {
				want = append(want, "delivery", "node.stop")
			}
			kinds := kindsOf(all)
			slices.Sort(kinds)
			slices.Sort(want)
			if !slices.Equal(kinds, want) {
				t.Fatalf("recorded %v, want %v", kinds, want)
			}
			for _, r := range all {
				if r.Kind == "audit.gap" && (r.Count != 4 || r.Passed != 4 || r.Error == "" || r.Until.Sub(r.Since) < time.Second) {
					t.Errorf("%+v", r)
				}
			}
			if open, err := Unsettled(c.Dir); err != nil || how == "stopped" && len(open) > 0 {
				t.Errorf("%d unsettled, %v", len(open), err)
			}
		})
	}
	d := newTestDisk()
	c := Config{Dir: t.TempDir(), Secrets: filepath.Join(t.TempDir(), "secrets")}
	l := openWith(t, c, d, time.Now)
	d.set(func(d *testDisk) { d.failed = syscall.EIO })
	l.Note(Event{Kind: NodeStop})
	if err := os.RemoveAll(c.Secrets); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "1 events were not recorded, and that is not kept either") {
		t.Errorf("Close: %v", err)
	}
}

// TestCloseOnADiskThatHangs: a stop waits for a disk that does not answer as long as a stanza does.
func TestCloseOnADiskThatHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir, OnFailure: Pass, Patience: 3 * time.Second}, d, time.Now)
		d.stall = make(chan struct{})
		appendAll(t, l, stanzas(0, 2)) // it passes when patience ends
		appendAll(t, l, stanzas(2, 2))
		begun := time.Now()
		err := l.Close()
		if took := time.Since(begun); took != 3*time.Second || !errors.Is(err, errHangs) || !strings.Contains(err.Error(), "the last 2 events, and 2 more were not recorded") {
			t.Errorf("Close: %v after %s", err, took)
		}
		close(d.stall)
		synctest.Wait()
		if all := records(t, dir); len(all) != 4 || all[3].Kind != "audit.gap" || all[3].Count != 2 {
			t.Errorf("recorded %v", kindsOf(all))
		}
	})
}

func TestRemovedDirectory(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir() + "/audit"})
	appendAll(t, l, stanzas(0, 1))
	if err := os.RemoveAll(l.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(context.Background(), stanzas(1, 1)); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("Append into a removed directory: %v", err)
	}
	if _, err := os.Stat(l.cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the directory is there again: its history is not")
	}
}

func TestLowSpaceIsToldOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		var out strings.Builder
		l := openWith(t, Config{Dir: dir, LowSpace: 1000, Log: slog.New(slog.NewTextHandler(&out, nil))}, d, time.Now)
		for _, space := range []uint64{5000, 900, 800, 1100, 700, 2000, 600} {
			d.set(func(d *testDisk) { d.space = space })
			time.Sleep(tendEvery)
			synctest.Wait()
		}
		closeLog(t, l)
		var told []uint64
		for _, r := range records(t, dir) {
			told = append(told, r.Bytes)
		}
		if !slices.Equal(told, []uint64{900, 600}) {
			t.Errorf("recorded %v", told)
		}
		if n := strings.Count(out.String(), "little space"); n != 2 {
			t.Errorf("logged %d times", n)
		}
	})
}

// TestSlowDisk: a disk that takes a second for each sync refuses nobody and forgets nothing: all who come meanwhile share the next one.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		l := openWith(t, Config{Dir: dir}, d, time.Now)
		d.set(func(d *testDisk) { d.slow = time.Second })
		_, before := d.counts()
		begun := time.Now()
		var wg sync.WaitGroup
		for c := range 50 {
			wg.Go(func() {
				for i := range 4 {
					time.Sleep(time.Duration(c) * 7 * time.Millisecond)
					batch := stanzas(c*1000+i*2, 2)
					appendAll(t, l, batch)
					l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{batch[0].Seq, batch[1].Seq}}})
				}
			})
		}
		wg.Wait()
		_, after := d.counts()
		if took := time.Since(begun); took > 10*time.Second || after-before > 10 || l.Stats().Fault != nil {
			t.Errorf("it took %s and %d syncs: %v", took, after-before, l.Stats().Fault)
		}
		closeLog(t, l)
		if left, err := Unsettled(dir); err != nil || len(left) > 0 || len(stanzaIDs(records(t, dir))) != 400 {
			t.Errorf("%d unsettled of %d, %v", len(left), len(stanzaIDs(records(t, dir))), err)
		}
	})
}

// TestHangingDisk: a caller need not wait longer than it wants to; the others wait on, and get what they waited for.
func TestHangingDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		d.stall = make(chan struct{})
		l := openWith(t, Config{Dir: dir, Patience: MostPatience}, d, time.Now)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		patient := make(chan error)
		go func() { patient <- l.Append(context.Background(), stanzas(0, 1)) }()
		synctest.Wait()
		batch := stanzas(1, 3)
		batch[1].Level = LevelNone
		if err := l.Append(ctx, batch); !errors.Is(err, context.DeadlineExceeded) || batch[0].Seq != 0 || batch[2].Seq != 0 {
			t.Errorf("after a minute: %v, seq %d", err, batch[0].Seq)
		}
		last := make(chan error)
		go func() { last <- l.Append(context.Background(), stanzas(4, 1)) }()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- l.Close() }()
		synctest.Wait()
		close(d.stall)
		if err := errors.Join(<-patient, <-last, <-closed); err != nil {
			t.Errorf("who waited: %v", err)
		}
		if got := stanzaIDs(records(t, dir)); !slices.Equal(got, []string{"purple00000000", "purple00000001", "purple00000003", "purple00000004"}) {
			t.Errorf("recorded %v", got)
		}
		// What was left did not pass, so it is not on its way; the others are.
		left, err := Unsettled(dir)
		if got := stanzaIDs(left); err != nil || !slices.Equal(got, []string{"purple00000000", "purple00000004"}) {
			t.Errorf("unsettled are %v, %v", got, err)
		}
	})
}

// TestDiskThatDoesNotAnswer: nobody waits longer than Patience. Then it is as with a disk that fails: nothing passes, or all does and the
// record says so, and it goes on by itself. What was written at last is settled, for nobody can say any more what became of it.
func TestDiskThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, onFailure := range []string{Refuse, Pass} {
		t.Run(onFailure, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := newTestDisk()
				d.stall = make(chan struct{})
				var out strings.Builder
				l := openWith(t, Config{Dir: dir, OnFailure: onFailure, Patience: 3 * time.Second, Log: slog.New(slog.NewTextHandler(&out, nil))}, d, time.Now)
				begun := time.Now()
				for i, waits := range []time.Duration{3 * time.Second, 0, 0} {
					batch := stanzas(2*i, 2)
					err := l.Append(context.Background(), batch)
					if refused := errors.Is(err, ErrUnrecorded) && errors.Is(err, errHangs); refused != (onFailure == Refuse) || err != nil && !refused {
						t.Errorf("Append: %v", err)
					}
					if batch[0].Seq != 0 || time.Since(begun) != waits {
						t.Errorf("batch %d has seq %d after %s, want none after %s", i, batch[0].Seq, time.Since(begun), waits)
					}
					begun = time.Now()
				}
				if s := l.Stats(); !errors.Is(s.Fault, errHangs) || !s.Since.Equal(time.Now()) {
					t.Errorf("%+v", s)
				}
				close(d.stall)
				synctest.Wait()
				if s := l.Stats(); s.Fault != nil {
					t.Errorf("%+v", s)
				}
				appendAll(t, l, stanzas(6, 1))
				closeLog(t, l)
				all := records(t, dir)
				if got := stanzaIDs(all); !slices.Equal(got, []string{"purple00000000", "purple00000001", "purple00000006"}) {
					t.Errorf("recorded %v", got)
				}
				left, err := Unsettled(dir)
				if got := stanzaIDs(left); err != nil || !slices.Equal(got, []string{"purple00000006"}) {
					t.Errorf("unsettled are %v, %v", got, err)
				}
				outcome, missed := map[string]string{Refuse: Dropped, Pass: Written}[onFailure], map[string]uint64{Pass: 4}[onFailure]
				if i := slices.IndexFunc(all, func(r Record) bool { return r.Kind == "delivery" }); i < 0 || all[i].Outcome != outcome || all[i].Error == "" {
					t.Errorf("no word of the outcome %s in %+v", outcome, all)
				}
				count := uint64(0)
				for _, r := range all {
					count += r.Count
				}
				if s := l.Stats(); count != missed || s.Lost != missed {
					t.Errorf("the record tells of %d that passed unrecorded, the statistics of %d, want %d", count, s.Lost, missed)
				}
				if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "does not answer") || !strings.Contains(lines[1], "answers again") {
					t.Errorf("logged:\n%s", out.String())
				}
			})
		})
	}
}

// TestLeftBehindAFailure: whoever has left a group that fails settles nothing: the seqs go to other events.
func TestLeftBehindAFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		d.stall = make(chan struct{})
		l := openWith(t, Config{Dir: dir, Patience: MostPatience}, d, time.Now)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Append(ctx, stanzas(0, 2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		d.set(func(d *testDisk) { d.room = 100 })
		close(d.stall)
		synctest.Wait()
		d.set(func(d *testDisk) { d.room = -1 })
		time.Sleep(time.Second)
		batch := stanzas(2, 2)
		appendAll(t, l, batch)
		closeLog(t, l)
		left, err := Unsettled(dir)
		if got := stanzaIDs(left); err != nil || !slices.Equal(got, []string{"purple00000002", "purple00000003"}) || batch[0].Seq != 1 {
			t.Errorf("unsettled are %v, %v", got, err)
		}
	})
}

// TestFaultIsLoggedOnce: one line when it begins, one when it is over, however often it is tried in between.
func TestFaultIsLoggedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk()
		var out strings.Builder
		l := openWith(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&out, nil))}, d, time.Now)
		d.set(func(d *testDisk) { d.room = 0 })
		for range 20 {
			l.Append(context.Background(), stanzas(0, 1))
			time.Sleep(100 * time.Millisecond)
		}
		d.set(func(d *testDisk) { d.room = -1 })
		time.Sleep(time.Second)
		appendAll(t, l, stanzas(0, 1))
		closeLog(t, l)
		if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "no space left") || !strings.Contains(lines[1], "works again") {
			t.Errorf("logged:\n%s", out.String())
		}
	})
}

// TestLeftoverStaysUntilSynced: what the last run left over is forgotten when it is on the disk, and not when it is written only, or about
// to be.
func TestLeftoverStaysUntilSynced(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), Secrets: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		l := openWith(t, c, osDisk{}, time.Now)
		appendAll(t, l, stanzas(0, 2))
		closeLog(t, l)
		path := filepath.Join(c.Secrets, leftoverName)
		b, err := json.Marshal(leftover{Count: 3, Since: time.Now(), Until: time.Now(), Error: "full"})
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, b)
		l = openWith(t, c, osDisk{}, time.Now)
		for _, wait := range []time.Duration{0, lull / 2, syncEvery / 2} {
			time.Sleep(wait)
			synctest.Wait()
			if _, err := os.Stat(path); err != nil {
				t.Errorf("before the sync: %v", err)
			}
		}
		if kinds := kindsOf(records(t, c.Dir)); !slices.Contains(kinds, "audit.gap") {
			t.Errorf("not written yet: %v", kinds)
		}
		time.Sleep(syncEvery)
		synctest.Wait()
		if _, err := os.Stat(path); !gone(err) {
			t.Errorf("after the sync: %v", err)
		}
		closeLog(t, l)
	})
}

// TestPipesInTheRecord: a pipe in the place of a file holds up neither the gate nor a reader.
func TestPipesInTheRecord(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(dir string) error{
		holdsName:      func(dir string) error { _, err := keptHolds(dir); return err },
		lookName:       func(dir string) error { _, err := trustClock(dir, time.Now()); return err },
		publicKeysName: func(dir string) error { _, err := RecordKeys(dir); return err },
		"default/2026-01-01-1.age": func(dir string) error {
			keys, err := SealingKeys(dir)
			if err != nil || len(keys) != 1 {
				return fmt.Errorf("%d keys, %w", len(keys), err)
			}
			if err := keys[0].Destroy(); !errors.Is(err, syscall.ENXIO) {
				return err
			}
			return errNotRegular
		},
		segmentName(1): func(dir string) error {
			return (&packer{disk: osDisk{}, dir: dir, log: slog.New(slog.DiscardHandler)}).pack(context.Background(), 1)
		},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if filepath.Ext(name) == keySuffix {
			path = filepath.Join(dir, keysDir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- read(dir) }()
		select {
		case err := <-done:
			if !errors.Is(err, errNotRegular) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it waits", name)
		}
	}
}

// TestOwnedByAnyName: a gate's own record is that by a link to it too, and a copy is not.
func TestOwnedByAnyName(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	closeLog(t, open(t, Config{Dir: dir}))
	link, other := filepath.Join(t.TempDir(), "link"), filepath.Join(t.TempDir(), "copy")
	if err := errors.Join(os.Symlink(dir, link), os.CopyFS(other, os.DirFS(dir))); err != nil {
		t.Fatal(err)
	}
	if !Owned(dir) || !Owned(link) || !Owned(filepath.Join(dir, ".")) || Owned(other) {
		t.Error("it depends on the name")
	}
}
