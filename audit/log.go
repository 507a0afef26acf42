package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrUnrecorded is what Append's error is when the disk did not take the events: the stanzas must not pass. The error it is
// wrapped in says why.
var ErrUnrecorded = errors.New("the record did not take the events")

// ErrClosed is Append's error after Close.
var ErrClosed = errors.New("the record is closed")

// maxNotes bounds the notes that wait for a disk that does not answer. One takes about a kilobyte.
const maxNotes = 8192

// Log is the record of one gate, open for appending. It is safe for concurrent use.
type Log struct {
	// Set at birth.
	cfg     Config
	now     func() time.Time
	lock    io.Closer
	sealer  *sealer
	wake    chan struct{} // the writer has something to do
	stopped chan struct{} // closed when the writer has returned
	keeper  *keeper       // nil: nothing has a term

	mu sync.Mutex
	// Guarded by mu.
	enc       encoder
	ids       idMaker
	at        position  // of the newest event that was encoded
	committed position  // of the newest that is in the record
	stamp     []byte    // at.time as text
	filling   *group    // takes events
	spare     *group    // empty, for the next exchange; nil while the writer has it
	idle      []*waiter // for reuse
	unsettled ranges    // allowed stanzas without a delivery event
	held      []Event   // notes that wait for the disk
	missed    gap       // events that will never be recorded
	keptCount uint64    // of them: that the file of what is left over tells of
	counts    counts    // stanzas of level none
	fault     error     // the disk fails; nil: it works as far as known
	hung      error     // the disk does not answer; nil: it does as far as known
	since     time.Time // when the one or the other began
	lost      uint64    // events that never will be recorded, since the start
	closed    bool      // no more events

	hasLeftover bool   // there is a file of what the last run left over
	segment     string // the one that was last written to
	free        uint64 // space on the disk, as last looked

	// Owned by the writer.
	w writer
}

// position is a place in the record: the seq and time of an event.
type position struct {
	seq  uint64
	time time.Time
}

// Append records events, in their order, and returns when they are in the record as Config.Durability says. It sets their
// Seq, Time and ID; at level none it counts them and sets no Seq. In steady state it does not allocate.
//
// The error is ErrUnrecorded or ErrClosed, wrapped, or that of ctx: nothing of the batch may pass, and the events' Seq is 0. When it
// is ctx's, the batch may get into the record all the same; a delivery event then says that it did not pass. With
// Config.OnFailure "pass" a disk that fails is no error; the events' Seq is then 0 too. A disk that does not answer within Config.Patience
// is one that fails.
func (l *Log) Append(ctx context.Context, events []Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.ready(ctx, events); err != nil && l.cfg.OnFailure != Pass {
		for i := range events {
			events[i].Seq = 0
		}
		return err
	}
	w, err := l.enqueue(events)
	if w == nil {
		return err
	}
	recorded, err := l.wait(ctx, w)
	if recorded {
		return nil
	}
	for i := range events {
		events[i].Seq = 0
	}
	return err
}

// enqueue adds events to the group that is filling. Without a waiter there is nothing to wait for.
func (l *Log) enqueue(events []Event) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	now := l.clock()
	var recorded, passing uint64
	for i := range events {
		e := &events[i]
		if e.countedOnly() {
			if !e.Again {
				l.counts.add(e, now)
			}
			e.Seq, e.Time, e.ID = 0, now, l.ids.make()
		} else {
			recorded++
			if e.allowed() && !e.Again {
				passing++
			}
		}
	}
	if recorded == 0 {
		return nil, nil
	}
	if cause := l.ails(); cause != nil {
		for i := range events {
			events[i].Seq, events[i].Time, events[i].ID = 0, now, l.ids.make()
		}
		if l.cfg.OnFailure == Pass {
			l.miss(gap{count: recorded, passed: passing}, now, cause)
			return nil, nil
		}
		return nil, unrecorded(cause)
	}
	l.begin(now)
	for i := range events {
		e := &events[i]
		if e.countedOnly() {
			continue
		}
		l.encode(e)
	}
	w := l.waiter()
	w.of, w.passing = SeqRange{l.at.seq - recorded + 1, l.at.seq}, passing
	l.filling.waiters = append(l.filling.waiters, w)
	l.signal()
	return w, nil
}

// ails says why the record takes no events; nil: it does.
func (l *Log) ails() error {
	if l.fault != nil {
		return l.fault
	}
	return l.hung
}

// miss counts events that never will be in the record.
func (l *Log) miss(more gap, now time.Time, cause error) {
	l.missed.add(more, now, cause)
	l.lost += more.count
}

// Note records events that nobody waits for, in their order: they are part of the next commit, which is written within 10 ms, and on the
// disk within 100. The order holds against Append too. While the disk fails they are kept, up to a limit; what exceeds it is counted
// in an audit.gap event. After Close they are ignored.
func (l *Log) Note(events ...Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	alone := len(l.filling.lines) == 0
	for i := range events {
		l.note(events[i].keep())
	}
	if alone || !l.filling.mayWait() {
		l.signal() // else the writer knows
	}
}

