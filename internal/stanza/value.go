package stanza

import (
	"bytes"
	"unicode/utf8"
)

// value is an attribute's value, without its quotes.
type value struct {
	span
	decode bool // it holds references or white space that reads as another character
}

// read returns the value as it reads, allocating only when it spells something else.
func (v value) read(w []byte) []byte {
	if !v.decode {
		return v.of(w)
	}
	return appendValue(nil, v.of(w))
}

// appendValue appends an attribute's value as it reads (XML 1.0 §3.3.3): references resolved, white space made spaces.
func appendValue(dst, raw []byte) []byte {
	dst = grown(dst)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '&':
			dst, i = appendReference(dst, raw, i)
		case c == '\r' && i+1 < len(raw) && raw[i+1] == '\n':
			// The line end counts once: at its line feed.
		case isSpace(c):
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendCharacters appends character data as it reads (XML 1.0 §2.11): line ends made line feeds and, but in CDATA, references resolved.
func appendCharacters(dst, raw []byte, cdata bool) []byte {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '&' && !cdata:
			dst, i = appendReference(dst, raw, i)
		case c == '\r' && i+1 < len(raw) && raw[i+1] == '\n':
		case c == '\r':
			dst = append(dst, '\n')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendReference appends the character that the reference at i stands for, and returns the index of its last byte.
func appendReference(dst, raw []byte, i int) ([]byte, int) {
	n := bytes.IndexByte(raw[i:], ';')
	if n < 0 {
		return append(dst, '&'), i // the scan has let none pass
	}
	r, _ := entity(raw[i+1 : i+n])
	return utf8.AppendRune(dst, r), i + n
}

// grown makes an empty value present: nil stands for an absent one.
func grown(dst []byte) []byte {
	if dst == nil {
		return []byte{}
	}
	return dst
}
