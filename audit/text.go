package audit

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The most that one value may take of a line, in bytes before escaping. An address has three parts of at most 1023 bytes
// (RFC 7622 §3.1) and two separators; nothing else needs as much.
const (
	maxAddress = 3*1023 + 2
	maxText    = 1024
)

// plain holds the bytes that stand for themselves between JSON's quotes.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendText appends s as the inside of a JSON string. What comes out is one run of printable characters, whatever went in:
//
//   - quotes, backslashes and control characters are escaped, as RFC 8259 §7 asks;
//   - so is everything else that Unicode does not call printable: the C1 controls, which terminals obey; U+2028 and U+2029, which
//     end a line for some; the marks and overrides that turn the reading direction; all that has no width or no meaning yet;
//   - each byte that is not UTF-8 becomes U+FFFD, escaped.
//
// Every JSON reader gets the same string back, but for that last rule.
func appendText[T string | []byte](dst []byte, s T) []byte {
	if i := firstOdd(s); i < len(s) {
		dst = append(dst, s[:i]...)
		return appendEscaped(dst, string(s[i:]))
	}
	return append(dst, s...)
}

// firstOdd gives the index of a byte that may not stand for itself between JSON's quotes, or the
// length when all may. It looks at eight bytes at once, for nearly all text that crosses a gate is plain ASCII.
func firstOdd[T string | []byte](s T) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		// The top bit of a byte of each term is set where that byte is, in order: below a space, a quote, a backslash, DEL. A
		// borrow can set it for a byte that is none of those, behind one that is.
		quote, slash, del := w^(ones*'"'), w^(ones*'\\'), w^(ones*0x7f)
		odd := (w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del
		if (odd|w)&tops != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if !plain[s[i]] {
			break
		}
	}
	return i
}

func appendEscaped(dst []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError: // one that was there before, too, so that it is found by what a reader shows
			dst = append(dst, `\ufffd`...)
		case r == '"', r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case unicode.IsPrint(r):
			dst = append(dst, s[:n]...)
		default:
			dst = appendUnicode(dst, r)
		}
		s = s[n:]
	}
	return dst
}

// appendUnicode writes a character by its number, above U+FFFF as a pair of surrogates (RFC 8259 §7).
func appendUnicode(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return appendUnicode(appendUnicode(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// cutText shortens s to limit bytes, or up to three fewer so that it ends with a whole character. s must be longer than that.
func cutText[T string | []byte](s T, limit int) T {
	for n := limit; n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n]
		}
	}
	return s[:limit]
}

// Visible shows a value of a [Record] to people: what is not printable is written by its number, as Go does, so that no text
// can play with the terminal or the page that it is shown on.
func Visible(s string) string {
	for i := range len(s) {
		if !plain[s[i]] && s[i] != '"' {
			q := strconv.Quote(s)
			return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
		}
	}
	return s
}

// copyPlain copies s to dst, which is as long, and says whether all of s may stand for itself between JSON's quotes. It looks at
// eight bytes at once, for nearly all text that crosses a gate is plain ASCII.
func copyPlain(dst []byte, s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	dst = dst[:len(s)]
	var odd uint64
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, slash, del := w^(ones*'"'), w^(ones*'\\'), w^(ones*0x7f)
		odd |= (w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del | w
		binary.LittleEndian.PutUint64(dst[i:], w)
	}
	if odd&tops != 0 {
		return false
	}
	for ; i < len(s); i++ {
		if !plain[s[i]] {
			return false
		}
		dst[i] = s[i]
	}
	return true
}
