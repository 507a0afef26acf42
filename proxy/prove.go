package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/dialback"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
)

// credentials are what we may prove ourselves with.
type credentials uint8

const (
	dialbackAlone credentials = iota
	externalToo
)

// errExternalRefused: the peer ended the stream because of our certificate.
var errExternalRefused = errors.New("the peer does not take our certificate")

// open makes a stream that may carry for a route: connected, secured, and proved to be ours.
func (p *Proxy) open(ctx context.Context, r route, with credentials) (*connection, error) {
	c, err := p.connect(ctx, r, r.dir)
	if err != nil {
		return nil, err
	}
	if p.asksBidi(r, c) {
		err = p.askBidi(c)
	}
	if err == nil {
		err = p.prove(ctx, r, c, with)
	}
	if err != nil {
		p.part(c.s, func() { farewell(c.s, err) })
		return nil, c.shown(err)
	}
	return c, nil
}

// shown adds to a failure which certificate the peer had shown.
func (c *connection) shown(err error) error {
	var f *Failure
	if errors.As(err, &f) && f.Cert == "" {
		f.Cert = c.cert
	}
	return err
}

// part ends a stream with a last word, without holding up whoever waits for what the stream was for.
func (p *Proxy) part(s *stream.Stream, say func()) {
	p.links.Go(func() {
		defer context.AfterFunc(p.ctx, s.Abort)()
		say()
	})
}

// farewell ends a stream on which we could not prove ourselves ([B11], [B16], [C23]).
func farewell(s *stream.Stream, err error) {
	switch {
	case errors.Is(err, errNoMeans):
		s.Fail(&stream.Error{Condition: stream.UnsupportedFeature})
	case errors.Is(err, errNoID):
		s.Fail(&stream.Error{Condition: stream.UndefinedCondition, Text: "your stream header has no id"})
	case isTimeout(err):
		s.Fail(&stream.Error{Condition: stream.ConnectionTimeout, Text: "no answer to db:result"})
	default:
		finish(s, err)
	}
}

// prove makes the peer accept us for the route's sender: SASL EXTERNAL where the peer offers it and we have the certificate,
// dialback otherwise (PROTOCOL 11.7, W3–W5). Inside it is dialback, with the inside secret (W12), or for backends that want it our own
// authority's certificate (D10b).
func (p *Proxy) prove(ctx context.Context, r route, c *connection, with credentials) error {
	stop := context.AfterFunc(ctx, c.s.Abort)
	defer stop()
	if backend, ok := p.now().backendOf(r.pair.Local); r.dir == In && ok && backend.TLS == TLSCertificate {
		return p.proveByCertificate(ctx, r, c)
	}
	if r.dir == In || with != externalToo || c.s.TLS() == nil || !c.s.FeatureExternal() {
		return p.proveByDialback(ctx, r, c)
	}
	err := c.s.ClientExternal(ctx, r.from())
	var refused *stream.SASLError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		// The id is still the one before SASL: a failure restarts nothing ([S07], W5).
		p.Log.Info("peer refused our certificate for EXTERNAL, going on with dialback", "from", r.from().String(), "to", r.to().String(), "condition", refused.Condition)
		err = p.proveByDialback(ctx, r, c)
	default:
		err = failure(StepSASL, c.s.RemoteAddr().String(), err)
	}
	if hungUp(err) {
		err = fmt.Errorf("%w: %w", errExternalRefused, err)
	}
	return err
}

// errNoID: the peer's stream header has no id that a key could be made for.
var errNoID = errors.New("the peer's stream header has no id, so no key can be made ([B11])")

// errNoMeans: the peer offers nothing by which we could prove ourselves.
var errNoMeans = errors.New("the peer offers neither dialback nor EXTERNAL")

func (p *Proxy) proveByDialback(ctx context.Context, r route, c *connection) (err error) {
	_, span := p.Telemetry.span(ctx, "dialback")
	defer func() { endSpan(span, err) }()
	peer := c.s.RemoteAddr().String()
	id := c.s.ID()
	if id == "" {
		return &Failure{Step: StepDialback, Peer: peer, Err: errNoID, Advice: "the peer's server is broken in this; nothing but its operator helps"}
	}
	if !c.s.PeerHeader().Dialback && !c.s.FeatureDialback() {
		return &Failure{Step: StepDialback, Peer: peer, Permanent: true, Err: errNoMeans,
			Advice: "the peer accepts certificates only, and not ours; is clientAuth in our certificate, and our name in it?"}
	}
	key := p.secret(r.dir.exit()).Key(dialback.Challenge{Receiving: r.to().String(), Originating: r.from().String(), StreamID: id})
	if r.dir == In {
		p.innerIDs.add(id)
		defer p.innerIDs.remove(id)
	}
	claim := dialback.Message{From: r.from().String(), To: r.to().String(), Key: key}
	if _, err := c.s.Write(claim.AppendTo(nil)); err != nil {
		return failure(StepDialback, peer, err)
	}
	limits := p.now().Limits
	patience := limits.Result
	if r.dir == In {
		patience = limits.ResultInside
	}
	c.s.SetReadDeadline(time.Now().Add(patience))
	m, err := p.awaitResult(c.s, claim)
	c.s.SetReadDeadline(time.Time{})
	if err != nil {
		f := failure(StepDialback, peer, fmt.Errorf("waiting for the answer to db:result: %w", err))
		if isTimeout(err) {
			f.Advice = p.silenceAdvice(r)
		}
		return f
	}
	return p.verdict(r, peer, m)
}

// verdict is what a peer's answer to our db:result means for a route.
func (p *Proxy) verdict(r route, peer string, m dialback.Message) error {
	switch m.Verdict() {
	case dialback.Valid:
		return nil
	case dialback.Invalid:
		return &Failure{Step: StepDialback, Peer: peer, Condition: stanza.InternalServerError, Err: errors.New("the peer says that our key is invalid"), Advice: p.invalidAdvice(r)}
	}
	return &Failure{Step: StepDialback, Peer: peer, Err: fmt.Errorf("the peer answered %s %s", clip(m.Condition, 64), clip(m.Text, 200)),
		Advice: "the peer could not verify us; does the SRV record of " + r.from().String() + " lead to this gate, and is port 5269 open from outside?"}
}

// silenceAdvice: a peer that got our key asks back whether it is ours, and answers when it knows.
func (p *Proxy) silenceAdvice(r route) string {
	if r.dir == In {
		return "the backend asks back and hears nothing: does its resolver point at inside.dns, and may it reach inside.listen?"
	}
	return "the peer asks back and hears nothing: does the SRV record of " + r.from().String() + " lead to this gate, and is port 5269 open from outside?"
}

func (p *Proxy) invalidAdvice(r route) string {
	if r.dir == In {
		return "the backend asked somebody else: does its resolver point at inside.dns?"
	}
	return "the peer asked somebody else: does the SRV record of " + r.from().String() + " lead to this gate alone?"
}

// awaitResult reads until the answer to our own db:result; other answers are nobody's ([B13]).
func (p *Proxy) awaitResult(s *stream.Stream, claim dialback.Message) (dialback.Message, error) {
	strays := strays{p: p, s: s}
	for {
		el, err := s.Next()
		if err != nil {
			return dialback.Message{}, err
		}
		if el.Is(dialback.Namespace, "result") {
			m, err := parseDialback(el)
			if err == nil && m.Type != "" && m.Answers(claim) {
				return m, nil
			}
		}
		strays.pass(el)
	}
}
