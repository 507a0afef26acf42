package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reasons why no good certificate of ours covers a domain, found by errors.Is in what Covers returns.
var (
	ErrNotCovered = errors.New("no certificate")
	ErrNotInDate  = errors.New("no certificate within its dates")
	ErrPending    = errors.New("no certificate yet")
)

// material is one load of our own certificates, found by the domains that they name.
type material struct {
	pairs     []*pair // in the order of the configuration
	exact     map[string][]*pair
	wildcards map[string][]*pair // by what follows "*."
	pending   map[string]string  // domains for which a certificate is obtained, and from whom
}

// assemble makes one of our certificates from files and of those that were obtained.
func assemble(files []*pair, a *issuer, obtained map[string]*pair) *material {
	if a == nil {
		return newMaterial(files)
	}
	all, pending := slices.Clone(files), make(map[string]string)
	for _, names := range a.wanted {
		if p := obtained[names[0]]; p != nil {
			all = append(all, p)
		}
		for _, domain := range names {
			pending[domain] = fmt.Sprintf("%s by %s", a.host, a.config.challenge())
		}
	}
	m := newMaterial(all)
	m.pending = pending
	return m
}

// names reports whether any certificate names domain.
func (m *material) names(domain string) bool { return len(m.candidates(domain, time.Time{})) > 0 }

func newMaterial(pairs []*pair) *material {
	m := &material{pairs: pairs, exact: make(map[string][]*pair), wildcards: make(map[string][]*pair)}
	for _, p := range pairs {
		for _, id := range p.ids {
			index := m.exact
			if id.wildcard {
				index = m.wildcards
			}
			if !slices.Contains(index[id.name], p) {
				index[id.name] = append(index[id.name], p)
			}
		}
	}
	return m
}

// candidates are the certificates that name domain, in order of preference: exactly before by wildcard, within their dates
// before the others, earlier in the configuration before later.
func (m *material) candidates(domain string, now time.Time) []*pair {
	name, ok := reference(domain)
	if !ok {
		return nil
	}
	_, parent, _ := strings.Cut(name, ".")
	all := slices.Concat(m.exact[name], m.wildcards[parent])
	slices.SortStableFunc(all, func(a, b *pair) int {
		return boolOrder(a.inDate(now), b.inDate(now))
	})
	return all
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func (p *pair) inDate(now time.Time) bool {
	return !now.Before(p.cert.Leaf.NotBefore) && !now.After(p.cert.Leaf.NotAfter)
}

// covers is Covers for one load.
func (m *material) covers(domain string) error {
	now := time.Now()
	found := m.candidates(domain, now)
	if from := m.pending[domain]; len(found) == 0 && from != "" {
		return fmt.Errorf("%w names %s; it is obtained from %s", ErrPending, printable(domain), from)
	}
	if len(found) == 0 {
		return fmt.Errorf("%w names %s; list one under certs.files%s", ErrNotCovered, printable(domain), m.inventory())
	}
	if best := found[0]; !best.inDate(now) {
		leaf, next := best.cert.Leaf, "renew it and reload"
		if best.obtained {
			next = "it is obtained anew"
		}
		return fmt.Errorf("%w names %s: that of %s is valid from %s to %s; %s", ErrNotInDate, printable(domain),
			best.file.Cert, leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly), next)
	}
	return nil
}

// inventory says what there is, for somebody who lacks something.
func (m *material) inventory() string {
	if len(m.pairs) == 0 {
		return " (there is none yet)"
	}
	var have []string
	for _, p := range m.pairs {
		names := namesOf(p.ids)
		if len(names) > 5 {
			names = append(names[:5:5], "…")
		}
		have = append(have, p.file.Cert+" names "+strings.Join(names, ", "))
	}
	return " (" + strings.Join(have, "; ") + ")"
}

// pick chooses among candidates one whose key the other side can use; if none is, the first.
func pick(found []*pair, usable func(*tls.Certificate) error) *tls.Certificate {
	for _, p := range found {
		if usable(p.cert) == nil {
			return p.cert
		}
	}
	if len(found) > 0 {
		return found[0].cert
	}
	return nil
}
