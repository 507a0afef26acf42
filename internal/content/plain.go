package content

import (
	"iter"
	"regexp"
	"slices"
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
	found = slices.DeleteFunc(found, func(f []int) bool { return f[0] == f[1] })
	if len(found) == 0 {
		return nil
	}
	begin, next := 0, 0 // of the match that is being looked for
	at := 0             // in plain
	for part, composed := range parts(s) {
		if !strings.HasPrefix(plain[at:], composed) {
			return [][2]int{{0, len(s)}} // the two ways to compose differ
		}
		end := at + len(composed)
		for ; next < len(found); next++ {
			if f := found[next]; f[0] >= at && f[0] < end {
				begin = part[0]
			}
			if found[next][1] > end {
				break
			}
			if n := len(places); n > 0 && begin < places[n-1][1] {
				places[n-1][1] = part[1] // two matches in one character
			} else {
				places = append(places, [2]int{begin, part[1]})
			}
		}
		at = end
	}
	return places
}

// parts yields the parts of s that are composed by themselves: where each stands, and what Plain makes of it.
func parts(s string) iter.Seq2[[2]int, string] {
	return func(yield func([2]int, string) bool) {
		var seen strings.Builder
		var source []int32 // of each byte of seen: where its character stands in s
		for i, r := range s {
			if visible(r) < 0 {
				continue
			}
			for range utf8.RuneLen(r) {
				source = append(source, int32(i))
			}
			seen.WriteRune(r)
		}
		var it norm.Iter
		var composed []byte
		it.InitString(norm.NFKC, seen.String())
		for !it.Done() {
			begin := it.Pos()
			composed = append(composed[:0], it.Next()...)
			for !it.Done() && it.Pos() == begin { // one character that becomes several
				composed = append(composed, it.Next()...)
			}
			last := int(source[it.Pos()-1])
			_, n := utf8.DecodeRuneInString(s[last:])
			if !yield([2]int{int(source[begin]), last + n}, strings.Map(visible, string(composed))) {
				return
			}
		}
	}
}
