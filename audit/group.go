package audit

import "time"

const (
	// lull is how long notes wait for more of them when nobody waits for the disk: a write to it costs more than the notes of a link.
	lull = 10 * time.Millisecond
	// manyNotes are company enough.
	manyNotes = 256
)

// group is what goes to the disk in one write: the lines of all callers that came while the disk was busy with the one before.
type group struct {
	lines   []byte
	notes   []Event   // those of its events that nobody waits for, to be encoded again should the commit fail
	waiters []*waiter // who waits for the commit
	fresh   bool      // the clock went back: begin a new segment
	end     position  // of its last event
	born    time.Time // when the first event came
	urgent  bool      // it says what became of stanzas, which a gate that is killed would have to ask after
}

// bigBuffer is what a buffer may keep for the next use.
const bigBuffer = 1 << 20

func (g *group) reset() {
	if cap(g.lines) > bigBuffer {
		g.lines = nil
	}
	clear(g.notes)
	clear(g.waiters)
	g.lines, g.notes, g.waiters, g.fresh, g.urgent = g.lines[:0], g.notes[:0], g.waiters[:0], false, false
}

// answer tells all callers of the group, and gives the events of those that have left, by how they left.
func (g *group) answer(err error) (left [passed + 1][]SeqRange) {
	for _, w := range g.waiters {
		if w.left == waits {
			w.done <- err
		} else {
			left[w.left] = append(left[w.left], w.of)
		}
	}
	return left
}

// lost is what of the group passes without being recorded when it fails and on_failure is pass.
func (g *group) lost() (lost gap) {
	for _, w := range g.waiters {
		if w.left != refused {
			lost.count += w.of.Last - w.of.First + 1
			lost.passed += w.passing
		}
	}
	return lost
}

// mayWait says whether the group gains by being written later.
func (g *group) mayWait() bool { return len(g.waiters) == 0 && !g.urgent && len(g.notes) < manyNotes }

// take gives the writer what there is to write, nil if nothing. Notes alone wait for the end of their lull, for which the writer comes
// again.
func (l *Log) take() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.lullEnd = time.Time{}
	if l.fault != nil {
		return nil
	}
	if l.missed.count > 0 {
		e := l.missed.event()
		l.missed = gap{}
		l.begin(l.clock())
		l.encode(&e)
		l.filling.notes = append(l.filling.notes, e)
	}
	if len(l.filling.lines) == 0 {
		return nil
	}
	if end := l.filling.born.Add(lull); l.filling.mayWait() && !l.closed && time.Now().Before(end) {
		l.w.lullEnd = end
		return nil
	}
	g := l.filling
	g.end = l.at
	l.filling, l.spare = l.spare, nil
	return g
}

// commit tells the callers of a group that it is in the record.
func (l *Log) commit(g *group, segment string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = g.end
	l.segment = segment
	left := g.answer(nil)
	g.reset()
	l.spare = g
	for i := range left { // what was refused by policy needs no settling
		left[i] = l.unsettled.parts(left[i])
	}
	if of := left[refused]; len(of) > 0 {
		l.note(Event{Kind: Delivery, Of: of, Outcome: Dropped, Error: "nobody waited for the record any longer, so they did not pass"})
		l.signal()
	}
	if of := left[passed]; len(of) > 0 {
		l.note(Event{Kind: Delivery, Of: of, Outcome: Written, Error: "they passed before they were in the record, as on_failure says; what became of them is not known"})
		l.signal()
	}
}

// fail takes back all that is not in the record: the group that was being written, if any, and the one that is filling. Their
// callers are told, their notes are kept, and their seqs are given to the next events.
func (l *Log) fail(g *group, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = cause
	l.ailing()
	l.at = l.committed
	l.stamp = l.stamp[:0]
	l.unsettled.cut(l.committed.seq)
	now := l.clock()
	for _, g := range []*group{g, l.filling} {
		if g == nil {
			continue
		}
		if lost := g.lost(); l.cfg.OnFailure == Pass && lost.count > 0 {
			l.miss(lost, now, cause)
		}
		for i := range g.notes {
			l.hold(g.notes[i], now)
		}
		g.answer(unrecorded(cause))
		g.reset()
	}
	if g != nil {
		l.spare = g
	}
}

// resume lets events in again after a fault, those first that waited for it.
func (l *Log) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.since = nil, time.Time{}
	held := l.held
	l.held = nil
	for i := range held {
		l.note(held[i])
	}
}

// gap counts events that are not in the record and never will be.
type gap struct {
	count        uint64
	passed       uint64 // of them: stanzas that were let pass
	since, until time.Time
	cause        string
}

func (g *gap) add(more gap, now time.Time, cause error) {
	if g.count == 0 {
		g.since, g.cause = now, cause.Error()
	}
	g.count += more.count
	g.passed += more.passed
	g.until = now
}

// merge takes back a gap whose own event could not be recorded.
func (g *gap) merge(e *Event) {
	if g.count == 0 {
		g.until = e.Until
	}
	g.count += e.Count
	g.passed += e.Passed
	g.since, g.cause = e.Since, e.Error
}

func (g *gap) event() Event {
	return Event{Kind: AuditGap, Count: g.count, Passed: g.passed, Since: g.since, Until: g.until, Error: g.cause}
}
