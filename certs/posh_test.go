package certs

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func printOf(cert *x509.Certificate) Fingerprint {
	sum := sha256.Sum256(cert.Raw)
	return Fingerprint{SHA256: sum[:]}
}

func TestVerifyPOSH(t *testing.T) {
	t.Parallel()
	hoster := selfSigned(t, names(san{dns: []string{"hoster.example"}}))
	old := selfSigned(t, dated(-48*time.Hour, -time.Hour))
	other := selfSigned(t)
	long := sha512.Sum512(hoster[0].Raw)
	both := printOf(hoster[0])
	both.SHA512 = make([]byte, sha512.Size)
	v := trusting()
	for _, test := range []struct {
		name      string
		chain     []*x509.Certificate
		published []Fingerprint
		want      error
	}{
		{"[I21] names are waived", hoster, []Fingerprint{printOf(hoster[0])}, nil},
		{"by SHA-512", hoster, []Fingerprint{{SHA512: long[:]}}, nil},
		{"second of two", hoster, []Fingerprint{printOf(other[0]), printOf(hoster[0])}, nil},
		{"another certificate", other, []Fingerprint{printOf(hoster[0])}, ErrPOSH},
		{"ABUSE 11 the right one behind another leaf", append(other[:1:1], hoster[0]), []Fingerprint{printOf(hoster[0])}, ErrPOSH},
		{"one of two hashes is wrong", hoster, []Fingerprint{both}, ErrPOSH},
		{"dates are not waived", old, []Fingerprint{printOf(old[0])}, ErrExpired},
		{"nothing published", hoster, nil, ErrPOSH},
		{"empty fingerprint", hoster, []Fingerprint{{}}, ErrPOSH},
		{"no certificate", nil, []Fingerprint{{}}, ErrNoCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := v.VerifyPOSH(test.chain, test.published)
			if r.Proved != (test.want == nil) || !errors.Is(r.Err, test.want) || r.Proved != (r.Proof == ProofPOSH) {
				t.Errorf("proved %t by %q, %v; want %v", r.Proved, r.Proof, r.Err, test.want)
			}
		})
	}
}

