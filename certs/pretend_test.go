package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// pretend is an authority in memory, as an http.RoundTripper: what RFC 8555 §7 has, without looking at signatures (pebble does). Its
// clock is that of the test, which may be in a bubble.
type pretend struct {
	t    testing.TB
	root *authority
	sub  *authority
	life time.Duration
	gate *Manager // whose challenges are looked at; nil: every domain is shown to be ours

	mu       sync.Mutex
	accounts map[string]bool // by the key's thumbprint
	orders   []*pretendOrder
	bodies   map[string][]byte                                    // the last payload sent to each kind of resource
	leaf     func(*x509.Certificate)                              // changes what is issued
	chain    func(leaf *x509.Certificate) []byte                  // replaces what is downloaded
	answer   func(kind string, w *httptest.ResponseRecorder) bool // answers in place of us; true when it did
	refuse   map[string]string                                    // domains that fail their challenge, and why
	clock    func() time.Time
}

type pretendOrder struct {
	names  []string
	thumb  string
	status string
	authz  []string // status of each name's
	cert   []byte
	at     time.Time
}

const pretendURL = "https://ca.example/"

func newPretend(t testing.TB, life time.Duration) *pretend {
	root := newRoot(t, "Pretend Root", dated(-time.Hour, 100*365*24*time.Hour))
	return &pretend{t: t, root: root, sub: root.intermediate(t, "Pretend Authority", dated(-time.Hour, 100*365*24*time.Hour)), life: life,
		accounts: map[string]bool{}, bodies: map[string][]byte{}, refuse: map[string]string{}, clock: time.Now}
}

func (p *pretend) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	w.Header().Set("Date", p.clock().UTC().Format(http.TimeFormat))
	w.Header().Set("Replay-Nonce", "nonce")
	p.serve(w, r)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// jws is a request's body, read.
type jws struct {
	thumb   string
	payload []byte
}

func (p *pretend) read(r *http.Request) (j jws) {
	var outer struct{ Protected, Payload string }
	body, _ := io.ReadAll(r.Body)
	if json.Unmarshal(body, &outer) != nil {
		return j
	}
	protected, _ := base64.RawURLEncoding.DecodeString(outer.Protected)
	j.payload, _ = base64.RawURLEncoding.DecodeString(outer.Payload)
	var header struct {
		KID string
		JWK struct{ X, Y string }
	}
	_ = json.Unmarshal(protected, &header)
	if header.KID != "" {
		j.thumb = path.Base(header.KID)
		return j
	}
	x, _ := base64.RawURLEncoding.DecodeString(header.JWK.X)
	y, _ := base64.RawURLEncoding.DecodeString(header.JWK.Y)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err == nil {
		j.thumb, _ = acme.JWKThumbprint(key)
	}
	return j
}

func (p *pretend) serve(w *httptest.ResponseRecorder, r *http.Request) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var j jws
	if r.Method == http.MethodPost {
		j = p.read(r)
		p.bodies[kind] = j.payload
	}
	if p.answer != nil && p.answer(kind, w) {
		return
	}
	var n, i int
	_, _ = fmt.Sscanf(strings.ReplaceAll(rest, "/", " "), "%d %d", &n, &i)
	switch kind {
	case "dir":
		p.json(w, 200, map[string]any{"newNonce": pretendURL + "nonce", "newAccount": pretendURL + "account", "newOrder": pretendURL + "new",
			"meta": map[string]any{"termsOfService": pretendURL + "terms", "profiles": map[string]string{"shortlived": "six days"}}})
	case "nonce":
	case "account":
		p.account(w, j)
	case "new":
		p.newOrder(w, j)
	case "order":
		p.order(w, n, 200)
	case "authz":
		p.authz(w, n, i, j)
	case "challenge":
		p.challenge(w, n, i, j)
	case "finalize":
		p.finalize(w, n, j)
	case "cert":
		_, _ = w.Write(p.orders[n].cert)
	default:
		p.problem(w, 404, "malformed", "no such resource")
	}
}

