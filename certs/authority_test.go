package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// san is a subjectAltName to be encoded: the names are written as they are, however wrong.
type san struct {
	dns, srv, xmpp []string
	critical       bool
}

func (s san) extension() pkix.Extension {
	return pkix.Extension{Id: oidSubjectAltName, Critical: s.critical, Value: s.value()}
}

func (s san) value() []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range s.dns {
			b.AddASN1(der.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
		}
		other := func(oid asn1.ObjectIdentifier, kind der.Tag, text string) {
			b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oid)
				b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(kind, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
				})
			})
		}
		for _, name := range s.srv {
			other(oidSRVName, der.IA5String, name)
		}
		for _, name := range s.xmpp {
			other(oidXMPPAddr, der.UTF8String, name)
		}
	})
	return b.BytesOrPanic()
}

// authority is a certificate with its key; it may sign others.
type authority struct {
	cert  *x509.Certificate
	key   crypto.Signer
	chain []*x509.Certificate // from cert up to, without, the root
}

// edit changes a template before it is signed.
type edit func(*x509.Certificate)

func names(s san) edit {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, s.extension()) }
}

func dated(from, until time.Duration) edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(until) }
}

func usage(u ...x509.ExtKeyUsage) edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func subject(n pkix.Name) edit {
	return func(c *x509.Certificate) { c.Subject = n }
}

func template(subject string, edits []edit) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: subject}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, e := range edits {
		e(c)
	}
	return c
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, signer)
	if err != nil {
		t.Fatalf("signing %s: %v", tmpl.Subject, err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatalf("parsing %s: %v", tmpl.Subject, err)
	}
	return cert
}

func asAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign
	c.ExtKeyUsage = nil
}

// newRoot makes a trust anchor.
func newRoot(t testing.TB, name string, edits ...edit) *authority {
	return rootWithKey(t, name, newKey(t), edits...)
}

func rootWithKey(t testing.TB, name string, key crypto.Signer, edits ...edit) *authority {
	t.Helper()
	tmpl := template(name, append([]edit{asAuthority}, edits...))
	return &authority{cert: sign(t, tmpl, tmpl, key.Public(), key), key: key}
}

// intermediate makes an authority below a.
func (a *authority) intermediate(t testing.TB, name string, edits ...edit) *authority {
	t.Helper()
	key := newKey(t)
	cert := sign(t, template(name, append([]edit{asAuthority}, edits...)), a.cert, key.Public(), a.key)
	return &authority{cert: cert, key: key, chain: append([]*x509.Certificate{cert}, a.chain...)}
}

// issue makes a leaf and returns it with all that a server would send.
func (a *authority) issue(t testing.TB, edits ...edit) []*x509.Certificate {
	t.Helper()
	chain, _ := a.issueFor(t, newKey(t), edits...)
	return chain
}

func (a *authority) issueFor(t testing.TB, key crypto.Signer, edits ...edit) ([]*x509.Certificate, crypto.Signer) {
	t.Helper()
	leaf := sign(t, template("leaf", edits), a.cert, key.Public(), a.key)
	return append([]*x509.Certificate{leaf}, a.chain...), key
}

// selfSigned makes a leaf that vouches for itself.
func selfSigned(t testing.TB, edits ...edit) []*x509.Certificate {
	t.Helper()
	key, tmpl := newKey(t), template("self", edits)
	return []*x509.Certificate{sign(t, tmpl, tmpl, key.Public(), key)}
}

// trusting is a Verifier with these anchors and no others.
func trusting(roots ...*authority) *Verifier {
	a := &anchors{pool: x509.NewCertPool(), empty: len(roots) == 0}
	for _, r := range roots {
		a.pool.AddCert(r.cert)
	}
	v := &Verifier{identities: identities}
	v.anchors.Store(a)
	return v
}

func encode(t testing.TB, key crypto.Signer, chain ...*x509.Certificate) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, c := range chain {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	if key != nil {
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	}
	return out.Bytes()
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files is a folder of PEM files.
type files struct {
	t   testing.TB
	dir string
}

func newFiles(t testing.TB) files { return files{t: t, dir: t.TempDir()} }

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

// put writes a chain with its key into one file and returns how the configuration names it.
func (f files) put(name string, key crypto.Signer, chain ...*x509.Certificate) File {
	f.t.Helper()
	write(f.t, f.path(name), encode(f.t, key, chain...))
	return File{Cert: f.path(name)}
}

// pair issues a certificate for names, puts it into a file, and returns both.
func (f files) pair(a *authority, file string, edits ...edit) (File, *x509.Certificate) {
	f.t.Helper()
	chain, key := a.issueFor(f.t, newKey(f.t), edits...)
	return f.put(file, key, chain...), chain[0]
}

func off() *bool { return new(bool) }

func leafOf(t testing.TB, c *tls.Certificate) *x509.Certificate {
	t.Helper()
	if c == nil {
		t.Fatal("no certificate")
	}
	return c.Leaf
}

// answers is an HTTP server of its own: no answer is a failure.
type answers func(*http.Request) []byte

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body := a(r)
	if body == nil {
		return nil, errors.New("nobody there")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func tlsOf(leaf *x509.Certificate) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, Leaf: leaf}
}
