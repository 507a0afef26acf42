package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"sallyport/internal/jid"
)

const (
	srvPrefix    = "_xmpp-server._tcp."
	directPrefix = "_xmpps-server._tcp." // TLS from the first byte (XEP-0368)
	defaultPort  = 5269                  // RFC 6120 §3.2.2

	lookupTime = 15 * time.Second       // one domain, all of its questions
	secondWait = 500 * time.Millisecond // for the other address family, once one is there
	kindWait   = time.Second            // for the other kind of SRV record, once one is there
	// briefly is how long we remember that nobody answered (RFC 9520 §3.2 wants a second at least), and negative answers that do not say
	// how long they hold.
	briefly = 5 * time.Second
)

// said is what DNS says of one of the two services of a domain.
type said struct {
	name   string  // of the question
	direct bool    // _xmpps-server
	answer *answer // nil when nobody answered
	server Server
	err    error
}

// offered are the SRV records but for those that say "no such service".
func (s *said) offered() []offer {
	if s.answer == nil {
		return nil
	}
	var all []offer
	for _, record := range s.answer.services {
		if record.target != "" {
			all = append(all, offer{service: record, direct: s.direct, secure: s.answer.secure})
		}
	}
	return all
}

// offer is one SRV record of either kind.
type offer struct {
	service
	direct bool
	secure bool // DNSSEC vouches for it
}

// look asks DNS where a domain is served ([D01] to [D04], [M07]). What it learns on the way goes into s.
func (r *Resolver) look(ctx context.Context, d jid.Domain, s *Survey) finding {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answers := r.askServices(ctx, d)
	if len(answers) == 0 {
		return finding{err: notFound(d, "%s%s is too long to be asked for", srvPrefix, d), ttl: maxTTL}
	}
	s.noteServices(answers)
	var (
		offers []offer
		life   = maxTTL
		failed *said
		closed *said
	)
	for i := range answers {
		switch a := &answers[i]; {
		case a.err != nil && failed == nil:
			failed, life = a, min(life, briefly)
		case a.err == nil:
			here := a.offered()
			if len(here) == 0 && a.answer.exists() {
				closed = a
			}
			offers, life = append(offers, here...), a.answer.limit(life)
		}
	}
	switch {
	case failed != nil && (len(offers) == 0 || hides(failed, offers)):
		return finding{err: unanswered(d, failed.err), ttl: briefly}
	case len(offers) > 0:
		return r.lookOffers(ctx, d, life, offers, s)
	case closed != nil:
		return finding{err: notFound(d, `%v says that %s is not available (SRV target ".")`, closed.server, strings.TrimSuffix(closed.name, ".")), ttl: life}
	}
	return r.lookFallback(ctx, d, answers, s)
}

// hides reports whether a question without answer forbids going by the answer to the other. Some name servers fail for every name
// that they do not have, and those domains are still to be reached. But where DNSSEC is at work, a failure is how forgery shows, and
// what somebody keeps from us must not move us from one kind of service to the other.
func hides(failed *said, offers []offer) bool {
	return saysBogus(failed.err) || slices.ContainsFunc(offers, func(o offer) bool { return o.secure })
}

// askServices asks for both kinds of SRV records at once. The one that is there does not wait long for the other, unless DNSSEC
// vouches for it: see hides. No domain of a name that is too long for DNS can exist.
func (r *Resolver) askServices(ctx context.Context, d jid.Domain) []said {
	kinds := []said{{name: srvPrefix + d.ASCII() + "."}}
	if r.config.DirectTLS {
		kinds = append(kinds, said{name: directPrefix + d.ASCII() + ".", direct: true})
	}
	kinds = slices.DeleteFunc(kinds, func(s said) bool { _, ok := dns.IsDomainName(s.name); return !ok })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for i := range kinds {
		s := &kinds[i]
		all.Go(func() {
			s.answer, s.server, s.err = r.ask(ctx, s.name, dns.TypeSRV)
			if offers := s.offered(); len(offers) > 0 && !offers[0].secure {
				time.AfterFunc(kindWait, cancel)
			}
		})
	}
	all.Wait()
	return kinds
}

// lookFallback takes a domain without SRV records of any kind for the name of its own server ([D04], RFC 6120 §3.2.2).
func (r *Resolver) lookFallback(ctx context.Context, d jid.Domain, answers []said, s *Survey) finding {
	life, secure := maxTTL, true
	for _, a := range answers {
		if secure = secure && a.answer.secure; a.answer.ttl == 0 {
			life = min(life, briefly)
		} else {
			life = min(life, a.answer.ttl)
		}
	}
	p := r.place(ctx, offer{service: service{target: d.ASCII(), port: defaultPort}, secure: secure}, func() host { return r.addresses(ctx, d.ASCII()) })
	p.endpoint.Fallback = true
	if missing, ok := errors.AsType[*noAddress](p.host.err); ok {
		s.notePlaces([]place{p})
		return finding{err: notFound(d, "SRV: %s; address: %v; is the name right?", answers[0].answer.why(), missing), ttl: min(life, p.host.ttl)}
	}
	return r.gather(d, []place{p}, life, s)
}

