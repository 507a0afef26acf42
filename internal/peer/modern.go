package peer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
)

// Modern is a server as they are now: TLS is a must in both directions (STARTTLS), it shows its certificate and asks for the
// other's, and refuses to send where that is not valid for the domain. It proves itself by SASL EXTERNAL where External is set
// and the other side offers it, else by dialback over TLS; it verifies keys at the authoritative server, over TLS too.
type Modern struct {
	Domains     []string  // what it serves: exact names, "*.suffix" or "*"
	Listen      string    // address to listen on; default 127.0.0.1:0
	Directory   Directory // how it finds the others
	Secret      string    // of its dialback keys, XEP-0185; default: made at the start
	Certificate tls.Certificate
	Roots       *x509.CertPool // who may vouch for the others; nil: the system's
	External    bool           // offer and use SASL EXTERNAL
	Hooks
}

// Start listens, and serves until ctx ends or Close is called.
func (m Modern) Start(ctx context.Context) (*Server, error) {
	secret := m.Secret
	if secret == "" {
		secret = randomID()
	}
	return start(ctx, character{
		domains: m.Domains, listen: m.Listen, directory: m.Directory, hooks: m.Hooks,
		version: true, named: true, separate: true, external: m.External,
		tls: &tlsSide{certificate: m.Certificate, roots: m.Roots},
		key: func(c challenge) string { return xep0185Key(secret, c) },
	})
}

// xep0185Key is the recommended key, XEP-0185 §3: the HMAC's key is the hexadecimal text of the hashed secret.
func xep0185Key(secret string, c challenge) string {
	hashed := sha256.Sum256([]byte(secret))
	mac := hmac.New(sha256.New, []byte(hex.EncodeToString(hashed[:])))
	mac.Write([]byte(c.Receiving + " " + c.Originating + " " + c.ID))
	return hex.EncodeToString(mac.Sum(nil))
}

// tlsSide is a server's certificate and whom it believes.
type tlsSide struct {
	certificate tls.Certificate
	roots       *x509.CertPool
}

// client checks that the other side's certificate is valid for the domain that was dialled, RFC 6120 §13.7.2.
func (t *tlsSide) client(domain string) *tls.Config {
	return &tls.Config{ServerName: domain, RootCAs: t.roots, Certificates: []tls.Certificate{t.certificate}, MinVersion: tls.VersionTLS12}
}

// server asks for a certificate but takes the connection without one: dialback may follow.
func (t *tlsSide) server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{t.certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
}

// vouched says whether the certificate that was shown is valid for a domain. One that is meant for servers only will do.
func (t *tlsSide) vouched(state *tls.ConnectionState, domain string) error {
	if state == nil || len(state.PeerCertificates) == 0 {
		return errors.New("no certificate was shown")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: between, DNSName: domain,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}
