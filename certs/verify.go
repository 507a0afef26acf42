package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// maxChain is how many certificates a peer may send. Real chains have two to four.
const maxChain = 16

// Reasons why a chain does not prove a domain, found by errors.Is in Result.Err.
var (
	ErrNoCertificate = errors.New("no certificate was shown")
	ErrMalformed     = errors.New("certificate is malformed")
	ErrName          = errors.New("certificate is for another domain")
	ErrExpired       = errors.New("certificate has expired")
	ErrNotYetValid   = errors.New("certificate is not valid yet")
	ErrUntrusted     = errors.New("certificate is not vouched for by a trust anchor")
	ErrPurpose       = errors.New("certificate is not for TLS servers")
	ErrWeak          = errors.New("certificate has a weak key or signature")
	ErrConstraint    = errors.New("certificate breaks a constraint of its authority")
	ErrPanic         = errors.New("judging the certificate panicked")
)

// Result is what a peer's certificate chain is worth for one domain. The zero Result proves nothing. Its strings come from the
// peer; they are cut to a sane length and hold no control characters.
type Result struct {
	// Proved says that the chain proves its holder to be the domain.
	Proved bool
	// Proof is by what: ProofPKIX, ProofDANE or ProofPOSH; empty when nothing is proved.
	Proof string
	// MatchedBy is the form of the name that was found, DNSID, SRVID or XMPPAddr, or what made a name needless.
	MatchedBy string
	// Names are the domains that the leaf speaks for, wildcards as "*.domain". They are shared: not to be changed.
	Names []string
	// Subject and Issuer are the leaf's, as distinguished names.
	Subject, Issuer string
	// NotAfter is the end of the proof: the first day of expiry in the chain. Without a proof it is the leaf's own; a proof that does
	// not look at dates (DANE-EE) has none.
	NotAfter time.Time
	// SPKI is the SHA-256 of the leaf's public key in base64, as pins have it behind "sha256/".
	SPKI string
	// Err says in an operator's words why nothing was proved.
	Err error

	notBefore time.Time           // start of the proof
	way       []*x509.Certificate // from the leaf to the anchor that vouches for it
}

// Verifier judges the chains of peers. It is safe for concurrent use and stays the same when the anchors are reloaded.
type Verifier struct {
	anchors    atomic.Pointer[anchors]
	identities func(*x509.Certificate) ([]identity, error) // set at birth; tests break it
}

// anchors are the trust anchors of one load, and what was proved under them. New anchors start with nothing proved.
type anchors struct {
	pool  *x509.CertPool // never nil: x509 would take the system's
	empty bool
	cache cache
}

// Verify judges chain, which is in the order of the handshake: tls.ConnectionState.PeerCertificates. Only its first certificate,
// whose key the handshake proved, says who the peer is; the others at most lead to a trust anchor. The domain may be in A-labels or
// U-labels.
//
// A proof is remembered until it ends or the anchors are reloaded; asking again is cheap.
func (v *Verifier) Verify(chain []*x509.Certificate, domain string) (result Result) {
	defer contain(&result)
	if err := presentable(chain); err != nil {
		return Result{Err: err}
	}
	name, ok := reference(domain)
	if !ok {
		r := describe(chain[0])
		r.Err = fmt.Errorf("%w: %q is not a host name", ErrName, printable(domain))
		return r
	}
	a := v.anchors.Load()
	now := time.Now()
	question := proof{chain: digest(chain), domain: name}
	if r, ok := a.cache.get(question, now); ok {
		return r
	}
	r := v.judge(a, chain, name, now)
	if r.Proved {
		a.cache.put(question, r)
	}
	return r
}

// contain makes a panic, whatever a stranger's certificate caused it, a proof of nothing.
func contain(r *Result) {
	if p := recover(); p != nil {
		*r = Result{Err: fmt.Errorf("%w: %v", ErrPanic, p)}
	}
}

// Roots are the trust anchors in force; not to be changed.
func (v *Verifier) Roots() *x509.CertPool { return v.anchors.Load().pool }

