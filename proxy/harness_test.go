package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/contacts"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// The stage of all conversations: corp.example and its conference service behind the gate, remote.example and others outside.
const (
	local    = "corp.example"
	remote   = "remote.example"
	patience = 10 * time.Second
)

// theSecret is the gate's; a scripted peer has one of its own.
const (
	theSecret  = "the gate's own dialback secret, 32 bytes and more"
	peerSecret = "what a scripted peer makes its keys with"
)

func (o options) served() []string {
	if o.domains != nil {
		return o.domains
	}
	return []string{local, "conference." + local}
}

// TestMain lets more tests run at once than there are processors: they wait for peers and clocks, most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := p.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

type stage struct {
	xmpptest.Stage
	proxy  *proxy.Proxy
	engine *policy.Engine
	record *audit.Log
	names  *xmpptest.DNS
	ca     *authority
	dir    string
	log    *logBook
}

// options change the stage; the zero value is federation open to all, TLS required, dialback enough.
type options struct {
	data      policy.Data
	rego      string // an operator's file
	observe   bool
	limits    func(*proxy.Limits)
	innerTLS  proxy.InnerTLS
	bidi      bool // streams outside may carry both ways
	recorder  func(proxy.Recorder) proxy.Recorder
	telemetry proxy.Telemetry
	resolver  func(*resolve.Config)
	prepare   func(*stage) // before the gate starts
	zone      []string     // what DNS knows; remote.example and its like have a route
	domains   []string     // of the backend; default: corp.example and its conference service
	quiet     bool         // the log is not kept
	onFailure string       // of the record
}

func newStage(t testing.TB, o options) *stage {
	t.Helper()
	s := newRooms(t, o)
	s.Calls = map[string]net.Listener{"remote": listen(t), "backend": listen(t)}
	outside, inside := listen(t), listen(t)
	s.Doors = map[string]string{"outside": outside.Addr().String(), "inside": inside.Addr().String()}
	s.names = xmpptest.ListenDNS(t, o.zone...)
	s.open(t, o, resolve.Config{Servers: []resolve.Server{{Addr: s.names.Addr()}}, Listeners: []netip.AddrPort{addrOf(outside), addrOf(inside)}})
	go s.proxy.Serve(outside, proxy.Outside)
	go s.proxy.Serve(inside, proxy.Inside)
	s.Do = map[string]func() error{
		"drain":   func() error { go s.proxy.Shutdown(t.Context()); return nil },
		"silence": func() error { s.names.Break("", xmpptest.Silent); return nil },
	}
	return s
}

// newRooms makes what a gate is built of, but for what needs a socket.
func newRooms(t testing.TB, o options) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), log: &logBook{t: t, quiet: o.quiet}, ca: newAuthority(t)}
	var names []string
	for _, d := range o.served() {
		names = append(names, jid.MustDomain(d).ASCII())
	}
	s.ca.write(t, s.dir, "corp", names...)
	rules := policy.Config{Timeout: patience}
	if o.observe {
		rules.Mode = "observe"
	}
	if o.rego != "" {
		rules.Dir = filepath.Join(s.dir, "policy")
		must(t, os.Mkdir(rules.Dir, 0o700))
		must(t, os.WriteFile(filepath.Join(rules.Dir, "ours.rego"), []byte(o.rego), 0o600))
	}
	var err error
	s.engine, err = policy.New(rules, s.policyData(o))
	must(t, err)
	s.record, err = audit.Open(audit.Config{Dir: filepath.Join(s.dir, "audit"), Durability: "async", OnFailure: o.onFailure})
	must(t, err)
	t.Cleanup(func() { s.record.Close() })
	s.Key = key
	s.Client = map[string]*tls.Config{"none": s.ca.client(t), "good": s.ca.client(t, remote), "conference": s.ca.client(t, "conference."+remote), "other": s.ca.client(t, "other.example")}
	s.Server = map[string]*tls.Config{"good": s.ca.server(t, remote), "both": s.ca.server(t, remote, "conference."+remote), "other": s.ca.server(t, "other.example"), "expired": s.ca.expired(t, remote), "stranger": newAuthority(t).server(t, remote)}
	s.Record = s.recorded
	s.Patience = patience
	return s
}

