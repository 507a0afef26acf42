package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTextCannotFool(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, out string }{
		{"plain", "alice@corp.example/desk top", "alice@corp.example/desk top"},
		{"letters of other scripts", "žofie@exämple.例", "žofie@exämple.例"},
		{"a forged line", "x\"}\n{\"v\":1,\"seq\":9", `x\"}\n{\"v\":1,\"seq\":9`},
		{"backslash", `a\u0022`, `a\\u0022`},
		{"terminal escape", "\x1b[2J\x1b]0;owned\x07", `\u001b[2J\u001b]0;owned\u0007`},
		{"C1 control, a terminal's CSI in one byte", "\u009b31m", `\u009b31m`},
		{"delete", "ab\x7f", `ab\u007f`},
		{"nul, tab, return", "\x00\t\r", `\u0000\t\r`},
		{"line separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"bidi embeddings and overrides", "\u202a\u202b\u202c\u202d\u202e", `\u202a\u202b\u202c\u202d\u202e`},
		{"bidi isolates", "\u2066\u2067\u2068\u2069", `\u2066\u2067\u2068\u2069`},
		{"bidi marks", "\u200e\u200f\u061c", `\u200e\u200f\u061c`},
		{"zero width", "pay\u200bpal\ufeff", `pay\u200bpal\ufeff`},
		{"tags", "a\U000e0041", `a\udb40\udc41`},
		{"no-break space looks like one", "a\u00a0b", `a\u00a0b`},
		{"emoji", "👍", "👍"},
		{"not UTF-8", "a\xff\xfeb\xc3", `a\ufffd\ufffdb\ufffd`},
		{"replacement character", "a\ufffd", `a\ufffd`},
		{"overlong slash", "\xc0\xaf", `\ufffd\ufffd`},
		{"surrogate", "\xed\xa0\x80", `\ufffd\ufffd\ufffd`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := string(appendText(nil, c.in)); got != c.out {
				t.Errorf("got %s, want %s", got, c.out)
			}
			if got := string(appendText(nil, []byte(c.in))); got != c.out {
				t.Errorf("as bytes: got %s, want %s", got, c.out)
			}
		})
	}
}

// TestTextEveryByteEverywhere holds the eight-at-once search against the table, for each byte at each place.
func TestTextEveryByteEverywhere(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for at := range 20 {
			s := strings.Repeat("x", at) + string([]byte{byte(c)}) + strings.Repeat("y", 19-at)
			first := firstOdd(s)
			if plain[c] && first != len(s) || !plain[c] && first != at {
				t.Fatalf("byte %#x at %d: first odd byte found at %d", c, at, first)
			}
			var back string
			if err := json.Unmarshal(append(appendText([]byte(`"`), s), '"'), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
				t.Fatalf("byte %#x at %d: read back as %q, %v", c, at, back, err)
			}
		}
	}
}

// TestCopyPlainEveryByteEverywhere: eight bytes at once are judged as one by one, for each byte at each place among neighbours that
// borrow from it or lend to it; what is plain arrives whole, and not a byte behind it is touched.
func TestCopyPlainEveryByteEverywhere(t *testing.T) {
	t.Parallel()
	const behind = 0xa5
	for _, neighbour := range []string{"x", " ", "~", "!", "#", "[", "]"} {
		for n := range 19 {
			for at := range n {
				for c := range 256 {
					s := strings.Repeat(neighbour, at) + string([]byte{byte(c)}) + strings.Repeat(neighbour, n-at-1)
					dst := bytes.Repeat([]byte{behind}, n+8)
					switch ok := copyPlain(dst[:n], s); {
					case ok != plain[c]:
						t.Fatalf("byte %#x at %d of %d beside %q: plain is %v", c, at, n, neighbour, ok)
					case ok && string(dst[:n]) != s:
						t.Fatalf("byte %#x at %d of %d: copied as %q", c, at, n, dst[:n])
					case !bytes.Equal(dst[n:], bytes.Repeat([]byte{behind}, 8)):
						t.Fatalf("byte %#x at %d of %d: %x stands behind", c, at, n, dst[n:])
					}
				}
			}
		}
	}
	if !copyPlain(nil, "") {
		t.Error("nothing is not plain")
	}
}

// TestCopyPlainPairs: two bytes that are not plain do not cancel each other out, whichever they are.
func TestCopyPlainPairs(t *testing.T) {
	t.Parallel()
	var dst [16]byte
	for a := range 256 {
		for b := range 256 {
			for _, s := range []string{string([]byte{byte(a), byte(b)}) + "abcdef", "abc" + string([]byte{byte(a), byte(b)}) + "def", "abcdef" + string([]byte{byte(a), byte(b)})} {
				if ok := copyPlain(dst[:len(s)], s); ok != (plain[a] && plain[b]) {
					t.Fatalf("%q: plain is %v", s, ok)
				}
			}
		}
	}
}

// TestTextEveryCharacter: JSON gives every character back, and what stands in the line is printable.
func TestTextEveryCharacter(t *testing.T) {
	t.Parallel()
	var buf []byte
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		buf = append(appendText(append(buf[:0], '"'), string(r)), '"')
		for _, p := range string(buf) {
			if !unicode.IsPrint(p) {
				t.Fatalf("%U stands in the line as %q", r, buf)
			}
		}
		if r < 0x3000 || r&0xff == 0 { // encoding/json is slow
			var back string
			if err := json.Unmarshal(buf, &back); err != nil || back != string(r) {
				t.Fatalf("%U: read back as %q, %v", r, back, err)
			}
		}
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "",
		`she said "no"`:         `she said "no"`,
		"line\nline \"quoted\"": `line\nline "quoted"`,
		"\x1b[31m":              `\x1b[31m`,
		"\u202eevil":            `\u202eevil`,
		"žofie":                 "žofie",
		`a\b`:                   `a\\b`,
		"\xff":                  `\xff`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestCutText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want int
	}{
		{strings.Repeat("a", 20), 10},
		{strings.Repeat("a", 9) + "é" + "bbb", 9},
		{strings.Repeat("a", 8) + "例" + "bbb", 8},
		{strings.Repeat("a", 7) + "👍" + "bbb", 7},
		{strings.Repeat("\x80", 20), 10},
	} {
		if got := len(cutText(c.in, 10)); got != c.want {
			t.Errorf("cutText(%q) keeps %d bytes, want %d", c.in, got, c.want)
		}
	}
}
