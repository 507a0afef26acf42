package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"testing"

	"sallyport/certs"
	"sallyport/internal/peer"
)

// certs.posh_listen publishes the certificates in force.
func TestPOSHIsPublished(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ports, err := peer.Reserve(1)
	must(t, err)
	h.edit("certs:", "certs:\n  posh_listen: "+ports[0])
	h.start()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.ca.PEM)
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, (&url.URL{Scheme: "https", Host: ports[0], Path: "/.well-known/posh/xmpp-server.json"}).String(), nil)
	must(t, err)
	ask.Host = "corp.example"
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "corp.example"}, DisableKeepAlives: true}}
	answer, err := client.Do(ask)
	must(t, err)
	defer answer.Body.Close()
	document, err := io.ReadAll(answer.Body)
	must(t, err)
	if p, err := certs.ParsePOSH(document); err != nil || len(p.Fingerprints) != 1 {
		t.Errorf("%s %s: %v", answer.Status, document, err)
	}
}
