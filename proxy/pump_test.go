package proxy

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/stream"
)

// A link shows that it is there before its peer takes it for dead, and ends before its peer ends it ([M09], [C22]).
func TestRhythm(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits()
	for told, want := range map[time.Duration][2]time.Duration{
		0:                {5 * time.Minute, 30 * time.Minute},
		14 * time.Minute: {5 * time.Minute, 30 * time.Minute},
		5 * time.Minute:  {270 * time.Second, 270 * time.Second},
		time.Minute:      {54 * time.Second, 54 * time.Second},
		time.Second:      {900 * time.Millisecond, 900 * time.Millisecond},
	} {
		ping, rest := rhythm(&limits, told)
		if ping != want[0] || rest != want[1] {
			t.Errorf("a peer that waits for %s: %s and %s, want %s", told, ping, rest, want)
		}
		if told > 0 && ping >= told {
			t.Errorf("a peer that waits for %s hears nothing for %s", told, ping)
		}
	}
}

// A stream rests when nobody uses it: neither other senders of ours, nor the peer. Who uses another link's stream leaves it at any time.
func TestUnused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, _ := newLink(t)
		guest, _ := newLink(t)
		w := newWriter(o.p, nil, o, o.id, stream.Capacity{})
		w.join(o)
		if !w.unused(o, time.Minute) {
			t.Error("alone, it is in use")
		}
		w.join(guest)
		if w.unused(o, time.Minute) || !w.unused(guest, time.Minute) {
			t.Error("it ends under a guest, or keeps it")
		}
		w.leave(guest)
		in := newInbound(o.p, Outside, nil, netip.AddrPort{})
		in.active.Store(time.Now().UnixNano())
		w.half.Store(in)
		time.Sleep(59 * time.Second)
		if w.unused(o, time.Minute) {
			t.Error("it ends although the peer has sent something just now")
		}
		time.Sleep(time.Second)
		if !w.unused(o, time.Minute) {
			t.Error("it does not end although nobody has sent anything for long")
		}
	})
}

// What is longer than the peer takes leaves the queue, and the others keep their order and their place in memory.
func TestSieve(t *testing.T) {
	t.Parallel()
	var q queue
	for i, b := range []string{"<a/>", "<bbbbbb/>", "<c/>", "<dddddddd/>", "<e/>"} {
		q.push([]byte(b), queued{seq: uint64(i + 1)})
	}
	if long := q.sieve(100); !long.empty() || len(q.items) != 5 {
		t.Fatalf("%d of %d are longer than all of them", len(long.items), len(q.items))
	}
	long := q.sieve(4)
	if got := string(q.buf); got != "<a/><c/><e/>" || q.items[1].seq != 3 || string(q.stanza(2)) != "<e/>" {
		t.Errorf("%s is left, %+v", got, q.items)
	}
	if got := string(long.buf); got != "<bbbbbb/><dddddddd/>" || long.items[1].seq != 4 || string(long.stanza(0)) != "<bbbbbb/>" {
		t.Errorf("%s is taken off, %+v", got, long.items)
	}
	if long := q.sieve(3); !q.empty() || len(long.items) != 3 {
		t.Errorf("%d are left, %d are taken off", len(q.items), len(long.items))
	}
}
