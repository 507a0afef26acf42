package stream

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// SASLError is why an authentication failed, by its condition of RFC 6120 §6.5. The stream is still open, with the id that it had,
// and may go on with dialback ([S07]).
type SASLError struct {
	Condition string
	Text      string // the peer's words, if it refused us
}

func (e *SASLError) Error() string {
	if e.Text == "" {
		return "SASL: " + e.Condition
	}
	return "SASL: " + e.Condition + ": " + e.Text
}

// ErrNoResponse: an <auth/> came without the authorization identity that it may carry. Challenge asks for it.
var ErrNoResponse = errors.New("the authentication has no initial response")

// ClientExternal authenticates us by the certificate of our TLS channel as the domain as (RFC 6120 §6.4, XEP-0178 §3), and begins new
// documents. The identity is always sent: old servers refuse an element without text ([S04]). A *SASLError leaves the stream open;
// after any other error it has ended.
func (s *Stream) ClientExternal(ctx context.Context, as jid.Domain) error {
	var refused *SASLError
	err := s.step(ctx, func() error {
		err := s.external(base64.StdEncoding.EncodeToString([]byte(as.String())))
		if errors.As(err, &refused) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("SASL EXTERNAL: %w", err)
		}
		return s.clientRestart()
	})
	if refused != nil {
		return refused
	}
	return err
}

// external sends the identity, once with the request and once more if the peer asks for it ([S05a]).
func (s *Stream) external(identity string) error {
	for _, element := range []string{
		"<auth xmlns='" + nsSASL + "' mechanism='EXTERNAL'>" + identity + "</auth>",
		"<response xmlns='" + nsSASL + "'>" + identity + "</response>",
	} {
		s.wire.quiet = s.cfg.Strict
		if _, err := s.Write([]byte(element)); err != nil {
			return err
		}
		el, err := s.next()
		s.wire.quiet = false
		switch {
		case err != nil:
			return err
		case el.Is(nsSASL, "success"):
			return nil
		case el.Is(nsSASL, "failure"):
			return failureOf(el.Tree())
		case !el.Is(nsSASL, "challenge"):
			return errors.New("the peer answered with an element that is not of SASL")
		}
	}
	return errors.New("the peer challenges without end")
}

// failureOf reads a <failure/>. One that names no condition refuses nevertheless.
func failureOf(n *stanza.Node) *SASLError {
	e := &SASLError{Condition: "not-authorized"}
	for _, c := range n.Children {
		switch {
		case c.Space != nsSASL:
		case c.Local == "text":
			e.Text = clip(c.Text)
		default:
			e.Condition = clip(c.Local)
		}
	}
	return e
}

// ParseAuth reads an <auth/> of SASL. authzid is the domain that the peer wants to be, zero when it leaves that to the from of its
// header ("="); comparing the two is the caller's business ([S03]). The mechanism is returned with each error. Errors are a *SASLError
// to answer with, and ErrNoResponse for Challenge to settle.
func ParseAuth(auth *stanza.Node) (mechanism string, authzid jid.Domain, err error) {
	mechanism = auth.Attr("mechanism")
	switch {
	case mechanism != "EXTERNAL":
		return mechanism, jid.Domain{}, &SASLError{Condition: "invalid-mechanism"}
	case auth.Text == "":
		return mechanism, jid.Domain{}, ErrNoResponse
	case auth.Text == "=":
		return mechanism, jid.Domain{}, nil
	}
	authzid, err = parseIdentity(auth.Text)
	return mechanism, authzid, err
}

// parseIdentity reads the base64 of a domain (RFC 6120 §13.9.1: without line breaks or anything else foreign to it).
func parseIdentity(text string) (jid.Domain, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return jid.Domain{}, &SASLError{Condition: "incorrect-encoding"}
	}
	d, err := jid.ParseDomain(string(raw))
	if err != nil {
		return jid.Domain{}, &SASLError{Condition: "invalid-authzid"}
	}
	return d, nil
}

// Challenge asks for the authorization identity that an <auth/> left out, by an empty challenge, and reads it out of the response
// ([S05a], RFC 6120 §6.4.3). authzid is as ParseAuth has it. A *SASLError, "aborted" if the peer gives up, is to be answered, and leaves
// the stream open; after any other error it has ended.
func (s *Stream) Challenge(ctx context.Context) (authzid jid.Domain, err error) {
	var refused *SASLError
	err = s.step(ctx, func() (err error) {
		if authzid, err = s.challenge(); errors.As(err, &refused) {
			return nil
		}
		return err
	})
	if refused != nil {
		return jid.Domain{}, refused
	}
	return authzid, err
}

func (s *Stream) challenge() (jid.Domain, error) {
	s.wire.quiet = true
	if s.scan.Buffered() > 0 {
		return jid.Domain{}, errors.New("bytes came behind <auth/>, before our challenge")
	}
	if _, err := s.Write([]byte("<challenge xmlns='" + nsSASL + "'/>")); err != nil {
		return jid.Domain{}, err
	}
	el, err := s.next()
	switch {
	case errors.Is(err, ErrStanza):
		return jid.Domain{}, &Error{Condition: NotAuthorized, Err: fmt.Errorf("instead of the SASL response: %w", err)} // RFC 6120 §4.9.3.12
	case err != nil:
		return jid.Domain{}, fmt.Errorf("waiting for the SASL response: %w", err)
	case el.Is(nsSASL, "abort"):
		return jid.Domain{}, &SASLError{Condition: "aborted"}
	case !el.Is(nsSASL, "response"):
		return jid.Domain{}, &SASLError{Condition: "malformed-request"}
	}
	if text := el.Tree().Text; text != "" && text != "=" {
		return parseIdentity(text)
	}
	return jid.Domain{}, nil
}

// AppendSuccess says that an authentication succeeded. Restart is due after it.
func AppendSuccess(dst []byte) []byte { return append(dst, "<success xmlns='"+nsSASL+"'/>"...) }

// AppendSASLFailure says that it failed, by a condition of RFC 6120 §6.5.
func AppendSASLFailure(dst []byte, condition string) []byte {
	return append(append(append(dst, "<failure xmlns='"+nsSASL+"'><"...), condition...), "/></failure>"...)
}
