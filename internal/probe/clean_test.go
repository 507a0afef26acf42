package probe

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a stranger says comes out short, on one line, and without anything that a terminal would obey.
func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                 "plain",
		"ünïcode ✓ 漢字":          "ünïcode ✓ 漢字",
		"a\nb\tc":               "a b c",
		"\x1b[31mred\x1b[0m":    "�[31mred�[0m",
		"over\u202eride\u2066x": "over�ride�x",
		"zero\u200bwidth\ufeff": "zero�width�",
		"line\u2028end\u0085":   "line�end�",
		"bad \xff\xfe utf-8":    "bad �� utf-8",
		"nul\x00 del\x7f":       "nul� del�",
		"":                      "",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	for _, long := range []string{strings.Repeat("a", 10000), strings.Repeat("漢", 10000), strings.Repeat("\x1b", 10000)} {
		for name, got := range map[string]string{"clean": clean(long), "told": told(errors.New(long))} {
			most := map[string]int{"clean": longest, "told": longestError}[name]
			if n := utf8.RuneCountInString(got); n != most+1 || !strings.HasSuffix(got, "…") || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Errorf("%s keeps %d characters of %d", name, n, len(long))
			}
		}
	}
}

// No line is wider than it may be, and nothing is lost.
func TestWrap(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "one", "some words that do not fit into one line", strings.Repeat("x", 35), "ab " + strings.Repeat("é", 24) + " cd", strings.Repeat("漢字 ", 9)} {
		lines := wrap(text, 10)
		for _, line := range lines {
			if utf8.RuneCountInString(line) > 10 {
				t.Errorf("%q is too wide", line)
			}
		}
		if got, want := strings.ReplaceAll(strings.Join(lines, ""), " ", ""), strings.ReplaceAll(text, " ", ""); got != want {
			t.Errorf("%q became %q", text, lines)
		}
	}
}
