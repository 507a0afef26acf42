package jid

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := NewCache(10)
	raw := []byte("Romeo@EXAMPLE.org./Orchard")
	a, err := c.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if a.Full != "romeo@example.org/Orchard" || a.Bare != "romeo@example.org" || a.Canonical || a.JID.Domain != MustDomain("example.org") {
		t.Errorf("got %+v", a)
	}
	clear(raw) // the scanner's buffer is used again
	if b, err := c.Parse([]byte("Romeo@EXAMPLE.org./Orchard")); err != nil || b != a {
		t.Errorf("a second look parsed again: %p and %p, %v", a, b, err)
	}
	if b, err := c.Parse([]byte(a.Full)); err != nil || !b.Canonical || b.JID != a.JID {
		t.Errorf("canonical spelling: %+v, %v", b, err)
	}
	if _, err := c.Parse([]byte("a b@c")); !errors.Is(err, ErrBadLocal) {
		t.Errorf("got %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := NewCache(10)
	kept, err := c.Parse([]byte("kept.example"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, err := c.Parse(fmt.Appendf(nil, "d%d.example", i)); err != nil {
			t.Fatal(err)
		}
		if n := len(c.young) + len(c.old); n > 20 {
			t.Fatalf("%d entries after %d addresses", n, i)
		}
		if a, err := c.Parse([]byte("kept.example")); err != nil || a != kept {
			t.Fatalf("what is in use was dropped after %d addresses: %v", i, err)
		}
	}
	for _, c := range []*Cache{{}, NewCache(0), NewCache(-1)} {
		if a, err := c.Parse([]byte("a.example")); err != nil || a.Full != "a.example" || len(c.young) != 0 {
			t.Errorf("without room: %+v, %v", a, err)
		}
	}
}

func TestCacheKeepsNothingLong(t *testing.T) {
	t.Parallel()
	c := NewCache(10)
	for i, s := range []string{
		"c/" + strings.Repeat("x", maxKept-2), "c/" + strings.Repeat("x", maxKept-1),
		strings.Repeat("ｘ", maxKept/3+1) + "@c", strings.Repeat("Ⱥ", 254) + "@c/x", // three bytes become one, and two three
	} {
		a, err := c.Parse([]byte(s))
		if want, wantErr := Parse(s); err != nil || wantErr != nil || a.JID != want {
			t.Errorf("%.20q: got %+v, %v", s, a, err)
		}
		if len(c.young) != 1 {
			t.Errorf("%.20q: behind address %d there are %d entries, want the first alone", s, i, len(c.young))
		}
	}
}

// Whatever came before, a Cache says of an address what Parse does.
func TestCacheSaysWhatParseSays(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	part := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	c := NewCache(5)
	for range 20000 {
		s := part("", "a@", "A@", "ａ@", "b@", "é@", "e\u0301@", "a b@", "@", "a@b@") +
			part("c.example", "C.example", "c.example.", "c。example", "münchen.example", "xn--mnchen-3ya.example", "", "192.0.2.1", "c..example") +
			part("", "/x", "/X", "/", "/a/b@c", "/é", "/\x00", "/ ")
		got, gotErr := c.Parse([]byte(s))
		want, wantErr := Parse(s)
		switch {
		case (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error():
			t.Fatalf("%q: %v, by the function Parse %v", s, gotErr, wantErr)
		case gotErr == nil && (got.JID != want || got.Full != want.String() || got.Bare != want.Bare().String() || got.Canonical != (s == want.String())):
			t.Fatalf("%q: %+v, by the function Parse %+v", s, got, want)
		}
	}
}

func TestCacheHitAllocatesNothing(t *testing.T) {
	c := NewCache(10)
	raw := []byte("juliet@capulet.example/balcony")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Parse(raw); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCache(b *testing.B) {
	c := NewCache(10)
	raw := []byte("juliet@capulet.example/balcony")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, s := range []string{"juliet@capulet.example/balcony", "Julia@münchen.example/Balkon"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
