package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/jid"
	"sallyport/internal/ratchet"
	"sallyport/internal/resolve"
	"sallyport/policy"
)

// evidenceLife is for how long a live link is taken for proved by what DNS or the web said once: records change without a word to us.
const evidenceLife = 24 * time.Hour

// judged is a verdict on a peer's certificate, and how to come to it again. A link is kept for days, and what it rests on may fall.
type judged struct {
	certs.Result
	again func() certs.Result // judges by the same records, under the trust anchors of that moment; nil: there was no certificate
	until time.Time           // when the records count no longer; zero: as long as again says so
}

func judge(again func() certs.Result) judged { return judged{Result: again(), again: again} }

// perishable is judge by records of DNS or the web.
func perishable(again func() certs.Result) judged {
	v := judge(again)
	v.until = time.Now().Add(evidenceLife)
	return v
}

// errDANE: the domain says in DNS which certificates its servers have, and this is none of them. It is no question of policy: whoever
// publishes such records wants no other server to be spoken with (RFC 7673 §3.4).
var errDANE = errors.New("DNSSEC says that this is not the domain's server")

// identifyServer judges the certificate of a server that we called: by its TLSA records alone where DNSSEC vouches for some ([I23]), by
// the trust anchors otherwise, and by its POSH document when they do not suffice for what is required. No question goes out
// for a peer that has proved itself.
func (p *Proxy) identifyServer(ctx context.Context, remote jid.Domain, chain []*x509.Certificate, ep resolve.Endpoint, need string) judged {
	d := delegation(remote, ep)
	if len(d.TLSA) > 0 {
		return perishable(func() certs.Result { return p.Certs.Verifier().VerifyDANE(chain, d) })
	}
	v := judge(func() certs.Result { return p.Certs.Verifier().VerifyDelegated(chain, d) })
	if slices.Contains(certs.Further(need, v.Proved), certs.ProofPOSH) {
		return p.byPOSH(ctx, remote, chain, v)
	}
	return v
}

// identifyClient judges the certificate of a caller that the trust anchors do not vouch for, or not in the way that is asked for:
// by the TLSA records of the servers that its domain names, and by its POSH document. This costs questions to a stranger's name
// servers, so it is asked only where policy lets the domain federate and wants more than dialback.
func (p *Proxy) identifyClient(ctx context.Context, remote jid.Domain, chain []*x509.Certificate, need string) judged {
	v := judge(func() certs.Result { return p.Certs.Verifier().Verify(chain, remote.ASCII()) })
	if len(chain) == 0 {
		return v
	}
	ways := certs.Further(need, v.Proved)
	if slices.Contains(ways, certs.ProofDANE) {
		if named := p.byDANE(ctx, remote, chain); named.Proved {
			return named
		}
	}
	if slices.Contains(ways, certs.ProofPOSH) {
		return p.byPOSH(ctx, remote, chain, v)
	}
	return v
}

// byDANE looks for the caller's certificate among those of its domain's servers: a server shows the same one when it calls. A domain
// with a static route is not looked up ([D05]).
func (p *Proxy) byDANE(ctx context.Context, remote jid.Domain, chain []*x509.Certificate) judged {
	if _, ok := p.now().Routes[remote]; ok {
		return judged{}
	}
	eps, err := p.Resolver.Endpoints(ctx, remote)
	if err != nil {
		p.Log.Info("no TLSA record speaks for the peer", "domain", remote.String(), "error", err)
		return judged{}
	}
	return p.amongTLSA(remote, chain, eps)
}

// amongTLSA judges a chain by the TLSA records of all servers of a domain.
func (p *Proxy) amongTLSA(remote jid.Domain, chain []*x509.Certificate, eps []resolve.Endpoint) judged {
	for _, ep := range eps {
		if d := delegation(remote, ep); len(d.TLSA) > 0 {
			if v := perishable(func() certs.Result { return p.Certs.Verifier().VerifyDANE(chain, d) }); v.Proved {
				return v
			}
		}
	}
	return judged{}
}

// errOldPOSH: what another source said, before a reload, was fetched under other trust anchors, or would not be fetched any more.
var errOldPOSH = errors.New("the peer's POSH document has to be fetched again")

// byPOSH returns what the domain's POSH document makes of a chain, or without its word, so far.
func (p *Proxy) byPOSH(ctx context.Context, remote jid.Domain, chain []*x509.Certificate, so judged) judged {
	source := p.now().POSH
	if source == nil {
		return so
	}
	published, err := source.Fingerprints(ctx, remote.ASCII())
	if err != nil || len(published) == 0 {
		p.Log.Info("no POSH document speaks for the peer", "domain", remote.String(), "error", err)
		return so
	}
	v := perishable(func() certs.Result {
		if p.now().POSH != source {
			return certs.Result{Err: errOldPOSH}
		}
		return p.Certs.Verifier().VerifyPOSH(chain, published)
	})
	if v.Proved {
		return v
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

// unsure says why nobody knows whether the authority of a certificate took it back; nil: it is known, or will be.
func (p *Proxy) unsure(f policy.LinkFacts, v certs.Result) error {
	if p.Revoked == nil || f.Revocation != certs.Unknown.String() {
		return nil
	}
	return p.Revoked.Trouble(v)
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

// tighten is how often a link is held against the ratchet: another one of its domain may have proved more since it came up.
const tighten = 24 * time.Hour

// tightens is when a link has to be judged again because the ratchet may ask more of it than it has shown.
func (p *Proxy) tightens(d Direction, pair Pair, f *policy.LinkFacts) time.Time {
	if p.Ratchet == nil {
		return time.Time{}
	}
	return sooner(p.Ratchet.Tightens(sighting(d, pair, f)), time.Now().Add(tighten))
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

// reviewed gives the facts of a link as they are now: authorities take certificates back, and trust anchors go. The error says that
// nothing proves the peer any more.
func (p *Proxy) reviewed(f policy.LinkFacts, state *tls.ConnectionState, by judged) (policy.LinkFacts, error) {
	if by.again == nil || state == nil {
		return f, nil
	}
	v := by.again()
	switch {
	case certs.Strength(f.Proof) <= certs.Strength("dialback"):
	case !v.Proved:
		return f, fmt.Errorf("the certificate proves the peer no longer: %w", v.Err)
	case ended(by.until):
		return f, errors.New("what DNS or the web said of the peer's certificate is too old")
	}
	proof := f.Proof
	p.describeCert(&f, state, v)
	f.Proof = proof // what was not proved when the link was made is not proved by looking again
	return f, nil
}

// downgraded records that a link was refused whose domain did better before.
func (p *Proxy) downgraded(dir Direction, pair Pair, d policy.LinkDecision, f *policy.LinkFacts, note func(audit.Event)) {
	known, reason := p.known(dir, pair, f), ""
	switch {
	case known.Channel == "tls" && f.Channel == "plaintext":
		reason = "the domain had TLS before, and goes on without"
	case f.Proof != "" && certs.Strength(f.Proof) < certs.Strength(known.Proof):
		reason = fmt.Sprintf("the domain proved itself by %s before, the link has %s", known.Proof, f.Proof)
	default:
		return
	}
	p.Log.Warn("refused: a peer shows less than before", "domain", pair.Remote.String(), "direction", dir.String(), "reason", reason)
	e := linkEvent(audit.Downgrade, dir, pair, *f)
	e.Error = reason
	e.Decision = audit.DecisionPart{Effect: d.Effect.String(), Rule: d.Rule, Reason: d.Reason, Revision: d.Revision}
	note(e)
}
