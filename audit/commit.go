package audit

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"
)

const (
	syncEvery  = 100 * time.Millisecond // the longest that written lines wait for the disk when nobody does
	retryEvery = 250 * time.Millisecond // between attempts on a disk that fails
	tendEvery  = 10 * time.Second       // looks at the space that is left
	rotateIn   = 10 * time.Second       // after a new segment could not be begun
	maxTail    = 4 << 20                // bytes that are written and not synced
)

// writer owns the segment. Nothing else writes to it, and it asks for no lock while the disk works.
//
// What is written but not synced is kept in memory too: after a sync that failed, nobody can say what is on the disk, and the
// kernel does not try again. It is then written once more.
type writer struct {
	disk    disk
	dir     string
	log     *slog.Logger
	limit   int64
	age     time.Duration
	lowMark uint64

	number  int
	name    string // of the segment
	file    file
	durable int64     // bytes that are on the disk
	tail    []byte    // lines after them: in the record, but not synced yet
	reach   int64     // the end of all that was written, be it in the record or not
	began   time.Time // when the first line was written; zero: there is none

	notary notary
	packer *packer // nil: segments stay as they are

	broken   bool // the file must be mended before it is written to
	written  bool // lines since the last failure, so that all that was left over is among them
	ailing   bool // the last commit failed; said once
	spaceLow bool
	lullEnd  time.Time // when notes that wait for more are written; zero: there are none
	syncAt   time.Time // when the tail has to be synced; zero: there is none
	retryAt  time.Time
	rotateAt time.Time // not before
	tendAt   time.Time
}

// run writes groups until the log is closed.
func (l *Log) run() {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		}
		if l.turn() {
			return
		}
		timer.Reset(time.Until(l.w.next()))
	}
}

// next is when the writer has to do something without being told.
func (w *writer) next() time.Time {
	if w.broken {
		return w.retryAt
	}
	at := w.tendAt
	for _, t := range [...]time.Time{w.lullEnd, w.syncAt} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	if w.notary.due.Before(at) {
		at = w.notary.due
	}
	return at
}