// open makes a gate of the rooms and starts it. It ends with the test.
func (s *stage) open(t testing.TB, o options, rc resolve.Config) {
	t.Helper()
	manager, err := certs.New(certs.Config{
		Files: []certs.File{{Cert: filepath.Join(s.dir, "corp.pem"), Key: filepath.Join(s.dir, "corp.key")}},
		Roots: []string{filepath.Join(s.dir, "ca.pem")}, SystemRoots: new(bool),
	})
	must(t, err)
	secret, err := dialback.NewSecret([]byte(theSecret))
	must(t, err)
	if o.resolver != nil {
		o.resolver(&rc)
	}
	resolver, err := resolve.New(rc)
	must(t, err)
	s.proxy = &proxy.Proxy{Policy: s.engine, Record: s.record, Certs: manager, Resolver: resolver, Contacts: contacts.New(contacts.Config{File: filepath.Join(s.dir, "contacts"), Limit: 100}), Secret: dialback.Secrets{Current: secret},
		Telemetry: o.telemetry, Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if o.recorder != nil {
		s.proxy.Record = o.recorder(s.record)
	}
	settings := s.settings(o)
	if o.innerTLS == proxy.TLSCertificate {
		settings.Inner = s.equip(t, o)
	}
	if o.prepare != nil {
		o.prepare(s)
	}
	must(t, s.proxy.Start(settings))
	t.Cleanup(func() {
		// Nobody takes calls any more, so that what still waits has an end at once.
		for _, ln := range s.Calls {
			ln.Close()
		}
		s.proxy.Shutdown(t.Context())
	})
}

// equip makes the inner authority, and a backend that has what it was given by it: "equipped" in scripts, as client and as server.
func (s *stage) equip(t testing.TB, o options) *certs.Inner {
	t.Helper()
	inner, err := certs.OpenInner(filepath.Join(s.dir, "inner"))
	must(t, err)
	cert, key, err := inner.Equip(o.served())
	must(t, err)
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	root, err := os.ReadFile(inner.RootFile())
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	s.Client["equipped"] = &tls.Config{RootCAs: pool, ServerName: remote, Certificates: []tls.Certificate{pair}}
	s.Client["unequipped"] = &tls.Config{RootCAs: pool, ServerName: remote, Certificates: []tls.Certificate{s.ca.issue(t, time.Now().Add(time.Hour), local)}}
	s.Server["equipped"] = &tls.Config{ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, Certificates: []tls.Certificate{pair}}
	return inner
}

func (s *stage) policyData(o options) policy.Data {
	if o.data != nil {
		return o.data
	}
	return policy.Data{"federation": "open"}
}

func (s *stage) settings(o options) proxy.Settings {
	limits := proxy.DefaultLimits()
	limits.Drain = 300 * time.Millisecond
	if o.limits != nil {
		o.limits(&limits)
	}
	route, err := resolve.ParseRoute(s.Calls["remote"].Addr().String())
	if err != nil {
		panic(err)
	}
	routes := map[jid.Domain]resolve.Endpoint{}
	for _, d := range []string{remote, "conference." + remote, "other.example", "third.example"} {
		routes[jid.MustDomain(d)] = route
	}
	backend := proxy.Backend{Address: s.Calls["backend"].Addr().String(), From: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, TLS: o.innerTLS}
	for _, d := range o.served() {
		backend.Domains = append(backend.Domains, jid.MustDomain(d))
	}
	return proxy.Settings{Backends: []proxy.Backend{backend}, Routes: routes, Acks: true, Bidi: o.bidi, Limits: limits}
}

// recorded gives the record so far.
func (s *stage) recorded() []byte {
	files, _ := filepath.Glob(filepath.Join(s.dir, "audit", "*.jsonl"))
	var all []byte
	for _, f := range files {
		b, _ := os.ReadFile(f)
		all = append(all, b...)
	}
	return all
}

// key makes keys for scripts: of the gate's sides, or of a scripted peer.
func key(secret, receiving, originating, id string) string {
	s, err := dialback.NewSecret([]byte(theSecret))
	if err != nil {
		panic(err)
	}
	switch secret {
	case "outside", "inside":
		s = s.Derive(secret)
	default:
		if s, err = dialback.NewSecret([]byte(peerSecret)); err != nil {
			panic(err)
		}
	}
	return s.Key(dialback.Challenge{Receiving: receiving, Originating: originating, StreamID: id})
}

// logBook is the gate's log: kept, and shown with a test that fails.
type logBook struct {
	t     testing.TB
	quiet bool
	mu    sync.Mutex
	b     strings.Builder
	more  chan struct{} // closed with the next line
}

func (l *logBook) Write(b []byte) (int, error) {
	if l.quiet {
		return len(b), nil
	}
	l.t.Log(strings.TrimSpace(string(b)))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.b.Write(b)
}

// await waits for lines in which a word stands and gives all of them.
func (l *logBook) await(word string) (found []string) {
	l.t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		for line := range strings.Lines(l.b.String()) {
			if strings.Contains(line, word) {
				found = append(found, line)
			}
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		if len(found) > 0 {
			return found
		}
		select {
		case <-more:
		case <-late:
			l.t.Fatalf("no line with %q", word)
		}
	}
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func addrOf(ln net.Listener) netip.AddrPort { return ln.Addr().(*net.TCPAddr).AddrPort() }

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// authority is a certificate authority of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, k}
}

func (a *authority) issue(t testing.TB, notAfter time.Time, names ...string) tls.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{SerialNumber: serial, DNSNames: names, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: k}
}

// write puts a certificate, its key and the authority into files.
func (a *authority) write(t testing.TB, dir, name string, names ...string) {
	t.Helper()
	c := a.issue(t, time.Now().Add(12*time.Hour), names...)
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(t, err)
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	must(t, os.WriteFile(filepath.Join(dir, name+".pem"), block("CERTIFICATE", c.Certificate[0]), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, name+".key"), block("PRIVATE KEY", der), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), block("CERTIFICATE", a.cert.Raw), 0o600))
}

func (a *authority) client(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	c := &tls.Config{RootCAs: pool, ServerName: local, MinVersion: tls.VersionTLS12}
	if len(names) > 0 {
		c.Certificates = []tls.Certificate{a.issue(t, time.Now().Add(time.Hour), names...)}
	}
	return c
}

func (a *authority) server(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, time.Now().Add(time.Hour), names...)}, ClientAuth: tls.RequestClientCert}
}

func (a *authority) expired(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{a.issue(t, time.Now().Add(-time.Hour), names...)}}
}

// listenAt takes calls at an address that was free a moment ago.
func listenAt(t testing.TB, addr string) (net.Listener, error) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		t.Cleanup(func() { ln.Close() })
	}
	return ln, err
}
