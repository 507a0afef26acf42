package stanza

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// Eight bytes are looked at together. In a word, repeat(c) has the byte c in all eight places; zeros(x) has the high bit set in the
// lowest byte of x that is zero, and among the high bits below it none: enough to find the first hit. Other high bits of the result
// mean nothing, nor do bits below a byte's highest; the caller masks them with highs. So it is with controls, for bytes below a space.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

func repeat(c byte) uint64        { return ones * uint64(c) }
func zeros(x uint64) uint64       { return (x - ones) &^ x }
func controls(x uint64) uint64    { return (x - ones*' ') &^ x }
func word(w []byte, i int) uint64 { return binary.LittleEndian.Uint64(w[i : i+8 : i+8]) }
func firstIn(mask uint64) int     { return bits.TrailingZeros64(mask) >> 3 }

// skipText returns the index of the first byte at or behind i that needs a look in character data.
func skipText(w []byte, i int) int {
	for i+8 <= len(w) {
		x := word(w, i)
		// '<' and '>' differ in one bit.
		stop := (x | controls(x) | zeros((x|ones*2)^ones*'>') | zeros(x^ones*'&')) & highs
		if stop != 0 {
			return i + firstIn(stop)
		}
		i += 8
	}
	for i < len(w) && w[i] >= ' ' && w[i] < utf8.RuneSelf && w[i] != '<' && w[i] != '>' && w[i] != '&' {
		i++
	}
	return i
}

// skipValue is skipText for an attribute's value in the given quotes.
func skipValue(w []byte, i int, quote byte) int {
	// Each of the quotes differs from '&' in one bit, and by setting this becomes the greater of the two.
	bit, either := repeat(quote^'&'), repeat(quote|'&')
	for i+8 <= len(w) {
		x := word(w, i)
		stop := (x | controls(x) | zeros(x^ones*'<') | zeros((x|bit)^either)) & highs
		if stop != 0 {
			return i + firstIn(stop)
		}
		i += 8
	}
	for i < len(w) && w[i] >= ' ' && w[i] < utf8.RuneSelf && w[i] != '<' && w[i] != '&' && w[i] != quote {
		i++
	}
	return i
}

// skipURI returns the length of a part of w that holds nothing but letters, digits and the commonest other characters of URIs.
func skipURI(w []byte) int {
	i := 0
	for i+8 <= len(w) {
		x := word(w, i)
		fromBrace := x + repeat(0x80-'{')
		// From '<' to '?' and from '\\' to '_', four characters differ in the two lowest bits.
		if (x|fromBrace|(x-ones*'#')&^x|zeros((x|ones*3)^ones*'?')|zeros((x|ones*3)^ones*'_')|zeros(x^ones*'`'))&highs != 0 {
			return i
		}
		i += 8
	}
	return i
}

// skipLower returns the index of the first byte at or behind i that is no lower-case letter.
func skipLower(w []byte, i int) int {
	for i+8 <= len(w) {
		x := word(w, i)
		low := x &^ highs
		fromA := low + repeat(0x80-'a')
		behindZ := low + repeat(0x80-'z'-1)
		if stop := ^(fromA &^ behindZ &^ x) & highs; stop != 0 {
			return i + firstIn(stop)
		}
		i += 8
	}
	for i < len(w) && w[i]-'a' < 26 {
		i++
	}
	return i
}

// Lengths that runeLen gives to what is no character.
const (
	cutRune       = 0  // the sequence goes on behind the window
	badRune       = -1 // not UTF-8
	forbiddenRune = -2 // U+FFFE or U+FFFF: UTF-8, but no character of XML
)

// runeLen returns how many bytes the non-ASCII character at the beginning of w has (RFC 3629 §4: no overlong form, no surrogate,
// nothing above U+10FFFF).
func runeLen[T string | []byte](w T) int {
	lead, n := w[0], 2
	low, high := byte(0x80), byte(0xBF)
	switch {
	case lead < 0xC2 || lead > 0xF4:
		return badRune
	case lead == 0xE0:
		low = 0xA0
	case lead == 0xED:
		high = 0x9F
	case lead == 0xF0:
		low = 0x90
	case lead == 0xF4:
		high = 0x8F
	}
	if lead >= 0xE0 {
		n = 3
	}
	if lead >= 0xF0 {
		n = 4
	}
	for i := 1; i < n; i++ {
		if i == len(w) {
			return cutRune
		}
		if w[i] < low || w[i] > high {
			return badRune
		}
		low, high = 0x80, 0xBF
	}
	if lead == 0xEF && w[1] == 0xBF && w[2] >= 0xBE {
		return forbiddenRune
	}
	return n
}

// runes passes over the non-ASCII characters at i, and over the spaces and commas between them.
func (s *Scanner) runes(w []byte, i int) (int, error) {
	begun := i
	for i < len(w) {
		c := w[i]
		if c < utf8.RuneSelf {
			if (c == ' ' || c == ',') && i > begun {
				i++
				continue
			}
			break
		}
		// Most characters have two or three bytes, with nothing special about the first.
		if 0xC2 <= c && c < 0xE0 && i+1 < len(w) && w[i+1]&0xC0 == 0x80 {
			i += 2
			continue
		}
		if 0xE0 < c && c < 0xED && i+2 < len(w) && w[i+1]&0xC0 == 0x80 && w[i+2]&0xC0 == 0x80 {
			i += 3
			continue
		}
		n := runeLen(w[i:])
		if n <= 0 {
			s.work += int64(i - begun)
			return i, s.badRune(n, i)
		}
		i += n
	}
	s.work += int64(i - begun)
	return i, nil
}

// badRune returns what runeLen means by a length that is none.
func (s *Scanner) badRune(n, i int) error {
	switch n {
	case cutRune:
		return errShort
	case forbiddenRune:
		return s.fault(notWellFormed, i, "character U+FFFE or U+FFFF")
	}
	return s.fault(unsupportedEncoding, i, "not UTF-8")
}

// isChar reports whether XML allows the character r, written or referred to (XML 1.0 §2.2).
func isChar(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	}
	return 0xE000 <= r && r <= utf8.MaxRune && r != 0xFFFE && r != 0xFFFF
}
