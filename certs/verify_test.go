package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestVerify holds one certificate a line against one domain. The spec ids name the rule that the line keeps.
func TestVerify(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Test Root")
	sub := root.intermediate(t, "Test Sub")
	stranger := newRoot(t, "Stranger")
	v := trusting(root)
	plain := names(san{dns: []string{"partner.example"}})
	tests := []struct {
		name   string
		chain  []*x509.Certificate
		domain string
		want   error  // nil: proved
		by     string // form of the name when proved
	}{
		{"[I01] dNSName below the root", root.issue(t, plain), "partner.example", nil, DNSID},
		{"[I01] dNSName below an intermediate", sub.issue(t, plain), "partner.example", nil, DNSID},
		{"[I01] case of the question", root.issue(t, plain), "Partner.EXAMPLE", nil, DNSID},
		{"[I01] case of the name", root.issue(t, names(san{dns: []string{"PARTNER.example"}})), "partner.example", nil, DNSID},
		{"[A06] final dot in the question", root.issue(t, plain), "partner.example.", nil, DNSID},
		{"final dot in the name", root.issue(t, names(san{dns: []string{"partner.example."}})), "partner.example", ErrName, ""},
		{"ABUSE 8 self-signed", selfSigned(t, plain), "partner.example", ErrUntrusted, ""},
		{"ABUSE 8 expired", root.issue(t, plain, dated(-48*time.Hour, -time.Hour)), "partner.example", ErrExpired, ""},
		{"ABUSE 8 not yet valid", root.issue(t, plain, dated(time.Hour, 48*time.Hour)), "partner.example", ErrNotYetValid, ""},
		{"ABUSE 8 wrong host", root.issue(t, plain), "victim.example", ErrName, ""},
		{"ABUSE 8 unknown authority", stranger.issue(t, plain), "partner.example", ErrUntrusted, ""},
		{"missing intermediate", sub.issue(t, plain)[:1], "partner.example", ErrUntrusted, ""},
		{"leaf signed by a leaf", signedByLeaf(t, root, plain), "partner.example", ErrUntrusted, ""},
		{"expired intermediate", root.intermediate(t, "Old Sub", dated(-48*time.Hour, -time.Hour)).issue(t, plain), "partner.example", ErrExpired, ""},

		{"ABUSE 10 common name only", root.issue(t, subject(pkix.Name{CommonName: "partner.example"})), "partner.example", ErrName, ""},
		{"ABUSE 10 common name beside another SAN", root.issue(t, subject(pkix.Name{CommonName: "victim.example"}), plain), "victim.example", ErrName, ""},
		{"ABUSE 10 CN inside O", root.issue(t, subject(pkix.Name{Organization: []string{"x,CN=victim.example"}}), plain), "victim.example", ErrName, ""},
		{"ABUSE 10 NUL in SAN", root.issue(t, names(san{dns: []string{"victim.example\x00.evil.example"}})), "victim.example", ErrName, ""},
		{"ABUSE 10 NUL in the question", root.issue(t, names(san{dns: []string{"victim.example\x00"}})), "victim.example\x00", ErrName, ""},
		{"control character in SAN", root.issue(t, names(san{dns: []string{"victim.example\n"}})), "victim.example", ErrName, ""},
		{"NUL in xmppAddr", root.issue(t, names(san{xmpp: []string{"victim.example\x00x"}})), "victim.example", ErrName, ""},
		{"NUL in SRVName", root.issue(t, names(san{srv: []string{"_xmpp-server.victim.example\x00x"}})), "victim.example", ErrName, ""},
		{"ABUSE 11 victim's leaf behind one's own", slices.Concat(root.issue(t, names(san{dns: []string{"attacker.example"}})), root.issue(t, plain)), "partner.example", ErrName, ""},
		{"ABUSE 11 one's own before the victim's", slices.Concat(root.issue(t, names(san{dns: []string{"attacker.example"}})), root.issue(t, plain)), "attacker.example", nil, DNSID},

		{"[I03] SRV-ID", root.issue(t, names(san{srv: []string{"_xmpp-server.partner.example"}})), "partner.example", nil, SRVID},
		{"[I04] SRV-ID, service in other case", root.issue(t, names(san{srv: []string{"_XMPP-Server.Partner.example"}})), "partner.example", nil, SRVID},
		{"[I04] SRV-ID of clients", root.issue(t, names(san{srv: []string{"_xmpp-client.partner.example"}})), "partner.example", ErrName, ""},
		{"[I04] SRV-ID without a domain", root.issue(t, names(san{srv: []string{"_xmpp-server."}})), "partner.example", ErrName, ""},
		{"[I04] SRV-ID with a wildcard", root.issue(t, names(san{srv: []string{"_xmpp-server.*.partner.example"}})), "chat.partner.example", nil, SRVID},
		{"[I03] xmppAddr", root.issue(t, names(san{xmpp: []string{"partner.example"}})), "partner.example", nil, XMPPAddr},
		{"[I03] xmppAddr of an account", root.issue(t, names(san{xmpp: []string{"alice@partner.example"}})), "partner.example", ErrName, ""},
		{"[I03] xmppAddr with a resource", root.issue(t, names(san{xmpp: []string{"partner.example/x"}})), "partner.example", ErrName, ""},
		{"[I05] wildcard in xmppAddr", root.issue(t, names(san{xmpp: []string{"*.partner.example"}})), "chat.partner.example", ErrName, ""},
		{"[I03] DNS-ID goes first", root.issue(t, names(san{dns: []string{"partner.example"}, srv: []string{"_xmpp-server.partner.example"}, xmpp: []string{"partner.example"}})), "partner.example", nil, DNSID},
		{"[I03] critical SAN without a form that Go knows", root.issue(t, names(san{xmpp: []string{"partner.example"}, critical: true})), "partner.example", nil, XMPPAddr},

		{"[I05] wildcard, one label", root.issue(t, names(san{dns: []string{"*.corp.example"}})), "chat.corp.example", nil, DNSID},
		{"[I05] wildcard, no label", root.issue(t, names(san{dns: []string{"*.corp.example"}})), "corp.example", ErrName, ""},
		{"[I05] wildcard, two labels", root.issue(t, names(san{dns: []string{"*.corp.example"}})), "a.b.corp.example", ErrName, ""},
		{"[I05] part of a label", root.issue(t, names(san{dns: []string{"c*.corp.example"}})), "chat.corp.example", ErrName, ""},
		{"[I05] not left-most", root.issue(t, names(san{dns: []string{"chat.*.example"}})), "chat.corp.example", ErrName, ""},
		{"[I05] two wildcards", root.issue(t, names(san{dns: []string{"*.*.example"}})), "chat.corp.example", ErrName, ""},
		{"[I05] nothing but a star", root.issue(t, names(san{dns: []string{"*"}})), "localhost", ErrName, ""},
		{"[I05] a star asked for", root.issue(t, names(san{dns: []string{"*.corp.example"}})), "*.corp.example", ErrName, ""},

		{"[I07] A-label, U-label asked", root.issue(t, names(san{dns: []string{"xn--bcher-kva.example"}})), "bücher.example", nil, DNSID},
		{"[I07] A-label, A-label asked", root.issue(t, names(san{dns: []string{"XN--bcher-kva.example"}})), "xn--bcher-kva.example", nil, DNSID},
		{"[I07] U-label in xmppAddr", root.issue(t, names(san{xmpp: []string{"Bücher.example"}})), "xn--bcher-kva.example", nil, XMPPAddr},
		{"[I07] look-alike", root.issue(t, names(san{xmpp: []string{"pаrtner.example"}})), "partner.example", ErrName, ""},
		{"bad UTF-8 in xmppAddr", root.issue(t, names(san{xmpp: []string{"b\xffcher.example"}})), "xn--bcher-kva.example", ErrName, ""},
		{"[I08] address as dNSName", root.issue(t, names(san{dns: []string{"192.0.2.1"}})), "192.0.2.1", ErrName, ""},
		{"[I08] a number as last label", root.issue(t, names(san{xmpp: []string{"partner.127"}, dns: []string{"partner.127"}})), "partner.127", ErrName, ""},
		{"no domain", root.issue(t, plain), "", ErrName, ""},
		{"no certificate", nil, "partner.example", ErrNoCertificate, ""},
		{"nil certificate", []*x509.Certificate{nil}, "partner.example", ErrMalformed, ""},
		{"certificate that was not parsed", []*x509.Certificate{{DNSNames: []string{"partner.example"}}}, "partner.example", ErrMalformed, ""},
		{"too long a chain", slices.Repeat(root.issue(t, plain), 17), "partner.example", ErrMalformed, ""},

		{"[I09] serverAuth only", root.issue(t, plain, usage(x509.ExtKeyUsageServerAuth)), "partner.example", nil, DNSID},
		{"[I09] both usages", root.issue(t, plain, usage(x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth)), "partner.example", nil, DNSID},
		{"[I09] any usage", root.issue(t, plain, usage(x509.ExtKeyUsageAny)), "partner.example", nil, DNSID},
		{"[I09] no usage stated", root.issue(t, plain, usage()), "partner.example", nil, DNSID},
		{"[I09] clientAuth only", root.issue(t, plain, usage(x509.ExtKeyUsageClientAuth)), "partner.example", ErrPurpose, ""},
		{"[I09] authority for mail only", root.intermediate(t, "Mail Sub", usage(x509.ExtKeyUsageEmailProtection)).issue(t, plain), "partner.example", ErrPurpose, ""},

		{"[I01] RSA of 1024 bits", weakRSA(t, root, plain), "partner.example", ErrWeak, ""},
		{"RSA key of a size that is an attack", []*x509.Certificate{{Raw: []byte{0}, PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16384), E: 3}}}, "partner.example", ErrWeak, ""},
		{"[I01] curve P-224", weakCurve(t, root, plain), "partner.example", ErrWeak, ""},
		{"[I01] SHA-1", root.issue(t, plain, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), "partner.example", ErrWeak, ""},
		{"unknown critical extension", root.issue(t, plain, critical(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1})), "partner.example", ErrConstraint, ""},
		{"unknown extension, not critical", root.issue(t, plain, extension(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1})), "partner.example", nil, DNSID},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := v.Verify(tt.chain, tt.domain)
			if got.Proved != (tt.want == nil) || !errors.Is(got.Err, tt.want) || got.MatchedBy != tt.by {
				t.Fatalf("Verify(%q) = proved %v by %q, %v; want proved %v by %q, %v", tt.domain, got.Proved, got.MatchedBy, got.Err, tt.want == nil, tt.by, tt.want)
			}
			if strings.ContainsAny(got.Subject+got.Issuer, "\x00\n\r\x1b") || got.Err != nil && strings.ContainsAny(got.Err.Error(), "\x00\n\r\x1b") {
				t.Errorf("control characters reach the log: %q %q %q", got.Subject, got.Issuer, got.Err)
			}
		})
	}
}

