package certs

import (
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Manager keeps our certificates and the anchors for judging others. It is safe for concurrent use.
type Manager struct {
	verifier *Verifier
	current  atomic.Pointer[material]

	responder *responder        // set at birth
	transport http.RoundTripper // set at birth; nil but for tests
	clock     func() time.Time  // set at birth; tests move it
	asking    sync.Map          // configs that ask for a certificate, by domain

	mu       sync.Mutex // one change at a time; guards what follows
	config   Config
	files    []*pair             // from files
	issuer   *issuer             // of certificates that are obtained; nil: none are
	obtained map[string]*pair    // by their names in the store
	damaged  map[string]error    // why one in the store is of no use
	attempts map[string]attempts // since the last success
	changed  chan struct{}       // closed by the next Apply
}

// New loads all files of c. Its error holds every *Fault that was found, one a line.
func New(c Config) (*Manager, error) {
	return newManager(c, &Manager{clock: time.Now})
}

func newManager(c Config, m *Manager) (*Manager, error) {
	m.verifier, m.responder = &Verifier{identities: identities}, newResponder()
	next, err := m.Prepare(c)
	if err != nil {
		return nil, err
	}
	next.Apply()
	return m, nil
}

// Reload reads all files again. On an error, which is New's, everything stays as it was.
func (m *Manager) Reload() error {
	m.mu.Lock()
	c := m.config
	m.mu.Unlock()
	next, err := m.Prepare(c)
	if err != nil {
		return err
	}
	next.Apply()
	return nil
}

// Prepared is a load that was read without fault and is not in use yet, so that a reload of several rooms can be all or nothing.
type Prepared struct {
	manager  *Manager
	config   Config
	files    []*pair
	anchors  *anchors
	issuer   *issuer
	obtained map[string]*pair
	damaged  map[string]error
	attempts map[string]attempts
}

// Prepare reads the files of a new configuration and changes nothing. Its error is New's. What is wrong with certificates in the store is
// no fault: they are obtained anew.
func (m *Manager) Prepare(c Config) (*Prepared, error) {
	pairs, pairErr := loadPairs(c.Files)
	trusted, rootErr := loadAnchors(c)
	p := &Prepared{manager: m, config: c, files: pairs, anchors: trusted, obtained: make(map[string]*pair),
		damaged: make(map[string]error), attempts: make(map[string]attempts)}
	var acmeErr error
	if c.ACME != nil {
		p.issuer, acmeErr = prepareIssuer(c, newMaterial(pairs), m.clock)
	}
	if err := errors.Join(pairErr, rootErr, acmeErr); err != nil {
		return nil, err
	}
	if p.issuer != nil {
		for _, names := range p.issuer.wanted {
			p.recall(names[0])
		}
	}
	return p, nil
}

// recall reads what the store has of one certificate.
func (p *Prepared) recall(name string) {
	found, err := p.issuer.store.load(name)
	if err != nil {
		p.damaged[name] = err
	}
	if found != nil {
		p.obtained[name] = found
	}
	if a := p.issuer.store.recall(name); a.Failures > 0 {
		p.attempts[name] = a
	}
}

// Covers is Manager.Covers as it would be after Apply.
func (p *Prepared) Covers(domain string) error {
	return assemble(p.files, p.issuer, p.obtained).covers(domain)
}

// Apply puts the load in use. Handshakes that begin later use it; running streams keep what they have.
func (p *Prepared) Apply() {
	m := p.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, now := range m.obtained {
		// It may have been renewed after the files were read.
		if then := p.obtained[name]; then != nil && then.file == now.file && now.cert.Leaf.NotBefore.After(then.cert.Leaf.NotBefore) {
			p.obtained[name] = now
		}
	}
	for name, now := range m.attempts {
		if now.Last.After(p.attempts[name].Last) { // it could not be written down
			p.attempts[name] = now
		}
	}
	m.config, m.files, m.issuer, m.obtained, m.damaged, m.attempts = p.config, p.files, p.issuer, p.obtained, p.damaged, p.attempts
	m.current.Store(assemble(m.files, m.issuer, m.obtained))
	m.verifier.anchors.Store(p.anchors)
	if m.changed != nil {
		close(m.changed)
	}
	m.changed = make(chan struct{})
}

// adopt puts an obtained certificate in use.
func (m *Manager) adopt(name string, p *pair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.obtained[name] = p
	delete(m.damaged, name)
	delete(m.attempts, name)
	m.current.Store(assemble(m.files, m.issuer, m.obtained))
}

// obtainedFor returns the certificate that was obtained for names; nil when there is none, or one that lacks a name.
func (m *Manager) obtainedFor(names wanted) *pair {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.obtained[names[0]]
	if p == nil || slices.ContainsFunc(names, func(domain string) bool { return !p.covers(domain) }) {
		return nil
	}
	return p
}

// damage says why a certificate in the store is of no use.
func (m *Manager) damage(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.damaged[name]
}

// Certificate returns the certificate to show for a domain. One that names the domain goes before a wildcard, one within its dates
// before one that is not.
func (m *Manager) Certificate(domain string) (*tls.Certificate, bool) {
	found := m.current.Load().candidates(domain, time.Now())
	if len(found) == 0 {
		return nil, false
	}
	return found[0].cert, true
}

// Covers returns nil when a certificate within its dates names domain. Else the error wraps ErrNotCovered, ErrNotInDate or, where one
// is still to be obtained, ErrPending, and says what to do.
func (m *Manager) Covers(domain string) error { return m.current.Load().covers(domain) }

// Verifier returns the judge of peers' certificates. It is always the same one and always uses the anchors last loaded.
func (m *Manager) Verifier() *Verifier { return m.verifier }
