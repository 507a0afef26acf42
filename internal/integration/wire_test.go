package integration_test

import (
	"bytes"
	"regexp"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// key matches a dialback key, with or without what surrounds it escaped.
var key = regexp.MustCompile(`<(?:db:)?(?:result|verify)\b[^<>]*[^/]>\s*([^<>\s]{8,})\s*</`)

// testWire judges what the gate's legs have seen in all the parts before (DESIGN §5, 2).
func (w *world) testWire(t *testing.T) {
	outer, inner := w.wire.Stop(t), w.inner.Stop(t)
	plain := w.hosts["old"].Addr(lab.Outside)

	t.Run("nothing in clear", func(t *testing.T) {
		for _, f := range outer.Flows {
			switch {
			case f.Src.Addr() == plain, f.Dst.Addr() == plain, f.Src.Port() == 53, f.Dst.Port() == 53:
				continue
			case f.Src.Addr() == w.hosts["stubborn"].Addr(lab.Outside):
				continue // what it says in clear is its own affair
			}
			if exposed := f.Exposed(); exposed != "" {
				t.Errorf("in clear on %s (gap: %t): %.500q", f, f.Gap, exposed)
			}
			if bytes.Contains(f.Data, []byte(lab.Canary)) {
				t.Errorf("a message in clear on %s", f)
			}
		}
	})
	t.Run("TLS with those who have it", func(t *testing.T) {
		for _, name := range []string{"partner", "ally"} {
			sealed := 0
			for _, f := range outer.With(w.hosts[name].Addr(lab.Outside)) {
				sealed += len(f.Data) - len(f.Clear())
			}
			if sealed < 10000 {
				t.Errorf("%d bytes of TLS with %s: the capture has not seen the conversations", sealed, name)
			}
		}
	})
	t.Run("plaintext where policy says so", func(t *testing.T) {
		canaries := 0
		for _, f := range outer.With(plain) {
			canaries += bytes.Count(f.Data, []byte(lab.Canary))
		}
		if canaries == 0 {
			t.Error("no message in clear with old.example: the capture would not have seen one elsewhere either")
		}
	})
	t.Run("no key crosses", func(t *testing.T) {
		within := map[string]bool{}
		for _, f := range inner.Flows {
			for _, m := range key.FindAllSubmatch(f.Data, -1) {
				within[string(m[1])] = true
			}
		}
		if len(within) == 0 && w.kind != lab.Ejabberd { // whose inner leg is TLS
			t.Error("no dialback key was seen inside")
		}
		outside := 0
		for _, f := range outer.With(plain) {
			for _, m := range key.FindAllSubmatch(f.Data, -1) {
				outside++
				if within[string(m[1])] {
					t.Errorf("the key %s was used on both sides", m[1])
				}
			}
		}
		if outside == 0 {
			t.Error("no dialback key was seen with old.example")
		}
	})
	t.Run("nothing for whom policy forbids", func(t *testing.T) {
		if asked := outer.Asked("rival.example"); len(asked) > 0 {
			t.Errorf("the gate asked DNS: %v", asked)
		}
		for _, f := range outer.With(w.hosts["rival"].Addr(lab.Outside)) {
			if f.Src == w.outside("gate") || f.Dst == w.outside("gate") {
				continue // rival's own attempts to come in
			}
			t.Errorf("a connection to it: %s", f)
		}
		if calls := w.pretend["rival"].Calls(); len(calls) > 0 {
			t.Errorf("it was called from %v", calls)
		}
		if len(outer.Asked("partner.example")) == 0 {
			t.Error("no DNS question for partner.example: the capture would not have seen one for rival.example either")
		}
	})
	t.Run("the backend asks the gate alone", func(t *testing.T) {
		for _, q := range inner.Questions {
			if q.Dst.Addr() != w.hosts["gate"].Addr(lab.Inside) {
				t.Errorf("a question to somebody else: %v", q)
			}
		}
		if len(inner.Questions) == 0 {
			t.Error("the backend has asked nothing: how does it know the way?")
		}
	})
}
