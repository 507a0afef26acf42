package audit

import "time"

// counts holds the number of stanzas that policy recorded at level none, until they become audit.count events.
type counts struct {
	since time.Time
	by    map[countKey]uint64
}

type countKey struct{ dir, local, remote, effect string }

// maxCounts bounds the keys; pairs beyond it are counted together, without their names.
const maxCounts = 1024

func (c *counts) add(e *Event, now time.Time) {
	if c.by == nil {
		c.by = map[countKey]uint64{}
	}
	if len(c.by) == 0 {
		c.since = now
	}
	k := countKey{e.Dir, e.Local, e.Remote, e.Decision.Effect}
	if _, known := c.by[k]; !known && len(c.by) >= maxCounts {
		k.local, k.remote = "*", "*"
	}
	c.by[k]++
}

// countEvery is how often counts are recorded; a crash loses those since.
const countEvery = time.Minute

// recordCounts notes the counts that are due; at the end all are.
func (l *Log) recordCounts() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.counts.by) == 0 || !l.closed && l.clock().Sub(l.counts.since) < countEvery {
		return
	}
	for k, n := range l.counts.by {
		l.note(Event{Kind: AuditCount, Dir: k.dir, Local: k.local, Remote: k.remote, Count: n, Since: l.counts.since, Decision: DecisionPart{Effect: k.effect}})
	}
	clear(l.counts.by)
}
