package proxy_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// web is a pretend web: each document by its address. What is not there yet is waited for, until the asker has had enough.
type web struct {
	mu    sync.Mutex
	there map[string][]byte
	asked []string
	more  chan struct{} // closed when something is published
}

func (w *web) publish(address string, document []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.there == nil {
		w.there = make(map[string][]byte)
	}
	w.there[address] = document
	if w.more != nil {
		close(w.more)
		w.more = nil
	}
}

func (w *web) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// RoundTrip answers; a document that is nil is not found.
func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	for first := true; ; first = false {
		w.mu.Lock()
		if first {
			w.asked = append(w.asked, r.URL.String())
		}
		document, ok := w.there[r.URL.String()]
		if w.more == nil {
			w.more = make(chan struct{})
		}
		more := w.more
		w.mu.Unlock()
		switch {
		case ok && document == nil:
			return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}, nil
		case ok:
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(document)), Request: r}, nil
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// list is where the stage's authority tells what it took back.
const list = "http://crl.example/1"

// revoking lets the gate look at lists of a pretend web, as the gate of the command line does.
func revoking(w *web) func(*stage) {
	return func(s *stage) {
		s.proxy.Revoked = &certs.Revocations{Client: &http.Client{Transport: w}, Changed: s.proxy.Recheck}
	}
}

// lists makes a list of what was taken back.
func (a *authority) lists(t *testing.T, number int64, revoked ...certificate) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		must(t, err)
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	must(t, err)
	return der
}

// listed is a certificate that says where the list is.
func (s *stage) listed(t *testing.T, names ...string) certificate {
	return s.ca.leaf(t, newKey(t), func(c *x509.Certificate) { c.DNSNames, c.CRLDistributionPoints = names, []string{list} })
}

// remoteTakes is _remote_takes with another certificate.
func remoteTakes(t *testing.T, server string) string {
	return replaced(include(t, "_remote_takes"), "server good", "server "+server)
}

// [I01]: nobody waits for a list. A link stands while nothing is known, and ends when the list that arrives has its certificate, in
// either direction; from then on there is no link, no EXTERNAL and no dialback in its place.
func TestRevokedWhileALinkStands(t *testing.T) {
	t.Parallel()
	var w web
	s := newStage(t, options{prepare: revoking(&w)})
	cert := s.listed(t, remote)
	s.shows("it", cert)
	inbound := replaced(include(t, "_remote_proved"), "client good", "client it")
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + message("m1", 0) + "\n" + remoteTakes(t, "it") + "r receives " + message("m1", 0) + "\n" + recast(replaced(inbound, "{p", "{q"), "r", "q"))
	w.publish(list, s.ca.lists(t, 1, cert))
	c.Play(failed("q", "policy-violation") + `
r receives </stream:stream>
record has link.close "dir":"in" revoked
record has link.close "dir":"out" revoked
`)
	// Now it is known beforehand.
	c.Play("q closes\n" + recast(replaced(include(t, "_tls"), "client good", "client it", "{p", "{u"), "r", "q") + `
q sends <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>
q receives <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>
q sends <db:result from='remote.example' to='corp.example'>k</db:result>
` + refusedResult("q", "corp.example", remote, "auth", "not-authorized"))
	uncalled(t, s.Calls["remote"])
	c.Play(replaced(include(t, "_gate_calls"), "server good", "server it", "'m1'", "'m2'") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r closed
record has link.fail "step":"cert" revoked
`)
}

// Where policy asks for certainty, a certificate of which nothing is known is refused, and taken as soon as the list has come, without
// the wait that a failed link brings.
func TestRevocationHard(t *testing.T) {
	t.Parallel()
	var w web
	s := newStage(t, options{prepare: revoking(&w), data: policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"pkix","revocation":"hard"}}}`)})
	s.shows("it", s.listed(t, remote))
	c := xmpptest.Begin(t, s.Stage)
	tls := replaced(include(t, "_tls"), "client good", "client it")
	ask := "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n"
	c.Play(tls + ask + refusedResult("r", "corp.example", remote, "auth", "not-authorized") + "record has dialback.error revocation-unknown\n" + include(t, "_backend_speaks"))
	c.Play("r closes\n" + replaced(include(t, "_gate_calls"), "server good", "server it") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features/>
r closed
record has link.fail revocation-unknown
`)
	w.publish(list, s.ca.lists(t, 1))
	must(t, s.proxy.Revoked.Settle(t.Context()))
	s.proxy.Recheck() // as the list's arrival does, at about this time
	c.Play(replaced(tls, "{p", "{q") + ask + "r receives <db:result from='corp.example' to='remote.example' type='valid'/>\nr closes\n")
	c.Play("l sends " + message("m2", 0) + "\n" + remoteTakes(t, "it") + "r receives " + message("m2", 0))
}

// A list that finds no room leaves nobody knowing: with hard the peer is refused, by a line that names the limit, with soft it passes
// (limits.revocation_bytes).
func TestRevocationBytes(t *testing.T) {
	t.Parallel()
	for terms, answer := range map[string]string{
		"hard": refusedResult("r", "corp.example", remote, "auth", "not-authorized") + "record has dialback.error revocation-unknown limits.revocation_bytes\n",
		"soft": "r receives <db:result from='corp.example' to='remote.example' type='valid'/>\n",
	} {
		t.Run(terms, func(t *testing.T) {
			t.Parallel()
			var w web
			s := newStage(t, options{prepare: revoking(&w), limits: func(l *proxy.Limits) { l.RevocationBytes = 1 },
				data: policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"pkix","revocation":"`+terms+`"}}}`)})
			s.shows("it", s.listed(t, remote))
			w.publish(list, s.ca.lists(t, 1))
			c := xmpptest.Begin(t, s.Stage)
			c.Play(replaced(include(t, "_tls"), "client good", "client it") + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n" + answer)
			if terms == "hard" {
				c.Play("r closes\n" + include(t, "_backend_speaks") + replaced(include(t, "_gate_calls"), "server good", "server it") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features/>
r closed
record has link.fail revocation-unknown limits.revocation_bytes
`)
			}
		})
	}
}

// Verdicts are never those of other trust anchors: when one goes, the links that it proved begin anew, and a peer that is in the middle
// of EXTERNAL has no proof ([S06], [I01]).
func TestAnchorsGo(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	other := newAuthority(t)
	dir := t.TempDir()
	other.write(t, dir, "other", "whatever.example")
	withdraw := func() {
		m, err := s.proxy.Certs.Prepare(certs.Config{Files: []certs.File{{Cert: filepath.Join(s.dir, "corp.pem"), Key: filepath.Join(s.dir, "corp.key")}},
			Roots: []string{filepath.Join(dir, "ca.pem")}, SystemRoots: new(bool)})
		must(t, err)
		m.Apply()
	}
	c := xmpptest.Begin(t, s.Stage)
	c.Play(recast(include(t, "_tls"), "r", "x") + `
x sends <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>
x receives <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
` + include(t, "_gate_proved") + recast(replaced(include(t, "_remote_proved"), "{p", "{q"), "r", "q"))
	withdraw()
	c.Play("x sends header from='remote.example' to='corp.example' version='1.0'\nx receives header\nx receives <stream:features>…</stream:features>\n" + failed("x", "not-authorized"))
	s.proxy.Review()
	c.Play(failed("q", "reset") + "r receives <stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\nr receives </stream:stream>\nrecord has link.close \"dir\":\"out\" proves\nrecord has link.close \"dir\":\"in\" proves")
}
