package proxy

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// come has the peer of a link prove itself on a stream of its own, and want the link's stanzas there.
func come(t *testing.T, o *outbound, s *stream.Stream) *inbound {
	t.Helper()
	in := newInbound(o.p, Outside, nil, netip.AddrPort{})
	in.s.Store(s)
	in.back.Store(newWriter(o.p, s, nil, in.id, stream.Capacity{}))
	pr, _ := in.claim(o.r.pair)
	pr.valid, pr.facts = true, policy.LinkFacts{Channel: "tls", Proof: "pkix"}
	close(pr.done)
	return in
}

// A call is given a moment when its peer comes by itself: two gates that call each other at the same time would each end its own call,
// and with it the stream on which the other one counts. It ends then only if there is still a stream to use in its place.
func TestComeBackIsNoHurry(t *testing.T) {
	t.Parallel()
	engine, err := policy.New(policy.Config{Timeout: time.Minute}, policy.Data{"federation": "open"})
	fatal(t, err)
	for name, leaves := range map[string]bool{"it stays": false, "it goes again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o, _, s, _ := standing(t)
				o.p.Policy, o.p.ctx = engine, t.Context()
				o.p.settings.Store(&Settings{Backends: []Backend{{Domains: []jid.Domain{o.r.pair.Local}}}, Limits: DefaultLimits()})
				o.p.watch.init(o.p)
				ctx, hangUp := context.WithCancelCause(t.Context())
				o.state, o.hangUp, o.p.router.links[o.r] = Opening, hangUp, o
				in := come(t, o, s)
				begun := time.Now()
				o.p.router.returns(o.r.pair, in)
				synctest.Wait()
				if ctx.Err() != nil {
					t.Fatal("the call is ended at once")
				}
				if leaves {
					o.p.router.withdraw(in, []Pair{o.r.pair})
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
				if ended := ctx.Err() != nil; ended == leaves || ended && time.Since(begun) != grace {
					t.Errorf("ended: %t, after %s", ended, time.Since(begun))
				}
			})
		})
	}
}
