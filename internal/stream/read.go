package stream

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"sallyport/internal/stanza"
)

// Next returns the next first-level element that is not a stanza; it is valid until the next call. Errors are
//   - ErrStanza, in front of a stanza, without consuming it;
//   - ErrClosed, at the peer's closing tag, and *Error with Received, at its stream error;
//   - *Error, with what the peer is to be told by Fail, for XML that is refused and limits that are passed;
//   - io.EOF, io.ErrUnexpectedEOF and others of the connection.
//
// All but ErrStanza are the end of reading. Features that the peer sends late are taken in on the way.
func (s *Stream) Next() (*stanza.Element, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	el, err := s.next()
	s.leave(err)
	return el, err
}

// Pass goes past the stanza that Next stopped at. Nothing of it can be seen: it is a stanza of an unproved peer, which old servers
// take for lost and not for an offence (RFC 3920 §8.3).
func (s *Stream) Pass() error {
	if err := s.enter(); err != nil {
		return err
	}
	_, err := s.scan.Next()
	s.leave(err)
	return faulty(err)
}

// Wait returns when Next or Batch would have something to look at, or an error to return; what they returned last is no longer valid.
// They wait by themselves; but a goroutine that idles in here needs half the stack, and there may be thousands.
func (s *Stream) Wait() {
	if s.enter() == nil {
		s.scan.Wait()
		s.leave(nil)
	}
}

func (s *Stream) next() (*stanza.Element, error) {
	if s.said != nil {
		return nil, s.said
	}
	for {
		el, err := s.scan.Next()
		switch {
		case err != nil:
			return nil, faulty(err)
		case el.Kind() != stanza.Other:
			s.scan.Unread()
			return nil, ErrStanza
		case el.Is(nsStream, "error"):
			s.said = received(el.Tree())
			return nil, s.said
		case s.calls && el.Is(nsStream, "features"):
			s.offered(el.Tree())
		default:
			return el, nil
		}
	}
}

// enter begins a call that reads. It refuses when the stream is being read to its end by Close or Fail, or a step failed.
func (s *Stream) enter() error {
	if s.dead {
		return errEnded
	}
	select {
	case s.reading <- struct{}{}:
		return nil
	default:
		return errEnded
	}
}

// leave ends it. Whoever waits for the peer's end, or for the reading goroutine, is told.
func (s *Stream) leave(err error) {
	var e *Error
	reads := err == nil || errors.Is(err, ErrStanza) || errors.Is(err, ErrSilent)
	received := errors.As(err, &e) && e.Received // its closing tag is still to be read
	late := isTimeout(err)
	if !reads && !received && !late {
		s.scan.Release(err)
	}
	<-s.reading
	if reads {
		return
	}
	s.carries.Store(false)
	if late || e != nil && !received {
		return
	}
	s.gone()
}

// gone says that the peer will send nothing more.
func (s *Stream) gone() { s.endOnce.Do(func() { close(s.ended) }) }

// Lift ends the limits on how much an unproved peer may send in all. Any goroutine may call it once the peer is proved, and has to before
// the peer hears so; Trust follows when the reading goroutine knows.
func (s *Stream) Lift() { s.scan.Lift() }

// Trust makes a Trusted of a stream whose peer was proved, and lifts the limits of the unproved. The reading goroutine calls it.
func (s *Stream) Trust() *Trusted {
	if s.enter() == nil {
		s.scan.SetLimits(s.cfg.Limits.proved())
		s.wire.ahead = true
		s.wire.heard = time.Now()
		if s.cfg.Idle > 0 {
			s.clock.set(&s.clock.silent, s.wire.heard.Add(s.cfg.Idle))
		}
		s.carries.Store(true)
		s.leave(nil)
	}
	return &Trusted{stream: s}
}

// Trusted is a stream whose peer may send stanzas. Only Trust makes one.
type Trusted struct{ stream *Stream }

// Stream returns the stream, for its facts and for writing.
func (t *Trusted) Stream() *Stream { return t.stream }

// Batch waits for a first-level element, stanza or not, and appends it to dst[:0] with all that are whole in the buffer behind it,
// up to most of them. They are valid until the next call of Batch or Wait. Errors are those of Stream.Next but ErrStanza, and come after
// the elements before them. After the first error but ErrSilent there is no more to read.
//
// Stanzas that come while the stream is being closed from elsewhere are still returned: the goroutine that reads goes on until
// there is an error, or they are lost.
func (t *Trusted) Batch(dst []stanza.Element, most int) ([]stanza.Element, error) {
	s := t.stream
	if err := s.enter(); err != nil {
		return nil, err
	}
	batch, err := s.batch(dst, most)
	s.leave(err)
	return batch, err
}

func (s *Stream) batch(dst []stanza.Element, most int) ([]stanza.Element, error) {
	if s.said != nil {
		return nil, s.said
	}
	batch, err := s.scan.Batch(dst, most)
	for isTimeout(err) && s.clock.patient() {
		if err = s.silence(); err == nil {
			batch, err = s.scan.Batch(dst, most)
		}
	}
	if err != nil {
		return nil, faulty(err)
	}
	for i := range batch {
		if batch[i].Kind() == stanza.Other && batch[i].Is(nsStream, "error") {
			s.said = received(batch[i].Tree())
			if i == 0 {
				return nil, s.said
			}
			return batch[:i], nil
		}
	}
	return batch, nil
}

// silence moves the deadline on if something has come since it was set, white space for one; otherwise it lifts it, for good.
func (s *Stream) silence() error {
	until := s.wire.heard.Add(s.cfg.Idle)
	if !time.Now().Before(until) {
		s.clock.set(&s.clock.silent, time.Time{})
		return ErrSilent
	}
	return s.clock.set(&s.clock.silent, until)
}

// wire is what the scanner reads.
type wire struct {
	conn  net.Conn
	below *records  // below TLS; nil where there is none, or one that we did not make
	ready readiness // without TLS
	quiet bool      // an exchange is under way that has no room for white space
	ahead bool      // all that the peer has sent is taken at once
	heard time.Time // when something came last, once ahead
}

func newWire(conn net.Conn) *wire {
	w := &wire{conn: conn}
	if c, ok := conn.(*tls.Conn); ok {
		w.below, _ = c.NetConn().(*records)
	} else {
		w.ready = readinessOf(conn)
	}
	return w
}

// Wait returns when there is something to read.
func (w *wire) Wait() error {
	if w.below != nil {
		return w.below.wait()
	}
	return w.ready.wait()
}

// Read reads from the connection, once stanzas are read all that has come and not one TLS record alone. In an exchange of STARTTLS
// or SASL elements follow each other directly ([C22], RFC 6120 §5.3.3, RFC 6120 §6.3.5).
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.conn.Read(b)
	if n > 0 && w.quiet {
		switch b[0] {
		case ' ', '\t', '\r', '\n':
			return 0, &Error{Condition: PolicyViolation, Err: errors.New("white space within a STARTTLS or SASL exchange")}
		}
		w.quiet = false
	}
	if n > 0 && w.ahead {
		w.heard = time.Now()
	}
	if err == nil && w.ahead && w.below != nil && n < len(b) {
		n += w.below.more(w.conn, b[n:])
	}
	return n, err
}
