package audit

import "time"

// Stats is the state of a Log at one moment, for status pages and metrics.
type Stats struct {
	Seq       uint64 // of the newest event in the record
	Segment   string // that it is in
	Unsettled uint64 // allowed stanzas that are still on their way
	Held      int    // events that wait for the disk to work again
	Missed    uint64 // events that will never be recorded, and not yet told of by an audit.gap event
	Free      uint64 // bytes left on the disk, as looked up every ten seconds
	Lost      uint64 // events since the start that never will be recorded, told of or not

	Fault error     // why the record takes no events; nil: it does
	Since time.Time // when that began
}

// Stats tells how the record is doing.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Seq: l.committed.seq, Segment: l.segment, Unsettled: l.unsettled.count(), Held: len(l.held), Missed: l.missed.count, Free: l.free, Lost: l.lost}
	if s.Fault = l.ails(); s.Fault != nil {
		s.Since = l.since
	}
	return s
}
