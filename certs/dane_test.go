package certs

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

// tlsa makes a record for cert.
func tlsa(usage, selector, matching uint8, cert *x509.Certificate) TLSA {
	data := cert.Raw
	if selector == 1 {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

// TestVerifyDANE holds one chain a line against the TLSA records of partner.example, served by xmpp.host.example ([I23]).
func TestVerifyDANE(t *testing.T) {
	t.Parallel()
	public, private, stranger := newRoot(t, "Public Root"), newRoot(t, "Private Root"), newRoot(t, "Stranger")
	sub := private.intermediate(t, "Private Sub")
	v := trusting(public)
	forDomain, forTarget := names(san{dns: []string{"partner.example"}}), names(san{dns: []string{"xmpp.host.example"}})
	good, self := public.issue(t, forDomain), selfSigned(t, forDomain)
	odd := selfSigned(t, names(san{dns: []string{"elsewhere.example"}}), dated(-48*time.Hour, -time.Hour))
	below := sub.issue(t, forDomain)
	whole := append(below[:2:2], private.cert)
	attacker := append(stranger.issue(t, forDomain), good[0])
	tests := []struct {
		name    string
		chain   []*x509.Certificate
		records []TLSA
		want    error // nil: proved
	}{
		{"EE, key by SHA-256", self, []TLSA{tlsa(daneEE, 1, 1, self[0])}, nil},
		{"EE, certificate by SHA-512", self, []TLSA{tlsa(daneEE, 0, 2, self[0])}, nil},
		{"EE, whole key", self, []TLSA{tlsa(daneEE, 1, 0, self[0])}, nil},
		{"EE looks at neither names nor dates", odd, []TLSA{tlsa(daneEE, 1, 1, odd[0])}, nil},
		{"EE, second record of a key change", self, []TLSA{tlsa(daneEE, 1, 1, good[0]), tlsa(daneEE, 1, 1, self[0])}, nil},
		{"EE of another key, though a public authority vouches", good, []TLSA{tlsa(daneEE, 1, 1, self[0])}, ErrDANE},
		{"ABUSE 11 EE of a certificate that is not the leaf", attacker, []TLSA{tlsa(daneEE, 1, 1, good[0])}, ErrDANE},
		{"TA that is sent", whole, []TLSA{tlsa(daneTA, 1, 1, private.cert)}, nil},
		{"TA that is an intermediate", below, []TLSA{tlsa(daneTA, 0, 1, sub.cert)}, nil},
		{"TA that the record holds whole", below, []TLSA{tlsa(daneTA, 0, 0, private.cert)}, nil},
		{"TA, certificate for the SRV target", append(sub.issue(t, forTarget), private.cert), []TLSA{tlsa(daneTA, 1, 1, private.cert)}, nil},
		{"TA that is not sent", below, []TLSA{tlsa(daneTA, 1, 1, private.cert)}, ErrDANE},
		{"TA, certificate for somebody else", append(sub.issue(t, names(san{dns: []string{"victim.example"}})), private.cert), []TLSA{tlsa(daneTA, 1, 1, private.cert)}, ErrName},
		{"TA, expired", append(sub.issue(t, forDomain, dated(-48*time.Hour, -time.Hour)), private.cert), []TLSA{tlsa(daneTA, 1, 1, private.cert)}, ErrExpired},
		{"ABUSE 11 TA that is sent along and did not sign", append(self[:1:1], private.cert), []TLSA{tlsa(daneTA, 1, 1, private.cert)}, ErrUntrusted},
		{"TA that is the leaf itself", self, []TLSA{tlsa(daneTA, 1, 1, self[0])}, ErrDANE},
		{"PKIX-EE, both agree", good, []TLSA{tlsa(pkixEE, 1, 1, good[0])}, nil},
		{"PKIX-EE without a public authority", self, []TLSA{tlsa(pkixEE, 1, 1, self[0])}, ErrUntrusted},
		{"PKIX-EE of another key", good, []TLSA{tlsa(pkixEE, 1, 1, self[0])}, ErrDANE},
		{"PKIX-TA, both agree", good, []TLSA{tlsa(pkixTA, 1, 1, public.cert)}, nil},
		{"PKIX-TA of another authority", good, []TLSA{tlsa(pkixTA, 1, 1, private.cert)}, ErrDANE},
		{"no records", good, nil, ErrDANE},
		{"no certificate", nil, []TLSA{tlsa(daneEE, 1, 1, self[0])}, ErrNoCertificate},
		{"unknown usage", self, []TLSA{{Usage: 4, Selector: 1, Matching: 1, Data: tlsa(daneEE, 1, 1, self[0]).Data}}, ErrDANE},
		{"unknown selector", self, []TLSA{{Usage: 3, Selector: 2, Matching: 1, Data: tlsa(daneEE, 1, 1, self[0]).Data}}, ErrDANE},
		{"hash cut short", self, []TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: tlsa(daneEE, 1, 1, self[0]).Data[:16]}}, ErrDANE},
		{"nothing to compare", self, []TLSA{{Usage: 3, Selector: 1}}, ErrDANE},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := v.VerifyDANE(test.chain, Delegation{Domain: "partner.example", Target: "xmpp.host.example", TLSA: test.records})
			if r.Proved != (test.want == nil) || !errors.Is(r.Err, test.want) {
				t.Fatalf("proved %t, %v; want %v", r.Proved, r.Err, test.want)
			}
			if r.Proved && r.Proof != ProofDANE || !r.Proved && r.Proof != "" {
				t.Errorf("the proof is %q", r.Proof)
			}
		})
	}
}

// A panic while reading a certificate proves nothing (ABUSE 6).
func TestVerifyDANEContainsPanics(t *testing.T) {
	t.Parallel()
	v := trusting()
	v.identities = func(*x509.Certificate) ([]identity, error) { panic("odd certificate") }
	self := selfSigned(t, names(san{dns: []string{"partner.example"}}))
	if r := v.VerifyDANE(self, Delegation{Domain: "partner.example", TLSA: []TLSA{tlsa(daneEE, 1, 1, self[0])}}); r.Proved || !errors.Is(r.Err, ErrPanic) {
		t.Errorf("proved %t, %v", r.Proved, r.Err)
	}
	if r := v.VerifyPOSH(self, []Fingerprint{printOf(self[0])}); r.Proved || !errors.Is(r.Err, ErrPanic) {
		t.Errorf("proved %t, %v", r.Proved, r.Err)
	}
}

// Behind a secure SRV record the certificate may be the host's ([I24]); the plain question stays with the domain ([D08]).
func TestVerifyDelegated(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	v := trusting(root)
	chain := root.issue(t, names(san{dns: []string{"xmpp.host.example"}}))
	if r := v.VerifyDelegated(chain, Delegation{Domain: "partner.example", Target: "xmpp.host.example"}); r.Proof != ProofPKIX {
		t.Errorf("a secure delegation to the host named in the certificate: %v", r.Err)
	}
	if r := v.VerifyDelegated(chain, Delegation{Domain: "partner.example"}); r.Proved || !errors.Is(r.Err, ErrName) {
		t.Errorf("without a secure delegation: proved %t, %v", r.Proved, r.Err)
	}
	if r := v.VerifyDelegated(chain, Delegation{Domain: "partner.example", Target: "other.example"}); r.Proved {
		t.Error("a delegation to another host")
	}
}