// presentable refuses what is not worth looking at.
func presentable(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	if len(chain) > maxChain {
		return fmt.Errorf("%w: %d certificates in one chain, more than %d", ErrMalformed, len(chain), maxChain)
	}
	for _, cert := range chain {
		// A certificate that nobody parsed has no bytes to be remembered by.
		if cert == nil || len(cert.Raw) == 0 {
			return ErrMalformed
		}
		if oversized(cert) {
			return fmt.Errorf("%w: RSA key of more than %d bits", ErrWeak, maxRSA)
		}
	}
	return nil
}

// judge looks for a chain that proves domain; of several, for the one that does so longest.
func (v *Verifier) judge(a *anchors, sent []*x509.Certificate, domain string, now time.Time) Result {
	r := describe(sent[0])
	ids, err := v.identities(sent[0])
	if err != nil {
		r.Err = fmt.Errorf("%w: %w", ErrMalformed, err)
		return r
	}
	r.Names = namesOf(ids)
	chains, err := a.chains(sent, now)
	if err != nil {
		r.Err = a.explain(err, sent, now)
	}
	if _, ok := find(ids, domain, false); !ok {
		r.Err = join(r.Err, nameFault(r.Names, domain))
		return r
	}
	for _, chain := range chains {
		if err := weakness(chain); err != nil {
			r.Err = join(r.Err, err)
			continue
		}
		id, ok := find(ids, domain, constrained(chain))
		if !ok {
			r.Err = join(r.Err, fmt.Errorf("%w: below an authority with name constraints only a dNSName counts", ErrConstraint))
			continue
		}
		from, until := validity(chain)
		if !r.Proved || until.After(r.NotAfter) {
			r.Proved, r.Proof, r.MatchedBy, r.notBefore, r.NotAfter, r.way = true, ProofPKIX, id.form, from, until, chain
		}
	}
	if r.Proved {
		r.Err = nil
	}
	return r
}

// chains builds the ways from the leaf to a trust anchor.
func (a *anchors) chains(sent []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, cert := range sent[1:] {
		between.AddCert(cert)
	}
	leaf := *sent[0]
	// A critical subjectAltName with nothing but XMPP's forms is unknown to x509; it is read here, so it is not unhandled.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), func(oid asn1.ObjectIdentifier) bool {
		return oid.Equal(oidSubjectAltName)
	})
	found, err := leaf.Verify(x509.VerifyOptions{
		Roots:         a.pool,
		Intermediates: between,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, // in either role ([I09])
	})
	for _, chain := range found {
		chain[0] = sent[0] // ways are kept as long as links, and the connection has this one anyway
	}
	return found, err
}

// find returns the first identity that stands for domain; with dnsOnly only a DNS-ID will do.
func find(ids []identity, domain string, dnsOnly bool) (identity, bool) {
	for _, id := range ids {
		if id.names(domain) && (!dnsOnly || id.form == DNSID) {
			return id, true
		}
	}
	return identity{}, false
}

// constrained reports whether an authority of the chain carries name constraints of whatever form.
func constrained(chain []*x509.Certificate) bool {
	for _, ca := range chain[1:] {
		for _, ext := range ca.Extensions {
			if ext.Id.Equal(oidNameConstraints) {
				return true
			}
		}
	}
	return false
}

// validity is the time in which all certificates of a chain are within their dates.
func validity(chain []*x509.Certificate) (from, until time.Time) {
	from, until = chain[0].NotBefore, chain[0].NotAfter
	for _, cert := range chain[1:] {
		if cert.NotBefore.After(from) {
			from = cert.NotBefore
		}
		if cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	return from, until
}

// describe fills in what can be said of a leaf without trusting it.
func describe(leaf *x509.Certificate) Result {
	return Result{
		Subject:  printable(leaf.Subject.String()),
		Issuer:   printable(leaf.Issuer.String()),
		NotAfter: leaf.NotAfter,
		SPKI:     SPKI(leaf),
	}
}

// SPKI is the SHA-256 of a certificate's public key in base64, as pins have it behind "sha256/".
func SPKI(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func namesOf(ids []identity) []string {
	var names []string
	for _, id := range ids {
		if name := id.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// printable cuts a string of the peer's making to 256 characters without control characters.
func printable(s string) string {
	var b strings.Builder
	count := 0
	for _, r := range s {
		if count++; count > 256 {
			b.WriteString("…")
			break
		}
		if !isGraphic(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}
