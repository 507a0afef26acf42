package certs

import (
	"crypto/tls"
	"errors"
	"time"
)

// ALPN is the protocol name of server-to-server streams that begin with TLS (XEP-0368 §3).
const ALPN = "xmpp-server"

// base is what both roles share: TLS 1.2 with forward secrecy and authenticated encryption at the least (RFC 9325 §4.2), TLS 1.3
// where the peer can. Key exchange groups are Go's own choice, renegotiation stays refused, compression does not exist.
func base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // for TLS 1.2; those of 1.3 are all good
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// A batch of stanzas leaves in one record, not in many of a packet's size.
		DynamicRecordSizingDisabled: true,
	}
}

// ServerConfig is for one stream that we receive. The domain is the stream header's 'to'; it chooses the certificate, SNI does so
// where there is no domain or no certificate for it, and else the first certificate is shown (XEP-0368 §3): the final say is
// that of the stream header. An empty domain stands for a stream that begins with TLS; then ALPN is answered. The result is nil when
// there is no certificate at all, unless a stream that begins with TLS may be an authority's validator.
//
// With clientAuth the peer is asked for a certificate. It need not have one, the handshake does not judge it, and Verify must be
// asked what it is worth. Session tickets are then off: a resumed session would show the certificate of an earlier day. Such a
// Config is shared, by the calls for one domain; the domains must be our own, for one is kept for each.
//
// Where streams begin with TLS, an authority's validator may come by: it is answered without being asked for a certificate. The
// protocol that the handshake agreed on is then another one than ALPN, and the connection has served its purpose (RFC 8737 §3).
func (m *Manager) ServerConfig(domain string, clientAuth bool) *tls.Config {
	have := m.current.Load()
	if len(have.pairs) == 0 && (domain != "" || have.pending == nil) {
		return nil
	}
	if !clientAuth {
		return m.serverConfig(domain, false)
	}
	// Thousands of streams share one. Where there are session tickets they must not: each would open the sessions of the others.
	if c, ok := m.asking.Load(domain); ok {
		return c.(*tls.Config)
	}
	c, _ := m.asking.LoadOrStore(domain, m.serverConfig(domain, true))
	return c.(*tls.Config)
}

func (m *Manager) serverConfig(domain string, clientAuth bool) *tls.Config {
	c := base()
	c.SessionTicketsDisabled = clientAuth
	if clientAuth {
		c.ClientAuth = tls.RequestClientCert
	}
	if domain == "" {
		c.NextProtos = []string{ALPN}
		c.GetConfigForClient = m.responder.forChallenge
	}
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return m.forServer(domain, hello)
	}
	return c
}

func (m *Manager) forServer(domain string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	have := m.current.Load()
	// What is asked of the candidates is only whether the peer knows their kind of key; names are our own concern.
	nameless := *hello
	nameless.ServerName = ""
	now := time.Now()
	for _, name := range []string{domain, hello.ServerName} {
		if cert := pick(have.candidates(name, now), nameless.SupportsCertificate); cert != nil {
			return cert, nil
		}
	}
	if cert := pick(have.pairs, nameless.SupportsCertificate); cert != nil {
		return cert, nil
	}
	return nil, errors.New("no certificate is loaded")
}

// ClientConfig is for one stream that we open from a local domain to a remote one. SNI is the remote domain; the local domain's
// certificate is shown when the peer asks for one, whatever authorities the peer lists: servers list few of those they accept.
//
// The handshake succeeds with whatever certificate the peer has, because policy may content itself with less than a proof. Who
// wants one asks Verify afterwards. Sessions are not resumed.
func (m *Manager) ClientConfig(local, remote string) *tls.Config {
	c := base()
	c.ServerName = remote
	c.InsecureSkipVerify = true // judged by Verifier, after the handshake
	c.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		anyAuthority := *request
		anyAuthority.AcceptableCAs = nil
		if cert := pick(m.current.Load().candidates(local, time.Now()), anyAuthority.SupportsCertificate); cert != nil {
			return cert, nil
		}
		return &tls.Certificate{}, nil // none to show
	}
	return c
}
