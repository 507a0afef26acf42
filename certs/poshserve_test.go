package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// What we publish of our own domains is what a peer that asks as we do finds: the certificates in force, also after a reload, and
// nothing of other domains (RFC 7711 §3.1).
func TestServePOSH(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	dir := t.TempDir()
	load := func(name string, domains ...string) Config {
		chain, key := root.issueFor(t, newKey(t), names(san{dns: domains}))
		file := File{Cert: dir + "/" + name + ".pem"}
		write(t, file.Cert, encode(t, key, chain...))
		return Config{Files: []File{file}, SystemRoots: new(bool)}
	}
	m, err := New(load("old", "corp.example", "*.corp.example"))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.ServePOSH(ctx, ln) }()
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	shown := func(domain string) *x509.Certificate {
		c, ok := m.Certificate(domain)
		if !ok {
			t.Fatalf("no certificate for %s", domain)
		}
		return c.Leaf
	}
	published := func(domain string, want bool) {
		t.Helper()
		source := &POSHSource{Client: client}
		defer source.Shutdown(t.Context())
		found, err := source.Fingerprints(t.Context(), domain)
		if err != nil {
			t.Fatalf("%s: %v", domain, err)
		}
		if r := trusting().VerifyPOSH([]*x509.Certificate{shown("corp.example")}, found); r.Proved != want {
			t.Errorf("%s: the certificate that is shown is proved: %v (%v)", domain, r.Proved, r.Err)
		}
	}
	published("corp.example", true)
	published("conference.corp.example", true)
	renewed, err := m.Prepare(load("new", "corp.example"))
	if err != nil {
		t.Fatal(err)
	}
	renewed.Apply()
	published("corp.example", true)

	insecure := client.Transport.(*http.Transport).Clone()
	insecure.TLSClientConfig.InsecureSkipVerify = true
	for address, want := range map[string]int{
		"https://other.example" + poshPath:             http.StatusNotFound,
		"https://CORP.example:443" + poshPath:          http.StatusOK,
		"https://corp.example/":                        http.StatusNotFound,
		"https://corp.example/.well-known/posh/x.json": http.StatusNotFound,
	} {
		answer, err := (&http.Client{Transport: insecure}).Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s %q", address, answer.Status, body)
		}
		if p, err := ParsePOSH(body); want == http.StatusOK && (err != nil || p.Life != poshLife || answer.Header.Get("Content-Type") != "application/json") {
			t.Errorf("%s: %+v, %v, %q", address, p, err, answer.Header)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}
