package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"sallyport/internal/jid"
)

// Hosts says whether the receiving server answers for the domain to, which is zero where the header names none, when from calls. It
// returns the domain to answer as. With an error, usually an *Error such as HostUnknown, it is the one in whose name that goes out.
type Hosts func(to, from jid.Domain) (as jid.Domain, err error)

// Accept is the receiving server's beginning of a stream: it reads the header and answers it, with features if the peer has a
// version ([C13], [C14]). features returns what stands inside <stream:features>, for the stream as it is at that moment; it must
// not write to the stream. If conn is a *tls.Conn, its handshake comes first (XEP-0368).
//
// When Accept fails, the peer has been told why behind a full header of ours (RFC 6120 §4.9.1.2) as far as there was something to
// tell, and the connection is closed. The error is an *Error where a stream error was sent, ConnectionTimeout for one.
func Accept(ctx context.Context, conn net.Conn, c Config, hosts Hosts, features func(*Stream) []byte) (*Stream, error) {
	s := newStream(conn, c)
	s.hosts, s.offer = hosts, features
	err := s.step(ctx, func() error {
		if err := s.directTLS(conn); err != nil {
			return err
		}
		return s.answer(ctx, Header{})
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// StartTLS is the receiving server's part of RFC 6120 §5.4, from the <starttls/> that Next has just returned to the headers of the
// new stream. The peer may have asked without an offer, even without a version ([T10]).
//
// Bytes behind <starttls/> end the connection unread ([T03], CVE-2011-0411), and so does a handshake that fails, without a closing tag
// ([T05]). What was learnt before is dropped ([C11]); only, a domain that the first header named may not be another one now: that
// is an *Error with InvalidFrom or NotAuthorized (CVE-2018-10847). When StartTLS fails, the stream has ended.
func (s *Stream) StartTLS(ctx context.Context, cfg *tls.Config) error {
	return s.step(ctx, func() error {
		if n := s.scan.Buffered(); n > 0 {
			return fmt.Errorf("%d bytes came behind <starttls/> in clear", n)
		}
		if err := s.final("<proceed xmlns='"+nsTLS+"'/>", true); err != nil {
			return fmt.Errorf("sending <proceed/>: %w", err)
		}
		before := s.PeerHeader()
		if err := s.handshake(tls.Server(newRecords(s.raw), cfg)); err != nil {
			return err
		}
		return s.answer(ctx, before)
	})
}

// Restart answers the header that the peer sends after SASL success: new documents on the same channel, with a new id ([C10],
// [S06]). It fails as StartTLS does.
func (s *Stream) Restart(ctx context.Context) error {
	return s.step(ctx, func() error {
		if n := s.scan.Buffered(); n > 0 {
			return fmt.Errorf("%d bytes came behind the authentication, before its success", n)
		}
		if err := s.final("", false); err != nil {
			return err
		}
		before := s.PeerHeader()
		s.begin(s.wire.conn, s.TLS())
		return s.answer(ctx, before)
	})
}

// answer reads a header and answers it ([C07], [C09]); before is the one before a restart.
func (s *Stream) answer(ctx context.Context, before Header) error {
	h, err := readHeader(s.scan, s.cfg.Strict)
	var fault *Error
	if err = overdue(ctx, err); err != nil && !errors.As(err, &fault) {
		err = fmt.Errorf("waiting for the stream header: %w", err)
		if isTimeout(err) {
			err = &Error{Condition: ConnectionTimeout, Err: err}
		}
		return err
	}
	s.cfg.Log.Debug("stream header", "side", s.cfg.Side, "peer", s.addr, "from", h.From, "to", h.To, "version", h.Version, "error", err)
	as, refusal := s.hosts(h.To, h.From)
	s.learn(func(f *facts) { f.local, f.id, f.peer = as, NewID(), h })
	if err == nil {
		err = unchanged(before, h)
	}
	if err == nil && refusal != nil {
		err = refusal
		if !errors.As(err, &fault) {
			err = &Error{Condition: InternalServerError, Err: refusal}
		}
	}
	if err != nil {
		return err
	}
	return s.greet(s.opening(), s.features())
}

// features are what goes with our header: nothing to a peer without version, whom they confuse.
func (s *Stream) features() []byte {
	if !s.PeerHeader().Version.modern() {
		return nil
	}
	return append(append([]byte("<stream:features>"), s.offer(s)...), "</stream:features>"...)
}

// unchanged refuses a peer that is somebody else, or calls somebody else, after a restart than before.
func unchanged(before, now Header) error {
	changed := func(a, b jid.Domain) bool { return !a.IsZero() && !b.IsZero() && a != b }
	switch {
	case changed(before.From, now.From):
		return &Error{Condition: InvalidFrom, Err: fmt.Errorf("from was %s before the restart, and is %s", before.From, now.From)}
	case changed(before.To, now.To):
		return &Error{Condition: NotAuthorized, Err: fmt.Errorf("to was %s before the restart, and is %s", before.To, now.To)}
	}
	return nil
}

// directTLS shakes hands on a connection that begins with TLS.
func (s *Stream) directTLS(conn net.Conn) error {
	c, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	s.turn <- struct{}{}
	s.securing = true
	<-s.turn
	return s.handshake(c)
}

// handshake puts TLS under the stream and begins new documents over it. When it fails, XML cannot be sent any more ([T05]).
func (s *Stream) handshake(conn *tls.Conn) error {
	// Its time is that of the step: HandshakeContext would keep a goroutine for the same.
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	state := conn.ConnectionState()
	if p := state.NegotiatedProtocol; p != "" && p != alpn {
		return fmt.Errorf("%w: %q", ErrProtocol, p)
	}
	s.turn <- struct{}{}
	s.conn, s.securing = conn, false
	<-s.turn
	s.begin(conn, &state)
	return nil
}
