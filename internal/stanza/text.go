package stanza

import (
	"bytes"
	"unicode/utf8"
)

// text passes over character data up to the next '<'.
func (s *Scanner) text(w []byte) error {
	i := s.pos
	for {
		i = skipText(w, i)
		s.work += int64(i - s.pos)
		s.pos = i
		if i == len(w) {
			return nil
		}
		switch c := w[i]; {
		case c == '<':
			s.pos++
			s.state = atMarkup
			if s.pos < len(w) {
				return s.markup(w)
			}
			return nil
		case c == '&':
			n, err := s.reference(w, i)
			if err != nil {
				return err
			}
			i += n
		case c == '>':
			// Both brackets belong to this run of text: before it stands a '>', or the ';' of a reference.
			if w[i-1] == ']' && w[i-2] == ']' {
				return s.fault(notWellFormed, i, "]]> in text")
			}
			i++
		case c >= utf8.RuneSelf:
			var err error
			if i, err = s.runes(w, i); err != nil {
				s.pos = i
				return err
			}
		default:
			if err := s.control(c, i); err != nil {
				return err
			}
			i++
		}
	}
}

// control judges a control character in text or CDATA. A carriage return reads as a line feed (XML 1.0 §2.11), which our own writer
// makes of it; whoever gets it raw might keep it.
func (s *Scanner) control(c byte, i int) error {
	if !isSpace(c) {
		return s.fault(notWellFormed, i, "control character")
	}
	if c == '\r' {
		s.current.unclean = true
	}
	return nil
}

const cdataOpen = "[CDATA["

// cdata passes over a CDATA section, from behind its "<!" on. It is the only thing that may begin so ([X06]).
func (s *Scanner) cdata(w []byte) error {
	i := s.pos
	if s.state == atBang {
		done := i - s.mark
		n := min(len(cdataOpen)-done, len(w)-i)
		if string(w[i:i+n]) != cdataOpen[done:done+n] {
			return s.fault(restrictedXML, s.mark, "comment or DTD")
		}
		s.pos = i + n
		if done+n == len(cdataOpen) {
			s.mark, s.state = s.pos, inCDATA
			s.current.unclean = true
		}
		return nil
	}
	for i < len(w) {
		s.work++
		s.pos = i
		c := w[i]
		switch {
		case c >= utf8.RuneSelf:
			var err error
			if i, err = s.runes(w, i); err != nil {
				s.pos = i
				return err
			}
			continue
		case c < ' ':
			if err := s.control(c, i); err != nil {
				return err
			}
		case c == '>' && i-2 >= s.mark && w[i-1] == ']' && w[i-2] == ']':
			s.pos = i + 1
			s.state = inText
			return nil
		}
		i++
	}
	s.pos = i
	return nil
}

// maxReference is the longest reference taken for one: "&#x10FFFF;" with many zeros to spare.
const maxReference = 32

// reference returns the length of the reference at i. Character references and the five entities that XML predefines are allowed; any
// other entity needs a DTD (RFC 6120 §11.1).
func (s *Scanner) reference(w []byte, i int) (int, error) {
	most := min(len(w), i+maxReference)
	n := i + 1
	for n < most && isReferenceByte(w[n]) {
		n++
	}
	s.work += int64(n - i)
	body := w[i+1 : n]
	switch {
	case n == i+maxReference:
		return 0, s.fault(restrictedXML, i, "endless entity reference")
	case n == len(w):
		return 0, errShort
	case w[n] != ';' || len(body) == 0:
		return 0, s.fault(notWellFormed, i, "'&' that begins no reference")
	}
	if _, ok := entity(body); ok {
		return n + 1 - i, nil
	}
	if body[0] == '#' {
		return 0, s.fault(notWellFormed, i, "reference to what is no character")
	}
	if !beginsName(body) {
		return 0, s.fault(notWellFormed, i, "'&' that begins no reference")
	}
	return 0, s.fault(restrictedXML, i, "entity reference")
}

func isReferenceByte(c byte) bool {
	return isNameByte(c) || c == '#' || c == ':' || c >= utf8.RuneSelf
}

// entity returns the character that a reference with the given body stands for, and whether there is one.
func entity(body []byte) (rune, bool) {
	switch string(body) {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "apos":
		return '\'', true
	case "quot":
		return '"', true
	}
	digits, ok := bytes.CutPrefix(body, []byte("#"))
	if !ok {
		return 0, false
	}
	base := rune(10)
	if hex, ok := bytes.CutPrefix(digits, []byte("x")); ok {
		digits, base = hex, 16
	}
	var r rune
	for _, c := range digits {
		d := digit(c)
		if d >= base || r > utf8.MaxRune {
			return 0, false
		}
		r = r*base + d
	}
	return r, len(digits) > 0 && isChar(r)
}

// digit returns the value of a hexadecimal digit; 16 for anything else.
func digit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10
	}
	return 16
}
