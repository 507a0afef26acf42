package stream

import (
	"errors"

	"sallyport/internal/stanza"
)

// Condition is a defined stream error condition (RFC 6120 §4.9.3).
type Condition string

// The conditions, in the order of the standard.
const (
	BadFormat              Condition = "bad-format"
	BadNamespacePrefix     Condition = "bad-namespace-prefix"
	Conflict               Condition = "conflict"
	ConnectionTimeout      Condition = "connection-timeout"
	HostGone               Condition = "host-gone"
	HostUnknown            Condition = "host-unknown"
	ImproperAddressing     Condition = "improper-addressing"
	InternalServerError    Condition = "internal-server-error"
	InvalidFrom            Condition = "invalid-from"
	InvalidNamespace       Condition = "invalid-namespace"
	InvalidXML             Condition = "invalid-xml"
	NotAuthorized          Condition = "not-authorized"
	NotWellFormed          Condition = "not-well-formed"
	PolicyViolation        Condition = "policy-violation"
	RemoteConnectionFailed Condition = "remote-connection-failed"
	Reset                  Condition = "reset"
	ResourceConstraint     Condition = "resource-constraint"
	RestrictedXML          Condition = "restricted-xml"
	SeeOtherHost           Condition = "see-other-host"
	SystemShutdown         Condition = "system-shutdown"
	UndefinedCondition     Condition = "undefined-condition"
	UnsupportedEncoding    Condition = "unsupported-encoding"
	UnsupportedFeature     Condition = "unsupported-feature"
	UnsupportedStanzaType  Condition = "unsupported-stanza-type"
	UnsupportedVersion     Condition = "unsupported-version"
)

const (
	nsStream  = "http://etherx.jabber.org/streams"
	nsServer  = "jabber:server"
	nsDB      = "jabber:server:dialback"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsStreams = "urn:ietf:params:xml:ns:xmpp-streams"
	nsErrors  = "urn:xmpp:errors"
	nsDBFeat  = "urn:xmpp:features:dialback"
)

// Error is a stream error: one that we send, or one that the peer sent. It ends the stream in either case (RFC 6120 §4.9.1.1).
type Error struct {
	Condition Condition
	Text      string // for the peer's operator; sent
	App       string // local name of an element in urn:xmpp:errors that says more, such as stanza-too-big; sent
	Received  bool   // the peer said it
	Err       error  // the reason, for our operator; never sent
}

func (e *Error) Error() string {
	s := string(e.Condition)
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is compare conditions: errors.Is(err, &Error{Condition: HostUnknown}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Condition == e.Condition
}

var (
	// ErrStanza: a stanza comes next, and the stream is not trusted to send one.
	ErrStanza = errors.New("a stanza on a stream that is not trusted")
	// ErrClosed: the peer closed the stream with its closing tag.
	ErrClosed = errors.New("the peer closed the stream")
)

// scanned turns what the scanner objects to into the stream error that says so to the peer.
func scanned(err error) error {
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

// appendTo writes the error as it goes to the peer, with the closing tag behind it.
func (e *Error) appendTo(dst []byte) []byte {
	condition := e.Condition
	if condition == "" {
		condition = UndefinedCondition
	}
	dst = append(dst, "<stream:error><"...)
	dst = append(dst, condition...)
	dst = append(dst, " xmlns='"+nsStreams+"'/>"...)
	if e.Text != "" {
		dst = append(dst, "<text xmlns='"+nsStreams+"' xml:lang='en'>"...)
		dst = stanza.AppendText(dst, e.Text)
		dst = append(dst, "</text>"...)
	}
	if e.App != "" {
		dst = append(dst, '<')
		dst = append(dst, e.App...)
		dst = append(dst, " xmlns='"+nsErrors+"'/>"...)
	}
	return append(dst, "</stream:error></stream:stream>"...)
}

// maxSaid is how much of a peer's words is kept, in bytes.
const maxSaid = 256

// received reads a peer's <stream:error>. Servers of before 2004 send bare text without a namespace ([C21]); a condition that
// nobody defined counts as undefined-condition (RFC 6120 §4.9.2).
func received(n *stanza.Node) *Error {
	e := &Error{Condition: UndefinedCondition, Received: true, Text: clip(n.Text)}
	for _, c := range n.Children {
		switch {
		case c.Space != nsStreams:
			e.App = clip(c.Local)
		case c.Local == "text":
			e.Text = clip(c.Text)
		case known(Condition(c.Local)):
			e.Condition = Condition(c.Local)
		default:
			e.App = clip(c.Local)
		}
	}
	return e
}

func clip(s string) string {
	if len(s) > maxSaid {
		return s[:maxSaid]
	}
	return s
}

func known(c Condition) bool {
	switch c {
	case BadFormat, BadNamespacePrefix, Conflict, ConnectionTimeout, HostGone, HostUnknown, ImproperAddressing, InternalServerError, InvalidFrom,
		InvalidNamespace, InvalidXML, NotAuthorized, NotWellFormed, PolicyViolation, RemoteConnectionFailed, Reset, ResourceConstraint, RestrictedXML,
		SeeOtherHost, SystemShutdown, UndefinedCondition, UnsupportedEncoding, UnsupportedFeature, UnsupportedStanzaType, UnsupportedVersion:
		return true
	}
	return false
}