func TestParsePOSH(t *testing.T) {
	t.Parallel()
	sum := base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))
	for _, test := range []struct {
		name, document string
		life           time.Duration // 0: refused
		prints         int
		url            string
	}{
		{"one fingerprint", `{"fingerprints":[{"sha-256":"` + sum + `"}],"expires":3600}`, time.Hour, 1, ""},
		{"life is capped", `{"fingerprints":[{"sha-256":"` + sum + `"}],"expires":1e300}`, maxPOSH, 1, ""},
		{"life is not below a minute", `{"fingerprints":[{"sha-256":"` + sum + `"}],"expires":-5}`, minPOSH, 1, ""},
		{"unknown hashes are passed over", `{"fingerprints":[{"sha-3":"x"},{"sha-3":"x","sha-256":"` + sum + `"}],"expires":60}`, time.Minute, 1, ""},
		{"reference", `{"url":"https://hosting.example/posh.json","expires":60}`, time.Minute, 0, "https://hosting.example/posh.json"},
		{"reference in clear", `{"url":"http://hosting.example/posh.json","expires":60}`, 0, 0, ""},
		{"reference to a file", `{"url":"file:///etc/passwd","expires":60}`, 0, 0, ""},
		{"reference beside fingerprints", `{"url":"https://h.example/","fingerprints":[{"sha-256":"` + sum + `"}]}`, 0, 0, ""},
		{"no fingerprints", `{"fingerprints":[],"expires":60}`, 0, 0, ""},
		{"only unknown hashes", `{"fingerprints":[{"sha-1":"x"}]}`, 0, 0, ""},
		{"hash cut short", `{"fingerprints":[{"sha-256":"AAAA"}]}`, 0, 0, ""},
		{"not base64", `{"fingerprints":[{"sha-256":"` + strings.Repeat("!", 44) + `"}]}`, 0, 0, ""},
		{"not JSON", `<html>`, 0, 0, ""},
		{"another shape", `{"fingerprints":{"sha-256":"x"}}`, 0, 0, ""},
		{"null", `null`, 0, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePOSH([]byte(test.document))
			if (err != nil) != (test.life == 0) || err == nil && p.Life != test.life || len(p.Fingerprints) != test.prints || p.URL != test.url {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// What we publish for ourselves is what others read.
func TestPOSHDocumentReadsBack(t *testing.T) {
	t.Parallel()
	a, b := selfSigned(t)[0], selfSigned(t)[0]
	p, err := ParsePOSH(POSHDocument([]*x509.Certificate{a, b}, time.Hour))
	if err != nil || len(p.Fingerprints) != 2 || !p.Fingerprints[0].matches(a) || !p.Fingerprints[1].matches(b) || p.Life != time.Hour {
		t.Errorf("%+v, %v", p, err)
	}
}

// web is an HTTPS server for every host name, and a client that asks no other.
func web(t *testing.T, h http.HandlerFunc) *http.Client {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	client := server.Client()
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return client
}

func TestPOSHSource(t *testing.T) {
	t.Parallel()
	leaf := selfSigned(t)[0]
	document := POSHDocument([]*x509.Certificate{leaf}, time.Hour)
	var asked atomic.Int32
	source := &POSHSource{Client: web(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		const known = "/.well-known/posh/xmpp-server.json"
		switch r.Host + r.URL.Path {
		case "direct.example" + known, "hosting.example/direct.json":
			w.Write(document)
		case "delegated.example" + known:
			fmt.Fprint(w, `{"url":"https://hosting.example/direct.json","expires":600}`)
		case "twice.example" + known:
			fmt.Fprint(w, `{"url":"https://delegated.example`+known+`","expires":600}`)
		case "huge.example" + known:
			w.Write(make([]byte, maxPOSHSize+1))
		case "broken.example" + known:
			fmt.Fprint(w, "<html>welcome</html>")
		case "failing.example" + known:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})}
	for domain, want := range map[string]struct {
		prints int
		err    string
	}{
		"direct.example": {prints: 1}, "delegated.example": {prints: 1}, "none.example": {},
		"twice.example": {err: "points on"}, "huge.example": {err: "more than"}, "broken.example": {err: "malformed"},
		"failing.example": {err: "500"}, "127.0.0.1": {err: "host name"},
	} {
		got, err := source.Fingerprints(t.Context(), domain)
		if len(got) != want.prints || (err != nil) != (want.err != "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %d fingerprints, %v; want %d, %q", domain, len(got), err, want.prints, want.err)
		}
	}
	before := asked.Load()
	for range 3 {
		source.Fingerprints(t.Context(), "direct.example")
		source.Fingerprints(t.Context(), "none.example")
		source.Fingerprints(t.Context(), "failing.example")
	}
	if n := asked.Load(); n != before {
		t.Errorf("asked again %d times for what is remembered", n-before)
	}
}

// Many who ask for one domain cost one fetch, and one who gives up does not spoil it for the others.
func TestPOSHSourceSharesAFetch(t *testing.T) {
	t.Parallel()
	leaf := selfSigned(t)[0]
	var asked atomic.Int32
	release := make(chan struct{})
	source := &POSHSource{Client: web(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-release
		w.Write(POSHDocument([]*x509.Certificate{leaf}, time.Hour))
	})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Fingerprints(ctx, "slow.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up is told %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := source.Fingerprints(t.Context(), "slow.example"); len(got) != 1 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	close(release)
	all.Wait()
	if asked.Load() != 1 {
		t.Errorf("%d fetches", asked.Load())
	}
}

// Strangers choose whose documents are fetched, but not how many at once.
func TestPOSHSourceIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	source := &POSHSource{Client: web(t, func(http.ResponseWriter, *http.Request) { <-release })}
	var all sync.WaitGroup
	var busy atomic.Int32
	for i := range maxPOSHAtOnce + 5 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := source.Fingerprints(ctx, fmt.Sprintf("d%d.example", i)); errors.Is(err, errPOSHBusy) {
			busy.Add(1)
		}
	}
	close(release)
	all.Wait()
	if busy.Load() != 5 {
		t.Errorf("%d were turned away, want 5", busy.Load())
	}
}

func FuzzPOSH(f *testing.F) {
	f.Add([]byte(`{"fingerprints":[{"sha-256":"4/mggdlVx8A3pvHAWW5sD+qJyMtUHgiRuPjVC48N0XQ="}],"expires":604800}`))
	f.Add([]byte(`{"url":"https://hosting.example.net/posh/xmpp.json","expires":86400}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := ParsePOSH(document)
		if err != nil {
			return
		}
		if p.Life < minPOSH || p.Life > maxPOSH || (p.URL == "") == (len(p.Fingerprints) == 0) {
			t.Errorf("%+v of %q", p, document)
		}
	})
}