func signedByLeaf(t *testing.T, root *authority, edits ...edit) []*x509.Certificate {
	t.Helper()
	chain, key := root.issueFor(t, newKey(t), names(san{dns: []string{"attacker.example"}}))
	a := &authority{cert: chain[0], key: key, chain: chain}
	return a.issue(t, edits...)
}

func weakRSA(t *testing.T, a *authority, edits ...edit) []*x509.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	chain, _ := a.issueFor(t, key, edits...)
	return chain
}

func weakCurve(t *testing.T, a *authority, edits ...edit) []*x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, _ := a.issueFor(t, key, edits...)
	return chain
}

func extension(oid asn1.ObjectIdentifier) edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Value: []byte{5, 0}})
	}
}

func critical(oid asn1.ObjectIdentifier) edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: true, Value: []byte{5, 0}})
	}
}

// TestVerifyWeakAuthority: a strong leaf is worth no more than the weakest key above it ([I01]).
func TestVerifyWeakAuthority(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	root := rootWithKey(t, "Weak Root", key)
	got := trusting(root).Verify(root.issue(t, names(san{dns: []string{"partner.example"}})), "partner.example")
	if got.Proved || !errors.Is(got.Err, ErrWeak) {
		t.Errorf("below a root of 1024 bits: proved %v, %v; want ErrWeak", got.Proved, got.Err)
	}
}

