package probe

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// How much is kept, in characters.
const (
	longest      = 256  // of one string that a stranger made
	longestError = 1024 // of an error, which may tell of several
)

// clean makes a string harmless: cut to a sane length, in valid UTF-8, without control characters and what reorders text.
func clean(s string) string { return harmless(s, longest) }

func harmless(s string, most int) string {
	plain := true
	for i := range len(s) {
		plain = plain && ' ' <= s[i] && s[i] <= '~'
	}
	if plain && len(s) <= most {
		return s
	}
	var b strings.Builder
	count := 0
	for _, r := range s {
		if count++; count > most {
			b.WriteRune('…')
			break
		}
		switch {
		case r == '\n', r == '\t':
			r = ' '
		case !unicode.IsGraphic(r):
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

// cleanAll cleans the first most of a list.
func cleanAll(list []string, most int) []string {
	var out []string
	for _, s := range list[:min(len(list), most)] {
		out = append(out, clean(s))
	}
	return out
}

// told puts an error on one harmless line; empty for nil.
func told(err error) string {
	if err == nil {
		return ""
	}
	return harmless(strings.Join(strings.Fields(err.Error()), " "), longestError)
}
