package stanza

import (
	"unicode"
	"unicode/utf8"
)

// name is a qualified name within an element.
type name struct {
	span
	colon int32 // offset of the colon; 0 = no prefix
}

// span is a part of an element, as offsets from its '<'.
type span struct{ from, to int32 }

func (p span) of(w []byte) []byte { return w[p.from:p.to:p.to] }

// prefix returns what stands before the colon; nil when there is none.
func (n name) prefix(w []byte) []byte {
	if n.colon == 0 {
		return nil
	}
	return w[n.from:n.colon]
}

func (n name) local(w []byte) []byte {
	if n.colon == 0 {
		return w[n.from:n.to]
	}
	return w[n.colon+1 : n.to]
}

// isNameStart reports whether a name may begin with the ASCII character c. The colon is dealt with apart.
func isNameStart(c byte) bool { return c|0x20-'a' < 26 || c == '_' }

func isNameByte(c byte) bool {
	return c|0x20-'a' < 26 || c-'0' < 10 || c == '-' || c == '.' || c == '_'
}

// passName passes over the characters of a name from i on, noting its colon. The name began at s.mark, and ends at the index returned
// if that is within w.
func (s *Scanner) passName(w []byte, i int) (int, error) {
	end, err := s.nameEnd(w, i)
	s.work += int64(end - i)
	return end, err
}

func (s *Scanner) nameEnd(w []byte, i int) (int, error) {
	tooLong := s.mark + s.limits.Name + 1
	end := min(len(w), tooLong)
	i = skipLower(w[:end], i)
	for i < end {
		c := w[i]
		switch {
		case isNameByte(c):
			i++
		case c == ':':
			if s.colon != 0 {
				return i, s.fault(notWellFormed, i, "second colon in a name")
			}
			s.colon = i
			i++
		case c < utf8.RuneSelf:
			return i, s.checkName(w, i)
		default:
			n, err := s.nameRune(w, i)
			if err != nil {
				return i, err
			}
			i += n
		}
	}
	if i >= tooLong {
		return i, s.fault(policyViolation, tooLong, "name is too long")
	}
	return i, nil
}

// nameRune returns the length of the non-ASCII character at i, if names may contain it.
func (s *Scanner) nameRune(w []byte, i int) (int, error) {
	n := runeLen(w[i:])
	if n <= 0 {
		return 0, s.badRune(n, i)
	}
	if r, _ := utf8.DecodeRune(w[i:]); !unicode.Is(nameStart, r) && !unicode.Is(nameOther, r) {
		return 0, s.fault(notWellFormed, i, "character not allowed in a name")
	}
	return n, nil
}

// checkName judges the name from s.mark to end: it and the part behind its colon must begin as names begin.
func (s *Scanner) checkName(w []byte, end int) error {
	switch {
	case end == s.mark || !beginsName(w[s.mark:end]):
		return s.fault(notWellFormed, s.mark, "no name where one must be")
	case s.colon != 0 && (s.colon+1 == end || !beginsName(w[s.colon+1:end])):
		return s.fault(notWellFormed, s.colon, "nothing behind the colon of a name")
	}
	return nil
}

// beginsName reports whether a name may begin as w does.
func beginsName(w []byte) bool {
	if w[0] < utf8.RuneSelf {
		return isNameStart(w[0])
	}
	r, _ := utf8.DecodeRune(w)
	return unicode.Is(nameStart, r)
}

// takeName returns the name from s.mark to end.
func (s *Scanner) takeName(end int) name {
	return name{span: span{int32(s.mark), int32(end)}, colon: int32(s.colon)}
}
