package probe

import (
	"context"
	"slices"
	"sync"
	"time"

	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/ratchet"
	"sallyport/internal/resolve"
	"sallyport/policy"
)

// Prober is what the gate is made of, as far as a probe needs it. Nothing of it is changed.
type Prober struct {
	From     jid.Domain // the local domain in whose name others are asked
	Resolver *resolve.Resolver
	Routes   map[jid.Domain]resolve.Endpoint
	Certs    *certs.Manager
	Revoked  *certs.Revocations // nil: no list is fetched
	POSH     *certs.POSHSource  // nil: no document is fetched
	Policy   *policy.Snapshot
	Ratchet  ratchet.Config
	Memory   Memory           // what is remembered of the domain that is probed
	Secret   dialback.Secrets // of the outside side; zero: no key is shown to anybody
	Keyless  string           // why there is no Secret
	Absent   string           // why the gate that would answer for our key seems not to run; empty: it does
}

// What a probe may cost others.
const (
	maxAddresses = 8                // addresses that are called
	atOnce       = 4                // connections
	visitTime    = 20 * time.Second // one address, up to the features over TLS
	resultTime   = 40 * time.Second // the answer to our key: the peer asks back meanwhile
	expiresSoon  = 14 * 24 * time.Hour
)

// examination is one probe under way.
type examination struct {
	*Prober
	remote    jid.Domain
	report    *Report
	survey    *resolve.Survey
	encrypted bool                // DNS says that there is TLS
	terms     policy.LinkDecision // about a link out of which nothing is known yet
	published []certs.Fingerprint // POSH
	visits    []*visit            // in the order in which the gate would try them
	chosen    *visit              // the one that the gate would use; nil: none would do
}

// Remote examines a remote domain. It returns when all is known or ctx ends, and always a whole Report; what was cut off says so.
func (p *Prober) Remote(ctx context.Context, remote jid.Domain) *Report {
	begin := time.Now()
	x := &examination{Prober: p, remote: remote, report: &Report{Version: 1, Domain: remote.String(), From: p.From.String(), Time: begin.UTC(), Memory: p.Memory}}
	x.terms = x.decide(ctx, "out", policy.LinkFacts{})
	var questions sync.WaitGroup
	questions.Go(func() { x.survey = p.Resolver.Survey(ctx, remote) })
	questions.Go(func() { x.report.DNS.CAA = authorities(ctx, p.Resolver, remote) })
	questions.Go(func() { x.posh(ctx) })
	questions.Wait()
	x.noteDNS()
	x.visitAll(ctx)
	x.prove(ctx)
	for _, v := range x.visits {
		v.leave()
		x.report.Endpoints = append(x.report.Endpoints, v.out)
	}
	x.judge(ctx)
	x.grade()
	x.report.Fixes = x.fixes()
	x.report.Took = since(begin)
	return x.report
}

// posh fetches the domain's POSH document.
func (x *examination) posh(ctx context.Context) {
	if x.POSH == nil {
		x.report.POSH.Problem = "not asked for (outside.posh)"
		return
	}
	begin := time.Now()
	published, err := x.POSH.Fingerprints(ctx, x.remote.ASCII())
	x.published = published
	x.report.POSH = POSH{Fingerprints: len(published), Problem: told(err), Took: since(begin)}
}

// places are the addresses to call, in the order in which the gate would: endpoint by endpoint, each narrowed to one address.
func (x *examination) places() (all []resolve.Endpoint, skipped int) {
	endpoints := x.survey.Endpoints
	if route, ok := x.Routes[x.remote]; ok {
		endpoints = []resolve.Endpoint{route}
	}
	for _, ep := range endpoints {
		if len(ep.Addrs) == 0 { // a route to a host name, which Dial looks up
			all = append(all, ep)
		}
		for i := range ep.Addrs {
			one := ep
			one.Addrs = ep.Addrs[i : i+1 : i+1]
			all = append(all, one)
		}
	}
	if n := len(all); n > maxAddresses {
		return all[:maxAddresses], n - maxAddresses
	}
	return all, 0
}

// visitAll calls all addresses, a few at once. Streams that stand are held until prove has chosen among them.
func (x *examination) visitAll(ctx context.Context) {
	places, skipped := x.places()
	// Who says so in DNS has TLS: without it, it is somebody else ([M08], RFC 7673 §3.4).
	x.encrypted = slices.ContainsFunc(places, func(ep resolve.Endpoint) bool { return ep.DirectTLS || ep.DANE })
	x.report.Skipped = skipped
	x.visits = make([]*visit, len(places))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, ep := range places {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			x.visits[i] = x.visit(ctx, ep)
		})
	}
	all.Wait()
}
