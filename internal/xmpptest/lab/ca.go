package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Flaw is what is wrong with a certificate.
type Flaw uint8

const (
	Sound          Flaw = iota // serverAuth and clientAuth, all names, valid now
	ServerAuthOnly             // sound, as public authorities issue them now: not marked for clients
	SelfSigned                 // not from the CA
	Expired                    // ended yesterday
	WrongName                  // for another domain
)

// CA is a certificate authority.
type CA struct {
	Root string // path of its certificate, PEM
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// Cert is a certificate with its key, as files and ready for use.
type Cert struct {
	Chain, Key, Both string // paths, PEM
	TLS              tls.Certificate
}

func newCA(dir string) (*CA, error) {
	ca := &CA{dir: dir, Root: filepath.Join(dir, "root.pem")}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Laboratory CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return ca, os.WriteFile(ca.Root, encode("CERTIFICATE", der), 0o644)
}

// Issue makes a certificate for the domains, with the flaw.
func (ca *CA) Issue(t testing.TB, flaw Flaw, domains ...string) *Cert {
	t.Helper()
	c, err := ca.issue(flaw, domains)
	if err != nil {
		t.Fatalf("issuing a certificate for %v: %v", domains, err)
	}
	return c
}

func (ca *CA) issue(flaw Flaw, domains []string) (*Cert, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: domains[0]}, DNSNames: domains,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := ca.cert, ca.key
	switch flaw {
	case ServerAuthOnly:
		template.ExtKeyUsage = template.ExtKeyUsage[:1]
	case SelfSigned:
		parent, signer = template, key
	case Expired:
		template.NotAfter = time.Now().Add(-24 * time.Hour)
	case WrongName:
		template.DNSNames = []string{"somebody-else.example"}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	chain, secret := encode("CERTIFICATE", der), encode("PRIVATE KEY", private)
	base := filepath.Join(ca.dir, fmt.Sprintf("%s-%d", domains[0], serial))
	c := &Cert{Chain: base + ".crt", Key: base + ".key", Both: base + ".pem"}
	both := append(append([]byte(nil), chain...), secret...)
	err = errors.Join(os.WriteFile(c.Chain, chain, 0o644), os.WriteFile(c.Key, secret, 0o600), os.WriteFile(c.Both, both, 0o600))
	if err != nil {
		return nil, err
	}
	c.TLS, err = tls.X509KeyPair(chain, secret)
	return c, err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
