package probe_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/probe"
	"sallyport/internal/ratchet"
	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
)

const (
	local     = "corp.example"
	remote    = "remote.example"
	theSecret = "the gate's own dialback secret, 32 bytes and more"
	patience  = 20 * time.Second
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	parent, signer := template, key
	if above != nil {
		parent, signer = above.cert, above.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{t, cert, key}
}

// issue makes a server's certificate for remote.example that is good for two months, unless edit says otherwise.
func (a *authority) issue(edit func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(a.t, err)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{remote}, NotBefore: time.Now().AddDate(0, -1, 0), NotAfter: time.Now().AddDate(0, 2, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	must(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serves is how a server shows a certificate.
func serves(cert tls.Certificate, edit func(*tls.Config)) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	if edit != nil {
		edit(c)
	}
	return c
}

// stage is a prober, and a remote server that a script plays.
type stage struct {
	xmpptest.Stage
	t      testing.TB
	ca     *authority
	names  *xmpptest.DNS
	web    map[string][]byte // what HTTP finds, by URL
	places *strings.Replacer // of what is known only now: ports and hashes
	dir    string
	certs  *certs.Manager // ours: corp.example
}

// RoundTrip is the web.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	body, ok := s.web[r.URL.String()]
	code := http.StatusOK
	if !ok {
		code = http.StatusNotFound
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{t: t, ca: newAuthority(t, "Test Authority", nil), web: map[string][]byte{}, dir: t.TempDir()}
	s.Patience = patience
	s.Calls = map[string]net.Listener{"remote": s.listen(), "second": s.listen()}
	closed := s.listen()
	must(t, closed.Close())
	own := s.ca.issue(func(c *x509.Certificate) { c.DNSNames = []string{local} })
	s.certs = s.manager(own)
	good := s.ca.issue(nil)
	revoked := s.ca.issue(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/list"} })
	stranger, between := newAuthority(t, "Stranger", nil), newAuthority(t, "Between", s.ca)
	s.revoke(revoked)
	s.Server = map[string]*tls.Config{
		"own":   serves(own, nil),
		"good":  serves(good, nil),
		"shown": serves(good, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
		"unshown": serves(good, func(c *tls.Config) {
			c.VerifyConnection = func(cs tls.ConnectionState) error {
				if len(cs.PeerCertificates) > 0 {
					return errors.New("a certificate was shown to a domain that policy shuts out")
				}
				return nil
			}
		}),
		"mute":   serves(good, func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }),
		"strict": serves(good, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool() }),
		"tls12":  serves(good, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
		"tls10":  serves(good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }),
		"alpn":   serves(good, func(c *tls.Config) { c.NextProtos = []string{"xmpp-server"} }),
		"soon":   serves(s.ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, 5) }), nil),
		"brief": serves(s.ca.issue(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 6)
		}), nil),
		"expired":  serves(s.ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, -3) }), nil),
		"other":    serves(s.ca.issue(func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }), nil),
		"target":   serves(s.ca.issue(func(c *x509.Certificate) { c.DNSNames = []string{"xmpp.remote.example"} }), nil),
		"stranger": serves(stranger.issue(nil), nil),
		"orphan":   serves(between.issue(nil), nil),
		"revoked":  serves(revoked, nil),
		"nasty": serves(s.ca.issue(func(c *x509.Certificate) {
			c.Subject.Organization = []string{"\x1b[31mred\u202egnorw", strings.Repeat("long", 500)}
			c.DNSNames = []string{"other.example"}
		}), nil),
	}
	spki := func(c tls.Certificate) string {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		must(t, err)
		return fmt.Sprintf("%x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
	}
	s.places = strings.NewReplacer("PORT2", port(s.Calls["second"]), "PORT", port(s.Calls["remote"]), "CLOSED", port(closed), "SPKI", spki(good))
	s.names = xmpptest.ListenDNS(t)
	s.Key = func(secret, receiving, originating, id string) string {
		own, err := dialback.NewSecret([]byte(theSecret))
		must(t, err)
		return own.Derive(secret).Key(dialback.Challenge{Receiving: receiving, Originating: originating, StreamID: id})
	}
	return s
}

// revoke publishes a list with one certificate in it.
func (s *stage) revoke(cert tls.Certificate) {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	must(s.t, err)
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: leaf.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)}}}, s.ca.cert, s.ca.key)
	must(s.t, err)
	s.web["http://crl.example/list"] = list
}

// fingerprint is the hash of a certificate as POSH has it.
func (s *stage) fingerprint(name string) string {
	sum := sha256.Sum256(s.Server[name].Certificates[0].Certificate[0])
	return base64.StdEncoding.EncodeToString(sum[:])
}

func port(ln net.Listener) string { return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port) }

func (s *stage) listen() net.Listener {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	s.t.Cleanup(func() { ln.Close() })
	return ln
}

// manager keeps our own certificate.
func (s *stage) manager(own tls.Certificate) *certs.Manager {
	s.t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	must(s.t, err)
	for name, block := range map[string]*pem.Block{"own.pem": {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, "own.key": {Type: "PRIVATE KEY", Bytes: key}, "ca.pem": {Type: "CERTIFICATE", Bytes: s.ca.cert.Raw}} {
		must(s.t, os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(block), 0o600))
	}
	manager, err := certs.New(certs.Config{Files: []certs.File{{Cert: filepath.Join(s.dir, "own.pem"), Key: filepath.Join(s.dir, "own.key")}},
		Roots: []string{filepath.Join(s.dir, "ca.pem")}, SystemRoots: new(bool)})
	must(s.t, err)
	return manager
}

// resolver asks the stage's name server. The doors are this gate's own.
func (s *stage) resolver(o scene, doors ...netip.AddrPort) *resolve.Resolver {
	s.t.Helper()
	resolver, err := resolve.New(resolve.Config{Servers: []resolve.Server{{Addr: s.names.Addr()}}, DNSSEC: o.dnssec, AllowPrivate: !o.public, DirectTLS: true,
		Timeout: time.Second, Listeners: doors})
	must(s.t, err)
	return resolver
}

// prober is the gate's side of the stage.
func (s *stage) prober(o scene) *probe.Prober {
	s.t.Helper()
	engine, err := policy.New(policy.Config{Timeout: patience, Mode: o.mode}, o.data)
	must(s.t, err)
	secret, err := dialback.NewSecret([]byte(theSecret))
	must(s.t, err)
	p := &probe.Prober{From: jid.MustDomain(local), Resolver: s.resolver(o, netip.MustParseAddrPort("127.0.0.1:1")), Certs: s.certs, Policy: engine.Snapshot(),
		Revoked: &certs.Revocations{Client: &http.Client{Transport: s}}, POSH: &certs.POSHSource{Client: &http.Client{Transport: s}},
		Ratchet: ratchet.Config{Mode: "enforce"}, Memory: probe.Memory{Mode: "enforce", Peer: o.memory}, Secret: dialback.Secrets{Current: secret}.Derive("outside")}
	if o.keyless {
		p.Secret, p.Keyless = dialback.Secrets{}, "there is no secret yet"
	}
	if o.absent {
		p.Absent = "no gate answers"
	}
	if o.route != "" {
		ep, err := resolve.ParseRoute(s.places.Replace(o.route))
		must(s.t, err)
		p.Routes = map[jid.Domain]resolve.Endpoint{jid.MustDomain(remote): ep}
	}
	return p
}
