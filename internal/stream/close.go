package stream

import (
	"crypto/tls"
	"net"
	"time"
)

const (
	// lastWords bounds the writing of an error to a peer that may not listen.
	lastWords = 2 * time.Second
	// farewell is how long the peer's closing tag is waited for ([C17]).
	farewell = 5 * time.Second
)

// Fail ends the stream with an error (RFC 6120 §4.9.1): a header first if the peer has had none (RFC 6120 §4.9.1.2), the error,
// the closing tag, and the end of the connection. It takes two seconds at the most. The first Fail, Close or Abort counts.
func (s *Stream) Fail(e *Error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.ended {
		return nil
	}
	s.ended = true
	var b []byte
	if !s.greeted {
		s.state.Lock()
		if s.id == "" {
			s.id = NewID()
		}
		b = appendHeader(b, s.local.String(), s.peer.From.String(), s.id, s.cfg.Lang, !s.peer.Version.None())
		s.state.Unlock()
	}
	conn := s.transport()
	conn.SetWriteDeadline(time.Now().Add(lastWords))
	_, err := conn.Write(e.appendTo(b))
	s.hangUp(conn)
	return err
}

// Close ends the stream in good order (RFC 6120 §4.4): our closing tag, up to five seconds for the peer's, close_notify, and the end
// of the connection. The peer's tag is waited for only where another goroutine is reading: that one goes on, and sees the end.
func (s *Stream) Close() error {
	s.write.Lock()
	if s.ended {
		s.write.Unlock()
		return nil
	}
	s.ended = true
	conn := s.transport()
	conn.SetWriteDeadline(time.Now().Add(lastWords))
	_, err := conn.Write([]byte("</stream:stream>"))
	s.write.Unlock()
	if err == nil && s.reading.Load() {
		s.awaitEnd(conn)
	}
	s.hangUp(conn)
	return err
}

// awaitEnd waits for the peer's closing tag. The deadline wakes a goroutine that reads the stream, so that nobody is left behind.
func (s *Stream) awaitEnd(conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(farewell))
	select {
	case <-s.peerEnded:
	default:
		t := time.NewTimer(farewell)
		defer t.Stop()
		select {
		case <-s.peerEnded:
		case <-t.C:
		}
	}
}

// Abort ends the connection at once.
func (s *Stream) Abort() {
	s.write.Lock()
	s.ended = true
	s.write.Unlock()
	s.transport().Close()
}

// hangUp closes the transport; on TLS, close_notify goes first.
func (s *Stream) hangUp(conn net.Conn) {
	if c, ok := conn.(*tls.Conn); ok {
		c.SetWriteDeadline(time.Now().Add(lastWords))
		c.CloseWrite()
	}
	conn.Close()
}
