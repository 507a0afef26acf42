package stanza

import "strconv"

const (
	nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsMUC     = "http://jabber.org/protocol/muc"
)

// Error is a stanza error: what a sender is told when its stanza is not delivered (RFC 6120 §8.3.2).
type Error struct {
	Type      string    // cancel, wait, modify, auth or continue; empty for the default of the condition
	Condition Condition // empty or unknown means UndefinedCondition
	Text      string    // for a person, in English; empty for none
	By        string    // the address that says so, when it is not the stanza's recipient; empty for none
}

// Error returns condition and text.
func (e Error) Error() string {
	if e.Text == "" {
		return string(e.condition())
	}
	return string(e.condition()) + ": " + e.Text
}

// Is reports whether target is the same condition, bare or in an Error.
func (e Error) Is(target error) bool {
	switch t := target.(type) {
	case Condition:
		return e.condition() == t
	case Error:
		return e.condition() == t.condition()
	}
	return false
}

func (e Error) condition() Condition {
	if !e.Condition.defined() {
		return UndefinedCondition
	}
	return e.Condition
}

// Answerable reports whether e may be answered with an error at all. Never: an error, or else two servers could throw errors at one
// another for ever; the result of an iq; a headline, which nobody waits for. Of presence only the attempt to enter a room
// (XEP-0045 §7.2), whose sender waits for an answer.
func Answerable(e *Element) bool {
	t := string(e.Type())
	switch e.Kind() {
	case Message:
		return t != "error" && t != "headline"
	case IQ:
		return t == "get" || t == "set"
	case Presence:
		return t == "" && joins(e)
	}
	return false
}

func joins(e *Element) bool {
	for space, local := range e.Payloads() {
		if space == nsMUC && local == "x" {
			return true
		}
	}
	return false
}

// AppendBounce appends the error that answers e (RFC 6120 §8.3.1): addresses swapped, same id, nothing of the payload. from and to are
// the addresses of e itself in canonical form; the answer goes from to to from. With legacy it has the numeric code of XEP-0086 besides.
// If e must not be answered, dst comes back as it was, with false.
func AppendBounce(dst []byte, e *Element, from, to string, err Error, legacy bool) ([]byte, bool) {
	if !Answerable(e) {
		return dst, false
	}
	kind := e.Kind().String()
	dst = append(dst, '<')
	dst = append(dst, kind...)
	dst = appendPresent(dst, "from", to)
	dst = appendPresent(dst, "to", from)
	if v := e.ID(); v != nil {
		dst = append(dst, " id"...)
		dst = appendQuoted(dst, v)
	}
	dst = append(dst, " type='error'>"...)
	dst = appendError(dst, err, legacy)
	dst = append(dst, "</"...)
	dst = append(dst, kind...)
	return append(dst, '>'), true
}

// AppendUnsubscribed appends what declines e, a request for presence (RFC 6121 §3.1.3). from and to are the bare addresses of e itself;
// the answer goes from to to from. text is its status, for a person; empty for none.
func AppendUnsubscribed(dst []byte, e *Element, from, to, text string) []byte {
	dst = append(dst, "<presence"...)
	dst = appendPresent(dst, "from", to)
	dst = appendPresent(dst, "to", from)
	if v := e.ID(); v != nil {
		dst = append(dst, " id"...)
		dst = appendQuoted(dst, v)
	}
	dst = append(dst, " type='unsubscribed'>"...)
	if text != "" {
		dst = append(dst, "<status>"...)
		dst = AppendText(dst, text)
		dst = append(dst, "</status>"...)
	}
	return append(dst, "</presence>"...)
}

// appendError appends the <error/> child (RFC 6120 §8.3.2).
func appendError(dst []byte, err Error, legacy bool) []byte {
	condition := err.condition()
	kind := err.Type
	if kind == "" {
		kind = condition.DefaultType()
	}
	dst = append(dst, "<error"...)
	if legacy {
		dst = append(dst, " code='"...)
		dst = strconv.AppendInt(dst, int64(condition.LegacyCode()), 10)
		dst = append(dst, '\'')
	}
	dst = appendPresent(dst, "by", err.By)
	dst = appendPresent(dst, "type", kind)
	dst = append(dst, "><"...)
	dst = append(dst, condition...)
	dst = append(dst, " xmlns='"+nsStanzas+"'/>"...)
	if err.Text != "" {
		dst = append(dst, "<text xmlns='"+nsStanzas+"' xml:lang='en'>"...)
		dst = AppendText(dst, err.Text)
		dst = append(dst, "</text>"...)
	}
	return append(dst, "</error>"...)
}

// appendPresent appends an attribute unless its value is empty.
func appendPresent(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendAttribute(dst, name, value)
}
