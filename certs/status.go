package certs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is one certificate of ours as an operator wants to see it. One that is still to be obtained has no dates.
type Status struct {
	Names     []string  `json:"names"`
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Source    string    `json:"source"` // how it came here: "file", or "acme" for one that we obtain
	File      string    `json:"file"`
	SPKI      string    `json:"spki,omitempty"` // for pins, behind "sha256/"

	Renewal  time.Time `json:"renewal,omitzero"`   // when it is, or was, to be renewed; only of those that we obtain
	Failures int       `json:"failures,omitempty"` // attempts in a row that failed
	Problem  string    `json:"problem,omitempty"`  // why the last one did
	NextTry  time.Time `json:"next_try,omitzero"`  // when the next one is
}

// Status lists our certificates: those from files in the order of the configuration, then those that we obtain or are to obtain.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Status
	for _, p := range m.files {
		all = append(all, p.status("file"))
	}
	if m.issuer == nil {
		return all
	}
	for _, names := range m.issuer.wanted {
		s := Status{Names: names, Source: "acme", File: m.issuer.store.path(names[0])}
		if p := m.obtained[names[0]]; p != nil {
			s = p.status("acme")
			s.Renewal = renewal(p.cert.Leaf)
		}
		if a := m.attempts[names[0]]; a.Failures > 0 {
			s.Failures, s.Problem, s.NextTry = a.Failures, a.Reason, a.Next
		}
		all = append(all, s)
	}
	return all
}

func (p *pair) status(source string) Status {
	leaf := p.cert.Leaf
	return Status{Names: namesOf(p.ids), Issuer: printable(leaf.Issuer.String()), NotBefore: leaf.NotBefore,
		NotAfter: leaf.NotAfter, Source: source, File: p.file.Cert, SPKI: SPKI(leaf)}
}

// Concerns are the certificates of ours that somebody should look at, one a line: those from files that should have been renewed, and
// those of which the renewal is late or fails. With the usual ninety days that is eighteen days ahead for files, almost a month for
// the others. Files whose certificate has ended are left to Covers.
func (m *Manager) Concerns() []error {
	var all []error
	for _, c := range m.concerns(m.clock()) {
		if !c.ended || !c.file {
			all = append(all, errors.New(c.text))
		}
	}
	return all
}

// Warnings are what is no fault of the certificate files and yet wants somebody's hand: a key that others may read, and names at which
// other servers stumble.
func (m *Manager) Warnings() []*Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*Fault
	for _, p := range m.files {
		if exposed(p.key) {
			all = append(all, &Fault{File: p.file.key(), Reason: fmt.Sprintf("its mode %#o lets others at the private key", p.key.Mode().Perm()),
				Next: "chmod 600 " + p.file.key() + "; or 640, where it is not the gate's own and its group is"})
		}
		// COMPAT(ejabberd 23.01): pkix:get_domains_from_san crashes on an xmppAddr, and the stream with it.
		if _, _, addrs, err := ParseSAN(p.cert.Leaf); err == nil && len(addrs) > 0 {
			all = append(all, &Fault{File: p.file.Cert, Reason: fmt.Sprintf("it names %s as xmppAddr, at which ejabberd 23.01 breaks the connection off", printable(addrs[0])),
				Next: "have it issued with a dNSName in its place"})
		}
	}
	return all
}

// concern is one line for an operator.
type concern struct {
	about       string // what tells it from others
	text        string
	ended, file bool
	attempted   bool // each attempt has a line of its own
}

func (m *Manager) concerns(now time.Time) []concern {
	var all []concern
	for _, s := range m.Status() {
		if text := s.concern(now); text != "" {
			all = append(all, concern{about: s.File, text: text, ended: now.After(s.NotAfter), file: s.Source == "file", attempted: s.Failures > 0})
		}
	}
	return all
}

// concern says what is wrong with a certificate; empty when nothing is.
func (s Status) concern(now time.Time) string {
	names, why := strings.Join(s.Names[:min(len(s.Names), 5)], ", "), ""
	if s.Failures > 0 {
		why = fmt.Sprintf("; %d attempts to renew it failed, the last because: %s", s.Failures, s.Problem)
	}
	if s.NotAfter.IsZero() {
		if s.Failures > 0 {
			return fmt.Sprintf("there is no certificate for %s; %d attempts to obtain one failed, the last because: %s", names, s.Failures, s.Problem)
		}
		return ""
	}
	left, life := s.NotAfter.Sub(now), s.NotAfter.Sub(s.NotBefore)
	if s.Source == "file" {
		// Those who renew for us do so with a third left, or some weeks.
		if left > min(life/5, 21*24*time.Hour) {
			return ""
		}
		why = "; renew it and reload"
	} else if left > life*3/10 { // a tenth of the third is for the first attempts to fail
		return ""
	}
	verb := "ends"
	if left < 0 {
		verb = "ended"
	}
	return fmt.Sprintf("the certificate for %s in %s %s on %s%s", names, s.File, verb, s.NotAfter.UTC().Format("2006-01-02 15:04 MST"), why)
}
