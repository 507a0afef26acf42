package probe

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
)

// House is our own side of federation, to be looked at from outside. Nothing of it is changed.
type House struct {
	Backends  []Backend
	Outside   []netip.AddrPort // doors for streams that begin in clear
	DirectTLS []netip.AddrPort // doors for those that begin with TLS
	Inside    netip.AddrPort   // the backends' door
	Names     netip.AddrPort   // the name server that backends are given; zero: none
	Resolver  *resolve.Resolver
	Certs     *certs.Manager
	Secret    dialback.Secrets // of both sides; zero: nobody is asked about a key
	Keyless   string           // why there is no Secret
	Absent    string           // why the gate seems not to run; empty: it does
}

// Backend is one server of ours.
type Backend struct {
	Address string
	Domains []jid.Domain
	TLS     string // as backends[].tls has it
}

// Level is how much a Finding matters.
type Level int

// The levels of findings.
const (
	Fine  Level = iota // as it should be
	Note               // no fault, or not to be told from here
	Wrong              // a fault
)

// String is the word that stands before a finding.
func (l Level) String() string { return [...]string{"ok", "note", "wrong"}[l] }

// Finding is one thing about our own side, on one line without control characters.
type Finding struct {
	At    string // the place in the configuration that it is about, as backends[0].domains[1]
	Level Level
	Text  string
}

// stranger is the domain in whose name we ask ourselves. Nobody can have it (RFC 6761 §6.5). It is not below .invalid, about which
// resolvers such as Prosody's answer by themselves.
const stranger = "self-check.sallyport.example"

// askTime bounds one question to one address, of ours or in our DNS.
const askTime = 10 * time.Second

// findings gathers them, in the order of the parts.
type findings [][]Finding

func (f findings) part(ctx context.Context, i int) *part { return &part{ctx: ctx, into: &f[i]} }

// part is what one look at one thing found. Each is used by one goroutine.
type part struct {
	ctx  context.Context
	into *[]Finding
}

