package probe

import (
	"context"
	"time"

	"sallyport/certs"
	"sallyport/internal/ratchet"
	"sallyport/policy"
)

// known is to what the ratchet holds a link with these facts.
func (x *examination) known(direction string, f *policy.LinkFacts) ratchet.Known {
	if x.Memory.Peer == nil {
		return ratchet.Known{}
	}
	return x.Memory.Peer.Known(x.Ratchet, ratchet.Sighting{Domain: x.remote.String(), Direction: direction, Channel: f.Channel, Proof: f.Proof, SPKI: f.CertSPKI, Issuer: f.CertIssuer})
}

// judge asks what policy makes of both directions.
func (x *examination) judge(ctx context.Context) {
	seen := x.seen()
	out, in := x.terms, policy.LinkFacts{}
	var facts policy.LinkFacts
	if seen != nil {
		out, facts = seen.decision, seen.facts
		in = x.calling(ctx, seen)
	}
	x.report.Policy = Policy{Revision: x.Policy.Revision(), Out: x.judgement("out", out, facts), In: x.judgement("in", x.decide(ctx, "in", in), in)}
}

// seen is the visit whose facts count: the one that the gate would use, else the first that came so far as to be judged.
func (x *examination) seen() *visit {
	if x.chosen != nil {
		return x.chosen
	}
	for _, v := range x.visits {
		if v.judged() {
			return v
		}
	}
	return nil
}

// judged says whether a visit came so far that policy was asked about it.
func (v *visit) judged() bool { return v.decision.Rule != "" }

// calling are the facts of a link that the domain opens, if it shows there what it showed here: the same certificate, or none, and in any
// case a dialback key.
func (x *examination) calling(ctx context.Context, v *visit) policy.LinkFacts {
	f := v.facts
	if f.Channel != "tls" {
		f.Proof = "dialback"
		return f
	}
	// Nothing leads to a caller: its certificate must name the domain itself ([D08]), and the rest is looked at where policy asks for it.
	f.Proof = "dialback+tls"
	pkix := x.Certs.Verifier().Verify(v.s.TLS().PeerCertificates, x.remote.ASCII())
	if pkix.Proved {
		f.Proof = pkix.Proof
	}
	need := certs.Needed(x.decide(ctx, "in", policy.LinkFacts{}).Require.Proof, x.known("in", &f).Proof)
	for _, way := range certs.Further(need, pkix.Proved) {
		if way == certs.ProofDANE && v.out.TLS.DANE.Proved || way == certs.ProofPOSH && v.out.TLS.POSH.Proved {
			f.Proof = way
			break
		}
	}
	return f
}

// judgement is a decision as the report has it.
func (x *examination) judgement(direction string, d policy.LinkDecision, f policy.LinkFacts) Judgement {
	held := x.known(direction, &f)
	j := Judgement{Allowed: d.Effect == policy.Allow, Rule: clean(d.Rule), Reason: clean(d.Reason), Channel: f.Channel, Proof: f.Proof,
		Require: Terms{Channel: d.Require.Channel, Proof: d.Require.Proof, TLSMin: d.Require.TLSMin},
		Held:    Terms{Channel: held.Channel, Proof: held.Proof, Pin: held.Pin}}
	if d.Would != d.Effect {
		j.Would = d.Would.String()
	}
	if !d.Until.IsZero() {
		until := d.Until.UTC().Truncate(time.Second)
		j.Until = &until
	}
	return j
}
