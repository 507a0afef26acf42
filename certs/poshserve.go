package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// poshPath is where a domain's web server has its document (RFC 7711 §3.1).
const poshPath = "/.well-known/posh/xmpp-server.json"

// poshLife is for how long our own document may be believed. A new certificate is in use at once, and a peer that remembers the
// document from before refuses it for so long.
const poshLife = 10 * time.Minute

// ServePOSH answers on ln with the POSH documents of our own domains until ctx ends: the certificates in force, as peers are shown them.
// It closes ln. An authority's validator is answered there too: POSH and tls-alpn-01 both want port 443. The web server of a domain may
// hand the question on; then it, and not we, must have the certificate that the asker believes.
func (m *Manager) ServePOSH(ctx context.Context, ln net.Listener) error {
	c := base()
	c.NextProtos = []string{"http/1.1"}
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return m.forServer("", hello) }
	c.GetConfigForClient = m.responder.forChallenge
	web := http.NewServeMux()
	web.HandleFunc("GET "+poshPath, m.answerPOSH)
	return serveWeb(ctx, ln, &http.Server{Handler: web, TLSConfig: c, TLSNextProto: endsWithHandshake()})
}

func (m *Manager) answerPOSH(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	var leaves []*x509.Certificate
	now := time.Now()
	for _, p := range m.current.Load().candidates(host, now) {
		if p.inDate(now) {
			leaves = append(leaves, p.cert.Leaf)
		}
	}
	if len(leaves) == 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Who went away needs no answer.
	_, _ = w.Write(POSHDocument(leaves, poshLife))
}
