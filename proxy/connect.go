package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// connection is a stream that we opened, as far as policy wants it secured, with nothing proved yet about us.
type connection struct {
	s       *stream.Stream
	ep      resolve.Endpoint // outside: the one that was called
	facts   policy.LinkFacts
	backend string  // inside: the address that was called
	cert    string  // facts of the peer's certificate, for failures
	by      judged  // what proves the peer
	w       *writer // where the stream is another link's, or the peer's
	both    bool    // the peer may send on it, too
}

// linkDecision asks policy about a link with these facts; empty ones are not known yet.
func (p *Proxy) linkDecision(d Direction, pair Pair, facts policy.LinkFacts) policy.LinkDecision {
	facts.Known = p.known(d, pair, &facts)
	return p.Policy.Snapshot().Link(p.ctx, &policy.Input{Direction: d.String(), Local: pair.Local.String(), Remote: pair.Remote.String(), Link: facts})
}

// shutOut is the failure of a link that policy does not allow at all.
func shutOut(d policy.LinkDecision) *Failure {
	cond := stanza.Condition(d.Condition)
	if cond == "" {
		cond = stanza.NotAllowed
	}
	return &Failure{Step: StepPolicy, Condition: cond, Permanent: true, Advice: adviceShutOut,
		Err: &ruledOut{d}}
}

// connect opens a stream for a route: outside to where DNS or a static route leads, inside to the backend's address. It does
// what policy requires of the channel and of the peer's certificate, or fails with the step that fell short. The stream is to carry
// stanzas of direction use, or to ask about a key on behalf of those.
func (p *Proxy) connect(ctx context.Context, r route, use Direction) (*connection, error) {
	if r.dir == In {
		return p.connectBackend(ctx, r)
	}
	d := p.linkDecision(use, r.pair, policy.LinkFacts{})
	if d.Effect != policy.Allow {
		return nil, shutOut(d)
	}
	eps, err := p.endpoints(ctx, r)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(eps, func(ep resolve.Endpoint) bool { return ep.DirectTLS || ep.DANE }) {
		d.Require.Channel = "tls" // who says so in DNS has TLS: without it, it is somebody else ([M08], RFC 7673 §3.4)
	}
	var last error
	for len(eps) > 0 {
		var c *connection
		c, eps, last = p.connectFirst(ctx, r, eps, use, d.Require)
		if last == nil {
			return c, nil
		}
		var f *Failure
		if errors.As(last, &f) && f.Permanent {
			break
		}
	}
	return nil, last
}

func (p *Proxy) endpoints(ctx context.Context, r route) ([]resolve.Endpoint, error) {
	if ep, ok := p.now().Routes[r.to()]; ok {
		return []resolve.Endpoint{ep}, nil
	}
	ctx, span := p.Telemetry.span(ctx, "dns", attribute.String("xmpp.domain", r.to().String()))
	eps, err := p.Resolver.Endpoints(ctx, r.to())
	endSpan(span, err)
	if err != nil {
		f := failure(StepDNS, "", err)
		var missing *resolve.NotFoundError
		f.Permanent = errors.As(err, &missing)
		return nil, f
	}
	return eps, nil
}

// connectFirst goes as far as it can with the first endpoint that takes a TCP connection; rest are those still to try.
func (p *Proxy) connectFirst(ctx context.Context, r route, eps []resolve.Endpoint, use Direction, need policy.Requirement) (*connection, []resolve.Endpoint, error) {
	dialCtx, span := p.Telemetry.span(ctx, "dial")
	conn, ep, rest, err := p.Resolver.Dial(dialCtx, eps)
	endSpan(span, err)
	if err != nil {
		return nil, nil, failure(StepTCP, "", err)
	}
	ctx, cancel := share(ctx, 1+len(rest), p.now().Limits.PreAuthTime[Outside])
	defer cancel()
	if ep.DirectTLS {
		conn = stream.DirectClient(conn, p.clientTLS(r, ep))
	}
	c, err := p.greet(ctx, r, conn)
	if err != nil {
		return nil, rest, err
	}
	c.ep = ep
	if err := p.secure(ctx, r, c, use, need); err != nil {
		c.s.Abort()
		return nil, rest, err
	}
	return c, rest, nil
}

