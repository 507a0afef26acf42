package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/certs"
	"sallyport/policy"
)

// identify judges who the peer proved to be, in each way there is, and asks policy whether what the gate makes of it will do.
func (x *examination) identify(ctx context.Context, v *visit) {
	v.facts.Channel, v.facts.Proof = "plaintext", "none"
	if state := v.s.TLS(); state != nil {
		x.describe(ctx, v, state)
	}
	v.decision = x.decide(ctx, "out", v.facts)
	if v.contradicted() {
		v.end(stepCert, fmt.Errorf("%w: %w", errContradicted, v.result.Err))
		return
	}
	if v.decision.Effect != policy.Allow && x.terms.Effect == policy.Allow { // what is shut out altogether is no fault of this address
		v.end(stepCert, fmt.Errorf("%s (rule %s)", v.decision.Reason, v.decision.Rule))
	}
}

// errContradicted: the gate does not ask policy about such a server (RFC 7673 §3.4).
var errContradicted = errors.New("DNSSEC says that this is not the domain's server")

// contradicted says whether the server shows another certificate than those that its TLSA records name.
func (v *visit) contradicted() bool {
	return v.out.TLS != nil && len(v.ep.TLSA) > 0 && !v.result.Proved
}

// describe fills in the facts of the encrypted channel.
func (x *examination) describe(ctx context.Context, v *visit, state *tls.ConnectionState) {
	chain := state.PeerCertificates
	v.out.TLS = &TLS{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite), ALPN: clean(state.NegotiatedProtocol),
		AsksForOur: v.asked, Stapled: len(state.OCSPResponse) > 0}
	if state.CurveID != 0 {
		v.out.TLS.Group = state.CurveID.String()
	}
	v.facts.Channel, v.facts.TLSVersion, v.facts.Cipher, v.facts.ALPN = "tls", v.out.TLS.Version, v.out.TLS.Cipher, v.out.TLS.ALPN
	v.result = x.judgeChain(v, chain)
	for i, cert := range chain[:min(len(chain), maxRecords)] {
		c := certificate(cert)
		if i == 0 {
			c.Names = cleanAll(v.result.Names, maxNames)
		}
		v.out.TLS.Chain = append(v.out.TLS.Chain, c)
	}
	v.out.TLS.Proof = v.facts.Proof
	if v.result.Proved {
		v.facts.Proof, v.out.TLS.Proof = v.result.Proof, v.result.Proof
	}
	if v.result.SPKI == "" {
		return
	}
	v.out.TLS.Revocation = x.revocation(ctx, v.result, state.OCSPResponse).String()
	v.facts.CertSPKI, v.facts.CertIssuer, v.facts.Revocation = v.result.SPKI, v.result.Issuer, v.out.TLS.Revocation
	if !v.result.NotAfter.IsZero() {
		v.facts.CertNotAfter = v.result.NotAfter.UTC().Format(time.RFC3339)
	}
}

// judgeChain judges a chain in each way, and returns the result that the gate goes by: TLSA records alone where there are any (RFC 7671
// §4), else the trust anchors, else POSH where policy, or what the domain was before, asks for that much.
func (x *examination) judgeChain(v *visit, chain []*x509.Certificate) certs.Result {
	judge := x.Certs.Verifier()
	d := certs.Delegation{Domain: x.remote.ASCII()}
	if v.ep.SecureName {
		d.Target = v.ep.Target // RFC 7673 §4.1
	}
	for _, record := range v.ep.TLSA {
		d.TLSA = append(d.TLSA, certs.TLSA(record))
	}
	pkix := judge.VerifyDelegated(chain, d)
	v.out.TLS.PKIX = verdict(pkix)
	posh := certs.Result{}
	if v.out.TLS.POSH.Reason = "no document is published"; len(x.published) > 0 {
		posh = judge.VerifyPOSH(chain, x.published)
		v.out.TLS.POSH = verdict(posh)
	}
	if len(d.TLSA) > 0 {
		dane := judge.VerifyDANE(chain, d)
		v.out.TLS.DANE = verdict(dane)
		return dane
	}
	v.out.TLS.DANE.Reason = x.undane(v)
	need := certs.Needed(x.terms.Require.Proof, x.known("out", &v.facts).Proof)
	if posh.Proved && slices.Contains(certs.Further(need, pkix.Proved), certs.ProofPOSH) {
		return posh
	}
	return pkix
}

// undane is why no TLSA record counts.
func (x *examination) undane(v *visit) string {
	switch {
	case !x.survey.Validating:
		return "not asked for: no resolver of ours is believed about DNSSEC (outside.dnssec)"
	case v.ep.Route:
		return "not asked for: the address is a static route"
	case !v.ep.SecureName || !v.ep.SecureAddrs:
		return "not asked for: DNSSEC does not vouch for the way to this host"
	case v.ep.DANE:
		return "none of its TLSA records can be used"
	}
	return "no TLSA record"
}

func verdict(r certs.Result) Verdict {
	return Verdict{Proved: r.Proved, By: r.MatchedBy, Reason: told(r.Err)}
}

// revocation asks whether the certificate was taken back, and waits for the lists that this takes.
func (x *examination) revocation(ctx context.Context, r certs.Result, staple []byte) certs.Standing {
	if x.Revoked == nil {
		return certs.Unknown
	}
	standing := x.Revoked.Check(r, staple)
	if standing != certs.Unknown || x.Revoked.Settle(ctx) != nil {
		return standing
	}
	return x.Revoked.Check(r, staple)
}

// certificate makes a harmless picture of a certificate.
func certificate(c *x509.Certificate) Certificate {
	return Certificate{Subject: clean(c.Subject.String()), Issuer: clean(c.Issuer.String()), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		Key: keyName(c), Signature: c.SignatureAlgorithm.String(), Usage: usage(c), SPKI: "sha256/" + certs.SPKI(c)}
}

func keyName(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// usage are the extended key usages that matter here, and how many others there are.
func usage(c *x509.Certificate) (names []string) {
	others := len(c.UnknownExtKeyUsage)
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			names = append(names, "serverAuth")
		case x509.ExtKeyUsageClientAuth:
			names = append(names, "clientAuth")
		case x509.ExtKeyUsageAny:
			names = append(names, "any")
		default:
			others++
		}
	}
	if others > 0 {
		names = append(names, fmt.Sprintf("%d others", others))
	}
	return names
}
