package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"sallyport/internal/jid"
)

const (
	srvPrefix   = "_xmpp-server._tcp."
	defaultPort = 5269 // RFC 6120 §3.2.2

	lookupTime = 15 * time.Second       // one domain, all of its questions
	secondWait = 500 * time.Millisecond // for the other address family, once one is there
	// briefly is how long we remember that nobody answered (RFC 9520 §3.2 wants a second at least), and negative answers that do not say
	// how long they hold.
	briefly = 5 * time.Second
)

// look asks DNS where a domain is served ([D01] to [D04]).
func (r *Resolver) look(ctx context.Context, d jid.Domain) finding {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	name := srvPrefix + d.ASCII() + "."
	if _, ok := dns.IsDomainName(name); !ok {
		return finding{err: notFound(d, "%s is too long to be asked for", name), ttl: maxTTL}
	}
	a, server, err := r.ask(ctx, name, dns.TypeSRV)
	if err != nil {
		return finding{err: unanswered(d, err), ttl: briefly}
	}
	if !a.exists() {
		return r.lookFallback(ctx, d, a)
	}
	offered := slices.DeleteFunc(a.services, func(s service) bool { return s.target == "" })
	if len(offered) == 0 {
		return finding{err: notFound(d, `%v says that the service is not available (SRV target ".")`, server), ttl: a.ttl}
	}
	return r.lookServices(ctx, d, a.ttl, offered)
}

// lookFallback takes a domain without SRV records for the name of its own server ([D04], RFC 6120 §3.2.2).
func (r *Resolver) lookFallback(ctx context.Context, d jid.Domain, srv *answer) finding {
	life := srv.ttl
	if life == 0 {
		life = briefly
	}
	addrs, ttl, err := r.addresses(ctx, d.ASCII())
	if err == nil {
		ep := Endpoint{Target: d.ASCII(), Port: defaultPort, Addrs: addrs, Fallback: true}
		return r.admit(d, []Endpoint{ep}, min(life, ttl))
	}
	if missing, ok := errors.AsType[*noAddress](err); ok {
		return finding{err: notFound(d, "SRV: %s; address: %v; is the name right?", srv.why(), missing), ttl: min(life, ttl)}
	}
	return finding{err: unanswered(d, err), ttl: briefly}
}

// lookServices finds the addresses of the SRV targets. Once there are SRV records, they alone count ([D03]).
func (r *Resolver) lookServices(ctx context.Context, d jid.Domain, ttl time.Duration, offered []service) finding {
	slices.SortStableFunc(offered, func(a, b service) int { return int(a.priority) - int(b.priority) })
	offered = offered[:min(len(offered), maxServices)]
	type result struct {
		addrs []netip.Addr
		ttl   time.Duration
		err   error
	}
	results := make([]result, len(offered))
	var group errgroup.Group
	group.SetLimit(4)
	for i, s := range offered {
		group.Go(func() error {
			results[i].addrs, results[i].ttl, results[i].err = r.addresses(ctx, s.target)
			return nil // one target's trouble is not the other's
		})
	}
	_ = group.Wait()
	var (
		eps     []Endpoint
		missing []string
		fault   error
	)
	for i, s := range offered {
		ttl = min(ttl, results[i].ttl)
		if err := results[i].err; err != nil {
			if _, ok := errors.AsType[*noAddress](err); ok {
				missing = append(missing, s.target+": "+err.Error())
			} else {
				fault = err
			}
			continue
		}
		eps = append(eps, Endpoint{Target: s.target, Port: s.port, Addrs: results[i].addrs, Priority: s.priority, Weight: s.weight})
	}
	switch {
	case len(eps) > 0:
		return r.admit(d, eps, ttl)
	case fault != nil:
		return finding{err: unanswered(d, fault), ttl: briefly}
	}
	return finding{err: notFound(d, "its SRV records name hosts without address (%s)", strings.Join(missing, "; ")), ttl: ttl}
}

// admit takes out the addresses that must not be called ([D09]).
func (r *Resolver) admit(d jid.Domain, eps []Endpoint, ttl time.Duration) finding {
	var (
		good    []Endpoint
		refused []Refusal
	)
	for _, ep := range eps { // what is refused is told, but not kept by the hundred
		var addrs []netip.Addr
		for _, addr := range ep.Addrs {
			if no := r.filter.refuses(ep.Target, netip.AddrPortFrom(addr, ep.Port)); no != nil {
				if len(refused) < maxAddrs || no.Own {
					refused = append(refused, *no)
				}
				continue
			}
			addrs = append(addrs, addr)
		}
		if len(addrs) > 0 && ep.Port != 0 {
			good = append(good, ep.narrow(addrs))
		}
	}
	switch {
	case len(good) > 0:
		return finding{endpoints: good, ttl: ttl}
	case len(refused) > 0:
		return finding{err: &FilteredError{Domain: d.String(), Refused: refused}, ttl: ttl}
	}
	return finding{err: notFound(d, "its SRV records name port 0"), ttl: ttl}
}

// noAddress says that a host has neither an IPv4 nor an IPv6 address.
type noAddress struct{ why string }

func (e *noAddress) Error() string { return e.why }

// addresses looks a host up in both families at once. The one that answers does not wait long for the other. A host that is written
// as an address is that address; our own inside DNS answers so, and it is not alone. Errors are *noAddress and *questionError.
func (r *Resolver) addresses(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	if addr, ok := literal(host); ok {
		return []netip.Addr{addr}, maxTTL, nil
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
			a, _, err := r.ask(ctx, dns.Fqdn(host), t)
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
func together(v6, v4 *answer, err error) ([]netip.Addr, time.Duration, error) {
	var addrs [2][]netip.Addr
	ttl, negative := maxTTL, maxTTL
	for i, a := range []*answer{v6, v4} {
		switch {
		case a == nil:
			ttl, negative = min(ttl, briefly), min(negative, briefly) // the other family is asked again soon
		case a.exists():
			addrs[i] = a.addrs
			ttl = min(ttl, a.ttl)
		case a.ttl == 0:
			negative = min(negative, briefly)
		default:
			negative = min(negative, a.ttl)
		}
	}
	switch all := interleave(addrs[0], addrs[1]); {
	case len(all) > 0:
		return all, ttl, nil
	case err != nil:
		return nil, briefly, err
	}
	return nil, negative, &noAddress{why: v4.why()}
}

// ask puts one question to the name servers.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (*answer, netip.AddrPort, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	reply, server, err := r.asker.ask(ctx, q)
	if err != nil {
		return nil, server, &questionError{question: strings.TrimSuffix(name, ".") + " " + dns.TypeToString[qtype], err: err}
	}
	return digest(dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}, reply), server, nil
}

// questionError is an unanswered question.
type questionError struct {
	question string
	err      error
}

func (e *questionError) Error() string { return "asking for " + e.question + ": " + e.err.Error() }
func (e *questionError) Unwrap() error { return e.err }

// unanswered makes a TemporaryError of what ask returned.
func unanswered(d jid.Domain, err error) error {
	t := &TemporaryError{Domain: d.String(), Question: d.String()}
	if q, ok := errors.AsType[*questionError](err); ok {
		t.Question = q.question
	}
	if u, ok := errors.AsType[*errUnanswered](err); ok {
		t.Attempts = u.attempts
	}
	return t
}
