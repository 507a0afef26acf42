package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"sallyport/certs"
	"sallyport/internal/stream"
)

// This is the inner leg of a backend that takes certificates and no dialback (D10b). An authority of the gate's own vouches for the
// gate in the name of remote domains, and for the backend: its certificate, which nobody else can have, stands in the place of the
// call-back, and the address that it calls from counts as ever (D1).

// innerServer is how we shake hands with a backend that calls for a remote domain.
func (in *inbound) innerServer(s *stream.Stream) *tls.Config {
	authority := in.p.now().Inner
	if authority == nil {
		return nil
	}
	called := s.Local().ASCII()
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if called == "" { // by the header; SNI says it
				return authority.Certificate(hello.ServerName)
			}
			return authority.Certificate(called)
		},
	}
}

// certifiedBackend says whether the caller showed a certificate of our authority for the backend's domain that it calls as, so that
// EXTERNAL will succeed. The pair must be one that dialback would be taken for.
func (in *inbound) certifiedBackend(s *stream.Stream) bool {
	settings, from := in.p.now(), s.PeerHeader().From
	if in.backend.TLS != TLSCertificate || settings.Inner == nil || s.TLS() == nil || in.hasProof() || in.p.draining.Load() {
		return false
	}
	if in.insidePetition(s, settings, pairOf(Out, from, s.Local())).cond != "" {
		return false
	}
	return settings.Inner.Verify(s.TLS().PeerCertificates, from.ASCII()).Proved
}

// innerClient is how we shake hands with a backend in the name of a remote domain.
func (p *Proxy) innerClient(r route, backend *Backend) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.to().ASCII()}
	cfg.InsecureSkipVerify = true // judged afterwards, by backendCertified
	if backend.TLS != TLSCertificate {
		// Which certificate a backend shows on its own network decides nothing: address and call-back do (D10).
		return cfg, nil
	}
	authority := p.now().Inner
	if authority == nil {
		return nil, errors.New("there is no inner authority")
	}
	own, err := authority.Certificate(r.from().ASCII())
	if err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	return cfg, nil
}

// proveByCertificate makes a backend accept us by the certificate that our authority made for the remote domain, after the backend has
// shown its own.
func (p *Proxy) proveByCertificate(ctx context.Context, r route, c *connection) error {
	peer := c.s.RemoteAddr().String()
	authority := p.now().Inner
	if authority == nil || c.s.TLS() == nil {
		return &Failure{Step: StepCert, Peer: peer, Err: errors.New("the leg to the backend has no certificates")}
	}
	if v := authority.Verify(c.s.TLS().PeerCertificates, r.to().ASCII()); !v.Proved {
		return &Failure{Step: StepCert, Peer: peer, Cert: certFacts(v), Err: fmt.Errorf("the backend does not show the certificate that the gate made for it: %w", v.Err),
			Advice: "give it the files backend-….pem and .key of certs.store/inner, or set backends[].tls to required"}
	}
	if !c.s.FeatureExternal() {
		return &Failure{Step: StepSASL, Peer: peer, Err: errors.New("the backend does not take our certificate: it offers no EXTERNAL"),
			Advice: "does it trust " + authority.RootFile() + "?"}
	}
	if err := c.s.ClientExternal(ctx, r.from()); err != nil {
		f := failure(StepSASL, peer, err)
		f.Advice = "does the backend trust " + authority.RootFile() + "?"
		return f
	}
	c.facts.Proof = certs.ProofPKIX
	return nil
}
