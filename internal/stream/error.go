package stream

import (
	"errors"
	"strings"

	"sallyport/internal/stanza"
)

const (
	nsStream   = "http://etherx.jabber.org/streams"
	nsServer   = "jabber:server"
	nsDialback = "jabber:server:dialback"
	nsStreams  = "urn:ietf:params:xml:ns:xmpp-streams"
	nsErrors   = "urn:xmpp:errors"
)

var (
	// ErrStanza: a stanza comes next, and the stream is not trusted to send one.
	ErrStanza = errors.New("a stanza on a stream that is not trusted")
	// ErrProtocol: the connection is for something other than a stream, such as an authority's validation (RFC 8737 §3).
	ErrProtocol = errors.New("the connection is for another protocol")
	// ErrClosed: the peer closed the stream with its closing tag.
	ErrClosed = errors.New("the peer closed the stream")
	// ErrSilent: nothing came for Config.Idle. It is told once, and reading may go on.
	ErrSilent = errors.New("the peer has sent nothing for a long time")
)

// Error is a stream error: one that we send, or one that the peer sent. It ends the stream in either case (RFC 6120 §4.9.1.1).
// errors.Is compares conditions: errors.Is(err, stream.HostUnknown).
type Error struct {
	Condition Condition
	Text      string // for the peer's operator; sent
	App       string // local name of an element in urn:xmpp:errors that says more, such as stanza-too-big; sent
	Received  bool   // the peer said it
	detail    string // an element of another namespace that says more; sent
	Err       error  // the reason, for our operator; never sent
}

func (e *Error) Error() string {
	parts := []string{string(e.condition())}
	if e.App != "" {
		parts[0] += " (" + e.App + ")"
	}
	if e.Text != "" {
		parts = append(parts, e.Text)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Is says whether target is the same condition, or an Error with it.
func (e *Error) Is(target error) bool {
	switch target := target.(type) {
	case Condition:
		return target == e.condition()
	case *Error:
		return target.condition() == e.condition()
	}
	return false
}

func (e *Error) condition() Condition {
	if e.Condition == "" {
		return UndefinedCondition
	}
	return e.Condition
}

// appendTo writes the error as the peer gets it.
func (e *Error) appendTo(dst []byte) []byte {
	dst = append(append(dst, "<stream:error><"...), e.condition()...)
	dst = append(dst, " xmlns='"+nsStreams+"'/>"...)
	if e.Text != "" {
		dst = append(dst, "<text xmlns='"+nsStreams+"' xml:lang='en'>"...)
		dst = append(stanza.AppendText(dst, e.Text), "</text>"...)
	}
	if e.App != "" {
		dst = append(append(append(dst, '<'), e.App...), " xmlns='"+nsErrors+"'/>"...)
	}
	dst = append(dst, e.detail...)
	return append(dst, "</stream:error>"...)
}

// received reads a peer's <stream:error>. Servers of before 2004 send bare text ([C21]); a condition that nobody defined counts as
// undefined-condition (RFC 6120 §4.9.2) and is kept in App.
func received(n *stanza.Node) *Error {
	e := &Error{Received: true, Text: clip(strings.TrimSpace(n.Text))}
	for _, c := range n.Children {
		switch cond := Condition(c.Local); {
		case c.Space == nsStreams && c.Local == "text":
			e.Text = clip(c.Text)
		case c.Space == nsStreams && cond.defined() && e.Condition == "":
			e.Condition = cond
		default:
			e.App = clip(c.Local)
		}
	}
	e.Condition = e.condition()
	return e
}

// faulty turns what the scanner objects to into the stream error that tells the peer so.
func faulty(err error) error {
	var syntax *stanza.SyntaxError
	switch {
	case errors.Is(err, stanza.ErrClosed):
		return ErrClosed
	case errors.As(err, &syntax):
		e := &Error{Condition: Condition(syntax.Condition), Err: err}
		if syntax.TooBig {
			e.App = "stanza-too-big"
		}
		return e
	}
	return err
}

// maxSaid is how much of a peer's words is kept, in bytes.
const maxSaid = 256

// clip bounds what a peer said before it gets into errors and logs.
func clip(s string) string {
	if len(s) > maxSaid {
		s = s[:maxSaid]
	}
	return strings.ToValidUTF8(s, "")
}
