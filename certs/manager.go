package certs

import (
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Manager keeps our certificates and the anchors for judging others. It is safe for concurrent use.
type Manager struct {
	verifier *Verifier
	current  atomic.Pointer[material]

	mu     sync.Mutex // one change at a time; guards config
	config Config
}

// New loads all files of c. Its error holds every *Fault that was found, one a line.
func New(c Config) (*Manager, error) {
	m := &Manager{verifier: &Verifier{identities: identities}}
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
	material *material
	anchors  *anchors
}

// Prepare reads the files of a new configuration and changes nothing. Its error is New's.
func (m *Manager) Prepare(c Config) (*Prepared, error) {
	pairs, pairErr := loadPairs(c.Files)
	trusted, rootErr := loadAnchors(c)
	if err := errors.Join(pairErr, rootErr); err != nil {
		return nil, err
	}
	return &Prepared{manager: m, config: c, material: newMaterial(pairs), anchors: trusted}, nil
}

// Covers is Manager.Covers as it would be after Apply.
func (p *Prepared) Covers(domain string) error { return p.material.covers(domain) }

// Apply puts the load in use. Handshakes that begin later use it; running streams keep what they have.
func (p *Prepared) Apply() {
	p.manager.mu.Lock()
	defer p.manager.mu.Unlock()
	p.manager.config = p.config
	p.manager.current.Store(p.material)
	p.manager.verifier.anchors.Store(p.anchors)
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

// Covers returns nil when a certificate within its dates names domain. Else the error wraps ErrNotCovered or ErrNotInDate and says
// what to do.
func (m *Manager) Covers(domain string) error { return m.current.Load().covers(domain) }

// Verifier returns the judge of peers' certificates. It is always the same one and always uses the anchors last loaded.
func (m *Manager) Verifier() *Verifier { return m.verifier }

// Status is one certificate of ours as an operator wants to see it.
type Status struct {
	Names     []string  `json:"names"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Source    string    `json:"source"` // how it came here: "file"
	File      string    `json:"file"`
	SPKI      string    `json:"spki"` // for pins, behind "sha256/"
}

// Status lists our certificates in the order of the configuration.
func (m *Manager) Status() []Status {
	var all []Status
	for _, p := range m.current.Load().pairs {
		leaf := p.cert.Leaf
		all = append(all, Status{Names: namesOf(p.ids), Issuer: printable(leaf.Issuer.String()), NotBefore: leaf.NotBefore,
			NotAfter: leaf.NotAfter, Source: "file", File: p.file.Cert, SPKI: SPKI(leaf)})
	}
	return all
}
