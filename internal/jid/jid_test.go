package jid

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1023)
	for _, c := range []struct{ in, local, domain, resource string }{
		{"example.org", "", "example.org", ""},
		{"romeo@example.org", "romeo", "example.org", ""},
		{"Romeo@EXAMPLE.org./Orchard", "romeo", "example.org", "Orchard"},
		{"example.org/a/b@c", "", "example.org", "a/b@c"},
		{"romeo@example.org/ a  b ", "romeo", "example.org", " a  b "},
		{"a@b.example/\u00A0\u3000x", "a", "b.example", "  x"},
		{"ΑΣ@example.org/ΑΣ", "ασ", "example.org", "ΑΣ"},
		{"ｆｕｌｌ@example.org", "full", "example.org", ""},
		{"e\u0301@example.org/e\u0301", "é", "example.org", "é"},
		{"faß@example.org", "faß", "example.org", ""},
		{`a!#$%*+-=?^_{|}~()[]\,;.@example.org`, `a!#$%*+-=?^_{|}~()[]\,;.`, "example.org", ""},
		{`d\27artagnan@example.org`, `d\27artagnan`, "example.org", ""},
		{"a@[::1]/x", "a", "[::1]", "x"},
		{"a@b/😀♔", "a", "b", "😀♔"},
		{"a@b/<>&'\"", "a", "b", "<>&'\""},
		{long + "@b/" + long, long, "b", long},
		{strings.Repeat("ｘ", 1023) + "@b/" + strings.Repeat("e\u0301", 511), long, "b", strings.Repeat("é", 511)},
	} {
		j, err := Parse(c.in)
		if err != nil {
			t.Errorf("%.60q: %v", c.in, err)
			continue
		}
		if want := (JID{c.local, MustDomain(c.domain), c.resource}); j != want {
			t.Errorf("[A06] %.60q: got %+v", c.in, j)
		}
		again, err := Parse(j.String())
		if err != nil || again != j {
			t.Errorf("[A06] %.60q: read again it is %+v, %v", c.in, again, err)
		}
		if j.Bare().Resource != "" || j.Bare().Local != j.Local || strings.Contains(j.Bare().String(), "/") {
			t.Errorf("%.60q: bare is %q", c.in, j.Bare())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1024)
	for _, c := range []struct {
		id, in string
		want   error
	}{
		{"[A01]", "", ErrEmptyDomain},
		{"[A01]", "a@", ErrEmptyDomain},
		{"[A01]", "/x", ErrEmptyDomain},
		{"[A01]", "@b", ErrBadLocal},
		{"[A01]", "b/", ErrBadResource},
		{"two at-signs", "a@b@c", ErrBadDomain},
		{"space", "a b@c", ErrBadLocal},
		{"quote", `a"@c`, ErrBadLocal},
		{"ampersand", "a&b@c", ErrBadLocal},
		{"apostrophe", "a'b@c", ErrBadLocal},
		{"colon", "a:b@c", ErrBadLocal},
		{"markup", "<a>@c", ErrBadLocal},
		{"full-width at-sign", "a＠b@c", ErrBadLocal},
		{"full-width slash", "a／b@c", ErrBadLocal},
		{"ligature", "ﬁ@c", ErrBadLocal},
		{"emoji", "😀@c", ErrBadLocal},
		{"control character", "a\x01@c", ErrBadLocal},
		{"zero-width joiner", "a\u200Db@c", ErrBadLocal},
		{"bidirectional override", "a\u202Eb@c", ErrBadLocal},
		{"mixed directions", "aא@c", ErrBadLocal},
		{"control character", "c/a\x00", ErrBadResource},
		{"bidirectional override", "c/a\u202Eb", ErrBadResource},
		{"soft hyphen", "c/a\u00ADb", ErrBadResource},
		{"ABUSE 35 bad UTF-8", "a\xC3@c", ErrBadLocal},
		{"ABUSE 35 bad UTF-8", "c/\xFF", ErrBadResource},
		{"ABUSE 35 long", long + "@c", ErrBadLocal},
		{"ABUSE 35 long", "c/" + long, ErrBadResource},
		{"ABUSE 35 long once it is mapped", strings.Repeat("ｘ", 1024) + "@c", ErrBadLocal},
		{"ABUSE 35 long once it is mapped", strings.Repeat("Ⱥ", 512) + "@c", ErrBadLocal}, // three bytes in lower case
		{"ABUSE 35 long once it is mapped", "c/" + strings.Repeat("e\u0301", 512), ErrBadResource},
		{"ABUSE 35 longer than any spelling", "c/" + strings.Repeat("x", 1<<20), ErrBadResource},
		{"ABUSE 36 long", "a@" + long, ErrLongDomain},
	} {
		if j, err := Parse(c.in); !errors.Is(err, c.want) || j != (JID{}) {
			t.Errorf("%s: %.40q: got %+v, %v, want %v", c.id, c.in, j, err, c.want)
		}
	}
}

// Look-alikes stay apart: only spellings of one address are one ([A06], ABUSE 35).
func TestLookAlikes(t *testing.T) {
	t.Parallel()
	seen := map[JID]string{}
	for _, s := range []string{"paypal.example", "pаypal.example", "paypaI.example/x", "paypa1.example", "faß.example", "fass.example"} {
		j, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[j]; ok {
			t.Errorf("%q and %q are one", s, other)
		}
		seen[j] = s
	}
}
