package proxy

import (
	"sync"
	"time"

	"sallyport/audit"
)

// queued is one stanza that waits in a queue's buffer, ready to be sent.
type queued struct {
	end    int       // where it ends in the buffer; it begins where the one before it ends
	seq    uint64    // its event in the record; 0 for what we wrote ourselves
	since  time.Time // when it was accepted
	bounce bool      // one of our own error replies: never bounced again
}

// queue holds the stanzas of one route in order, as one run of bytes: what is taken from it is written in one piece.
type queue struct {
	buf   []byte
	items []queued
	room  *room // that both are in; nil while the queue is empty
}

// room is what a queue holds its stanzas in. Queues share them: a link that idles has none.
type room struct {
	buf   []byte
	items []queued
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// usualRoom is what a link needs whose receiver keeps up. Bigger ones are left to the garbage collector.
const usualRoom = 256 << 10

func (q *queue) push(stanza []byte, seq uint64, bounce bool, now time.Time) {
	if q.room == nil {
		q.room = rooms.Get().(*room)
		q.buf, q.items = q.room.buf, q.room.items
	}
	q.buf = append(q.buf, stanza...)
	q.items = append(q.items, queued{end: len(q.buf), seq: seq, since: now, bounce: bounce})
}

func (q *queue) empty() bool { return len(q.items) == 0 }

// reset empties the queue and gives its room back.
func (q *queue) reset() {
	if q.room != nil && cap(q.buf) <= usualRoom {
		q.room.buf, q.room.items = q.buf[:0], q.items[:0]
		rooms.Put(q.room)
	}
	*q = queue{}
}

// stanza gives the bytes of item i.
func (q *queue) stanza(i int) []byte {
	start := 0
	if i > 0 {
		start = q.items[i-1].end
	}
	return q.buf[start:q.items[i].end]
}

// split says how many items lie wholly within the first n bytes.
func (q *queue) split(n int) int {
	for i := range q.items {
		if q.items[i].end > n {
			return i
		}
	}
	return len(q.items)
}

// ranges lists the record's seqs of items[from:to] as closed ranges: what one delivery event settles.
func (q *queue) ranges(from, to int) []audit.SeqRange {
	var rs []audit.SeqRange
	for _, it := range q.items[from:to] {
		switch {
		case it.seq == 0:
		case len(rs) > 0 && rs[len(rs)-1].Last+1 == it.seq:
			rs[len(rs)-1].Last = it.seq
		default:
			rs = append(rs, audit.SeqRange{First: it.seq, Last: it.seq})
		}
	}
	return rs
}