// TestVerifyNameConstraints: x509 holds dNSName to the constraints of an authority and knows none for XMPP's own forms, so below a
// constrained authority these count for nothing.
func TestVerifyNameConstraints(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	limited := root.intermediate(t, "Limited", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"corp.example"}
	})
	tests := []struct {
		name   string
		san    san
		domain string
		want   error
	}{
		{"dNSName within", san{dns: []string{"corp.example"}}, "corp.example", nil},
		{"dNSName without", san{dns: []string{"victim.example"}}, "victim.example", ErrConstraint},
		{"xmppAddr without", san{xmpp: []string{"victim.example"}}, "victim.example", ErrConstraint},
		{"xmppAddr without, beside a dNSName within", san{dns: []string{"corp.example"}, xmpp: []string{"victim.example"}}, "victim.example", ErrConstraint},
		{"SRV-ID without, beside a dNSName within", san{dns: []string{"corp.example"}, srv: []string{"_xmpp-server.victim.example"}}, "victim.example", ErrConstraint},
		{"the dNSName of that certificate", san{dns: []string{"corp.example"}, srv: []string{"_xmpp-server.victim.example"}}, "corp.example", nil},
	}
	v := trusting(root)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := v.Verify(limited.issue(t, names(tt.san)), tt.domain)
			if got.Proved != (tt.want == nil) || !errors.Is(got.Err, tt.want) {
				t.Errorf("Verify(%q) = proved %v, %v; want %v", tt.domain, got.Proved, got.Err, tt.want)
			}
		})
	}
}

