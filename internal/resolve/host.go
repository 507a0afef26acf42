package resolve

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// host is what DNS says of a host: its addresses, or why there are none.
type host struct {
	addrs     []netip.Addr
	secure    bool   // DNSSEC vouches for all of them
	canonical string // where the name's aliases lead
	ttl       time.Duration
	err       error // *noAddress or *questionError
}

// noAddress says that a host has neither an IPv4 nor an IPv6 address.
type noAddress struct{ why string }

func (e *noAddress) Error() string { return e.why }

// addresses looks a host up in both families at once. The one that answers does not wait long for the other. A host that is written
// as an address is that address; our own inside DNS answers so, and it is not alone.
func (r *Resolver) addresses(ctx context.Context, name string) host {
	if addr, ok := literal(name); ok {
		return host{addrs: []netip.Addr{addr}, ttl: maxTTL}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type family struct {
		answer *answer
		err    error
	}
	ask := func(t uint16) <-chan family {
		ch := make(chan family, 1)
		go func() {
			a, _, err := r.ask(ctx, dns.Fqdn(name), t)
			ch <- family{a, err}
		}()
		return ch
	}
	ch6, ch4 := ask(dns.TypeAAAA), ask(dns.TypeA)
	var v6, v4 family
	for range 2 {
		var got family
		select {
		case got = <-ch6:
			v6, ch6 = got, nil
		case got = <-ch4:
			v4, ch4 = got, nil
		}
		if got.err == nil && got.answer.exists() {
			defer time.AfterFunc(secondWait, cancel).Stop()
		}
	}
	return together(v6.answer, v4.answer, errors.Join(v6.err, v4.err))
}

// together makes one of the two families' answers; those that failed are nil.
func together(v6, v4 *answer, err error) host {
	var addrs [2][]netip.Addr
	h := host{ttl: maxTTL, secure: true}
	negative := maxTTL
	for i, a := range []*answer{v6, v4} {
		switch {
		case a == nil:
			h.ttl, negative = min(h.ttl, briefly), min(negative, briefly) // the other family is asked again soon
		case a.exists():
			addrs[i] = a.addrs
			h.ttl = min(h.ttl, a.ttl)
			h.secure = h.secure && a.secure
			h.canonical = a.owner
		case a.ttl == 0:
			negative = min(negative, briefly)
		default:
			negative = min(negative, a.ttl)
		}
	}
	h.addrs = interleave(addrs[0], addrs[1])
	switch {
	case len(h.addrs) > 0:
		return h
	case err != nil:
		return host{ttl: briefly, err: err}
	}
	return host{ttl: negative, err: &noAddress{why: v4.why()}}
}
