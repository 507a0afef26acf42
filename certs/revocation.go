package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Standing is whether an authority took a certificate back. The zero Standing is unknown.
type Standing uint8

// The standings of a chain.
const (
	Unknown Standing = iota // nobody says; soft-fail lets it pass, hard-fail does not
	Good                    // every authority of the chain says that it stands by its certificate
	Revoked                 // one of them took a certificate back
)

// String is "unknown", "good" or "revoked", as policy and the record have it.
func (s Standing) String() string { return [...]string{"unknown", "good", "revoked"}[s] }

// ErrRevoked is why a chain that is otherwise good proves nothing, found by errors.Is in Result.Err.
var ErrRevoked = errors.New("certificate was revoked by its authority")

const (
	maxCRLSize = 8 << 20
	maxPoints  = 3         // distribution points of one certificate that are looked at
	crlFresh   = time.Hour // a copy older than this is fetched again when it is next asked for
	crlRetry   = 5 * time.Minute
	clockSkew  = 5 * time.Minute // by which an authority's clock may be ahead
	crlAtOnce  = 4
)

// Revocations knows what authorities took back: from the answer that the peer staples to its handshake, and from the lists that
// its certificates point to (RFC 5280 §4.2.1.13). Lists are fetched beside the path, never on it: the first question about an
// authority is answered Unknown. It is safe for concurrent use.
type Revocations struct {
	// Client makes the requests. It must not be led into private networks.
	Client *http.Client
	// Changed, when set, is told that a list came in which was not there or was different: what was Unknown may be Revoked now. It must
	// not wait for anything.
	Changed func()

	// Log, when set, is told of lists that cannot be had, once for each time that they begin to fail.
	Log *slog.Logger

	fetches fetches

	reading sync.Mutex // one list is read at a time, for that takes several times its size

	mu       sync.Mutex
	shelf    shelf
	fetching int
	idle     chan struct{} // closed when fetching is zero again; nil: nobody waits for that
}

// Limit says how many bytes all lists together may take in memory; zero is DefaultListBytes.
func (rv *Revocations) Limit(n int) {
	rv.mu.Lock()
	defer rv.mu.Unlock()
	rv.shelf.limit = n
	rv.shelf.fit(0, nil, time.Now())
}

// Check says how the chain of a proof stands. staple is the OCSP answer of the handshake, nil for none. For a result that is proved
// by no authority (DANE-EE, POSH, a pin) there is nobody to ask: Unknown.
func (rv *Revocations) Check(r Result, staple []byte) Standing {
	standing := Good
	if len(r.way) < 2 {
		return Unknown
	}
	for i, cert := range r.way[:len(r.way)-1] {
		issuer := r.way[i+1]
		var is Standing
		if i == 0 {
			is = stapled(staple, cert, issuer, time.Now())
		}
		// A good answer may be some days old: who lost the certificate chooses which one is stapled.
		if listed := rv.listed(cert, issuer); is == Unknown || listed == Revoked {
			is = listed
		}
		switch is {
		case Revoked:
			return Revoked
		case Unknown:
			standing = Unknown
		}
	}
	return standing
}

// stapled reads an OCSP answer (RFC 6960); one that is not signed by the issuer or out of its time says nothing.
func stapled(staple []byte, cert, issuer *x509.Certificate, now time.Time) Standing {
	if len(staple) == 0 {
		return Unknown
	}
	answer, err := ocsp.ParseResponseForCert(staple, cert, issuer)
	if err != nil || answer.Certificate != nil && !answersFor(answer.Certificate, issuer, now) || now.Before(answer.ThisUpdate.Add(-clockSkew)) || !answer.NextUpdate.IsZero() && now.After(answer.NextUpdate) {
		return Unknown
	}
	if answer.NextUpdate.IsZero() && now.After(answer.ThisUpdate.Add(24*time.Hour)) {
		return Unknown
	}
	switch answer.Status {
	case ocsp.Good:
		return Good
	case ocsp.Revoked:
		return Revoked
	}
	return Unknown
}

// answersFor says whether the issuer lets a certificate answer for it: the issuer's own does, and one that was made for that (RFC 6960
// §4.2.2.2). That the issuer signed it is not enough, or each of its customers could speak for all others.
func answersFor(responder, issuer *x509.Certificate, now time.Time) bool {
	return responder.Equal(issuer) ||
		slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) && !now.Before(responder.NotBefore) && !now.After(responder.NotAfter)
}

// listed looks a certificate up in the lists that it points to. One that is good is enough, one that has it is, too.
func (rv *Revocations) listed(cert, issuer *x509.Certificate) Standing {
	standing := Unknown
	for _, key := range pointsOf(cert, issuer) {
		list := rv.list(key, issuer)
		if list == nil || time.Now().After(list.until) || !list.covers(cert, key.url) {
			continue
		}
		if list.has(cert) {
			rv.met(key, cert)
			return Revoked
		}
		if !list.partial {
			standing = Good
		}
	}
	return standing
}

