package certs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseSAN(t *testing.T) {
	t.Parallel()
	want := san{dns: []string{"a.example", "*.b.example", "odd\x00"}, srv: []string{"_xmpp-server.c.example"}, xmpp: []string{"bücher.example", "x@y/z"}}
	dns, srv, xmpp, err := ParseSAN(&x509.Certificate{Extensions: []pkix.Extension{want.extension()}})
	if err != nil || !slices.Equal(dns, want.dns) || !slices.Equal(srv, want.srv) || !slices.Equal(xmpp, want.xmpp) {
		t.Errorf("ParseSAN = %q, %q, %q, %v; want %+q", dns, srv, xmpp, err, [][]string{want.dns, want.srv, want.xmpp})
	}
}

func TestParseSANRefuses(t *testing.T) {
	t.Parallel()
	good := san{dns: []string{"a.example"}, xmpp: []string{"a.example"}}.value()
	many := san{dns: make([]string, maxNames+1)}.value()
	cut := good[:len(good)-1]
	tests := []struct {
		name       string
		extensions [][]byte
	}{
		{"nothing", [][]byte{nil}},
		{"not a sequence", [][]byte{{0x04, 0x01, 0x00}}},
		{"cut short", [][]byte{cut}},
		{"bytes behind the end", [][]byte{append(slices.Clone(good), 0)}},
		{"indefinite length", [][]byte{{0x30, 0x80, 0x00, 0x00}}},
		{"length longer than the rest", [][]byte{{0x30, 0x03, 0x82, 0x7f, 0x61}}},
		{"otherName without a value", [][]byte{{0x30, 0x05, 0xa0, 0x03, 0x06, 0x01, 0x2a}}},
		{"twice", [][]byte{good, good}},
		{"too many names", [][]byte{many}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cert := &x509.Certificate{}
			for _, e := range tt.extensions {
				cert.Extensions = append(cert.Extensions, pkix.Extension{Id: oidSubjectAltName, Value: e})
			}
			if dns, srv, xmpp, err := ParseSAN(cert); err == nil || dns != nil || srv != nil || xmpp != nil {
				t.Errorf("ParseSAN = %d, %d, %d names, %v; want an error and no names", len(dns), len(srv), len(xmpp), err)
			}
		})
	}
}

// TestSANOtherStringTypes: a value in another string type than the standard's is not that name (RFC 6120 §13.7.1.4, RFC 4985 §2).
func TestSANOtherStringTypes(t *testing.T) {
	t.Parallel()
	value := san{srv: []string{"_xmpp-server.a.example"}, xmpp: []string{"a.example"}}.value()
	value = bytes.ReplaceAll(value, append([]byte{0x16, 22}, "_xmpp-server"...), append([]byte{0x0c, 22}, "_xmpp-server"...))
	value = bytes.ReplaceAll(value, append([]byte{0x0c, 9}, "a.example"...), append([]byte{0x16, 9}, "a.example"...))
	ids, err := identities(&x509.Certificate{Extensions: []pkix.Extension{{Id: oidSubjectAltName, Value: value}}})
	if err != nil || len(ids) != 0 {
		t.Errorf("identities = %v, %v; want none", ids, err)
	}
}

// FuzzSAN holds the reader against crypto/x509 where both read the same thing, dNSName, and its names against what no name may be.
func FuzzSAN(f *testing.F) {
	for _, s := range []san{
		{dns: []string{"a.example", "*.a.example"}},
		{srv: []string{"_xmpp-server.a.example", "_xmpp-client.a.example"}},
		{xmpp: []string{"bücher.example", "a@b", "a\x00b"}},
		{dns: []string{"a\x00.example", "", "*", "*.*.example", "192.0.2.1"}},
	} {
		f.Add(s.value())
	}
	f.Add([]byte{0x30, 0x80, 0x00, 0x00})
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	f.Fuzz(func(t *testing.T, value []byte) {
		cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidSubjectAltName, Value: value}}}
		dns, _, _, err := ParseSAN(cert)
		ids, idErr := identities(cert)
		if (err == nil) != (idErr == nil) {
			t.Fatalf("ParseSAN: %v, identities: %v", err, idErr)
		}
		for _, id := range ids {
			if !plain(id.name) {
				t.Fatalf("%q stands for a domain", id)
			}
			if id.wildcard == id.names(id.name) || id.wildcard != id.names("x."+id.name) || id.names("x.y."+id.name) {
				t.Fatalf("%q matches what it should not", id)
			}
		}
		if theirs, ok := readByGo(t, key, value); ok && err == nil && !slices.Equal(dns, theirs) {
			t.Fatalf("dNSNames %q here, %q in crypto/x509", dns, theirs)
		}
	})
}

func plain(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == "" &&
		!strings.Contains(name, "..") && name[0] != '.' && name[len(name)-1] != '.'
}

// readByGo is what crypto/x509 makes of the same extension.
func readByGo(t *testing.T, key ed25519.PrivateKey, value []byte) ([]string, bool) {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0),
		ExtraExtensions: []pkix.Extension{{Id: oidSubjectAltName, Value: value}}}
	raw, err := x509.CreateCertificate(nil, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, false
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, false
	}
	return cert.DNSNames, true
}