func (p *pretend) json(w *httptest.ResponseRecorder, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *pretend) problem(w *httptest.ResponseRecorder, code int, kind, detail string) {
	p.json(w, code, map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": code})
}

func (p *pretend) account(w *httptest.ResponseRecorder, j jws) {
	var ask struct{ OnlyReturnExisting, TermsOfServiceAgreed bool }
	_ = json.Unmarshal(j.payload, &ask)
	w.Header().Set("Location", pretendURL+"acct/"+j.thumb)
	switch {
	case p.accounts[j.thumb]:
		p.json(w, 200, map[string]any{"status": "valid"})
	case ask.OnlyReturnExisting:
		p.problem(w, 400, "accountDoesNotExist", "never heard of you")
	case !ask.TermsOfServiceAgreed:
		p.problem(w, 403, "userActionRequired", "you did not agree")
	default:
		p.accounts[j.thumb] = true
		p.json(w, 201, map[string]any{"status": "valid"})
	}
}

func (p *pretend) newOrder(w *httptest.ResponseRecorder, j jws) {
	var ask struct{ Identifiers []struct{ Value string } }
	_ = json.Unmarshal(j.payload, &ask)
	o := &pretendOrder{status: "pending", thumb: j.thumb, at: time.Now()}
	for _, id := range ask.Identifiers {
		o.names = append(o.names, id.Value)
		o.authz = append(o.authz, "pending")
	}
	p.orders = append(p.orders, o)
	p.order(w, len(p.orders)-1, 201)
}

func (p *pretend) order(w *httptest.ResponseRecorder, n, code int) {
	o := p.orders[n]
	var authz []string
	for i := range o.names {
		authz = append(authz, fmt.Sprintf("%sauthz/%d/%d", pretendURL, n, i))
	}
	w.Header().Set("Location", fmt.Sprintf("%sorder/%d", pretendURL, n))
	p.json(w, code, map[string]any{"status": o.status, "authorizations": authz, "finalize": fmt.Sprintf("%sfinalize/%d", pretendURL, n),
		"certificate": fmt.Sprintf("%scert/%d", pretendURL, n)})
}

func (p *pretend) authz(w *httptest.ResponseRecorder, n, i int, j jws) {
	o := p.orders[n]
	if bytes.Contains(j.payload, []byte("deactivated")) {
		o.authz[i] = "deactivated"
	}
	var all []map[string]any
	for _, kind := range []string{HTTP01, DNS01, TLSALPN01} {
		c := map[string]any{"type": kind, "url": fmt.Sprintf("%schallenge/%d/%d/%s", pretendURL, n, i, kind), "token": fmt.Sprintf("token-%d-%d", n, i), "status": o.authz[i]}
		if o.authz[i] == "invalid" {
			c["error"] = map[string]any{"type": "urn:ietf:params:acme:error:unauthorized", "detail": p.refuse[o.names[i]]}
		}
		all = append(all, c)
	}
	p.json(w, 200, map[string]any{"status": o.authz[i], "identifier": map[string]string{"type": "dns", "value": o.names[i]}, "challenges": all})
}

func (p *pretend) challenge(w *httptest.ResponseRecorder, n, i int, j jws) {
	o := p.orders[n]
	o.authz[i] = "valid"
	if _, no := p.refuse[o.names[i]]; no {
		o.authz[i] = "invalid"
	} else if err := p.look(o.names[i], fmt.Sprintf("token-%d-%d", n, i), j.thumb); err != nil {
		p.refuse[o.names[i]] = err.Error()
		o.authz[i] = "invalid"
	}
	o.status = "ready"
	for _, s := range o.authz {
		if s == "invalid" {
			o.status = "invalid"
		}
		if s == "pending" && o.status == "ready" {
			o.status = "pending"
		}
	}
	p.json(w, 200, map[string]any{"type": "x", "status": "processing", "url": pretendURL, "token": "x"})
}

// look validates a challenge as an authority does, by the kind that the gate is set to.
func (p *pretend) look(domain, token, thumb string) error {
	if p.gate == nil || p.gate.issuer.config.challenge() == DNS01 {
		return nil
	}
	if p.gate.issuer.config.challenge() == HTTP01 {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://"+domain+"/.well-known/acme-challenge/"+token, nil)
		p.gate.responder.manager.HTTPHandler(nil).ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != token+"."+thumb {
			return fmt.Errorf("port 80 answered %d %q", w.Code, w.Body)
		}
		return nil
	}
	return validate(p.gate.ServerConfig("", true), domain, token+"."+thumb)
}

// validate connects as a validator of RFC 8737 §3 does, to who serves by a configuration.
func validate(server *tls.Config, domain, keyAuthorization string) error {
	if server == nil {
		return errors.New("connection refused")
	}
	served := make(chan error, 1)
	err := validateAt(func() net.Conn {
		a, b := net.Pipe()
		go func() {
			served <- tls.Server(a, server).Handshake()
			a.Close()
		}()
		return b
	}, domain, keyAuthorization)
	if refused := <-served; err == nil {
		err = refused
	}
	return err
}

// validateAt is validate at whatever is called.
func validateAt(call func() net.Conn, domain, keyAuthorization string) error {
	raw := call()
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{ServerName: domain, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return nil, errors.New("asked for a certificate")
		}})
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != acme.ALPNProto || len(state.PeerCertificates) != 1 {
		return errors.New("another protocol answered")
	}
	leaf, sum := state.PeerCertificates[0], sha256.Sum256([]byte(keyAuthorization))
	want, _ := asn1.Marshal(sum[:])
	for _, ext := range leaf.Extensions {
		if ext.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && ext.Critical && bytes.Equal(ext.Value, want) && len(leaf.DNSNames) == 1 && leaf.DNSNames[0] == domain {
			return nil
		}
	}
	return errors.New("the certificate is not the challenge's")
}