// TestVerifyAnchoredLeaf: a self-signed certificate that the operator trusts proves its own names and signs for nobody.
func TestVerifyAnchoredLeaf(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	tmpl := template("self", []edit{names(san{dns: []string{"partner.example"}})})
	self := &authority{cert: sign(t, tmpl, tmpl, key.Public(), key), key: key}
	v := trusting(self)
	if got := v.Verify([]*x509.Certificate{self.cert}, "partner.example"); !got.Proved {
		t.Errorf("an anchored certificate is not proved: %v", got.Err)
	}
	if got := v.Verify(self.issue(t, names(san{dns: []string{"victim.example"}})), "victim.example"); got.Proved {
		t.Error("an anchored leaf vouched for another domain")
	}
}

// TestVerifyFailsClosed: a fault of our own in reading names, an error or a panic, proves nothing (ABUSE 6).
func TestVerifyFailsClosed(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	chain := root.issue(t, names(san{dns: []string{"partner.example"}}))
	tests := []struct {
		name  string
		names func(*x509.Certificate) ([]identity, error)
		want  error
	}{
		{"panic", func(*x509.Certificate) ([]identity, error) { panic("odd certificate") }, ErrPanic},
		//lint:ignore SA5000 that it panics is what is tested
		{"nil map", func(*x509.Certificate) ([]identity, error) { var m map[string]int; m["x"] = 1; return nil, nil }, ErrPanic},
		{"error", func(*x509.Certificate) ([]identity, error) { return nil, errSAN }, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := trusting(root)
			v.identities = tt.names
			if got := v.Verify(chain, "partner.example"); got.Proved || !errors.Is(got.Err, tt.want) {
				t.Errorf("Verify = proved %v, %v; want %v", got.Proved, got.Err, tt.want)
			}
		})
	}
	t.Run("no anchors loaded", func(t *testing.T) {
		t.Parallel()
		if got := (&Verifier{}).Verify(chain, "partner.example"); got.Proved || got.Err == nil {
			t.Errorf("the zero Verifier: proved %v, %v", got.Proved, got.Err)
		}
	})
	t.Run("malformed SAN", func(t *testing.T) {
		t.Parallel()
		odd := *chain[0]
		odd.Extensions = []pkix.Extension{{Id: oidSubjectAltName, Value: []byte{0x30, 0x05, 0x82}}}
		if got := trusting(root).Verify([]*x509.Certificate{&odd}, "partner.example"); got.Proved || !errors.Is(got.Err, ErrMalformed) {
			t.Errorf("Verify = proved %v, %v; want %v", got.Proved, got.Err, ErrMalformed)
		}
	})
	t.Run("no trust anchors at all", func(t *testing.T) {
		t.Parallel()
		if got := trusting().Verify(chain, "partner.example"); got.Proved || !errors.Is(got.Err, ErrUntrusted) || !strings.Contains(got.Err.Error(), "ca-certificates") {
			t.Errorf("Verify = proved %v, %v; want a hint at ca-certificates", got.Proved, got.Err)
		}
	})
}

