package stream

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Initiate is the initiating server's part of a stream's beginning: it sends the header for the pair from and to, and reads the
// peer's, and its features if it has a version. The connection is closed when it fails.
func Initiate(ctx context.Context, conn net.Conn, c Config, from, to jid.Domain) (*Stream, error) {
	s := newStream(conn, c)
	s.from, s.to = from, to
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// call sends our header and reads what answers it, at the beginning and at each restart ([C07]).
func (s *Stream) call(ctx context.Context) error {
	done := s.under(ctx)
	err := s.exchange()
	if late := done(); late != nil && err != nil {
		err = fmt.Errorf("%w (%w)", err, late)
	}
	if err != nil {
		s.refuse(err)
	}
	return err
}

func (s *Stream) exchange() error {
	s.state.Lock()
	s.local = s.from
	s.state.Unlock()
	s.write.Lock()
	s.greeted = true
	_, err := s.put(appendHeader(nil, s.from.String(), s.to.String(), "", s.cfg.Lang, true))
	s.write.Unlock()
	if err != nil {
		return fmt.Errorf("sending the stream header: %w", err)
	}
	h, err := readHeader(s.sc)
	s.state.Lock()
	s.peer, s.id = h, h.ID
	s.state.Unlock()
	if err != nil {
		return fmt.Errorf("reading the peer's stream header: %w", err)
	}
	s.offered = nil
	if h.Version.None() {
		return nil
	}
	el, err := s.Next()
	switch {
	case err != nil:
		return fmt.Errorf("reading the peer's features: %w", err)
	case !el.Is(nsStream, "features"):
		return &Error{Condition: BadFormat, Err: errors.New("the peer's first element is not its features")}
	}
	s.offered = el.Tree()
	return nil
}

// Features is what the peer offers, nil if it sent none.
func (s *Stream) Features() *stanza.Node { return s.offered }

func (s *Stream) feature(space, local string) *stanza.Node {
	if s.offered == nil {
		return nil
	}
	return s.offered.Child(space, local)
}

// FeatureStartTLS says whether the peer offers TLS, and whether it insists.
func (s *Stream) FeatureStartTLS() (offered, required bool) {
	n := s.feature(nsTLS, "starttls")
	return n != nil, n != nil && n.Child(nsTLS, "required") != nil
}

// FeatureDialback says whether the peer offers dialback in its features. Those of before XEP-0220 only declare its namespace.
func (s *Stream) FeatureDialback() bool { return s.feature(nsDBFeat, "dialback") != nil }

// FeatureDialbackErrors says whether a failed pair leaves the peer's stream open.
func (s *Stream) FeatureDialbackErrors() bool {
	n := s.feature(nsDBFeat, "dialback")
	return n != nil && n.Child(nsDBFeat, "errors") != nil
}

// FeatureExternal says whether the peer offers SASL EXTERNAL.
func (s *Stream) FeatureExternal() bool {
	n := s.feature(nsSASL, "mechanisms")
	if n == nil {
		return false
	}
	for _, m := range n.Children {
		if m.Local == "mechanism" && m.Text == "EXTERNAL" {
			return true
		}
	}
	return false
}

// ErrNoTLS: the peer answered <starttls/> with a failure.
var ErrNoTLS = errors.New("the peer refuses TLS")

// ClientTLS is the initiating server's part of RFC 6120 §5.4, offered or not ([T10]): it asks for TLS, shakes hands, and begins the
// stream anew. Bytes behind <proceed/> end the connection ([T03]). Errors: ErrNoTLS, and whatever ends a stream or a handshake; the
// connection is closed in each case.
func (s *Stream) ClientTLS(ctx context.Context, cfg *tls.Config) error {
	done := s.under(ctx)
	err := s.askTLS()
	if late := done(); late != nil && err != nil {
		err = fmt.Errorf("%w (%w)", err, late)
	}
	if err == nil {
		err = s.handshake(ctx, tls.Client(s.transport(), cfg))
	}
	if err != nil {
		s.Abort()
		return err
	}
	return s.call(ctx)
}

func (s *Stream) askTLS() error {
	if _, err := s.Write([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
		return err
	}
	el, err := s.Next()
	switch {
	case err != nil:
		return fmt.Errorf("waiting for <proceed/>: %w", err)
	case el.Is(nsTLS, "failure"):
		return ErrNoTLS
	case !el.Is(nsTLS, "proceed"):
		return fmt.Errorf("the peer answered <starttls/> with something else than <proceed/>")
	}
	if n := s.sc.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes came behind <proceed/>", n)
	}
	return nil
}

// SASLError is a peer's refusal of an authentication. The stream is still open, with the id that it had ([S07]).
type SASLError struct {
	Condition string // RFC 6120 §6.5
	Text      string
}

func (e *SASLError) Error() string {
	if e.Text != "" {
		return "SASL " + e.Condition + ": " + e.Text
	}
	return "SASL " + e.Condition
}

// ClientExternal authenticates us by our certificate as a domain (RFC 6120 §6.4, XEP-0178 §3) and begins the stream anew. The
// authorization identity is always sent: old servers refuse an element without text ([S04]). A *SASLError leaves the stream open; any
// other error has closed it.
func (s *Stream) ClientExternal(ctx context.Context, as jid.Domain) error {
	done := s.under(ctx)
	err := s.external(base64.StdEncoding.EncodeToString([]byte(as.String())))
	if late := done(); late != nil && err != nil {
		err = fmt.Errorf("%w (%w)", err, late)
	}
	var refused *SASLError
	switch {
	case errors.As(err, &refused):
		return err
	case err != nil:
		s.Abort()
		return err
	}
	s.begin(s.transport())
	return s.call(ctx)
}

func (s *Stream) external(identity string) error {
	if _, err := s.Write([]byte("<auth xmlns='" + nsSASL + "' mechanism='EXTERNAL'>" + identity + "</auth>")); err != nil {
		return err
	}
	for range 2 {
		el, err := s.Next()
		switch {
		case err != nil:
			return fmt.Errorf("waiting for the outcome of EXTERNAL: %w", err)
		case el.Is(nsSASL, "success"):
			return nil
		case el.Is(nsSASL, "failure"):
			return saslFailure(el.Tree())
		case !el.Is(nsSASL, "challenge"):
			return errors.New("the peer answered <auth/> with something that is not SASL")
		}
		if _, err := s.Write([]byte("<response xmlns='" + nsSASL + "'>" + identity + "</response>")); err != nil {
			return err
		}
	}
	return errors.New("the peer challenges without end")
}

func saslFailure(n *stanza.Node) *SASLError {
	e := &SASLError{Condition: "not-authorized"}
	for _, c := range n.Children {
		if c.Local == "text" {
			e.Text = clip(c.Text)
			continue
		}
		e.Condition = clip(c.Local)
	}
	return e
}
