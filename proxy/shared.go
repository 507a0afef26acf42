package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/dialback"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// A stream can carry more than the pair that it was opened for: further senders of ours, which each prove themselves on it (XEP-0220
// §2.6.1). A stream of its own for each is the rule, and sharing what is left when a peer wants no more of them (D23).

// crowded says whether a peer takes no further stream.
func crowded(err error) bool {
	var said *stream.Error
	return errors.As(err, &said) && said.Received && (said.Condition == stream.ResourceConstraint || said.Condition == stream.Conflict)
}

// share proves the link's sender on a stream that another link has opened to the same peer. Without such a stream it returns nil.
func (o *outbound) share(ctx context.Context) (*connection, error) {
	host, w := o.p.router.host(o.r)
	if host == nil {
		return nil, nil
	}
	facts := host.facts.Load()
	if facts == nil {
		return nil, nil
	}
	host.mu.Lock()
	by := host.by
	host.mu.Unlock()
	if d := o.p.linkDecision(Out, o.r.pair, *facts); d.Effect != policy.Allow {
		return nil, shutOut(d)
	}
	if err := w.prove(ctx, o.r); err != nil {
		return nil, err
	}
	if in := w.half.Load(); in != nil {
		in.extend(o.r.pair, *facts, by)
	}
	return &connection{s: w.s, facts: *facts, by: by, w: w}, nil
}

// host finds a link of another sender whose stream may carry a route's stanzas too: to the same domain, ours, and with a peer that knows
// dialback.
func (rt *router) host(r route) (*outbound, *writer) {
	for _, o := range rt.live() {
		if o.r.dir != r.dir || o.r.pair.Remote != r.pair.Remote || o.r == r {
			continue
		}
		if w := o.w.Load(); w != nil && w.open() && (w.s.PeerHeader().Dialback || w.s.FeatureDialback()) {
			return o, w
		}
	}
	return nil, nil
}

// prove proves a further sender of ours by dialback (W6). The answer comes to the goroutine that reads the stream.
func (w *writer) prove(ctx context.Context, r route) (err error) {
	_, span := w.p.Telemetry.span(ctx, "dialback")
	defer func() { endSpan(span, err) }()
	key := w.p.secret(Outside).Key(dialback.Challenge{Receiving: r.to().String(), Originating: r.from().String(), StreamID: w.s.ID()})
	claim := dialback.Message{From: r.from().String(), To: r.to().String(), Key: key}
	answer := w.expect(claim)
	defer w.forget(answer)
	peer := w.s.RemoteAddr().String()
	if _, err := w.s.Write(claim.AppendTo(nil)); err != nil {
		return failure(StepDialback, peer, err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.p.now().Limits.Result)
	defer cancel()
	select {
	case m := <-answer:
		return w.p.verdict(r, peer, m)
	case <-w.done:
		err = w.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	f := failure(StepDialback, peer, fmt.Errorf("waiting for the answer to a further db:result on the stream: %w", err))
	if isTimeout(err) {
		f.Advice = w.p.silenceAdvice(r)
	}
	return f
}

// expect has the answer to a claim of ours come out of the channel.
func (w *writer) expect(claim dialback.Message) chan dialback.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	answer := make(chan dialback.Message, 1)
	w.claims[answer] = claim
	return answer
}

func (w *writer) forget(answer chan dialback.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.claims, answer)
}

// settle takes an answer to one of our claims; it is false for one that nobody waits for ([B13]). A key that was found invalid costs the
// stream in the view of many peers, so nobody else goes on it (W6).
func (w *writer) settle(m dialback.Message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for answer, claim := range w.claims {
		if m.Type != "" && !m.Verify && m.Answers(claim) {
			delete(w.claims, answer)
			w.closing = w.closing || m.Verdict() == dialback.Invalid
			answer <- m
			return true
		}
	}
	return false
}

// open says whether further links may join.
func (w *writer) open() bool {
	select {
	case <-w.done:
		return false
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.closing
}

// errMoved has a link find another stream.
var errMoved = errors.New("the stream that it shared ends")

// vacate has all links but one leave a stream that is to end, and gives them a moment for it: what they have written may still be
// acknowledged.
func (w *writer) vacate(last *outbound) {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	late := time.NewTimer(2 * stuck)
	defer late.Stop()
	for w.send(last) {
		select {
		case <-w.left:
		case <-w.done:
			return
		case <-late.C:
			return
		}
	}
}

// send tells the links but one to go; it is false when they have gone.
func (w *writer) send(last *outbound) (any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o := range w.links {
		if o != last {
			o.renew(errMoved)
			any = true
		}
	}
	return any
}

// unused says whether nobody else has used the stream of a link that has had nothing to carry for some time.
func (w *writer) unused(o *outbound, rest time.Duration) bool {
	if w.owner != o {
		return true
	}
	in := w.half.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.links) == 1 && (in == nil || time.Since(time.Unix(0, in.active.Load())) >= rest)
}
