package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Reasons why DANE or POSH does not prove a domain, found by errors.Is in Result.Err.
var (
	ErrDANE = errors.New("certificate is none of those that the domain's TLSA records name")
	ErrPOSH = errors.New("certificate is none of those that the domain's POSH document names")
)

// TLSA is one record of a domain's DNS that says which certificate its server has (RFC 6698 §2.1). Whoever makes one vouches that
// DNSSEC vouched for it.
type TLSA struct {
	Usage    uint8 // 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE
	Selector uint8 // 0 the whole certificate, 1 its public key
	Matching uint8 // 0 the bytes themselves, 1 SHA-256, 2 SHA-512
	Data     []byte
}

// The certificate usages of RFC 7218 §2.1.
const (
	pkixTA = iota
	pkixEE
	daneTA
	daneEE
)

// Usable reports whether the record's parameters are understood here. Records of which none is usable are as good as none, but that
// TLS is then still a must (RFC 7671 §4).
func (t TLSA) Usable() bool {
	sizes := [...]int{0, sha256.Size, sha512.Size}
	if t.Usage > daneEE || t.Selector > 1 || int(t.Matching) >= len(sizes) || len(t.Data) == 0 {
		return false
	}
	return t.Matching == 0 || len(t.Data) == sizes[t.Matching]
}

// matches reports whether the record names cert.
func (t TLSA) matches(cert *x509.Certificate) bool {
	chosen := cert.Raw
	if t.Selector == 1 {
		chosen = cert.RawSubjectPublicKeyInfo
	}
	switch t.Matching {
	case 0:
		return bytes.Equal(t.Data, chosen)
	case 1:
		sum := sha256.Sum256(chosen)
		return subtle.ConstantTimeCompare(t.Data, sum[:]) == 1
	case 2:
		sum := sha512.Sum512(chosen)
		return subtle.ConstantTimeCompare(t.Data, sum[:]) == 1
	}
	return false
}

// Delegation is where DNS, vouched for by DNSSEC, says that a domain is served.
type Delegation struct {
	// Domain is the XMPP domain.
	Domain string
	// Target is the host of its SRV record; a certificate may name it in place of the domain (RFC 7673 §4).
	Target string
	// TLSA are the target's records.
	TLSA []TLSA
}

// VerifyDANE judges chain by the TLSA records of a secure delegation, and by nothing else: who has published such records wants no
// other certificate to count (RFC 7671 §4). Records that are not usable are passed over; with none left nothing is proved.
func (v *Verifier) VerifyDANE(chain []*x509.Certificate, d Delegation) (result Result) {
	defer contain(&result)
	if err := presentable(chain); err != nil {
		return Result{Err: err}
	}
	names, err := d.references()
	r := describe(chain[0])
	if err != nil {
		r.Err = err
		return r
	}
	now := time.Now()
	r.Err = fmt.Errorf("%w (%d records)", ErrDANE, len(d.TLSA))
	for _, record := range d.TLSA {
		if !record.Usable() {
			continue
		}
		found, err := v.judgeTLSA(record, chain, names, now)
		switch {
		case err != nil:
			r.Err = join(r.Err, err)
		case found.Proved:
			found.Proof = ProofDANE
			return found
		}
	}
	return r
}

// references are the names that a certificate may carry for a delegation.
func (d Delegation) references() ([]string, error) {
	var names []string
	for _, name := range []string{d.Domain, d.Target} {
		if canonical, ok := reference(name); ok {
			names = append(names, canonical)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: %q is not a host name", ErrName, printable(d.Domain))
	}
	return names, nil
}

// judgeTLSA holds a chain against one record. A zero Result without an error says that the record names none of its certificates.
func (v *Verifier) judgeTLSA(t TLSA, chain []*x509.Certificate, names []string, now time.Time) (Result, error) {
	switch t.Usage {
	case daneEE:
		return v.judgeEndEntity(t, chain), nil
	case daneTA:
		return v.judgeAnchored(t, chain, names, now)
	}
	// PKIX-TA and PKIX-EE narrow what the public anchors vouch for: both must agree.
	r := v.judgeNames(v.anchors.Load(), chain, names, now)
	if !r.Proved {
		return Result{}, r.Err
	}
	if t.Usage == pkixEE && t.matches(chain[0]) {
		return r, nil
	}
	ways, err := v.anchors.Load().chains(chain, now)
	if t.Usage == pkixTA && err == nil {
		for _, way := range ways {
			for _, authority := range way[1:] {
				if t.matches(authority) {
					return r, nil
				}
			}
		}
	}
	return Result{}, nil
}

// judgeEndEntity is DANE-EE: the leaf's key is the proof; its names and dates say nothing (RFC 7671 §5.1). The handshake has shown
// that the peer has the key.
func (v *Verifier) judgeEndEntity(t TLSA, chain []*x509.Certificate) Result {
	if !t.matches(chain[0]) || keyFault(chain[0].PublicKey) != "" {
		return Result{}
	}
	r := describe(chain[0])
	if ids, err := v.identities(chain[0]); err == nil {
		r.Names = namesOf(ids)
	}
	r.Proved, r.MatchedBy, r.NotAfter = true, "DANE-EE", time.Time{}
	return r
}

// judgeAnchored is DANE-TA: the record names the anchor, which the peer must send unless the record holds it whole (RFC 7671 §5.2).
func (v *Verifier) judgeAnchored(t TLSA, chain []*x509.Certificate, names []string, now time.Time) (Result, error) {
	a := &anchors{pool: x509.NewCertPool(), empty: true}
	for _, cert := range chain[1:] {
		if t.matches(cert) {
			a.pool.AddCert(cert)
			a.empty = false
		}
	}
	if t.Selector == 0 && t.Matching == 0 {
		if cert, err := x509.ParseCertificate(t.Data); err == nil && !oversized(cert) {
			a.pool.AddCert(cert)
			a.empty = false
		}
	}
	if a.empty {
		return Result{}, nil
	}
	r := v.judgeNames(a, chain, names, now)
	// Whoever names an authority of its own takes certificates back by naming another one. Its lists are not asked for: a stranger would
	// choose whom we call and how much we keep.
	r.way = nil
	return r, r.Err
}

// judgeNames is judge for a domain that goes by several names.
func (v *Verifier) judgeNames(a *anchors, chain []*x509.Certificate, names []string, now time.Time) (r Result) {
	for _, name := range names {
		if r = v.judge(a, chain, name, now); r.Proved {
			return r
		}
	}
	return r
}

// VerifyDelegated is Verify for a domain whose SRV record is vouched for by DNSSEC: a certificate may name the SRV target in place
// of the domain (RFC 7673 §4).
func (v *Verifier) VerifyDelegated(chain []*x509.Certificate, d Delegation) Result {
	r := v.Verify(chain, d.Domain)
	if r.Proved || d.Target == "" {
		return r
	}
	if byTarget := v.Verify(chain, d.Target); byTarget.Proved {
		return byTarget
	}
	return r
}
