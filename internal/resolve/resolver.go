package resolve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"sallyport/internal/jid"
)

// maxLookups is how many domains are looked up at once. Strangers choose many of the names.
const maxLookups = 128

// Resolver finds the endpoints of domains and connects to them. It is safe for concurrent use.
type Resolver struct {
	// Set at birth.
	config Config
	wires  *transport
	asker  *asker
	filter *filter
	cache  *cache
	slots  chan struct{} // one for each look-up under way
	dial   func(ctx context.Context, at netip.AddrPort) (net.Conn, error)
}

// New makes a Resolver. Its error lists every fault of the configuration.
func New(c Config) (*Resolver, error) {
	own := ownAddresses(c.Listeners)
	c, err := c.complete(own)
	if err != nil {
		return nil, err
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	wires := newTransport(c.Servers, roots, c.Timeout)
	r := &Resolver{
		config: c,
		wires:  wires,
		asker:  &asker{servers: c.Servers, timeout: c.Timeout, exchange: wires.exchange},
		filter: &filter{allowPrivate: c.AllowPrivate, own: own},
		cache:  newCache(c.CacheEntries),
		slots:  make(chan struct{}, maxLookups),
	}
	r.dial = r.dialTCP
	return r, nil
}

// Shun names the backends of this gate, in place of those named before. Nobody's DNS makes us call them: what they hear from us as a remote
// server, they hear at the inside alone.
func (r *Resolver) Shun(backends []netip.AddrPort) {
	own := ownAddresses(backends)
	r.filter.backends.Store(&own)
}

// Validating reports whether DNSSEC counts: without it no endpoint has TLSA records.
func (r *Resolver) Validating() bool { return r.config.DNSSEC }

// Endpoints returns where d is served, in the order in which to try it. The result is the caller's own. Local domains and static
// routes must have been dealt with before: they are not looked up ([D05], [D10]).
//
// Errors: *NotFoundError when the domain offers no such service or cannot have any, *TemporaryError when nobody answered,
// *FilteredError when it leads only to addresses that must not be called, and the end of ctx.
func (r *Resolver) Endpoints(ctx context.Context, d jid.Domain) ([]Endpoint, error) {
	if !d.Qualified() {
		return nil, errNotQualified(d)
	}
	for {
		e, mine := r.cache.find(d)
		if mine {
			r.lead(ctx, d, e)
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("looking up %s: %w", d, context.Cause(ctx))
		}
		if !e.abandoned {
			return e.finding.inOrder()
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("looking up %s: %w", d, context.Cause(ctx))
		}
	}
}

// lead looks d up for all who wait for e. When its own caller has to go, the result is worth nothing, and one of those who wait
// leads in its turn.
func (r *Resolver) lead(ctx context.Context, d jid.Domain, e *entry) {
	var f finding
	select {
	case r.slots <- struct{}{}:
		f = r.look(ctx, d, new(Survey))
		<-r.slots
	case <-ctx.Done():
	}
	r.cache.settle(d, e, f, ctx.Err() != nil)
}

// inOrder returns a copy of the endpoints in the order of RFC 2782, drawn anew for each caller.
func (f *finding) inOrder() ([]Endpoint, error) {
	if f.err != nil {
		return nil, f.err
	}
	eps := slices.Clone(f.endpoints)
	for i := range eps {
		eps[i].Addrs = slices.Clone(eps[i].Addrs)
	}
	order(eps, lot)
	return eps, nil
}

// Forget drops what is remembered of d, so that the next look-up asks.
func (r *Resolver) Forget(d jid.Domain) { r.cache.forget(d) }