// lookOffers finds the addresses of the SRV targets, both kinds mixed (XEP-0368 §3). Once there are SRV records, they alone count
// ([D03]).
func (r *Resolver) lookOffers(ctx context.Context, d jid.Domain, life time.Duration, offers []offer, s *Survey) finding {
	slices.SortStableFunc(offers, func(a, b offer) int { return int(a.priority) - int(b.priority) })
	offers = offers[:min(len(offers), maxServices)]
	hosts := map[string]func() host{} // two services are often on one host
	for _, o := range offers {
		if hosts[o.target] == nil {
			hosts[o.target] = sync.OnceValue(func() host { return r.addresses(ctx, o.target) })
		}
	}
	places := make([]place, len(offers))
	var group errgroup.Group
	group.SetLimit(4)
	for i, o := range offers {
		group.Go(func() error {
			places[i] = r.place(ctx, o, hosts[o.target])
			return nil // one target's trouble is not the other's
		})
	}
	_ = group.Wait()
	return r.gather(d, places, life, s)
}

// place is all that DNS says of one endpoint.
type place struct {
	endpoint Endpoint
	host     host
	cert     certified
}

// place looks one endpoint up: its addresses and, if DNSSEC vouches for the way to them, its TLSA records.
func (r *Resolver) place(ctx context.Context, o offer, look func() host) place {
	p := place{host: look(), cert: certified{ttl: maxTTL}}
	p.endpoint = Endpoint{Target: o.target, Port: o.port, Addrs: p.host.addrs, Priority: o.priority, Weight: o.weight,
		DirectTLS: o.direct, SecureName: o.secure, SecureAddrs: p.host.secure}
	if o.secure && p.host.secure {
		if p.cert = r.lookTLSA(ctx, o.target, p.host.canonical, o.port); p.cert.found() {
			p.endpoint.DANE, p.endpoint.TLSA = true, p.cert.said.tlsa
		}
	}
	return p
}

// ttl is for how long the place is known.
func (p *place) ttl() time.Duration { return min(p.host.ttl, p.cert.ttl) }

// gather makes a finding of the places. Those that cannot be reached leave the others to be tried.
func (r *Resolver) gather(d jid.Domain, places []place, ttl time.Duration, s *Survey) finding {
	s.notePlaces(places)
	var (
		eps     []Endpoint
		missing []string
		fault   error
	)
	for _, p := range places {
		ttl = min(ttl, p.ttl())
		_, homeless := errors.AsType[*noAddress](p.host.err)
		switch err := errors.Join(p.host.err, p.cert.err); {
		case homeless:
			missing = append(missing, p.endpoint.Target+": "+p.host.err.Error())
		case err != nil:
			fault = err
		default:
			eps = append(eps, p.endpoint)
		}
	}
	switch {
	case len(eps) > 0:
		return r.admit(d, eps, ttl, s)
	case fault != nil:
		return finding{err: unanswered(d, fault), ttl: briefly}
	}
	return finding{err: notFound(d, "its SRV records name hosts without address (%s)", strings.Join(missing, "; ")), ttl: ttl}
}

// admit takes out the addresses that must not be called ([D09]).
func (r *Resolver) admit(d jid.Domain, eps []Endpoint, ttl time.Duration, s *Survey) finding {
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
	s.Refused = refused
	switch {
	case len(good) > 0:
		return finding{endpoints: good, ttl: ttl}
	case len(refused) > 0:
		return finding{err: &FilteredError{Domain: d.String(), Refused: refused}, ttl: ttl}
	}
	return finding{err: notFound(d, "its SRV records name port 0"), ttl: ttl}
}

// ask puts one question to the name servers.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (*answer, Server, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(udpSize, r.config.DNSSEC)
	q.AuthenticatedData = r.config.DNSSEC // RFC 6840 §5.7
	reply, server, err := r.asker.ask(ctx, q)
	if err != nil {
		return nil, server, &questionError{question: strings.TrimSuffix(name, ".") + " " + dns.TypeToString[qtype], err: err}
	}
	return digest(dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}, reply, r.config.DNSSEC), server, nil
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
		t.Attempts, t.Bogus = u.attempts, saysBogus(err)
	}
	return t
}
