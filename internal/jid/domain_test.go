package jid

import (
	"errors"
	"strings"
	"testing"
)

func TestParseDomain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, unicode, ascii string }{
		{"example.org", "example.org", "example.org"},
		{"EXAMPLE.Org", "example.org", "example.org"},
		{"example.org.", "example.org", "example.org"},
		{"localhost", "localhost", "localhost"},
		{"a--b.example", "a--b.example", "a--b.example"},
		{"3com.example", "3com.example", "3com.example"},
		{"münchen.example", "münchen.example", "xn--mnchen-3ya.example"},
		{"MÜNCHEN.example.", "münchen.example", "xn--mnchen-3ya.example"},
		{"mu\u0308nchen.example", "münchen.example", "xn--mnchen-3ya.example"},
		{"xn--mnchen-3ya.example", "münchen.example", "xn--mnchen-3ya.example"},
		{"XN--MNCHEN-3YA.example", "münchen.example", "xn--mnchen-3ya.example"},
		{"faß.example", "faß.example", "xn--fa-hia.example"},
		{"fass.example", "fass.example", "fass.example"},
		{"ΑΣ.example", "ασ.example", "xn--mxa0b.example"},
		{"例え。テスト", "例え.テスト", "xn--r8jz45g.xn--zckzah"},
		{"ｅｘａｍｐｌｅ.org", "example.org", "example.org"},
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"１９２.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"[2001:DB8::1]", "[2001:db8::1]", "[2001:db8::1]"},
		{"[2001:db8:0:0:0:0:0:1]", "[2001:db8::1]", "[2001:db8::1]"},
		{strings.Repeat("a", 63) + ".example", strings.Repeat("a", 63) + ".example", strings.Repeat("a", 63) + ".example"},
	} {
		d, err := ParseDomain(c.in)
		if err != nil {
			t.Errorf("[A06] %q: %v", c.in, err)
			continue
		}
		if d.String() != c.unicode || d.ASCII() != c.ascii {
			t.Errorf("[A06] ABUSE 35 %q: got %q and %q, want %q and %q", c.in, d.String(), d.ASCII(), c.unicode, c.ascii)
		}
		if again := MustDomain(d.ASCII()); again != d {
			t.Errorf("[A06] %q: its A-labels are another domain", c.in)
		}
	}
}

func TestParseDomainRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, in string
		want   error
	}{
		{"[A01]", "", ErrEmptyDomain},
		{"[A01]", ".", ErrEmptyDomain},
		{"[A06] one final dot only", "example.org..", ErrBadDomain},
		{"[A06] final dot of another script", "example.org。", ErrBadDomain},
		{"empty label", "a..b", ErrBadDomain},
		{"empty first label", ".example", ErrBadDomain},
		{"space", "a b.example", ErrBadDomain},
		{"space in front", " example", ErrBadDomain},
		{"NUL", "a\x00.example", ErrBadDomain},
		{"line feed", "example\n", ErrBadDomain},
		{"at-sign", "a@b.example", ErrBadDomain},
		{"slash", "a/b", ErrBadDomain},
		{"full-width slash", "a／b", ErrBadDomain},
		{"colon", "example:5269", ErrBadDomain},
		{"markup", "<a>.example", ErrBadDomain},
		{"quote", "a'.example", ErrBadDomain},
		{"underscore", "a_b.example", ErrBadDomain},
		{"wildcard", "*.example", ErrBadDomain},
		{"percent", "a%20b.example", ErrBadDomain},
		{"hyphen first", "-a.example", ErrBadDomain},
		{"hyphen last", "a-.example", ErrBadDomain},
		{"reserved label", "ab--c.example", ErrBadDomain},
		{"A-label with a letter beyond ASCII", "xn--mu\u0308ller-kva.example", ErrBadDomain},
		{"the same in wide letters", "ｘｎ－－müller-kva.example", ErrBadDomain},
		{"the same, with what nobody sees in it", "x\u00adn-\u200b-müller-kva.example", ErrBadDomain},
		{"the same behind an ideographic full stop", "a。xn--müller-kva.example", ErrBadDomain},
		{"A-label of nothing", "xn--.example", ErrBadDomain},
		{"A-label of ASCII", "xn--abc-.example", ErrBadDomain},
		{"A-label of a control character", "xn--a.example", ErrBadDomain},
		{"joiner out of place", "a\u200Db.example", ErrBadDomain},
		{"right-to-left mark", "a\u200F.example", ErrBadDomain},
		{"private use", "\uE000.example", ErrBadDomain},
		{"mixed directions", "aא.example", ErrBadDomain},
		{"ABUSE 35 bad UTF-8", "a\xC3.example", ErrBadDomain},
		{"ABUSE 35 surrogate", "\xED\xA0\x80.example", ErrBadDomain},
		{"ABUSE 36 label too long", strings.Repeat("a", 64) + ".example", ErrLongDomain},
		{"ABUSE 36 more than 253 bytes", strings.Repeat("a.", 124) + "example", ErrLongDomain},
		{"ABUSE 36 more than 1023 bytes", strings.Repeat("a.", 600) + "example", ErrLongDomain},
		{"number as top-level domain", "example.1", ErrBadDomain},
		{"short form of an address", "127.1", ErrBadDomain},
		{"hexadecimal address", "0x7f.0.0.1", ErrBadDomain},
		{"hexadecimal address, last", "127.0.0.0x1", ErrBadDomain},
		{"decimal address", "2130706433", ErrBadDomain},
		{"octal address", "0177.0.0.1", ErrBadDomain},
		{"five numbers", "1.2.3.4.5", ErrBadDomain},
		{"IPv6 without brackets", "2001:db8::1", ErrBadDomain},
		{"IPv6 not closed", "[2001:db8::1", ErrBadDomain},
		{"IPv6 with zone", "[fe80::1%eth0]", ErrBadDomain},
		{"IPv4 in brackets", "[192.0.2.1]", ErrBadDomain},
		{"name in brackets", "[example]", ErrBadDomain},
	} {
		d, err := ParseDomain(c.in)
		if !errors.Is(err, c.want) || !d.IsZero() {
			t.Errorf("%s: %.40q: got %q, %v, want %v", c.id, c.in, d, err, c.want)
		}
	}
}

func TestDomainKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in            string
		ip, qualified bool
	}{
		{"example.org", false, true},
		{"localhost", false, false},
		{"192.0.2.1", true, false},
		{"[::1]", true, false},
		{"1.example", false, true},
		{"münchen.example", false, true},
	} {
		d := MustDomain(c.in)
		if d.IsIP() != c.ip || d.Qualified() != c.qualified {
			t.Errorf("[A06] %s: IP %v, qualified %v", c.in, d.IsIP(), d.Qualified())
		}
	}
	if d := (Domain{}); d.IsIP() || d.Qualified() || !d.IsZero() || d.String() != "" || d.ASCII() != "" {
		t.Error("the zero Domain is something")
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d, parent string
		want      bool
	}{
		{"corp.example", "corp.example", true},
		{"conference.corp.example", "CORP.example.", true},
		{"a.b.corp.example", "corp.example", true},
		{"notcorp.example", "corp.example", false},
		{"corp.example", "conference.corp.example", false},
		{"corp.example.org", "corp.example", false},
		{"xn--mnchen-3ya.example", "münchen.example", true},
		{"a.xn--mnchen-3ya.example", "münchen.example", true},
	} {
		if got := MustDomain(c.d).Within(MustDomain(c.parent)); got != c.want {
			t.Errorf("[I05] %s within %s: got %v", c.d, c.parent, got)
		}
	}
	if MustDomain("a.example").Within(Domain{}) || (Domain{}).Within(Domain{}) || (Domain{}).Within(MustDomain("a.example")) {
		t.Error("something is within the zero Domain, or it within something")
	}
}

func TestDomainText(t *testing.T) {
	t.Parallel()
	var d Domain
	if err := d.UnmarshalText([]byte("MÜNCHEN.example.")); err != nil || d != MustDomain("münchen.example") {
		t.Errorf("got %v, %v", d, err)
	}
	if err := d.UnmarshalText([]byte("a b")); !errors.Is(err, ErrBadDomain) || d != MustDomain("münchen.example") {
		t.Errorf("a fault left %v, %v", d, err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "münchen.example" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestMustDomainPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MustDomain("a b")
}
