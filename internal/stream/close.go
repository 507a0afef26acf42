package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

const (
	// patience bounds the writing of last words to a peer that may not listen.
	patience = 2 * time.Second
	// farewell is the default of Config.Farewell.
	farewell = 5 * time.Second
	// linger is how long the peer has to read an error before the connection goes.
	linger = time.Second
)

// Write sends whole elements in one piece: one system call, or one TLS record where it fits. n says how many bytes were handed
// over. It is safe for concurrent use, waits for Config.WriteTimeout at the most, and after an error nothing more can be written.
func (s *Stream) Write(b []byte) (n int, err error) {
	s.turn <- struct{}{}
	n, err = s.write(b)
	<-s.turn
	s.catchUp()
	return n, err
}

// mostPosted bounds what is posted and not written yet, in bytes.
const mostPosted = 4 << 10

// Post is Write for a goroutine that reads, and must go on reading: two peers that write to each other and read nothing meanwhile would wait
// for ever. While somebody else writes, the elements are kept, and leave right behind. It waits only when there are too many of them.
func (s *Stream) Post(b []byte) error {
	s.postbox.Lock()
	kept := len(s.posted)+len(b) <= mostPosted
	if kept {
		s.posted = append(s.posted, b...)
	}
	s.postbox.Unlock()
	if !kept {
		s.turn <- struct{}{}
		_, err := s.write(append(s.unposted(), b...))
		<-s.turn
		if err != nil {
			return err
		}
	}
	return s.catchUp()
}

// catchUp writes what is posted, unless somebody else is writing, who will.
func (s *Stream) catchUp() error {
	for s.behind() {
		select {
		case s.turn <- struct{}{}:
		default:
			return nil
		}
		_, err := s.write(s.unposted())
		<-s.turn
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Stream) behind() bool {
	s.postbox.Lock()
	defer s.postbox.Unlock()
	return len(s.posted) > 0
}

// unposted takes what is posted.
func (s *Stream) unposted() (b []byte) {
	s.postbox.Lock()
	defer s.postbox.Unlock()
	b, s.posted = s.posted, nil
	return b
}

// write is Write for whoever holds the turn.
func (s *Stream) write(b []byte) (n int, err error) {
	switch {
	case s.open:
		return s.put(b, s.cfg.WriteTimeout)
	case s.ending.Load():
		return 0, errEnded
	}
	return 0, errRestarting
}

// put writes; the caller holds the turn.
func (s *Stream) put(b []byte, timeout time.Duration) (int, error) {
	return s.putOn(s.conn, b, timeout)
}

func (s *Stream) putOn(conn net.Conn, b []byte, timeout time.Duration) (int, error) {
	if s.broken {
		return 0, errEnded
	}
	if err := s.clock.writeWithin(timeout); err != nil {
		return 0, err
	}
	n, err := conn.Write(b)
	s.broken = err != nil
	s.clock.written()
	return n, err
}

// final writes the last element of our document, if it is not written yet. Nothing else is until there is a new document; securing
// says that a TLS handshake comes before that.
func (s *Stream) final(element string, securing bool) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if !s.open {
		return errEnded
	}
	s.open, s.securing = false, securing
	if element == "" {
		return nil
	}
	_, err := s.put([]byte(element), s.cfg.WriteTimeout)
	return err
}

// greet writes our header, and what goes with it in one piece. From there on elements may be written.
func (s *Stream) greet(o opening, features []byte) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.sealed {
		return errEnded
	}
	s.open = true
	_, err := s.put(append(o.appendTo(nil), features...), s.cfg.WriteTimeout)
	return err
}

// Parting sets whole elements that go in front of the closing tag, and of the error if there is one. Who calls it before the end can be
// sure that nothing comes between them.
func (s *Stream) Parting(elements []byte) { s.parting.Store(&elements) }

