package jid

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzJID: what Parse accepts is stable, in bounds, and one domain in whatever form it is written ([A06], ABUSE 35, ABUSE 36).
func FuzzJID(f *testing.F) {
	for _, s := range []string{
		"romeo@example.org/Orchard", "MÜNCHEN.example.", "a@xn--mnchen-3ya.example/é", "[::1]", "192.0.2.1", "１９２.0.2.1", "a@b@c/d@e/f",
		"ﬁ@b", "a＠b", "例え。テスト", "0x7f.1", "a--b", "xn--abc-.d", "ΑΣ@ΑΣ.example/ΑΣ", "אב.example", "a\u200Cb", "ẞ.example", "İ@İ.example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := Parse(s)
		if err != nil {
			if j != (JID{}) {
				t.Fatalf("%q: %v, and yet %+v", s, err, j)
			}
			return
		}
		full := j.String()
		if again, err := Parse(full); err != nil || again != j {
			t.Fatalf("%q is %q, read again %+v, %v", s, full, again, err)
		}
		for _, part := range []string{j.Local, j.Domain.String(), j.Resource} {
			if len(part) > maxPart || !utf8.ValidString(part) || strings.ContainsAny(part, "\x00\n\r") {
				t.Fatalf("%q has the part %q", s, part)
			}
		}
		if strings.ContainsAny(j.Local, "\"&'/:<>@ ") || strings.ContainsAny(j.Domain.String(), "\"&'/<>@ _*%\\") {
			t.Fatalf("%q is %q", s, full)
		}
		d := j.Domain
		for _, spelling := range []string{d.ASCII(), strings.ToUpper(d.ASCII()), d.ASCII() + ".", d.String()} {
			if same, err := ParseDomain(spelling); err != nil || same != d {
				t.Fatalf("%q: domain %q spelled %q is %q, %v", s, d, spelling, same, err)
			}
		}
		if len(d.ASCII()) > 253 || !d.Within(d) || d.IsZero() || d.IsIP() && d.Qualified() {
			t.Fatalf("%q: domain %q", s, d)
		}
		if d.ASCII() == d.String() && !d.IsIP() {
			if long, err := parseIDN(d.String()); err != nil || long != d {
				t.Fatalf("%q: by the long way domain %q is %q, %v", s, d, long, err)
			}
		}
		a, err := NewCache(1).Parse([]byte(s))
		if err != nil || a.JID != j || a.Full != full || a.Canonical != (s == full) || a.Bare != j.Bare().String() {
			t.Fatalf("%q: the cache has %+v, %v", s, a, err)
		}
	})
}
