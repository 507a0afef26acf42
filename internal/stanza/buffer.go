package stanza

import (
	"io"
	"sync"
)

const (
	// busyBuffer is what a stream reads into.
	busyBuffer = 64 << 10
	// doubtfulBuffer is what a stream with a budget begins with: its peer has proved nothing, and may be one of thousands that send
	// half of something in order to be given room.
	doubtfulBuffer = 2 << 10
)

// buffers are shared by all streams: only those that have bytes to scan hold one.
var buffers = sync.Pool{New: func() any { b := make([]byte, busyBuffer); return &b }}

// A Waiter is a reader that can wait for bytes without having room for them. A Scanner of one holds no buffer while the stream idles.
type Waiter interface {
	io.Reader
	// Wait returns when Read would, or nil at any time when it cannot tell.
	Wait() error
}

// Wait returns when Next or Batch would have bytes to look at, or an error to return; without waiting where the reader is no Waiter.
// The elements that were returned are no longer valid. A goroutine that waits here has little on its stack.
func (s *Scanner) Wait() {
	w, ok := s.r.(Waiter)
	if !ok || s.err != nil || s.unread {
		return
	}
	s.consume()
	if s.full || s.start < s.end {
		return
	}
	s.giveBack()
	// What it returns comes again from Read.
	_ = w.Wait()
}

// fill reads more bytes behind those that the buffer holds. An end of the bytes is io.EOF between elements and
// io.ErrUnexpectedEOF elsewhere.
func (s *Scanner) fill() error {
	if w, ok := s.r.(Waiter); ok && s.start == s.end && !s.full {
		s.giveBack()
		if err := w.Wait(); err != nil {
			return err
		}
	}
	s.makeRoom()
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.full = s.end == len(s.buf)
		switch {
		case n > 0:
			return nil // the error, if there is one, comes again
		case err == io.EOF && s.state != between && s.state != atStart:
			return io.ErrUnexpectedEOF
		case err != nil:
			if s.start == s.end {
				s.giveBack()
			}
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom leaves free space behind s.end. A buffer that had to grow for one big element is left when that is consumed.
func (s *Scanner) makeRoom() {
	doubtful := s.limits.Total > 0
	if s.shared == nil && !doubtful {
		s.shared = buffers.Get().(*[]byte)
	}
	held := s.end - s.start
	switch {
	case s.shared != nil && (held == 0 || len(s.buf) < len(*s.shared)):
		s.move(*s.shared)
	case len(s.buf) == 0:
		s.move(make([]byte, doubtfulBuffer))
	case s.end < len(s.buf):
		return
	case held <= len(s.buf)/2:
		s.move(s.buf)
	default:
		s.move(make([]byte, 2*len(s.buf)))
	}
}

// move brings the bytes in hand to the beginning of b, and goes on there.
func (s *Scanner) move(b []byte) {
	n := copy(b, s.buf[s.start:s.end])
	s.work += int64(n)
	s.base += int64(s.start)
	s.buf, s.start, s.end, s.full = b, 0, n, false
}

// Release ends the use of s and of the elements that it returned: others get its buffer. Further calls return err, or the fault that
// has ended the stream before.
func (s *Scanner) Release(err error) {
	if s.err == nil {
		s.err = err
	}
	s.giveBack()
}

// giveBack puts the shared buffer back. Nothing is in it but elements that the last call returned, which are no longer valid.
func (s *Scanner) giveBack() {
	s.move(nil)
	if s.shared == nil {
		return
	}
	if debug {
		copy(*s.shared, overwritten)
	}
	buffers.Put(s.shared)
	s.shared = nil
}
