package dialback

import (
	"unicode/utf8"
)

const stanzasNamespace = "urn:ietf:params:xml:ns:xmpp-stanzas"

// AppendTo appends the element to dst as it goes on the wire. The prefix is always db, which old servers match by its letters
// (XEP-0220 §2.4.1): it must be bound to Namespace in our stream header. White space around the key is left off.
func (m Message) AppendTo(dst []byte) []byte {
	name := m.name()
	dst = append(append(dst, '<'), name...)
	dst = appendAttr(dst, "from", m.From)
	dst = appendAttr(dst, "to", m.To)
	if m.Verify {
		dst = appendAttr(dst, "id", m.ID)
	}
	if m.Type != "" {
		dst = appendAttr(dst, "type", m.Type)
	}
	key := trim(m.Key)
	if m.Type != "" {
		key = ""
	}
	if key == "" && m.Type != "error" {
		return append(dst, "/>"...)
	}
	dst = appendEscaped(append(dst, '>'), key)
	if m.Type == "error" {
		dst = m.appendError(dst)
	}
	dst = append(append(dst, "</"...), name...)
	return append(dst, '>')
}

func (m Message) appendError(dst []byte) []byte {
	cond, kind := m.Condition, m.ErrorType
	if !plainName(cond) {
		cond = "undefined-condition"
	}
	if kind == "" {
		kind = errorType(cond)
	}
	dst = appendAttr(append(dst, "<error"...), "type", kind)
	dst = append(append(dst, "><"...), cond...)
	dst = append(appendAttr(dst, "xmlns", stanzasNamespace), "/>"...)
	if m.Text != "" {
		dst = append(appendAttr(append(dst, "<text"...), "xmlns", stanzasNamespace), '>')
		dst = append(appendEscaped(dst, m.Text), "</text>"...)
	}
	return append(dst, "</error>"...)
}

// plainName says whether s can be written as the name of a condition. "text" is none: it stands beside the condition.
func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && s != "text"
}

func appendAttr(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), "='"...)
	return append(appendEscaped(dst, value), '\'')
}

// appendEscaped writes s so that it reads back as it was, in an attribute or as text. What XML cannot hold at all becomes
// U+FFFD.
func appendEscaped(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '\'':
			dst = append(dst, "&apos;"...)
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r == '\t':
			dst = append(dst, "&#9;"...)
		case r == '\n':
			dst = append(dst, "&#10;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...)
		case r < ' ', r == 0xFFFE, r == 0xFFFF:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
