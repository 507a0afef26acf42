package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// A stream outside can carry both ways (XEP-0288). Each way is proved, judged and recorded as if it had a stream of its own: what comes
// in is read by an inbound, what goes out is written by outbounds, and the two know of each other through the stream's writer.

// offersBidi says whether we would send on the peer's stream, too. After its proof it is too late to ask for that.
func (in *inbound) offersBidi() bool {
	return in.door == Outside && in.over == nil && in.p.now().Bidi && !in.named && !in.hasProof()
}

// bidi takes a peer's wish that we send on its stream, which holds for the inverse of each pair that it proves from here on ([M01],
// [M02]). There is no answer; where it is not to be, we open a stream as if nothing had been said.
func (in *inbound) bidi(s *stream.Stream, el *stanza.Element) {
	if in.offersBidi() {
		in.back.CompareAndSwap(nil, newWriter(in.p, s, nil, in.id, stream.ParseLimits(el.Tree()))) // somebody may write by the first
	}
}

// returns has our stanzas for a pair go out on the stream of the peer that has proved it, where the peer wants that.
func (in *inbound) returns(pair Pair) {
	if in.over == nil && in.back.Load() != nil {
		in.p.router.returns(pair, in)
	}
}

// withdraw has nobody begin to send on a peer's stream any more.
func (in *inbound) withdraw() {
	if in.back.Load() == nil {
		return
	}
	in.mu.Lock()
	var pairs []Pair
	for pair := range in.pairs {
		pairs = append(pairs, pair)
	}
	in.mu.Unlock()
	in.p.router.withdraw(in, pairs)
}

// clear has those who send on a peer's stream leave it, before it ends.
func (in *inbound) clear() {
	if w := in.back.Load(); w != nil && in.over == nil {
		in.withdraw()
		w.vacate(nil)
	}
}

// returning gives the stream of a peer on which the link's stanzas may go out; nil if there is none. The peer is who it has proved to
// be: by its certificate, or otherwise as little as a peer whom we call.
func (o *outbound) returning() *connection {
	in := o.p.router.way(o.r)
	if in == nil {
		return nil
	}
	w := in.back.Load()
	in.mu.Lock()
	pr := in.pairs[o.r.pair]
	in.mu.Unlock()
	if w == nil || pr == nil || !pr.decided() || !pr.valid || !w.open() || in.told() != nil || in.unwanted(o.r.pair, pr) != nil {
		return nil
	}
	c := &connection{s: w.s, facts: pr.facts, by: pr.by, w: w}
	if certs.Strength(c.facts.Proof) <= certs.Strength("dialback") {
		c.facts.Proof = "none"
	}
	if o.p.linkDecision(Out, o.r.pair, c.facts).Effect != policy.Allow {
		return nil
	}
	return c
}

// vouched says whether our stanzas may go out on the stream of a peer, as far as DNSSEC has a say: where it names the certificates of a
// domain's servers, the peer must have one of those, as a server that we call must ([I23]).
func (o *outbound) vouched(ctx context.Context, c *connection) bool {
	remote := o.r.pair.Remote
	if _, ok := o.p.now().Routes[remote]; ok || !o.p.Resolver.Validating() {
		return true
	}
	eps, err := o.p.Resolver.Endpoints(ctx, remote)
	if err != nil {
		var missing *resolve.NotFoundError
		return errors.As(err, &missing) // it takes no calls, and names no certificates
	}
	state := c.s.TLS()
	if state == nil {
		return !slices.ContainsFunc(eps, func(ep resolve.Endpoint) bool { return ep.DANE })
	}
	if slices.ContainsFunc(eps, func(ep resolve.Endpoint) bool { return len(ep.TLSA) == 0 }) {
		return true
	}
	named := o.p.amongTLSA(remote, state.PeerCertificates, eps)
	if named.Proved {
		c.by = named
		o.p.describeCert(&c.facts, state, named.Result)
	}
	return named.Proved
}

// asksBidi says whether we want the peer to send on our stream, too: its certificate must prove it as well as policy requires of one that
// calls us, since nothing else will.
func (p *Proxy) asksBidi(r route, c *connection) bool {
	return r.dir == Out && p.now().Bidi && !p.draining.Load() && c.s.FeatureBidi() && c.s.TLS() != nil && certs.Strength(c.facts.Proof) > certs.Strength("dialback") &&
		p.linkDecision(In, r.pair, c.facts).Effect == policy.Allow
}

// askBidi does so, before we prove ourselves (XEP-0288 §2.2).
func (p *Proxy) askBidi(c *connection) error {
	c.both = true
	_, err := c.s.Write(stream.AppendBidi(nil, stream.Capacity{Bytes: p.now().Limits.Stanza.Stanza}))
	return err
}

// receive has what the peer sends on a stream of ours taken in, by a link of its own.
func (o *outbound) receive(c *connection, w *writer) {
	in := newInbound(o.p, Outside, nil, c.s.RemoteAddr())
	in.over = o
	in.s.Store(c.s)
	in.back.Store(w)
	w.half.Store(in)
	o.p.links.Go(func() {
		defer close(in.gone)
		ctx, cancel := context.WithCancel(in.traced(o.p.ctx))
		err := in.takeIn(ctx, c)
		if isTimeout(err) {
			err = context.Canceled // by the link that opened the stream
		}
		cancel()
		in.verifying.Wait()
		in.lastAck(c.s)
		if e := ours(err); e != nil {
			c.s.Fail(e)
		}
		w.ended(err)
		in.report(err)
	})
}

