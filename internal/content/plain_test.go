package content

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Nothing hides within a word: neither what is not shown nor what is shown as nothing.
func TestInvisible(t *testing.T) {
	t.Parallel()
	for _, r := range "\u00AD\u034F\u115F\u1160\u17B4\u17B5\u180B\u200D\u2060\u202E\u2800\u3164\uFE0F\uFEFF\uFFA0\U0001D159\U000E0041\U000E0100" {
		if got := Plain("41" + string(r) + "11"); got != "4111" {
			t.Errorf("%U stays: %q", r, got)
		}
		if got := Plain("cafe" + string(r) + "\u0301"); got != "caf\u00E9" {
			t.Errorf("%U takes an accent from its letter: %q", r, got)
		}
	}
}

// What is plain stays as it is, whichever character it comes from.
func TestPlainIsPlain(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		once := Plain("a" + string(r) + "\u0301b")
		if twice := Plain(once); twice != once {
			t.Fatalf("%U: %q becomes %q", r, once, twice)
		}
	}
}

// What is found is told as it is spelled, and nothing beside it.
func TestFind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ pattern, in, want string }{
		{`secret`, "a secret \u2460 \uFB01", "a [secret] \u2460 \uFB01"},
		{`secret`, "\u2460secret\uFB01secret", "\u2460[secret]\uFB01[secret]"},
		{`4111`, "x\uFF14\u200B\uFF11\u200B11\u200By", "x[\uFF14\u200B\uFF11\u200B11]\u200By"},
		{`secret`, "s\u00ADecret \U0001F468\u200D\U0001F469", "[s\u00ADecret] \U0001F468\u200D\U0001F469"},
		{`i`, "\uFB01x", "[\uFB01]x"},                             // a part of a ligature
		{`f|i`, "\uFB01x", "[\uFB01]x"},                           // both of its parts
		{`caf\x{e9}`, "cafe\u200C\u0301s", "[cafe\u200C\u0301]s"}, // composed
		{`\x{644}`, "\uFDFAx", "[\uFDFA]x"},                       // one character that is four words
		{`x*`, "axb", "a[x]b"},                                    // nothing is found everywhere
		{`none`, "secret\u200B", "secret\u200B"},
		{`\x{ac00}`, "\u1100\u1161!", "[\u1100\u1161]!"},
	} {
		got := marked(regexp.MustCompile(test.pattern), test.in)
		if got != test.want {
			t.Errorf("%s in %q: %q, want %q", test.pattern, test.in, got, test.want)
		}
	}
}

func marked(pattern *regexp.Regexp, s string) string {
	var b strings.Builder
	at := 0
	for _, p := range Find(pattern, s) {
		b.WriteString(s[at:p[0]] + "[" + s[p[0]:p[1]] + "]")
		at = p[1]
	}
	return b.String() + s[at:]
}

// FuzzFind: the places are in order, and what is there reads as what was found; what is left when it is cut out does not.
func FuzzFind(f *testing.F) {
	for _, seed := range []string{"secret", "s\u200Be\u0301cret", "\uFDFA\uFB01\u0301 4111", "\u1100\u1161\u11A8", "\uFF14\uFF11", strings.Repeat("\u0301", 80) + "e"} {
		f.Add(seed)
	}
	pattern := regexp.MustCompile(`[0-9e]+`)
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		at := 0
		var rest strings.Builder
		for _, p := range Find(pattern, s) {
			if p[0] < at || p[1] <= p[0] || p[1] > len(s) || !utf8.RuneStart(s[p[0]]) {
				t.Fatalf("%q: %v behind %d", s, p, at)
			}
			if !pattern.MatchString(Plain(s[p[0]:p[1]])) {
				t.Errorf("%q: %q was not found", s, s[p[0]:p[1]])
			}
			rest.WriteString(s[at:p[0]] + "#")
			at = p[1]
		}
		rest.WriteString(s[at:])
		if left := pattern.FindString(Plain(rest.String())); left != "" {
			t.Errorf("%q: %q is left in %q", s, left, rest.String())
		}
	})
}
