package proxy

import (
	"context"
	"crypto/tls"
	"errors"

	"sallyport/certs"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// features are what we offer on an inbound stream as it stands. Inside: as little as old servers can bear (D8, D9).
func (in *inbound) features(s *stream.Stream) []byte {
	var b []byte
	required := s.TLS() == nil && in.tlsRequired(s)
	if s.TLS() == nil && in.tlsConfig(s) != nil {
		b = stream.AppendStartTLSFeature(b, required)
	}
	if in.offersExternal(s) {
		b = stream.AppendExternalFeature(b)
	}
	if b = stream.AppendDialbackFeature(b, in.door == Outside); in.door == Inside {
		return b
	}
	if in.offersBidi() {
		b = stream.AppendBidiFeature(b)
	}
	if in.named && in.p.now().Acks {
		b = stream.AppendAcksFeature(b)
	}
	return stream.AppendLimits(b, in.capacity(required))
}

// capacity is what we take on a stream from outside as it stands ([M09]), where TLS has to come first or not. Dialback is followed by no
// other features: what is told where it may begin holds behind it, too.
func (in *inbound) capacity(tlsFirst bool) stream.Capacity {
	limits := &in.p.now().Limits
	if tlsFirst {
		return stream.Capacity{Bytes: min(limits.PreAuthBytes[Outside], limits.Stanza.Stanza), Idle: limits.PreAuthTime[Outside]}
	}
	return stream.Capacity{Bytes: limits.Stanza.Stanza, Idle: limits.OutsideIdle}
}

// tlsRequired says so in the features only where the caller is known to need it; what is required is held at db:result anyway.
func (in *inbound) tlsRequired(s *stream.Stream) bool {
	if in.door == Inside {
		return in.backend.TLS >= TLSRequired
	}
	from := s.PeerHeader().From
	if from.IsZero() {
		return false
	}
	d := in.p.linkDecision(In, Pair{Local: s.Local(), Remote: from}, policy.LinkFacts{})
	return d.Effect == policy.Allow && d.Require.Channel != "plaintext"
}

// tlsConfig is what the door secures a stream with; nil where it has no certificate to show.
func (in *inbound) tlsConfig(s *stream.Stream) *tls.Config {
	if in.door == Inside {
		switch in.backend.TLS {
		case TLSOff:
			return nil
		case TLSCertificate:
			return in.innerServer(s)
		}
		return in.p.Certs.ServerConfig(in.backend.Domains[0].ASCII(), false)
	}
	return in.p.Certs.ServerConfig(s.Local().ASCII(), true)
}

// offersExternal says whether EXTERNAL would succeed: offering it to a certificate that then fails breaks peers ([S01]).
func (in *inbound) offersExternal(s *stream.Stream) bool {
	from := s.PeerHeader().From
	if in.door == Inside {
		return in.certifiedBackend(s)
	}
	if s.TLS() == nil || !from.Qualified() || in.named || in.p.now().claims(from) || in.hasProof() || in.p.down(in.p.now(), s.Local()) {
		return false
	}
	if !in.certificateNames(s.TLS().PeerCertificates, from) {
		return false
	}
	return in.permitted(s, Pair{Local: s.Local(), Remote: from}).cond == ""
}

// external takes a SASL EXTERNAL authentication ([S03]–[S07], RFC 6120 §6, XEP-0178 §3).
func (in *inbound) external(ctx context.Context, s *stream.Stream, el *stanza.Element) error {
	in.saslTries++
	if in.saslTries > 3 {
		return &stream.Error{Condition: stream.PolicyViolation, Err: errors.New("too many SASL attempts")}
	}
	from := s.PeerHeader().From
	err := in.externalFault(ctx, s, el, from)
	var refused *stream.SASLError
	switch {
	case errors.As(err, &refused):
		in.p.instruments.failed(in.door, StepSASL)
		in.log.Info("EXTERNAL refused, the peer may go on with dialback", "from", from.String(), "condition", refused.Condition, "cert", in.certFacts(s))
		_, err := s.Write(stream.AppendSASLFailure(nil, refused.Condition))
		return err
	case err != nil:
		return err
	}
	if _, err := s.Write(stream.AppendSuccess(nil)); err != nil {
		return err
	}
	in.named = true
	restart, cancel := context.WithTimeout(ctx, in.p.now().Limits.TLSHandshake)
	defer cancel()
	if err := s.Restart(restart); err != nil {
		return err
	}
	pair := pairOf(in.direction(), from, s.Local())
	pr, first := in.claim(pair)
	if !first {
		return nil
	}
	facts := in.factsFor(s, pair)
	switch {
	case in.door == Inside:
		facts.Proof = certs.ProofPKIX // of our own authority
	case certs.Strength(facts.Proof) <= certs.Strength("dialback"):
		// While the peer began anew the certificate expired, or its authority went. There is no key to go by.
		in.disprove(pair, pr)
		return &stream.Error{Condition: stream.NotAuthorized, Err: errors.New("the certificate proves the peer no longer")}
	}
	if e := in.prove(s, pair, pr, facts, in.certified(s, pair)); e != nil {
		return e
	}
	return nil
}

// externalFault is why an attempt fails: a *stream.SASLError to answer with, or the end of the stream; nil when it succeeds.
func (in *inbound) externalFault(ctx context.Context, s *stream.Stream, el *stanza.Element, from jid.Domain) error {
	if s.TLS() == nil || in.door == Inside && in.backend.TLS != TLSCertificate {
		return &stream.SASLError{Condition: "encryption-required"}
	}
	_, as, err := stream.ParseAuth(el.Tree())
	if errors.Is(err, stream.ErrNoResponse) {
		as, err = s.Challenge(ctx)
	}
	switch {
	case err != nil:
		return err
	case !as.IsZero() && as != from:
		return &stream.SASLError{Condition: "invalid-authzid"}
	case !in.offersExternal(s) || !in.forget():
		return &stream.SASLError{Condition: "not-authorized"}
	}
	return nil
}