// turn does what there is to do, and says whether it was the last.
func (l *Log) turn() (last bool) {
	w := &l.w
	now := time.Now()
	last = l.isClosed()
	if w.broken && !l.mend(now, last) {
		return last
	}
	if last || !now.Before(w.tendAt) {
		if err := l.tend(now); err != nil {
			l.breakDown(nil, err)
		}
	}
	// A commit can bring a note of its own, which has no next turn at the end.
	for g := l.take(); g != nil; g = l.take() {
		if err := l.put(g); err != nil {
			l.breakDown(g, err)
		}
		if !last {
			break
		}
	}
	if !w.broken && len(w.tail) > 0 && (last || len(w.tail) >= maxTail || !time.Now().Before(w.syncAt)) {
		if err := w.sync(0); err != nil {
			l.breakDown(nil, err)
		}
	}
	if w.written && len(w.tail) == 0 { // and on the disk
		l.dropLeftover()
	}
	switch {
	case w.broken:
	case last:
		l.checkpoint(CheckpointStop)
	case !time.Now().Before(w.notary.due):
		l.checkpoint(CheckpointTick)
	}
	return last
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// put brings a group into the record: written, and synced where somebody waits for that.
func (l *Log) put(g *group) error {
	w := &l.w
	number := w.number
	if err := w.rotate(g.fresh); err != nil {
		return err
	}
	if w.number != number {
		l.checkpoint(CheckpointRotate)
	}
	if len(w.tail) == 0 {
		if err := w.file.intact(w.size(), w.size()); err != nil {
			return err
		}
	}
	w.reach = w.size() + int64(len(g.lines))
	if _, err := w.file.WriteAt(g.lines, w.size()); err != nil {
		return err
	}
	if w.began.IsZero() {
		w.began = time.Now()
	}
	if l.cfg.Durability == Sync && len(g.waiters) > 0 {
		if err := w.sync(len(g.lines)); err != nil {
			return err
		}
	} else {
		w.tail = append(w.tail, g.lines...)
		if w.syncAt.IsZero() {
			w.syncAt = g.born.Add(syncEvery)
		}
	}
	if w.ailing {
		w.ailing = false
		w.log.Info("the audit record works again", "segment", w.name)
	}
	w.notary.grow(g.lines)
	l.heard()
	l.commit(g, w.name)
	w.written = true
	return nil
}

// size is where the next line begins.
func (w *writer) size() int64 { return w.durable + int64(len(w.tail)) }

// sync makes the tail durable, and so many bytes written after it.
func (w *writer) sync(after int) error {
	if err := w.file.sync(); err != nil {
		return err
	}
	w.durable = w.size() + int64(after)
	w.tail, w.syncAt = w.tail[:0], time.Time{}
	return nil
}

// rotate begins a new segment when the present one is full or old, or when a fresh one is asked for. That one cannot be begun
// is a reason to fail only then; else the present segment does for longer.
func (w *writer) rotate(fresh bool) error {
	now := time.Now()
	due := w.size() >= w.limit || now.Sub(w.began) >= w.age
	if w.size() == 0 || !fresh && (!due || now.Before(w.rotateAt)) {
		return nil
	}
	if len(w.tail) > 0 {
		if err := w.sync(0); err != nil {
			return err
		}
	}
	f, err := newSegment(w.disk, w.path(w.number+1))
	if err != nil {
		if fresh {
			return err
		}
		w.rotateAt = now.Add(rotateIn)
		w.log.Warn("a new audit segment cannot be begun; the old one is used on", "error", err)
		return nil
	}
	w.file.Close()
	w.file, w.number, w.name, w.durable, w.reach, w.began = f, w.number+1, segmentName(w.number+1), 0, 0, time.Time{}
	if w.packer != nil {
		w.packer.begun(w.number)
	}
	return nil
}

func (w *writer) path(number int) string { return filepath.Join(w.dir, segmentName(number)) }

// breakDown takes back what is not in the record, and cuts it off the file, at once if that is possible.
func (l *Log) breakDown(g *group, cause error) {
	w := &l.w
	if !w.ailing {
		w.ailing = true
		w.log.Error("the audit record takes no events", "error", cause, "on_failure", l.cfg.OnFailure, "advice", "look at the space, permissions and health of the disk of audit.dir")
	}
	w.broken, w.written, w.retryAt = true, false, time.Now().Add(retryEvery)
	l.heard()
	l.fail(g, cause)
	// A failure to mend is found again, and handled, at the next attempt.
	_ = w.mend()
}

// mend tries to get a broken segment to work again: every retryEvery, and once more at the end.
func (l *Log) mend(now time.Time, last bool) bool {
	w := &l.w
	if now.Before(w.retryAt) && !last {
		return false
	}
	if err := w.mend(); err != nil {
		w.retryAt = now.Add(retryEvery)
		l.mu.Lock()
		l.fault = err
		l.mu.Unlock()
		_ = l.keepLeftover(false) // the end tries again, and says so
		return false
	}
	w.broken = false
	l.resume()
	return true
}

// mend opens the segment anew, writes the tail once more, cuts off what is behind it, and syncs. The file is then as the
// record says. That what is durable is still there is asked first: Truncate would put a hole in its place.
func (w *writer) mend() error {
	f, err := w.disk.open(w.path(w.number))
	if err != nil {
		return fmt.Errorf("opening the segment again: %w", err)
	}
	w.file.Close()
	w.file = f
	if err := f.intact(w.durable, w.reach); err != nil {
		return err
	}
	if len(w.tail) > 0 {
		if _, err := f.WriteAt(w.tail, w.durable); err != nil {
			return err
		}
	}
	if err := f.Truncate(w.size()); err != nil {
		return err
	}
	if err := w.sync(0); err != nil {
		return err
	}
	w.reach = w.size()
	return nil
}

// tend looks whether the segment is where it belongs and how much space is left, records counts, and gives back memory that a
// burst needed. The error is for a segment that nobody would find.
func (l *Log) tend(now time.Time) error {
	w := &l.w
	w.tendAt = now.Add(tendEvery)
	l.recordCounts()
	if len(w.tail) == 0 {
		w.tail = nil
	}
	l.lookAtSpace()
	return w.file.named()
}

func (l *Log) lookAtSpace() {
	w := &l.w
	free, err := w.disk.free(w.dir)
	if err != nil {
		w.log.Warn("the space left for the audit record is not known", "error", err)
		return
	}
	warn := free < w.lowMark && !w.spaceLow
	switch {
	case warn:
		w.spaceLow = true
		w.log.Warn("little space is left for the audit record", "free", free, "low_space", w.lowMark)
	case free > w.lowMark+w.lowMark/4:
		w.spaceLow = false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = free
	if warn {
		l.note(Event{Kind: AuditSpace, Bytes: free})
	}
}

// close closes the segment. The writer has returned.
func (w *writer) close() error {
	w.notary.close()
	if w.packer != nil {
		w.packer.close()
	}
	return w.file.Close()
}
