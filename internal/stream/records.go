package stream

import (
	"net"
	"os"
	"sync"
)

const (
	busyBuffer   = 64 << 10 // what a connection reads into
	recordHeader = 5        // RFC 8446 §5.1: type, version, length
)

// buffers are shared by all connections: only those that have bytes for TLS hold one.
var buffers = sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }}

// records is a connection below TLS. It reads what the socket has and gives TLS no more than one record at a time, so that it can
// say whether the next one is at hand. crypto/tls returns one record a Read; a peer that writes stanza by stanza makes a record of
// each, and would have a commit to the audit log for each, were they not taken together.
type records struct {
	net.Conn
	idle *pooled // how it is read while no buffer is held

	// Owned by the reading goroutine.
	buf        *[]byte // of buffers; nil while nothing is held
	start, end int     // what is read and not given to TLS
	due        int     // bytes of the record in hand that TLS has not got
	hasty      bool    // nothing is waited for
	broken     error   // what reading ended with: a socket tells it once

	// Guarded by mu: TLS writes for those who read, too.
	mu   sync.Mutex
	held []byte // what TLS wrote and is not to go yet; nil: it goes at once
}

func newRecords(conn net.Conn) *records { return &records{Conn: conn, idle: pooledOf(conn)} }

// errNotAtHand has crypto/tls go on where it was at the next Read, as every time-out has.
var errNotAtHand = os.ErrDeadlineExceeded

// Read gives the next bytes of one record.
func (r *records) Read(p []byte) (int, error) {
	for r.due == 0 {
		if n, ok := r.length(); ok && (!r.hasty || n <= r.end-r.start) {
			r.due = n
			break
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	if r.start == r.end {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(len(p), r.due)], (*r.buf)[r.start:r.end])
	r.start += n
	r.due -= n
	if r.start == r.end {
		r.giveBack()
	}
	return n, nil
}

// length is that of the next record with its header, if so much of it is there.
func (r *records) length() (n int, ok bool) {
	if r.end-r.start < recordHeader {
		return 0, false
	}
	b := (*r.buf)[r.start:]
	return recordHeader + int(b[3])<<8 + int(b[4]), true
}

// fill reads more from the socket behind what is there. An end within a header is io.EOF too: TLS takes both for a lost connection.
func (r *records) fill() error {
	if r.hasty {
		return errNotAtHand
	}
	if r.broken != nil {
		return r.broken
	}
	if r.buf == nil {
		if buf, n, err, ok := r.idle.read(); ok {
			r.buf, r.start, r.end = buf, 0, n
			if err != nil && !isTimeout(err) {
				r.broken = err
			}
			return err
		}
		r.buf = buffers.Get().(*[]byte)
	}
	b := *r.buf
	if r.start > 0 {
		r.start, r.end = 0, copy(b, b[r.start:r.end])
	}
	n, err := r.Conn.Read(b[r.end:])
	r.end += n
	switch {
	case n > 0:
		return nil // the error, if there is one, comes again
	case r.start == r.end:
		r.giveBack()
	}
	return err
}

// Write sends a record, or holds it.
func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	if r.held != nil {
		r.held = append(r.held, p...)
		r.mu.Unlock()
		return len(p), nil
	}
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// hold keeps what TLS writes.
func (r *records) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make([]byte, 0, 256)
}

// release gives what was kept, for the caller to send.
func (r *records) release() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.held
	r.held = nil
	return b
}

func (r *records) giveBack() {
	buffers.Put(r.buf)
	r.buf, r.start, r.end = nil, 0, 0
}

// wait returns when there is something for TLS, and has read it.
func (r *records) wait() error {
	if r.start < r.end {
		return nil
	}
	return r.fill()
}

// more reads from TLS over r what is at hand, without waiting. An error that is to last comes again from the next Read.
func (r *records) more(conn net.Conn, b []byte) (n int) {
	r.hasty = true
	for n < len(b) {
		m, err := conn.Read(b[n:])
		n += m
		if err != nil {
			break
		}
	}
	r.hasty = false
	return n
}
