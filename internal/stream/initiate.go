package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// ErrNoTLS: the peer answered <starttls/> with a failure.
var ErrNoTLS = errors.New("the peer refuses TLS")

// Initiate is the initiating server's beginning of a stream: it sends the header for the pair of from and to, reads the peer's and,
// if the peer has a version, its features. If conn is a *tls.Conn, its handshake comes first (XEP-0368).
//
// When Initiate fails, the connection is closed. The error is an *Error with Received where the peer gave a reason, HostUnknown for
// one, and an *Error without it where the peer was told what is wrong with its own part.
func Initiate(ctx context.Context, conn net.Conn, c Config, from, to jid.Domain) (*Stream, error) {
	s := newStream(conn, c)
	s.calls, s.from, s.to = true, from, to
	err := s.step(ctx, func() error {
		if err := s.directTLS(conn); err != nil {
			return err
		}
		return s.call()
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ClientTLS is the initiating server's part of RFC 6120 §5.4, whether or not the peer offers it ([T10]), up to the new stream with its
// headers and features. It fails with ErrNoTLS, with an error of the handshake, or as Initiate does; the stream has ended then, by
// closing the connection. Bytes behind <proceed/> are such a failure, too ([T03], CVE-2011-0411).
func (s *Stream) ClientTLS(ctx context.Context, cfg *tls.Config) error {
	return s.step(ctx, func() error {
		if s.TLS() != nil {
			return errors.New("the stream is encrypted already")
		}
		s.wire.quiet = s.cfg.Strict
		if err := s.final("<starttls xmlns='"+nsTLS+"'/>", true); err != nil {
			return fmt.Errorf("sending <starttls/>: %w", err)
		}
		if err := s.awaitProceed(); err != nil {
			return err
		}
		if err := s.handshake(tls.Client(newRecords(s.raw), cfg)); err != nil {
			return err
		}
		return s.call()
	})
}

func (s *Stream) awaitProceed() error {
	el, err := s.next()
	switch {
	case err != nil:
		return fmt.Errorf("waiting for <proceed/>: %w", err)
	case el.Is(nsTLS, "failure"):
		return ErrNoTLS
	case !el.Is(nsTLS, "proceed"):
		return errors.New("the peer answered <starttls/> with another element than <proceed/>")
	}
	if n := s.scan.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes came behind <proceed/> in clear", n)
	}
	return nil
}

// clientRestart begins new documents on the same channel, as is due after SASL success ([C10]).
func (s *Stream) clientRestart() error {
	if n := s.scan.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes came behind <success/>", n)
	}
	if err := s.final("", false); err != nil {
		return err
	}
	s.begin(s.wire.conn, s.TLS())
	return s.call()
}

// call sends our header ([C07]) and reads what answers it.
func (s *Stream) call() error {
	s.learn(func(f *facts) { f.local = s.from })
	if err := s.greet(s.opening(), nil); err != nil {
		return fmt.Errorf("sending the stream header: %w", err)
	}
	h, err := readHeader(s.scan, s.cfg.Strict)
	if err != nil {
		return fmt.Errorf("waiting for the peer's stream header: %w", err)
	}
	s.cfg.Log.Debug("stream header", "side", s.cfg.Side, "peer", s.addr, "from", h.From, "to", h.To, "id", h.ID, "version", h.Version)
	s.learn(func(f *facts) { f.id, f.peer = h.ID, h })
	if h.Version.modern() {
		if err := s.awaitFeatures(); err != nil {
			return fmt.Errorf("waiting for the peer's features: %w", err)
		}
	}
	s.scan.SetLimits(s.cfg.Limits.answering())
	return nil
}

// awaitFeatures takes in the peer's features ([C14]). If another element comes first it stays for Next, which takes them in when they
// come after all ([B15]).
func (s *Stream) awaitFeatures() error {
	el, err := s.scan.Next()
	switch {
	case err != nil:
		return faulty(err)
	case el.Is(nsStream, "error"):
		s.said = received(el.Tree())
		return s.said
	case el.Is(nsStream, "features"):
		s.offered(el.Tree())
	default:
		s.scan.Unread()
	}
	return nil
}

func (s *Stream) offered(features *stanza.Node) {
	s.learn(func(f *facts) { f.features = features })
}
