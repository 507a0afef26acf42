package proxy_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/internal/resolve"
	"sallyport/proxy"
)

// hosted is a domain without a route: DNS says where it is served.
const hosted = "hosted.example"

// validating makes the stage's resolver one that is believed about DNSSEC, and lets it lead to this machine.
func validating(c *resolve.Config) { c.DNSSEC, c.DirectTLS, c.AllowPrivate = true, true, true }

// srv is a record of hosted.example's that leads to a place of the stage; direct for one that begins with TLS.
func (s *stage) srv(priority int, direct bool, place, target string) string {
	kind := "_xmpp-server"
	if direct {
		kind = "_xmpps-server"
	}
	return fmt.Sprintf("%s._tcp.%s. 60 IN SRV %d 0 %d %s.", kind, hosted, priority, addrOf(s.Calls[place]).Port(), target)
}

// tlsaOf is the record of a place's port that names a certificate: of usage 3, by the hash of its public key.
func (s *stage) tlsaOf(t *testing.T, place, target string, cert tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	must(t, err)
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return s.tlsaAs(place, target, "3 1 1 "+hex.EncodeToString(sum[:]))
}

func (s *stage) tlsaAs(place, target, data string) string {
	return fmt.Sprintf("_%d._tcp.%s. 60 IN TLSA %s", addrOf(s.Calls[place]).Port(), target, data)
}

func spkiOf(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	must(t, err)
	return certs.SPKI(leaf)
}

// shows gives a name one certificate for either role.
func (s *stage) shows(name string, cert tls.Certificate) {
	s.Client[name] = s.ca.client(s.log.t)
	s.Client[name].Certificates = []tls.Certificate{cert}
	s.Server[name] = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert, NextProtos: []string{certs.ALPN}}
}

// selfSigned vouches for itself: no trust anchor does.
func (s *stage) selfSigned(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	return s.ca.leaf(t, newKey(t), func(c *x509.Certificate) { c.DNSNames, c.Issuer.CommonName = names, "self" })
}

type certificate = tls.Certificate

func dnsNames(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// sniOf lets a server tell which name it was called by first.
func sniOf(server *tls.Config) <-chan string {
	asked := make(chan string, 1)
	cert := server.Certificates[0]
	server.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		select {
		case asked <- h.ServerName:
		default:
		}
		return &cert, nil
	}
	server.Certificates = nil
	return asked
}

// shortly lets questions to strangers take two seconds.
func shortly(l *proxy.Limits) { l.Verify = 2 * time.Second }

// replaced is a script with other words: pairs of the old ones and the new ones.
func replaced(script string, words ...string) string {
	return strings.NewReplacer(words...).Replace(script)
}