// TestVerifyRemembers: a proof is kept under chain and domain, ends with the first certificate of the chain, and does not outlive
// its anchors ([I11]).
func TestVerifyRemembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, "Root")
		sub := root.intermediate(t, "Sub", dated(-time.Hour, 24*time.Hour))
		v := trusting(root)
		asked := 0
		v.identities = func(c *x509.Certificate) ([]identity, error) { asked++; return identities(c) }
		chain := sub.issue(t, names(san{dns: []string{"a.example", "b.example"}}))

		first := v.Verify(chain, "a.example")
		if !first.Proved || !first.NotAfter.Equal(sub.cert.NotAfter) {
			t.Fatalf("proved %v until %v; want until the intermediate's end %v", first.Proved, first.NotAfter, sub.cert.NotAfter)
		}
		if again := v.Verify(chain, "A.example."); !again.Proved || asked != 1 {
			t.Errorf("asked again: proved %v, judged %d times; want once", again.Proved, asked)
		}
		if other := v.Verify(chain, "c.example"); other.Proved {
			t.Error("a proof for a.example passed for c.example (ABUSE 7)")
		}
		if longer := v.Verify(append(slices.Clone(chain), root.cert), "a.example"); !longer.Proved || asked != 3 {
			t.Errorf("another chain was taken for the first: judged %d times, want 3", asked)
		}
		time.Sleep(25 * time.Hour)
		if late := v.Verify(chain, "a.example"); late.Proved || !errors.Is(late.Err, ErrExpired) {
			t.Errorf("after the intermediate's end: proved %v, %v; want %v", late.Proved, late.Err, ErrExpired)
		}
	})
}

func TestVerifyForgetsWithAnchors(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	v := trusting(root)
	chain := root.issue(t, names(san{dns: []string{"a.example"}}))
	if !v.Verify(chain, "a.example").Proved {
		t.Fatal("not proved")
	}
	v.anchors.Store(trusting(newRoot(t, "Other")).anchors.Load())
	if v.Verify(chain, "a.example").Proved {
		t.Error("a proof outlived its trust anchor")
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := cache{capacity: 4}
	now := time.Now()
	r := Result{Proved: true, notBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	hot := proof{domain: "hot"}
	c.put(hot, r)
	for i := range 1000 {
		c.put(proof{domain: strings.Repeat("x", i+1)}, r)
		if _, ok := c.get(hot, now); !ok {
			t.Fatalf("what is asked for all the time was forgotten after %d others", i)
		}
		if n := len(c.young) + len(c.old); n > 8 {
			t.Fatalf("%d proofs held, want 8 at the most", n)
		}
	}
	if _, ok := c.get(hot, now.Add(-2*time.Hour)); ok {
		t.Error("a proof held before its beginning")
	}
}

func BenchmarkVerify(b *testing.B) {
	root := newRoot(b, "Root")
	chain := root.intermediate(b, "Sub").issue(b, names(san{dns: []string{"partner.example"}}))
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if !trusting(root).Verify(chain, "partner.example").Proved {
				b.Fatal("not proved")
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		v := trusting(root)
		b.ReportAllocs()
		for b.Loop() {
			if !v.Verify(chain, "partner.example").Proved {
				b.Fatal("not proved")
			}
		}
	})
}
