package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/jid"
	"sallyport/internal/ratchet"
	"sallyport/internal/resolve"
	"sallyport/policy"
)

// strength orders the proofs that a peer can be asked for. Those of one strength stand in for each other, but for the ones that
// policy asks for by name.
var strength = map[string]int{"dialback": 1, "dialback+tls": 1, "pkix": 2, "posh": 2, "dane": 2, "pin": 2}

// identifyServer judges the certificate of a server that we called: by its TLSA records alone where DNSSEC vouches for some ([I23]), by
// the trust anchors otherwise, and by its POSH document when they do not suffice for what policy requires. No question goes out
// for a peer that has proved itself.
func (p *Proxy) identifyServer(ctx context.Context, remote jid.Domain, chain []*x509.Certificate, ep resolve.Endpoint, need policy.Requirement) certs.Result {
	d := delegation(remote, ep)
	if len(d.TLSA) > 0 {
		return p.Certs.Verifier().VerifyDANE(chain, d)
	}
	r := p.Certs.Verifier().VerifyDelegated(chain, d)
	if r.Proved && need.Proof != certs.ProofPOSH || strength[need.Proof] < 2 {
		return r
	}
	return p.byPOSH(ctx, remote, chain, r)
}

// identifyClient judges the certificate of a caller that the trust anchors do not vouch for, or not in the way that policy asks for:
// by the TLSA records of the servers that its domain names, and by its POSH document. This costs questions to a stranger's name
// servers, so it is asked only where policy lets the domain federate and wants more than dialback.
func (p *Proxy) identifyClient(ctx context.Context, remote jid.Domain, chain []*x509.Certificate, need policy.Requirement) certs.Result {
	r := p.Certs.Verifier().Verify(chain, remote.ASCII())
	if len(chain) == 0 || strength[need.Proof] < 2 || r.Proved && need.Proof != certs.ProofDANE && need.Proof != certs.ProofPOSH {
		return r
	}
	if need.Proof != certs.ProofPOSH {
		if named := p.byDANE(ctx, remote, chain); named.Proved {
			return named
		}
	}
	if need.Proof == certs.ProofDANE {
		return r
	}
	return p.byPOSH(ctx, remote, chain, r)
}

// byDANE looks for the caller's certificate among those of its domain's servers: a server shows the same one when it calls.
func (p *Proxy) byDANE(ctx context.Context, remote jid.Domain, chain []*x509.Certificate) certs.Result {
	eps, err := p.Resolver.Endpoints(ctx, remote)
	if err != nil {
		return certs.Result{Err: err}
	}
	for _, ep := range eps {
		if d := delegation(remote, ep); len(d.TLSA) > 0 {
			if r := p.Certs.Verifier().VerifyDANE(chain, d); r.Proved {
				return r
			}
		}
	}
	return certs.Result{Err: certs.ErrDANE}
}

// byPOSH returns what the domain's POSH document makes of a chain, or without its word, so far.
func (p *Proxy) byPOSH(ctx context.Context, remote jid.Domain, chain []*x509.Certificate, so certs.Result) certs.Result {
	source := p.now().POSH
	if source == nil {
		return so
	}
	published, err := source.Fingerprints(ctx, remote.ASCII())
	if err != nil || len(published) == 0 {
		p.Log.Info("no POSH document speaks for the peer", "domain", remote.String(), "error", err)
		return so
	}
	if r := p.Certs.Verifier().VerifyPOSH(chain, published); r.Proved || so.Err == nil {
		return r
	}
	return so
}

// delegation is what DNSSEC says of an endpoint; without DNSSEC it is the domain alone ([D08]).
func delegation(remote jid.Domain, ep resolve.Endpoint) certs.Delegation {
	d := certs.Delegation{Domain: remote.ASCII()}
	if ep.SecureName {
		d.Target = ep.Target
	}
	for _, t := range ep.TLSA {
		d.TLSA = append(d.TLSA, certs.TLSA(t))
	}
	return d
}

// describeCert fills in the facts of the peer's certificate, and what its authority says of it now.
func (p *Proxy) describeCert(f *policy.LinkFacts, state *tls.ConnectionState, v certs.Result) {
	if v.SPKI == "" {
		return
	}
	f.CertSPKI, f.CertIssuer, f.CertNotAfter = v.SPKI, v.Issuer, ""
	if !v.NotAfter.IsZero() {
		f.CertNotAfter = v.NotAfter.UTC().Format(time.RFC3339)
	}
	f.Revocation = certs.Unknown.String()
	if p.Revoked != nil {
		f.Revocation = p.Revoked.Check(v, state.OCSPResponse).String()
	}
	if v.Proved {
		f.Proof = v.Proof
	}
}

// sighting is what a link shows of a remote domain.
func sighting(d Direction, pair Pair, f *policy.LinkFacts) ratchet.Sighting {
	return ratchet.Sighting{Domain: pair.Remote.String(), Direction: d.String(), Channel: f.Channel, Proof: f.Proof, SPKI: f.CertSPKI, Issuer: f.CertIssuer}
}

// known is what a remote domain is held to, because it proved as much before.
func (p *Proxy) known(d Direction, pair Pair, f *policy.LinkFacts) policy.Known {
	if p.Ratchet == nil {
		return policy.Known{}
	}
	return policy.Known(p.Ratchet.Known(sighting(d, pair, f)))
}

// remember notes what a link that stands has shown, and tells what is worse than before, or new.
func (p *Proxy) remember(d Direction, pair Pair, f *policy.LinkFacts, log *slog.Logger, note func(audit.Event)) {
	if p.Ratchet == nil {
		return
	}
	for _, change := range p.Ratchet.Record(sighting(d, pair, f)) {
		e := linkEvent(audit.CertChanged, d, pair, *f)
		switch {
		case change.Kind == ratchet.Downgrade:
			e.Kind, e.Error = audit.Downgrade, fmt.Sprintf("the %s was %s before, and is %s", change.What, change.Old, change.New)
			log.Warn("a peer shows less than before", "domain", pair.Remote.String(), "what", change.What, "before", change.Old, "now", change.New,
				"advice", "ask its operator; what it proved is forgotten by: sallyport peers forgive "+pair.Remote.String())
		case change.What == "key":
			e.Text = fmt.Sprintf("key sha256/%s is now sha256/%s", change.Old, change.New)
			log.Info("a peer shows a new key", "domain", pair.Remote.String(), "before", "sha256/"+change.Old, "now", "sha256/"+change.New)
		default:
			e.Text = fmt.Sprintf("issuer %q is now %q", change.Old, change.New)
			log.Warn("a peer's certificate has a new issuer", "domain", pair.Remote.String(), "before", change.Old, "now", change.New)
		}
		note(e)
	}
}

// downgraded records that a link was refused because its domain did better before.
func (p *Proxy) downgraded(dir Direction, pair Pair, d policy.LinkDecision, f *policy.LinkFacts, note func(audit.Event)) {
	if !strings.HasPrefix(d.Rule, "ratchet-") {
		return
	}
	e := linkEvent(audit.Downgrade, dir, pair, *f)
	e.Error = d.Reason
	e.Decision = audit.DecisionPart{Effect: d.Effect.String(), Rule: d.Rule, Reason: d.Reason, Revision: d.Revision}
	note(e)
}
