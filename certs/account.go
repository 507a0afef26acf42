package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Bounds of what an authority can make us read and wait for.
const (
	acmeAnswer  = 1 << 20          // bytes of one answer
	acmeHeader  = 64 << 10         // bytes of its header
	acmeRequest = 30 * time.Second // one request, its answer included
	acmeRetries = 3                // of one request that failed
	acmeNonces  = 8                // of one request whose nonce was refused
	acmePatient = 10 * time.Second // the longest that a request waits to be repeated
	acmeHold    = 24 * time.Hour   // the longest that an authority can hold the next attempt back
	acmeSkew    = time.Hour        // how far our clock and the authority's may differ; they date certificates back by as much
)

var (
	errLarge    = errors.New("the authority's answer is too large")
	errInsecure = errors.New("the authority points to an address without TLS")
)

// client speaks to an authority for our account. One lives for one attempt, so that nothing is remembered of an authority's
// directory, nonces and accounts but what is in the store.
type client struct {
	*acme.Client
	wire *wire
}

// client returns one for our account with a, which is made if there is none.
func (a *issuer) client(ctx context.Context, base http.RoundTripper) (*client, error) {
	key, err := a.accountKey(ctx)
	if err != nil {
		return nil, err
	}
	w := &wire{base: base, clock: a.clock}
	c := &client{wire: w, Client: &acme.Client{
		Key: key, DirectoryURL: a.config.Directory, UserAgent: "sallyport", RetryBackoff: backoff,
		HTTPClient: &http.Client{Transport: w, Timeout: acmeRequest, CheckRedirect: noRedirect},
	}}
	directory, err := c.Discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the directory %s: %w%s", printable(a.config.Directory), spoken(err), distrust(err))
	}
	if skew := w.skew; skew.Abs() > acmeSkew {
		return nil, fmt.Errorf("our clock and the authority's differ by %s; nothing is asked for until one of them is set right", skew.Round(time.Second))
	}
	if directory.OrderURL == "" || directory.RegURL == "" {
		return nil, fmt.Errorf("%s is no directory of RFC 8555", printable(a.config.Directory))
	}
	if _, err := c.GetReg(ctx, ""); err == nil {
		return c, nil
	} else if !errors.Is(err, acme.ErrNoAccount) {
		return nil, fmt.Errorf("asking for our account: %w", spoken(err))
	}
	account := &acme.Account{ExternalAccountBinding: a.eab()}
	if a.config.Email != "" {
		account.Contact = []string{"mailto:" + a.config.Email}
	}
	_, err = c.Register(ctx, account, func(string) bool { return a.config.AcceptTerms })
	if err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("making an account: %w", spoken(err))
	}
	return c, nil
}

// distrust says what to do when the authority's own server could not prove itself.
func distrust(err error) string {
	var stranger x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &stranger):
		return "; put the trust anchor of a private authority into certs.acme.root"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "; is the clock of this machine right?"
	}
	return ""
}

// accountKey reads the account's key, or makes it. A key that cannot be read is not replaced: the account would be lost.
func (a *issuer) accountKey(ctx context.Context) (*ecdsa.PrivateKey, error) {
	_, err := a.store.Get(ctx, accountFile)
	if errors.Is(err, autocert.ErrCacheMiss) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		data, err := encodePair(key, nil)
		if err != nil {
			return nil, err
		}
		if err := a.store.keep(ctx, accountFile, data); err != nil {
			return nil, a.store.fault("the account's key cannot be stored", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, a.store.fault("the account's key cannot be read", err)
	}
	signer, _, err := readKey(a.store.path(accountFile))
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, &Fault{File: a.store.path(accountFile), Reason: "it is no ECDSA key", Next: "restore it from a backup, or remove it for a new account"}
	}
	return key, nil
}

// encodePair writes a key and its chain as autocert does.
func encodePair(key *ecdsa.PrivateKey, chain [][]byte) ([]byte, error) {
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
	for _, cert := range chain {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	}
	return data, nil
}

// transport makes the connections to the authority.
func (a *issuer) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: a.roots},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: acmeHeader,
	}
}

// noRedirect: RFC 8555 knows none, and a request's signature names its address.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// backoff is how long a failed request waits before it is repeated within an attempt; 0 ends the attempt. Whatever takes longer is for
// the schedule of attempts.
func backoff(n int, _ *http.Request, answer *http.Response) time.Duration {
	if answer.StatusCode == http.StatusBadRequest && n <= acmeNonces { // only of a nonce that was not fresh (RFC 8555 §6.5)
		return 100 * time.Millisecond
	}
	wait, told := retryAfter(answer.Header)
	if n > acmeRetries || answer.StatusCode == http.StatusTooManyRequests || wait > acmePatient {
		return 0
	}
	if told {
		return wait + time.Second
	}
	return time.Duration(n) * time.Second
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(h http.Header) (wait time.Duration, told bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date)), true
	}
	return 0, false
}

// wire bounds what comes from an authority, keeps to TLS, and notes the authority's clock.
type wire struct {
	base  http.RoundTripper
	clock func() time.Time
	skew  time.Duration // set by the first answer, which is the directory's
	seen  bool
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q", errInsecure, printable(r.URL.String()))
	}
	answer, err := w.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil && !w.seen {
		w.skew = date.Sub(w.clock())
	}
	w.seen = true
	answer.Body = &bounded{ReadCloser: answer.Body, left: acmeAnswer}
	return answer, nil
}

// bounded is a body that ends with an error where it should have ended by itself.
type bounded struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
