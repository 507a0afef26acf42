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

// Hosts says whether the receiving server answers for the domain to (zero where the header names none). It returns the domain to
// answer as; with an error, usually an *Error such as HostUnknown, that is the domain in whose name the error goes out.
type Hosts func(to, from jid.Domain) (as jid.Domain, err error)

// Accept is the receiving server's part of a stream's beginning: it reads the header and answers it, with features if the peer
// sent a version ([C13], [C14]). features gives what stands inside <stream:features>, for the stream as it is at that moment. An
// error in the header is answered behind a full header of ours (RFC 6120 §4.9.1.2); the connection is closed then.
func Accept(ctx context.Context, conn net.Conn, c Config, hosts Hosts, features func(*Stream) []byte) (*Stream, error) {
	s := newStream(conn, c)
	s.hosts, s.features = hosts, features
	done := s.under(ctx)
	err := s.answer()
	if late := done(); late != nil && err != nil {
		err = &Error{Condition: ConnectionTimeout, Err: fmt.Errorf("waiting for the stream header: %w", late)}
	}
	if err != nil {
		s.refuse(err)
		return nil, err
	}
	return s, nil
}

// refuse ends a stream whose header could not be answered.
func (s *Stream) refuse(err error) {
	var ours *Error
	if errors.As(err, &ours) && !ours.Received {
		s.Fail(ours)
		return
	}
	s.Abort()
}

// answer reads a header and answers it: at the beginning, and at each restart with a new id ([C07], [C09], [C10]).
func (s *Stream) answer() error {
	h, err := readHeader(s.sc)
	as, hostErr := s.hosts(h.To, h.From)
	s.state.Lock()
	s.peer, s.local, s.id = h, as, NewID()
	s.state.Unlock()
	if err == nil {
		err = s.acceptable(h)
	}
	if err == nil {
		err = hostErr
	}
	if err != nil {
		return err
	}
	return s.greet(h)
}

// acceptable holds a header to what Strict asks for.
func (s *Stream) acceptable(h Header) error {
	switch {
	case h.BadFrom:
		return &Error{Condition: InvalidFrom, Err: errors.New("the header's from is not a domain")}
	case h.BadTo:
		return &Error{Condition: HostUnknown, Err: errors.New("the header's to is not a domain")}
	}
	return nil
}

// greet sends our header and, to a peer of today, our features, in one piece.
func (s *Stream) greet(h Header) error {
	from := s.Local().String()
	to := ""
	if !h.From.IsZero() {
		to = h.From.String()
	}
	lang := s.cfg.Lang
	if h.Version.None() {
		lang = ""
		if h.To.IsZero() {
			from = ""
		}
	}
	b := appendHeader(nil, from, to, s.ID(), lang, !h.Version.None())
	if !h.Version.None() {
		b = append(b, "<stream:features>"...)
		b = append(b, s.features(s)...)
		b = append(b, "</stream:features>"...)
	}
	s.write.Lock()
	defer s.write.Unlock()
	if s.ended {
		return net.ErrClosed
	}
	s.greeted = true
	_, err := s.put(b)
	return err
}

// StartTLS is the receiving server's part of RFC 6120 §5.4, from the <starttls/> that was just read to the new stream: it refuses
// whatever was sent behind it ([T03]), proceeds, shakes hands, and answers the new header. Nothing learnt before holds any more
// ([C11]); a domain that the first header named may not be exchanged for another (CVE-2018-10847). The connection is closed when it fails.
func (s *Stream) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if n := s.sc.Buffered(); n > 0 {
		s.Abort()
		return fmt.Errorf("%d bytes came behind <starttls/>: they are thrown away with the connection", n)
	}
	before := s.PeerHeader()
	if _, err := s.Write([]byte("<proceed xmlns='" + nsTLS + "'/>")); err != nil {
		return err
	}
	conn := tls.Server(s.transport(), cfg)
	if err := s.handshake(ctx, conn); err != nil {
		return err
	}
	return s.restart(ctx, before)
}

// handshake puts TLS under the stream. When it fails the connection ends without another byte of XML ([T05]).
func (s *Stream) handshake(ctx context.Context, conn *tls.Conn) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		s.Abort()
		return fmt.Errorf("TLS handshake: %w", err)
	}
	state := conn.ConnectionState()
	s.state.Lock()
	s.secure = &state
	s.state.Unlock()
	s.begin(conn)
	return nil
}

// Restart answers the header that the peer sends after SASL success: a new stream on the same channel ([C10], [S06]).
func (s *Stream) Restart(ctx context.Context) error {
	before := s.PeerHeader()
	if n := s.sc.Buffered(); n > 0 {
		// The peer may send its new header at once; but the bytes are in the old scanner.
		s.Abort()
		return fmt.Errorf("%d bytes came ahead of SASL success", n)
	}
	s.begin(s.transport())
	return s.restart(ctx, before)
}

func (s *Stream) restart(ctx context.Context, before Header) error {
	done := s.under(ctx)
	err := s.answer()
	if late := done(); late != nil && err != nil {
		err = &Error{Condition: ConnectionTimeout, Err: fmt.Errorf("waiting for the new stream header: %w", late)}
	}
	if now := s.PeerHeader(); err == nil {
		err = sameNames(before, now)
	}
	if err != nil {
		s.refuse(err)
	}
	return err
}

// sameNames refuses a peer that is somebody else, or calls somebody else, after a restart than before.
func sameNames(before, now Header) error {
	switch {
	case !before.From.IsZero() && !now.From.IsZero() && before.From != now.From:
		return &Error{Condition: InvalidFrom, Err: fmt.Errorf("from was %s before the restart and is %s after it", before.From, now.From)}
	case !before.To.IsZero() && !now.To.IsZero() && before.To != now.To:
		return &Error{Condition: NotAuthorized, Err: fmt.Errorf("to was %s before the restart and is %s after it", before.To, now.To)}
	}
	return nil
}

// AppendStartTLSFeature offers TLS.
func AppendStartTLSFeature(dst []byte, required bool) []byte {
	if required {
		return append(dst, "<starttls xmlns='"+nsTLS+"'><required/></starttls>"...)
	}
	return append(dst, "<starttls xmlns='"+nsTLS+"'/>"...)
}

// AppendDialbackFeature offers dialback; errors says that a failed pair does not end the stream (XEP-0220 §2.4.2).
func AppendDialbackFeature(dst []byte, errors bool) []byte {
	if errors {
		return append(dst, "<dialback xmlns='"+nsDBFeat+"'><errors/></dialback>"...)
	}
	return append(dst, "<dialback xmlns='"+nsDBFeat+"'/>"...)
}

// AppendExternalFeature offers SASL EXTERNAL.
func AppendExternalFeature(dst []byte) []byte {
	return append(dst, "<mechanisms xmlns='"+nsSASL+"'><mechanism>EXTERNAL</mechanism></mechanisms>"...)
}

// AppendSuccess ends a SASL exchange well.
func AppendSuccess(dst []byte) []byte { return append(dst, "<success xmlns='"+nsSASL+"'/>"...) }

// AppendSASLFailure ends a SASL exchange with a defined condition (RFC 6120 §6.5).
func AppendSASLFailure(dst []byte, condition string) []byte {
	dst = append(dst, "<failure xmlns='"+nsSASL+"'><"...)
	dst = stanza.AppendText(dst, condition)
	return append(dst, "/></failure>"...)
}
