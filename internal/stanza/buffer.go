package stanza

import "io"

const (
	smallBuffer = 4 << 10  // what an idle stream holds
	batchBuffer = 64 << 10 // what a busy one reads into
)

// fill reads more bytes behind those that the buffer holds. An end of the bytes is io.EOF between elements and
// io.ErrUnexpectedEOF elsewhere.
func (s *Scanner) fill() error {
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
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom leaves free space behind s.end: a drained buffer goes back to the small one, since the wait ahead may be long; one that
// the last read has filled grows, since there is more to come.
func (s *Scanner) makeRoom() {
	if s.small == nil {
		s.small = make([]byte, smallBuffer)
	}
	held := s.end - s.start
	switch {
	case held == 0:
		s.move(s.small)
	case s.full && len(s.buf) < batchBuffer:
		s.move(make([]byte, min(4*len(s.buf), batchBuffer)))
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
