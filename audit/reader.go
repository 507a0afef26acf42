package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Place is where a reader of the record stands: behind a whole line of a segment. The zero Place is before the first. It stays valid when the
// segment is compressed, and when lines that were not committed are taken back.
type Place struct {
	Segment int    `json:"segment"` // number of the file
	Offset  int64  `json:"offset"`  // in its plain form
	Seq     uint64 `json:"seq"`     // of the event before it
	ID      ID     `json:"id,omitzero"`
}

// ErrAhead is what a Reader says of a place that the record does not reach: it belongs to another record, or this one was put back.
var ErrAhead = errors.New("the place is behind the end of the record")

// Reader reads a record from a place on, while the gate writes. It is not safe for concurrent use.
type Reader struct {
	t     tail
	at    Place
	ended bool // the last line that was there has been given
	final bool // a later segment was seen: what is read from now on is all of this one
}

// NewReader reads the record in dir from a place on. Close it afterwards.
func NewReader(dir string, from Place) *Reader {
	return &Reader{t: tail{dir: dir, number: from.Segment, last: from.ID}, at: from}
}

// Place is behind the event that was given last.
func (r *Reader) Place() Place { return r.at }

// Close gives back the file.
func (r *Reader) Close() { r.t.close() }

// Next gives the next event up to the seq that is known to be committed, and its line without the end, valid until the next call. io.EOF:
// there is none yet; ask again later. Lines that are not of a record are passed over: Verify tells of them. ErrAhead, wrapped, or an error of
// the disk: nothing can be given.
func (r *Reader) Next(committed uint64) (line []byte, rec Record, err error) {
	if err := r.open(); err != nil {
		return nil, rec, err
	}
	for {
		before := r.t.r.offset
		line, _, err := r.t.r.next()
		switch {
		case errors.Is(err, io.EOF):
			if err := r.advance(); err != nil {
				return nil, rec, err
			}
			continue
		case errors.Is(err, errPassedOver):
			continue
		case err != nil:
			return nil, rec, err
		}
		h, ok := parseHead(line)
		if !ok || bytes.Compare(h.id[:], r.t.last[:]) <= 0 {
			continue
		}
		if h.seq > committed {
			r.t.r.seek(before)
			r.ended = true
			return nil, rec, io.EOF
		}
		if rec, err = ParseRecord(line); err != nil {
			continue
		}
		r.t.last = h.id
		r.at = Place{Segment: r.t.number, Offset: r.t.r.offset, Seq: h.seq, ID: h.id}
		return line, rec, nil
	}
}

// open makes a segment ready to be read on.
func (r *Reader) open() error {
	if r.t.r != nil {
		if r.ended {
			r.ended = false
			return r.t.regain()
		}
		return nil
	}
	if r.at.Segment > 0 {
		err := r.t.enter(r.at.Segment, r.at.Offset)
		if err == nil {
			return r.t.regain()
		}
		if !gone(err) {
			return err
		}
	}
	next, more, err := r.t.following()
	if err != nil {
		return err
	}
	if more {
		return r.t.enter(next, 0)
	}
	if r.at.Segment > 0 {
		return fmt.Errorf("segment %s: %w", segmentName(r.at.Segment), ErrAhead)
	}
	return io.EOF
}

// advance goes on to the next segment, once this one is known to be read to its end. io.EOF: there is none.
func (r *Reader) advance() error {
	if r.final {
		r.final = false
		next, more, err := r.t.following()
		if err != nil || !more {
			return errors.Join(err, io.EOF)
		}
		return r.t.enter(next, 0)
	}
	_, more, err := r.t.following()
	if err != nil {
		return err
	}
	if !more {
		r.ended = true
		return io.EOF
	}
	// The writer begins a segment when it has finished the one before it.
	r.final = true
	return r.t.regain()
}
