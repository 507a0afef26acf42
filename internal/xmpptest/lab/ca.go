package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Flaw is what is wrong with a certificate.
type Flaw uint8

const (
	Sound          Flaw = iota // serverAuth and clientAuth, all names, valid now
	ServerAuthOnly             // sound, as public authorities issue them now: not marked for clients
	SelfSigned                 // not from the CA
	Expired                    // ended yesterday
	WrongName                  // for another domain
	ClientAuthOnly             // sound, but not marked for servers
	WrongAuthority             // from another CA, of which nobody has heard
	Listed                     // sound, and the CA's list of what it took back does not have it; see Lab.RevocationList
	Revoked                    // sound, but the list has it
	SRVOnly                    // sound, with SRVNames for servers of XMPP and no other names (RFC 4985)
	XMPPAddrOnly               // sound, with xmppAddrs and no other names (RFC 6120 §13.7.1.4)
	OwnAuthority               // from an authority of its own, of which nobody has heard and which stands behind it in the chain
	VictimInChain              // for another domain, and behind it in the chain the sound one of the domains
)

// CA is a certificate authority.
type CA struct {
	Root string // path of its certificate, PEM
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	mu      sync.Mutex
	revoked []x509.RevocationListEntry
}

// Cert is a certificate with its key, as files and ready for use.
type Cert struct {
	Chain, Key, Both string // paths, PEM
	TLS              tls.Certificate
	Authority        *x509.Certificate // that has issued it; nil for one that is self-signed
}

func newCA(dir, name string) (*CA, error) {
	ca := &CA{dir: dir, Root: filepath.Join(dir, "root.pem")}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
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
	template, err := ca.template(flaw, domains)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(ca.dir, fmt.Sprintf("%s-%d", domains[0], template.SerialNumber))
	parent, signer := ca.cert, ca.key
	switch flaw {
	case SelfSigned:
		parent, signer = template, key
	case WrongAuthority, OwnAuthority:
		other, err := newCA(base+".ca", "Another CA")
		if err != nil {
			return nil, err
		}
		parent, signer = other.cert, other.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	chain, secret := encode("CERTIFICATE", raw), encode("PRIVATE KEY", private)
	if flaw == VictimInChain {
		victim, err := ca.issue(Sound, domains)
		if err != nil {
			return nil, err
		}
		chain = append(chain, encode("CERTIFICATE", victim.TLS.Certificate[0])...)
	}
	c := &Cert{Chain: base + ".crt", Key: base + ".key", Both: base + ".pem"}
	if flaw != SelfSigned {
		c.Authority = parent
	}
	if flaw == OwnAuthority {
		chain = append(chain, encode("CERTIFICATE", parent.Raw)...)
	}
	both := append(append([]byte(nil), chain...), secret...)
	err = errors.Join(os.WriteFile(c.Chain, chain, 0o644), os.WriteFile(c.Key, secret, 0o600), os.WriteFile(c.Both, both, 0o600))
	if err != nil {
		return nil, err
	}
	c.TLS, err = tls.X509KeyPair(chain, secret)
	return c, err
}

// template is what the certificate with the flaw says. One that is revoked is in the CA's list from now on.
func (ca *CA) template(flaw Flaw, domains []string) (*x509.Certificate, error) {
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
	switch flaw {
	case ServerAuthOnly:
		template.ExtKeyUsage = template.ExtKeyUsage[:1]
	case ClientAuthOnly:
		template.ExtKeyUsage = template.ExtKeyUsage[1:]
	case Expired:
		template.NotAfter = time.Now().Add(-24 * time.Hour)
	case WrongName, VictimInChain:
		template.DNSNames = []string{"somebody-else.example"}
	case Revoked, Listed:
		template.CRLDistributionPoints = []string{"http://" + ListName + "/list.crl"}
		if flaw == Revoked {
			ca.revoke(serial)
		}
	case SRVOnly, XMPPAddrOnly:
		template.DNSNames = nil
		san, err := otherNames(flaw, domains)
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = []pkix.Extension{san}
	}
	return template, nil
}

// otherNames is a subjectAltName of nothing but SRVNames or xmppAddrs (RFC 5280 §4.2.1.6).
func otherNames(flaw Flaw, domains []string) (pkix.Extension, error) {
	id, kind := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5}, der.UTF8String
	if flaw == SRVOnly {
		id, kind = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 7}, der.IA5String
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, domain := range domains {
			if flaw == SRVOnly {
				domain = "_xmpp-server." + domain
			}
			b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(id)
				b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(kind, func(b *cryptobyte.Builder) { b.AddBytes([]byte(domain)) })
				})
			})
		}
	})
	value, err := b.Bytes()
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}, err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