// say adds a finding. What went wrong when the time was over is no fault.
func (p *part) say(at string, level Level, format string, args ...any) {
	if p.ctx.Err() != nil && level == Wrong {
		level, format = Note, "the time is over, so nothing can be told: "+format
	}
	*p.into = append(*p.into, Finding{At: at, Level: level, Text: harmless(strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "), longestError)})
}

// Look looks at everything, a few things at once, until ctx ends. Findings come in the order of the configuration.
func (h *House) Look(ctx context.Context) []Finding {
	var looks []func(*part)
	for i, b := range h.Backends {
		for j, d := range b.Domains {
			at := fmt.Sprintf("backends[%d].domains[%d]", i, j)
			looks = append(looks, func(p *part) { h.domain(ctx, p, at, d) })
		}
	}
	looks = append(looks, func(p *part) { h.doors(ctx, p) }, func(p *part) { h.names(ctx, p) })
	for i, b := range h.Backends {
		looks = append(looks, func(p *part) { h.backend(ctx, p, fmt.Sprintf("backends[%d]", i), b) })
	}
	found := make(findings, len(looks))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, look := range looks {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			look(found.part(ctx, i))
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// domain looks where DNS leads the world that looks for a domain of ours.
func (h *House) domain(ctx context.Context, p *part, at string, d jid.Domain) {
	h.certificate(p, at, d)
	h.issuers(ctx, p, at, d)
	survey := h.Resolver.Survey(ctx, d)
	dns := surveyed(survey)
	example := srv("xmpp-server", d.ASCII(), int(h.port(h.Outside)), "HOST-OF-THIS-GATE")
	places := callable(survey)
	switch {
	case dns.temporary:
		p.say(at, Wrong, "%s: DNS gives no answer, so others cannot find it: %s", d, dns.Problem)
	case len(places) == 0 && len(dns.Refused) == 0:
		p.say(at, Wrong, "%s: others cannot find it: %s; add the record  %s", d, dns.Problem, example)
	case !published(survey):
		p.say(at, Note, "%s: there is no SRV record, so others guess; add the record  %s", d, example)
	}
	for _, place := range places {
		h.place(ctx, p, at, d, place)
	}
	for _, r := range survey.Refused {
		if !r.Own {
			p.say(at, Wrong, "%s: DNS leads to %s (%s, by %s), which others cannot or will not call; name the public address", d, r.At, r.Reason, clean(r.Target))
		}
	}
	if len(h.DirectTLS) > 0 && !slices.ContainsFunc(survey.Places, func(s resolve.PlaceSurvey) bool { return s.DirectTLS }) {
		p.say(at, Note, "%s: nobody is told of outside.direct_tls; add the record  %s", d, srv("xmpps-server", d.ASCII(), int(h.port(h.DirectTLS)), "HOST-OF-THIS-GATE"))
	}
}

// port is that of the first of some doors.
func (h *House) port(doors []netip.AddrPort) uint16 {
	if len(doors) == 0 {
		return 5269
	}
	return doors[0].Port()
}

// published says whether DNS has any SRV record for the domain.
func published(s *resolve.Survey) bool {
	return slices.ContainsFunc(s.Services, func(one resolve.ServiceSurvey) bool { return len(one.Records) > 0 })
}

// ourPlace is an address to which DNS leads for a domain of ours.
type ourPlace struct {
	at     netip.AddrPort
	target string
	direct bool
	own    bool // it is a door of this very gate
}

// callable are the addresses that may be called, and those that the resolver would not call only because they are ours.
func callable(s *resolve.Survey) (all []ourPlace) {
	refused := map[netip.AddrPort]resolve.Refusal{}
	for _, r := range s.Refused {
		refused[r.At] = r
	}
	for _, place := range s.Places {
		for _, addr := range place.Addrs {
			at := netip.AddrPortFrom(addr, place.Port)
			r, no := refused[at]
			if (!no || r.Own) && place.Port != 0 && len(all) < maxAddresses {
				all = append(all, ourPlace{at: at, target: clean(place.Target), direct: place.DirectTLS, own: no})
			}
		}
	}
	return all
}

// place asks at an address in our DNS whether it is us who answer there.
func (h *House) place(ctx context.Context, p *part, at string, d jid.Domain, place ourPlace) {
	where := fmt.Sprintf("%s: DNS leads to %s (%s)", d, place.at, place.target)
	if place.own && h.Absent != "" {
		p.say(at, Fine, "%s, a door of this gate", where)
		return
	}
	answer, err := h.ask(ctx, place, d)
	switch {
	case err == nil:
		p.say(at, Fine, "%s, where this gate answers for it (%s)", where, answer)
	case answer.reached:
		p.say(at, Wrong, "%s, where %v", where, err)
	case place.own:
		p.say(at, Wrong, "%s, a door of this gate, which does not take the call: %v", where, err)
	default:
		p.say(at, Note, "%s, which cannot be reached from here: %v; a router that does not lead its own network back may be why: try  sallyport probe %s  at another gate", where, err, d)
	}
}

// issuers looks who else could have a certificate issued for a domain of ours: whoever can answer an authority's challenge for a moment, as
// happened to jabber.ru in 2023, unless CAA names the account that may (RFC 8657 §3).
func (h *House) issuers(ctx context.Context, p *part, at string, d jid.Domain) {
	caa := authorities(ctx, h.Resolver, d)
	record := fmt.Sprintf("%s. 3600 IN CAA 0 issue \"AUTHORITY; accounturi=URI-OF-YOUR-ACCOUNT\"", d.ASCII())
	switch {
	case caa.Problem != "":
		p.say(at, Note, "%s: CAA records could not be had: %s", d, caa.Problem)
	case len(caa.Records) == 0:
		p.say(at, Note, "%s: any authority may issue a certificate for it, to whoever gets hold of its traffic; add the record  %s", d, record)
	case !slices.ContainsFunc(caa.Records, func(s string) bool { return strings.Contains(s, "accounturi=") }):
		p.say(at, Note, "%s: CAA lets every account of an authority have a certificate for it (%s); name yours:  %s", d, caa, record)
	default:
		p.say(at, Fine, "%s: CAA says who may issue certificates for it, and to which account (%s)", d, caa)
	}
}

// certificate looks at what we show for a domain as others will.
func (h *House) certificate(p *part, at string, d jid.Domain) {
	own, ok := h.Certs.Certificate(d.ASCII())
	if !ok {
		return // told without looking outside
	}
	chain := chainOf(own)
	if len(chain) == 0 {
		return
	}
	days := int(time.Until(chain[0].NotAfter).Hours() / 24)
	until := fmt.Sprintf("%s: its certificate is good until %s (%d days)", d, chain[0].NotAfter.UTC().Format(time.DateOnly), days)
	if r := h.Certs.Verifier().Verify(chain, d.ASCII()); !r.Proved {
		p.say(at, Note, "%s, and proves nothing to those who trust what is trusted here: %v", until, r.Err)
		return
	}
	p.say(at, Fine, "%s, %s", until, strings.Join(usage(chain[0]), " and "))
}