// half is the link of what comes in on a stream that this one opened; nil where nothing may.
func (o *outbound) half() *inbound {
	if w := o.w.Load(); w != nil {
		return w.half.Load()
	}
	return nil
}

// takeIn proves the inverse of the link's pair by the peer's certificate, which is on the table already, and reads on.
func (in *inbound) takeIn(ctx context.Context, c *connection) error {
	pair := in.over.r.pair
	pr, _ := in.claim(pair)
	facts := c.facts
	facts.ID = in.id
	if e := in.prove(c.s, pair, pr, facts, c.by); e != nil {
		return e
	}
	t, err := in.authenticate(ctx, c.s)
	if err != nil {
		return err
	}
	in.addrs = jid.NewCache(in.p.now().Limits.AddressesPerStream)
	in.lang = languageOf(c.s.PeerHeader().Lang)
	return in.read(ctx, t)
}

// extend lets the peer of a stream of ours send to a further sender that has proved itself there, if policy lets it call that one.
func (in *inbound) extend(pair Pair, facts policy.LinkFacts, by judged) {
	if in.p.linkDecision(In, pair, facts).Effect != policy.Allow {
		return
	}
	pr, first := in.claim(pair)
	if !first {
		return
	}
	facts.ID = in.id
	if e := in.prove(in.s.Load(), pair, pr, facts, by); e != nil {
		in.hangUp(e)
	}
}

// reversed takes what is no stanza on a stream that we opened and the peer sends on. Answers are to what was asked on this very stream,
// and questions are as good as on any other ([M03]).
func (in *inbound) reversed(ctx context.Context, s *stream.Stream, el *stanza.Element) error {
	switch spaceOf(el) {
	case stream.NSAcks:
		return in.acknowledge(s, el)
	case dialback.Namespace:
		m, err := parseDialback(el)
		switch {
		case err == nil && in.back.Load().settle(m):
			return nil
		case err == nil && m.Type == "" && !m.Verify && in.p.draining.Load():
			return in.refuseResult(ctx, s, m, denied(stanza.ResourceConstraint, "the gate is shutting down"))
		}
		return in.dialback(ctx, s, m, err)
	}
	return nil
}

// asserted decides about a further domain of a peer on a stream that we opened. The only id that a key could be over is one that this
// peer made itself, so that an old key would do: nothing but the certificate of this very connection counts, and nobody is asked ([M03a]).
// r is what policy has against it.
func (in *inbound) asserted(ctx context.Context, s *stream.Stream, m dialback.Message, pair Pair, r refusal) error {
	facts := in.factsFor(s, pair)
	if r.cond != "" {
		return in.refuseResult(ctx, s, m, r)
	}
	if certs.Strength(facts.Proof) <= certs.Strength("dialback") {
		return in.refuseResult(ctx, s, m, denied(stanza.NotAuthorized, "on a stream of ours a further domain needs a certificate that names it, and the peer's does not"))
	}
	if pr, first := in.claim(pair); first {
		if e := in.prove(s, pair, pr, facts, in.certified(s, pair)); e != nil {
			return e
		}
	}
	return in.reply(s, m, dialback.Valid)
}

// errTurned is why a stream of ours ends on which the peer may send no longer; the next one is not asked to carry both ways.
func errTurned(e *stream.Error) error {
	return errors.Join(errors.New("the peer may not send on it any more"), e)
}

// returns remembers by which peer's stream a pair's stanzas may go out. A call that failed just now says nothing any more, and one that
// is under way may take longer than its stanzas can wait.
func (rt *router) returns(pair Pair, in *inbound) {
	r := route{Out, pair}
	rt.mu.Lock()
	rt.back[pair] = in
	delete(rt.refused, r)
	o := rt.links[r]
	rt.mu.Unlock()
	if o != nil {
		o.comeBack()
	}
}

// grace is how long a call may still take when its peer has come by itself: two gates that call each other at the same time must not
// both hang up.
const grace = time.Second

// errCame ends a call whose peer has come by itself.
var errCame = errors.New("the peer has come by itself")

// comeBack ends a call that is under way and comes to nothing, where the stanzas can go out on the stream of the peer instead.
func (o *outbound) comeBack() {
	o.mu.Lock()
	hangUp := o.hangUp
	if o.state != Opening {
		hangUp = nil
	}
	o.mu.Unlock()
	if hangUp == nil {
		return
	}
	time.AfterFunc(grace, func() {
		if o.returning() != nil {
			hangUp(errCame)
		}
	})
}

func (rt *router) withdraw(in *inbound, pairs []Pair) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, pair := range pairs {
		if rt.back[pair] == in {
			delete(rt.back, pair)
		}
	}
}

// way gives the link of a peer that wants a route's stanzas on its stream; nil for none.
func (rt *router) way(r route) *inbound {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if r.dir == In {
		return nil
	}
	return rt.back[r.pair]
}
