package certs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// POSHSource fetches the POSH documents of domains and remembers them while they last. It is safe for concurrent use.
type POSHSource struct {
	// Client makes the requests. It must not follow redirects into private networks, and must hold servers to PKIX.
	Client *http.Client

	fetches fetches

	mu       sync.Mutex
	known    map[string]*poshEntry
	fetching int
}

// poshEntry is one domain's document, or the fetch that is under way for it.
type poshEntry struct {
	done  chan struct{} // closed when the rest is there
	found []Fingerprint
	err   error
	until time.Time
}

const (
	maxPOSHSize    = 64 << 10
	maxPOSHDomains = 4096
	maxPOSHAtOnce  = 32               // strangers choose whom we ask
	poshRetry      = 10 * time.Minute // after a fetch that failed
)

var errPOSHBusy = errors.New("too many POSH documents are being fetched")

// Fingerprints returns the certificates that domain published, none when it published nothing.
//
// Errors: a fetch that failed, a document that is malformed, and the end of ctx. Each but the last is remembered for a while.
func (s *POSHSource) Fingerprints(ctx context.Context, domain string) ([]Fingerprint, error) {
	name, ok := reference(domain)
	if !ok {
		return nil, fmt.Errorf("%w: %q is not a host name", ErrName, printable(domain))
	}
	e, mine := s.entry(name)
	if e == nil {
		return nil, errPOSHBusy
	}
	if mine {
		// The fetch is for all who wait, so it does not end with the first of them.
		if !s.fetches.start(func(ctx context.Context) { s.fill(ctx, name, e) }) {
			s.settle(e, nil, 0, errShutdown)
		}
	}
	select {
	case <-e.done:
		return e.found, e.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the POSH document of %s: %w", name, context.Cause(ctx))
	}
}

// entry is nil when there are too many fetches under way for another one.
func (s *POSHSource) entry(name string) (e *poshEntry, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if e := s.known[name]; e != nil && (e.until.IsZero() || now.Before(e.until)) {
		return e, false
	}
	if s.fetching >= maxPOSHAtOnce {
		return nil, false
	}
	s.fetching++
	if s.known == nil || len(s.known) >= maxPOSHDomains {
		s.known = make(map[string]*poshEntry)
	}
	e = &poshEntry{done: make(chan struct{})}
	s.known[name] = e
	return e, true
}

func (s *POSHSource) fill(ctx context.Context, name string, e *poshEntry) {
	found, life, err := s.load(ctx, name)
	s.settle(e, found, life, err)
}

// settle ends a fetch for all who wait for it.
func (s *POSHSource) settle(e *poshEntry, found []Fingerprint, life time.Duration, err error) {
	if err != nil || life == 0 {
		life = poshRetry
	}
	s.mu.Lock()
	s.fetching--
	e.found, e.err, e.until = found, err, time.Now().Add(life)
	s.mu.Unlock()
	close(e.done)
}

// load fetches a document, and the one that it points to: one step, no further (RFC 7711 §3.2).
func (s *POSHSource) load(ctx context.Context, name string) ([]Fingerprint, time.Duration, error) {
	first, err := s.get(ctx, "https://"+name+poshPath)
	if missing(err) {
		return nil, poshRetry, nil
	}
	if err != nil || first.URL == "" {
		return first.Fingerprints, first.Life, err
	}
	second, err := s.get(ctx, first.URL)
	if err == nil && second.URL != "" {
		err = fmt.Errorf("%w: %s points on to another", errPOSH, printable(first.URL))
	}
	if err != nil {
		return nil, 0, err
	}
	return second.Fingerprints, min(first.Life, second.Life), nil
}

// Shutdown ends: nothing is fetched any more, what is under way is let go on until ctx ends and is cut off then. It returns when all
// of it has ended.
func (s *POSHSource) Shutdown(ctx context.Context) { s.fetches.shutdown(ctx) }

func (s *POSHSource) get(ctx context.Context, url string) (POSH, error) {
	document, err := fetch(ctx, s.Client, url, maxPOSHSize)
	if err != nil {
		return POSH{}, err
	}
	p, err := ParsePOSH(document)
	if err != nil {
		return POSH{}, fmt.Errorf("%s: %w", printable(url), err)
	}
	return p, nil
}