// maxRanges bounds the ranges of one delivery event, and with them the length of its line.
const maxRanges = 128

// note encodes an event that the log owns, as several if it is a long delivery event.
func (l *Log) note(e Event) {
	for len(e.Of) > maxRanges {
		part := e
		part.Of, e.Of = e.Of[:maxRanges:maxRanges], e.Of[maxRanges:]
		l.noteOne(part)
	}
	l.noteOne(e)
}

func (l *Log) noteOne(e Event) {
	now := l.clock()
	switch {
	case l.fault != nil:
		l.settle(&e)
		l.hold(e, now)
	case len(l.filling.notes) >= maxNotes:
		l.settle(&e)
		l.miss(gap{count: 1}, now, errSlow)
	default:
		l.begin(now)
		l.encode(&e)
		l.filling.notes = append(l.filling.notes, e)
	}
}

var errSlow = errors.New("the disk is too slow for so many events")

// hold keeps a note until the disk works again. The event then says when it happened.
func (l *Log) hold(e Event, now time.Time) {
	switch {
	case e.Kind == AuditGap:
		l.missed.merge(&e)
	case len(l.held) >= maxNotes:
		l.miss(gap{count: 1}, now, l.fault)
	default:
		if e.Since.IsZero() {
			e.Since = now
			if !e.Time.IsZero() {
				e.Since = e.Time
			}
		}
		l.held = append(l.held, e)
	}
}

// clock reads the time, without Go's monotonic reading: that would hide a clock that was set back.
func (l *Log) clock() time.Time {
	now := l.now().UTC().Round(0)
	l.ids.at(now)
	return now
}

// begin prepares for events of this moment. In a segment time never goes back: a clock that does by more than clockSlack gets
// a new segment, and by less, or in the middle of a group, is held until it has caught up.
func (l *Log) begin(now time.Time) {
	if now.Before(l.at.time) {
		if len(l.filling.lines) == 0 && l.at.time.Sub(now) > clockSlack {
			before := l.at.time
			l.filling.fresh = true
			l.moveTo(now)
			l.encode(&Event{Kind: AuditClock, Since: before})
			return
		}
		now = l.at.time
	}
	l.moveTo(now)
}

// clockSlack is how far a clock may go back without a word. Time daemons slew smaller steps.
const clockSlack = time.Second

func (l *Log) moveTo(now time.Time) {
	if len(l.stamp) == 0 || !now.Equal(l.at.time) {
		l.stamp = appendTime(l.stamp[:0], now)
	}
	l.at.time = now
}

func (l *Log) encode(e *Event) {
	if len(l.filling.lines) == 0 {
		l.filling.born = time.Now()
	}
	l.at.seq++
	e.Seq, e.Time, e.ID = l.at.seq, l.at.time, l.ids.make()
	switch {
	case e.allowed():
		l.unsettled.add(e.Seq)
	case e.Kind == Delivery:
		l.settle(e)
		e.settled = l.unsettled.first(e.Seq)
		l.filling.urgent = true
	}
	l.enc.buf = l.filling.lines
	l.enc.event(e, l.stamp, l.sealer.chainFor(e))
	l.filling.lines = l.enc.buf
}

// settle takes what a delivery event names off the list of stanzas on their way.
func (l *Log) settle(e *Event) {
	for _, r := range e.Of {
		l.unsettled.remove(r)
	}
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close commits what is left, and gives the directory free. What the disk does not take is kept beside the secrets, for the next start. The
// error says what could not be recorded. A disk that does not answer is waited for no longer than Config.Patience; the directory then stays
// locked until the process ends.
func (l *Log) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	done := make(chan error, 1)
	if first {
		l.signal()
		go func() { done <- l.finish() }()
	} else {
		go func() { <-l.stopped; done <- nil }()
	}
	timer := time.NewTimer(l.cfg.Patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Errorf("%w after %s: it is not known whether it has taken the last %d events, and %d more were not recorded", errHangs, l.cfg.Patience,
		l.at.seq-l.committed.seq, l.missed.count+uint64(len(l.held)))
}

// finish is Close for as long as it takes.
func (l *Log) finish() error {
	<-l.stopped
	l.sealer.making.Wait()
	l.mu.Lock()
	for _, c := range l.sealer.chains {
		clear(c.key[:])
	}
	l.mu.Unlock()
	l.keeper.close()
	err := l.w.close()
	l.mu.Lock()
	lost, fault := l.missed.count+uint64(len(l.held)), l.fault
	l.mu.Unlock()
	if lost > 0 {
		where := "and are told of at the next start"
		if keepErr := l.keepLeftover(true); keepErr != nil {
			where, fault = "and that is not kept either", errors.Join(fault, keepErr)
		}
		err = errors.Join(err, fmt.Errorf("%d events were not recorded, %s: %w", lost, where, fault))
	}
	return errors.Join(err, l.lock.Close())
}

func unrecorded(cause error) error { return fmt.Errorf("%w: %w", ErrUnrecorded, cause) }
