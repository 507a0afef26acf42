package proxy

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"sallyport/internal/jid"
	"sallyport/internal/stream"
)

// What a peer that has ended its stream would not read is not written: it stays for the next stream.
func TestNothingIsWrittenBehindTheEnd(t *testing.T) {
	t.Parallel()
	p := &Proxy{}
	p.settings.Store(&Settings{Limits: DefaultLimits()})
	p.router.init(p)
	p.Log = slog.New(slog.DiscardHandler)
	o := newOutbound(context.Background(), p, route{Out, Pair{jid.MustDomain("corp.example"), jid.MustDomain("remote.example")}})
	if err := o.push([]byte("<message/>"), queued{}, 0); err != nil {
		t.Fatal(err)
	}
	w := &writer{p: p, done: make(chan struct{})}
	w.ended(stream.ErrClosed)
	// Writing would meet a nil stream.
	if err := o.feed(w); !errors.Is(err, stream.ErrClosed) || o.current.empty() {
		t.Errorf("feed returned %v, and %d stanzas are left", err, len(o.current.items))
	}
}
