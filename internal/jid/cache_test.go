package jid

import (
	"errors"
	"fmt"
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
