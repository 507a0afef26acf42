package proxy

import (
	"sync"
	"time"

	"sallyport/audit"
	"sallyport/internal/stanza"
)

// queued is one stanza that waits in a queue's buffer, ready to be sent.
type queued struct {
	end    int       // where it ends in the buffer; it begins where the one before it ends
	seq    uint64    // its event in the record; 0 for what has none
	since  time.Time // when it was accepted
	cuts   int       // streams that ended when it was the first to be written
	again  bool      // it was written before, on a stream that ended without a word about it
	answer *answered // of one of our own error replies: never bounced again
	sight  *sight    // nil for what policy is not asked about
}

// answered is the stanza that an error reply answers. What became of it is told when the reply has left.
type answered struct {
	r      route
	seq    uint64 // of the stanza; 0 when the record waits for nothing
	denied bool   // by policy: it was never to be delivered
	lost   bool   // in a crash before this start
	reason stanza.Error
}

// queue holds the stanzas of one route in order, as one run of bytes: what is taken from it is written in one piece.
type queue struct {
	buf   []byte
	items []queued
	room  *room // that both are in; nil while the queue is empty
	peak  int   // bytes of the longest stanza that came in
}

// room is what a queue holds its stanzas in. Queues share them: a link that idles has none.
type room struct {
	buf   []byte
	items []queued
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// usualRoom is above what limits.queue_bytes lets a queue grow to, unless it is set high. Bigger rooms are left to the garbage collector,
// and so is the pool when nothing happens.
const usualRoom = 16 << 20

func (q *queue) push(stanza []byte, it queued) {
	if q.room == nil {
		q.room = rooms.Get().(*room)
		q.buf, q.items = q.room.buf, q.room.items
	}
	q.buf = append(q.buf, stanza...)
	q.peak = max(q.peak, len(stanza))
	it.end = len(q.buf)
	q.items = append(q.items, it)
}

func (q *queue) empty() bool { return len(q.items) == 0 }

// reset empties the queue and gives its room back.
func (q *queue) reset() {
	if q.room != nil && cap(q.buf) <= usualRoom {
		clear(q.items)
		q.room.buf, q.room.items = q.buf[:0], q.items[:0]
		rooms.Put(q.room)
	}
	*q = queue{}
}

// stanza gives the bytes of item i.
func (q *queue) stanza(i int) []byte { return q.buf[q.start(i):q.items[i].end] }

// start is where item i begins; of the item behind the last one, how many bytes the queue holds.
func (q *queue) start(i int) int {
	if i == 0 {
		return 0
	}
	return q.items[i-1].end
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

// older says how many items at the front have waited since before t.
func (q *queue) older(t time.Time) int {
	for i := range q.items {
		if !q.items[i].since.Before(t) {
			return i
		}
	}
	return len(q.items)
}

// shift takes the first n items off, into a queue of their own.
func (q *queue) shift(n int) queue {
	if n == 0 {
		return queue{}
	}
	var rest queue
	for i := n; i < len(q.items); i++ {
		rest.push(q.stanza(i), q.items[i])
	}
	head := *q
	head.items = head.items[:n]
	*q = rest
	return head
}

// sieve takes the items off that are longer than most bytes, into a queue of their own.
func (q *queue) sieve(most int) (long queue) {
	if q.peak <= most {
		return queue{}
	}
	var rest queue
	for i := range q.items {
		if b := q.stanza(i); len(b) > most {
			long.push(b, q.items[i])
		} else {
			rest.push(b, q.items[i])
		}
	}
	q.reset()
	*q = rest
	return long
}

// ranges lists the record's seqs of items[from:to] as closed ranges: what one delivery event settles. Those that were sent again make
// an event of their own.
func (q *queue) ranges(from, to int, again bool) []audit.SeqRange {
	var rs []audit.SeqRange
	for i := from; i < to; i++ {
		seq := q.items[i].seq
		switch {
		case seq == 0, q.items[i].again != again:
		case len(rs) > 0 && rs[len(rs)-1].Last+1 == seq:
			rs[len(rs)-1].Last = seq
		default:
			rs = append(rs, audit.SeqRange{First: seq, Last: seq})
		}
	}
	return rs
}
