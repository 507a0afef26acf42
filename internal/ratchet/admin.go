package ratchet

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrUnwritten says that a change is in force, and will be forgotten when the gate stops.
var ErrUnwritten = errors.New("in force, but not written to ratchet.file")

// ErrUnknown says that nothing is remembered of a domain.
var ErrUnknown = errors.New("nothing is remembered of that domain")

// List gives all that is remembered, by domain. The result is the caller's own.
func (b *Book) List() []Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Peer, 0, len(b.peers))
	for _, p := range b.sorted() {
		all = append(all, p.clone())
	}
	return all
}

// Show gives what is remembered of one domain. Its error is ErrUnknown.
func (b *Book) Show(domain string) (Peer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peers[domain]
	if p == nil {
		return Peer{}, fmt.Errorf("%s: %w", domain, ErrUnknown)
	}
	return p.clone(), nil
}

func (p *Peer) clone() Peer {
	c := *p
	c.Keys, c.Pins = slices.Clone(p.Keys), slices.Clone(p.Pins)
	return c
}

// Forgive forgets what a domain proved, so that it is learnt anew; its pins stay. It returns when that is on disk. Errors: ErrUnknown,
// and those of writing.
func (b *Book) Forgive(domain string) error {
	return b.change(domain, func(p *Peer) error {
		p.In, p.Out, p.Keys = Face{}, Face{}, nil
		return nil
	})
}

// Pin lets a domain show the public keys of pins, each "sha256/<base64>", and no others; the one that is announced for a change goes
// beside the one in use. None means those seen so far; errors are ErrUnknown when there are none, pins that are malformed, and those
// of writing.
func (b *Book) Pin(domain string, pins []string) error {
	for _, pin := range pins {
		if err := checkPin(pin); err != nil {
			return err
		}
	}
	return b.change(domain, func(p *Peer) error {
		if len(pins) == 0 {
			for _, k := range p.Keys {
				pins = append(pins, "sha256/"+k.SPKI)
			}
		}
		if len(pins) == 0 {
			return fmt.Errorf("%s: %w: it has shown no key yet; name one", domain, ErrUnknown)
		}
		p.Pins = slices.Clone(pins)
		return nil
	})
}

// Unpin lets a domain show any key again.
func (b *Book) Unpin(domain string) error {
	return b.change(domain, func(p *Peer) error {
		p.Pins = nil
		return nil
	})
}

func checkPin(pin string) error {
	text, ok := strings.CutPrefix(pin, "sha256/")
	sum, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("%q is no pin: sha256/ and the SHA-256 of the public key in base64 are wanted", pin)
	}
	return nil
}

// change alters one peer and writes the book. When it cannot be written the change is in force all the same: ErrUnwritten. A
// domain that was never seen can be pinned beforehand.
func (b *Book) change(domain string, alter func(*Peer) error) error {
	b.mu.Lock()
	if b.config.Mode == "off" {
		b.mu.Unlock()
		return errors.New("ratchet.mode is off: nothing is remembered")
	}
	old := b.peers[domain]
	var next Peer
	if old != nil {
		next = old.clone()
	} else {
		next = Peer{Domain: domain, First: time.Now(), Last: time.Now()}
	}
	err := alter(&next)
	if err == nil && old == nil && len(next.Pins) == 0 {
		err = fmt.Errorf("%s: %w", domain, ErrUnknown)
	}
	if err == nil {
		b.peers[domain] = &next
		b.dirty = true
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if err := b.save(true); err != nil {
		return fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	return nil
}