// pointsOf are the lists that a certificate points to, as far as they are looked at.
func pointsOf(cert, issuer *x509.Certificate) (all []listKey) {
	for _, url := range cert.CRLDistributionPoints[:min(len(cert.CRLDistributionPoints), maxPoints)] {
		if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
			all = append(all, listKey{url, SPKI(issuer)})
		}
	}
	return all
}

// list gives the copy of a list, nil for none, and sees to it that a fresh one comes.
func (rv *Revocations) list(key listKey, issuer *x509.Certificate) *crl {
	rv.mu.Lock()
	defer rv.mu.Unlock()
	now := time.Now()
	c := rv.shelf.at(key, now)
	if c == nil {
		return nil
	}
	if !c.pending && !now.Before(c.next) && rv.fetching < crlAtOnce {
		if rv.fetches.start(func(ctx context.Context) { rv.refresh(ctx, c, key.url, issuer) }) {
			c.pending = true
			rv.fetching++
		}
	}
	return c.list
}

// met notes that a certificate was shown which a list has.
func (rv *Revocations) met(key listKey, cert *x509.Certificate) {
	number, _ := serialOf(cert.SerialNumber.Bytes())
	rv.mu.Lock()
	defer rv.mu.Unlock()
	if c := rv.shelf.copies[key]; c != nil && len(c.met) < maxMet && !slices.Contains(c.met, number) {
		c.met = append(c.met, number)
	}
}

// refresh fetches a list. A list that cannot be had, or that its issuer did not sign, leaves the old one, which holds until its end.
func (rv *Revocations) refresh(ctx context.Context, c *crlCopy, url string, issuer *x509.Certificate) {
	next, err := rv.load(ctx, url, issuer)
	rv.mu.Lock()
	if rv.fetching--; rv.fetching == 0 && rv.idle != nil {
		close(rv.idle)
		rv.idle = nil
	}
	c.pending = false
	changed := false
	switch {
	case err != nil:
	case c.list != nil && next.since.Before(c.list.since):
		// Lists travel in clear: whoever sits on the wire may have kept one from before the certificate was taken back.
		err = fmt.Errorf("%w: it is older than the one from %s", errCRL, c.list.since.Format(time.DateTime))
	case !rv.shelf.fit(next.size()-c.list.size(), c, time.Now()):
		err = errNoRoom
	}
	begins := err != nil && c.err == nil
	c.err = err
	if err == nil {
		changed = c.list == nil || !slices.Equal(next.serials, c.list.serials)
		rv.shelf.put(c, next)
		c.next = time.Now().Add(crlFresh)
	} else {
		c.next = time.Now().Add(crlRetry)
	}
	rv.mu.Unlock()
	if begins && rv.Log != nil {
		rv.Log.Info("a revocation list cannot be had, what was known holds until its end", "list", printable(url), "error", err,
			"advice", "peers with revocation: hard are refused without it; may this machine reach that address?")
	}
	if changed && rv.Changed != nil {
		rv.Changed()
	}
}

func (rv *Revocations) load(ctx context.Context, url string, issuer *x509.Certificate) (list *crl, err error) {
	defer func() {
		if p := recover(); p != nil {
			list, err = nil, fmt.Errorf("reading the list of %s panicked: %v", printable(url), p)
		}
	}()
	der, err := fetch(ctx, rv.Client, url, maxCRLSize)
	if err != nil {
		return nil, err
	}
	rv.reading.Lock()
	defer rv.reading.Unlock()
	return parseCRL(der, issuer, time.Now())
}

// Shutdown ends: nothing is fetched any more, what is under way is let go on until ctx ends and is cut off then. It returns when all
// of it has ended.
func (rv *Revocations) Shutdown(ctx context.Context) { rv.fetches.shutdown(ctx) }

// Settle waits until no list is being fetched, for those who would rather wait than hear Unknown. Its error is the end of ctx.
func (rv *Revocations) Settle(ctx context.Context) error {
	rv.mu.Lock()
	if rv.fetching > 0 && rv.idle == nil {
		rv.idle = make(chan struct{})
	}
	idle := rv.idle
	rv.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Troubles lists the lists that could not be had, by address, for an operator.
func (rv *Revocations) Troubles() map[string]error {
	rv.mu.Lock()
	defer rv.mu.Unlock()
	all := make(map[string]error)
	for key, c := range rv.shelf.copies {
		if c.err != nil {
			all[printable(key.url)] = c.err
		}
	}
	return all
}

// Trouble says why nobody knows how the chain of a proof stands; nil when all its lists are there, or on their way. It
// is for a result that Check was asked about.
func (rv *Revocations) Trouble(r Result) error {
	if len(r.way) < 2 {
		return nil
	}
	rv.mu.Lock()
	defer rv.mu.Unlock()
	for i, cert := range r.way[:len(r.way)-1] {
		for _, key := range pointsOf(cert, r.way[i+1]) {
			c := rv.shelf.copies[key]
			switch {
			case c == nil:
				return fmt.Errorf("the revocation list %s: %w", printable(key.url), errNoRoom)
			case c.err != nil:
				return fmt.Errorf("the revocation list %s: %w", printable(key.url), c.err)
			}
		}
	}
	return nil
}
