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
)

// material is one load of our own certificates, found by the domains that they name.
type material struct {
	pairs     []*pair // in the order of the configuration
	exact     map[string][]*pair
	wildcards map[string][]*pair // by what follows "*."
}

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
	if len(found) == 0 {
		return fmt.Errorf("%w names %s; list one under certs.files%s", ErrNotCovered, printable(domain), m.inventory())
	}
	if best := found[0]; !best.inDate(now) {
		leaf := best.cert.Leaf
		return fmt.Errorf("%w names %s: that of %s is valid from %s to %s; renew it and reload", ErrNotInDate, printable(domain),
			best.file.Cert, leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly))
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