// Fail ends the stream with an error (RFC 6120 §4.9.1): a header of ours first if the peer has had none, the error, our closing tag,
// and the end of the connection, within two seconds. Of Fail, Close and Abort the first one counts; Fail or Close after it return
// nil at once.
//
// A goroutine that reads still gets what is there, then an error.
func (s *Stream) Fail(e *Error) error {
	if s.ending.Swap(true) {
		return nil
	}
	defer time.AfterFunc(patience, s.hangUp).Stop()
	defer s.hangUp()
	if err := s.lastWords(e); err != nil {
		return err
	}
	s.closeWrite()
	// Closing a connection with unread bytes makes the system throw away what the peer has not read yet: our error.
	s.clock.set(&s.clock.end, time.Now().Add(linger))
	select {
	case s.reading <- struct{}{}:
		io.Copy(io.Discard, s.raw)
	case <-s.ended:
	case <-time.After(linger):
	}
	return nil
}

// Close ends the stream in good order (RFC 6120 §4.4): our closing tag, up to Config.Farewell for the peer's, close_notify, and the
// end of the connection. A goroutine that is reading, or that has called Trust and so will come back for stanzas, goes on reading until
// it gets an error; Close waits for that. Otherwise Close reads, and drops what comes.
func (s *Stream) Close() error {
	if s.ending.Swap(true) {
		return nil
	}
	defer s.hangUp()
	watch := time.AfterFunc(patience, s.hangUp)
	defer watch.Stop()
	if err := s.lastWords(nil); err != nil {
		return err
	}
	watch.Stop()
	s.clock.set(&s.clock.end, time.Now().Add(s.cfg.Farewell))
	s.awaitEnd()
	watch.Reset(patience)
	s.closeWrite()
	return nil
}

// awaitEnd returns when the peer has said its last word, or the time for it is over.
func (s *Stream) awaitEnd() {
	reading := s.reading
	if s.carries.Load() {
		reading = nil
	}
	if s.hasParted() {
		return
	}
	timer := time.NewTimer(s.cfg.Farewell)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	case reading <- struct{}{}:
		_, err := s.scan.Next()
		for err == nil {
			_, err = s.scan.Next()
		}
	}
}

// lastWords writes an error, if there is one, and our closing tag. Nobody can write after it.
func (s *Stream) lastWords(e *Error) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.securing {
		return errRestarting
	}
	var b []byte
	if !s.open {
		b = s.opening().appendTo(b)
	}
	if p := s.parting.Load(); p != nil && s.open {
		b = append(b, *p...)
	}
	s.open, s.sealed = false, true
	if e != nil {
		b = e.appendTo(b)
	}
	b = append(b, "</stream:stream>"...)
	if e == nil && s.hasParted() {
		return s.putLast(b)
	}
	_, err := s.put(b, patience)
	return err
}

// hasParted says whether the peer has ended the stream, or the connection has gone: nobody reads any more.
func (s *Stream) hasParted() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// putLast writes our last words, and those of TLS with them in one piece; the caller holds the turn.
func (s *Stream) putLast(b []byte) error {
	conn := s.conn
	if c, ok := conn.(*tls.Conn); ok {
		if r, ok := c.NetConn().(*records); ok {
			r.hold()
			_, err := c.Write(b)
			c.CloseWrite()
			if b = r.release(); err != nil {
				return err
			}
			conn = s.raw
		}
	}
	_, err := s.putOn(conn, b, patience)
	return err
}

// closeWrite tells the peer below XML that nothing more will come.
func (s *Stream) closeWrite() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if c, ok := s.conn.(*tls.Conn); ok {
		c.CloseWrite()
	}
	if c, ok := s.raw.(*net.TCPConn); ok {
		c.CloseWrite()
	}
}

// Abort ends the connection at once, without a word.
func (s *Stream) Abort() {
	s.ending.Store(true)
	s.hangUp()
}

// hangUp ends the connection. Whoever reads, writes or waits for the peer's end is set free.
func (s *Stream) hangUp() {
	s.raw.Close()
	s.gone()
}

// giveUp ends the stream after a step that failed, as the failure asks for: with a stream error where there is one to tell the
// peer, with the closing tag where the peer has ended it, else with the connection alone.
func (s *Stream) giveUp(err error) {
	var e *Error
	switch {
	case errors.As(err, &e) && !e.Received:
		s.Fail(e)
	case e != nil, errors.Is(err, ErrClosed):
		s.Close()
	default:
		s.Abort()
	}
}
