package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"sync"
	"time"
)

type tlsPair struct{ server, client *tls.Config }

// testTLS has a certificate for corp.example, valid in every year that a synctest bubble can think it is. Identity is not this package's
// business, so the client does not look at it.
var testTLS = sync.OnceValue(func() tlsPair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"corp.example"},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return tlsPair{
		server: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert},
		client: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "corp.example", InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}},
	}
})

func tlsClient(s *Stream) *tls.Conn { return tls.Client(s.raw, testTLS().client) }