// share gives one of n tries its part of the time that is left, most at the most: a peer that hangs must not take that of the next.
func share(ctx context.Context, n int, most time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/time.Duration(n))
	}
	return context.WithTimeout(ctx, most)
}

// connectBackend calls a backend in the name of a remote domain (W12).
func (p *Proxy) connectBackend(ctx context.Context, r route) (*connection, error) {
	backend, ok := p.now().backendOf(r.pair.Local)
	if !ok {
		return nil, &Failure{Step: StepPolicy, Condition: stanza.ItemNotFound, Permanent: true, Err: fmt.Errorf("%s is no longer served", r.pair.Local)}
	}
	dialer := net.Dialer{Timeout: p.now().Limits.BackendDial}
	dialCtx, span := p.Telemetry.span(ctx, "dial")
	conn, err := dialer.DialContext(dialCtx, "tcp", backend.Address)
	endSpan(span, err)
	if err != nil {
		p.router.missed(ctx, backend.Address)
		return nil, &Failure{Step: StepTCP, Peer: backend.Address, Advice: "is the backend running, and does it take s2s streams at backends[].address?", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, p.now().Limits.ResultInside)
	defer cancel()
	c, err := p.greet(ctx, r, conn)
	if err != nil {
		if isTimeout(err) {
			p.router.missed(ctx, backend.Address)
		}
		return nil, err
	}
	p.router.reached(backend.Address)
	c.backend = backend.Address
	offered, _ := c.s.FeatureStartTLS()
	switch {
	case backend.TLS == TLSOff, backend.TLS == TLSOptional && !offered:
		return c, nil
	}
	cfg, err := p.innerClient(r, backend)
	if err != nil {
		c.s.Abort()
		return nil, failure(StepTLS, backend.Address, err)
	}
	tlsCtx, cancel := context.WithTimeout(ctx, p.now().Limits.TLSHandshake)
	defer cancel()
	tlsCtx, span = p.Telemetry.span(tlsCtx, "tls")
	err = c.s.ClientTLS(tlsCtx, cfg)
	endSpan(span, err)
	if err != nil {
		c.s.Abort()
		return nil, failure(StepTLS, backend.Address, err)
	}
	c.describe()
	return c, nil
}

// greet exchanges the stream headers. The peer's connection is closed when it does not answer them.
func (p *Proxy) greet(ctx context.Context, r route, conn net.Conn) (*connection, error) {
	peer := conn.RemoteAddr().String()
	s, err := stream.Initiate(ctx, conn, streamConfig(p.now().Limits, r.dir.exit(), p.Log), r.from(), r.to())
	if err != nil {
		conn.Close()
		return nil, failure(StepStream, peer, err)
	}
	c := &connection{s: s}
	c.describe()
	return c, nil
}

// clientTLS is how we shake hands with an endpoint. A server that is known by TLSA records goes by its own name (RFC 7673 §4.1), and one
// that is to begin with TLS is told the protocol (XEP-0368 §3).
func (p *Proxy) clientTLS(r route, ep resolve.Endpoint) *tls.Config {
	cfg := p.Certs.ClientConfig(r.pair.Local.ASCII(), r.pair.Remote.ASCII())
	if len(ep.TLSA) > 0 {
		cfg.ServerName = ep.Target
	}
	if ep.DirectTLS {
		cfg.NextProtos = []string{certs.ALPN}
	}
	return cfg
}

// secure brings the channel and the peer's proof to what policy requires. TLS is taken whenever it can be had, and asked for
// even when it is not offered if it is required ([T10]).
func (p *Proxy) secure(ctx context.Context, r route, c *connection, use Direction, need policy.Requirement) error {
	offered, _ := c.s.FeatureStartTLS()
	switch {
	case c.s.TLS() != nil:
		return p.identified(ctx, r, c, use, need)
	case !offered && need.Channel == "plaintext":
		return p.enough(r, c, use, certs.Result{})
	}
	if err := p.startTLS(ctx, r, c, offered); err != nil {
		if !offered { // whoever took it out of the features ([T10], ABUSE 16) does not know it from before
			p.downgraded(use, r.pair, policy.LinkDecision{}, &c.facts, p.noteFor(c, use))
		}
		return err
	}
	return p.identified(ctx, r, c, use, need)
}

func (p *Proxy) startTLS(ctx context.Context, r route, c *connection, offered bool) error {
	peer := c.s.RemoteAddr().String()
	tlsCtx, cancel := context.WithTimeout(ctx, p.now().Limits.TLSHandshake)
	defer cancel()
	tlsCtx, span := p.Telemetry.span(tlsCtx, "tls")
	err := c.s.ClientTLS(tlsCtx, p.clientTLS(r, c.ep))
	endSpan(span, err)
	if err != nil {
		f := failure(StepTLS, peer, err)
		if !offered {
			f.Permanent = true
			f.Advice = "the peer offers no TLS: " + adviceNoTLS
		}
		return f
	}
	c.describe()
	return nil
}

// identified finds out who the peer has proved to be, and asks policy whether that suffices.
func (p *Proxy) identified(ctx context.Context, r route, c *connection, use Direction, need policy.Requirement) error {
	known := p.known(use, r.pair, &c.facts)
	c.by = p.identifyServer(ctx, r.pair.Remote, c.s.TLS().PeerCertificates, c.ep, certs.Needed(need.Proof, known.Proof))
	p.describeCert(&c.facts, c.s.TLS(), c.by.Result)
	c.cert = certFacts(c.by.Result)
	if len(c.ep.TLSA) > 0 && !c.by.Proved {
		p.downgraded(use, r.pair, policy.LinkDecision{}, &c.facts, p.noteFor(c, use))
		return &Failure{Step: StepCert, Peer: c.s.RemoteAddr().String(), Cert: c.cert, Err: fmt.Errorf("%w: %w", errDANE, c.by.Err),
			Advice: "its operator changed the certificate and not the TLSA records of " + c.ep.Target + ", or somebody else answers there"}
	}
	return p.enough(r, c, use, c.by.Result)
}

// enough asks policy whether the channel and the proof that were reached suffice. To ask about a key the channel is enough: the answer
// is the proof.
func (p *Proxy) enough(r route, c *connection, use Direction, v certs.Result) error {
	facts := c.facts
	if use != r.dir {
		facts.Proof = ""
	}
	d := p.linkDecision(use, r.pair, facts)
	if d.Effect == policy.Allow {
		return nil
	}
	p.downgraded(use, r.pair, d, &facts, p.noteFor(c, use))
	reason := error(&ruledOut{d})
	if err := cmp.Or(v.Err, p.unsure(facts, v)); err != nil {
		reason = fmt.Errorf("%w: %w", reason, err)
	}
	return &Failure{Step: StepCert, Peer: c.s.RemoteAddr().String(), Cert: c.cert, Permanent: true, Err: reason,
		Advice: adviceUnproved}
}

// noteFor records events of a connection that is no link yet.
func (p *Proxy) noteFor(c *connection, use Direction) func(audit.Event) {
	return func(e audit.Event) {
		e.Dir, e.Address = use.String(), c.s.RemoteAddr().String()
		p.Record.Note(e)
	}
}

// certFacts puts a certificate on one line.
func certFacts(v certs.Result) string {
	if v.SPKI == "" {
		return ""
	}
	return fmt.Sprintf("names %v, issuer %q, not after %s, spki sha256/%s", v.Names, v.Issuer, v.NotAfter.Format(time.DateOnly), v.SPKI)
}

// describe fills in the facts of the channel.
func (c *connection) describe() {
	c.facts.Channel = "plaintext"
	c.facts.Proof = "none"
	c.facts.RemoteIP = c.s.RemoteAddr().Addr().String()
	if state := c.s.TLS(); state != nil {
		describeTLS(&c.facts, state)
	}
}

// ciphers are the names of suites: crypto/tls makes a list of all it knows to give one.
var ciphers = func() map[uint16]string {
	names := make(map[uint16]string)
	for _, c := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		names[c.ID] = c.Name
	}
	return names
}()

func describeTLS(f *policy.LinkFacts, state *tls.ConnectionState) {
	f.Channel = "tls"
	f.TLSVersion = tls.VersionName(state.Version)
	f.Cipher = ciphers[state.CipherSuite]
	f.ALPN = state.NegotiatedProtocol
}
