package content

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Plain is text in the form in which it is judged. What is not seen goes before the rest is composed, so that it keeps no accent from its
// letter, and after it, for composing can bring such a thing about.
func Plain(s string) string {
	if ascii(s) {
		return s
	}
	return strings.Map(visible, norm.NFKC.String(strings.Map(visible, s)))
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// visible leaves out, for strings.Map, what is not shown, and what is a symbol to Unicode and nothing to the eye.
func visible(r rune) rune {
	const blankBraille, nullNotehead = '\u2800', '\U0001D159'
	if r < utf8.RuneSelf {
		return r
	}
	if r == blankBraille || r == nullNotehead || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
		return -1
	}
	return r
}

// Find tells where in s, as it is spelled, stands what the pattern finds in Plain(s). Where a match is a part of what one character
// stands for, that character is in it.
func Find(pattern *regexp.Regexp, s string) (places [][2]int) {
	plain := Plain(s)
	found := pattern.FindAllStringIndex(plain, -1)
	if len(found) == 0 {
		return nil
	}
	source := spelled(s, plain)
	for _, f := range found {
		if f[0] == f[1] {
			continue
		}
		from, to := source[f[0]][0], source[f[1]-1][1]
		if n := len(places); n > 0 && from < places[n-1][1] {
			places[n-1][1] = max(to, places[n-1][1]) // two matches in one character
			continue
		}
		places = append(places, [2]int{from, to})
	}
	return places
}

// spelled gives for each byte of plain, which is Plain(s), the part of s that it comes from.
func spelled(s, plain string) [][2]int {
	source := make([][2]int, 0, len(plain))
	if ascii(s) {
		for i := range len(s) {
			source = append(source, [2]int{i, i + 1})
		}
		return source
	}
	var seen strings.Builder
	at := make([][2]int, 0, len(s)) // of each byte of seen: its character in s
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if visible(r) >= 0 {
			for range n {
				at = append(at, [2]int{i, i + n})
			}
			seen.WriteString(s[i : i+n])
		}
		i += n
	}
	var b strings.Builder
	var it norm.Iter
	it.InitString(norm.NFKC, seen.String())
	for !it.Done() {
		begin, done := it.Pos(), len(source)
		composed := strings.Map(visible, string(it.Next()))
		b.WriteString(composed)
		end := max(it.Pos(), begin+1) // of a character that becomes several, only the last one moves on
		for range len(composed) {
			source = append(source, [2]int{at[begin][0], at[end-1][1]})
		}
		for i := done - 1; i >= 0 && source[i][0] == at[begin][0]; i-- {
			source[i][1] = at[end-1][1]
		}
	}
	if b.String() != plain { // the two ways to compose differ: then all of it is where it was found
		source = source[:0]
		for range len(plain) {
			source = append(source, [2]int{0, len(s)})
		}
	}
	return source
}