func (p *pretend) finalize(w *httptest.ResponseRecorder, n int, j jws) {
	var ask struct{ CSR string }
	_ = json.Unmarshal(j.payload, &ask)
	raw, _ := base64.RawURLEncoding.DecodeString(ask.CSR)
	csr, err := x509.ParseCertificateRequest(raw)
	if err != nil || csr.CheckSignature() != nil {
		p.problem(w, 400, "badCSR", "your request is broken")
		return
	}
	o := p.orders[n]
	tmpl := template("issued", []edit{names(san{dns: csr.DNSNames}), dated(0, p.life)})
	if p.leaf != nil {
		p.leaf(tmpl)
	}
	leaf := sign(p.t, tmpl, p.sub.cert, csr.PublicKey, p.sub.key)
	o.cert = encode(p.t, nil, leaf, p.sub.cert)
	if p.chain != nil {
		o.cert = p.chain(leaf)
	}
	o.status = "valid"
	p.order(w, n, 200)
}

// issued are the orders that were placed.
func (p *pretend) placed() []*pretendOrder {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.orders[:len(p.orders):len(p.orders)]
}

func (p *pretend) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// with returns the lines that have text.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// gateOf is a Manager that obtains from p, with what it says.
func gateOf(t testing.TB, p *pretend, c Config) (*Manager, *lines) {
	t.Helper()
	c.SystemRoots = off()
	m, err := newManager(c, &Manager{clock: time.Now, transport: p})
	if err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.gate = m })
	return m, new(lines)
}

// running runs m until the returned function is called.
func running(t testing.TB, m *Manager, said *lines) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx, said.logger())
	}()
	return func() {
		cancel()
		<-done
	}
}

// keeperOf makes single attempts for m.
func keeperOf(m *Manager, said *lines, base http.RoundTripper) *keeper {
	return &keeper{Manager: m, issuer: m.issuer, log: said.logger(), slots: make(chan struct{}, 1), account: make(chan struct{}, 1), base: base}
}
