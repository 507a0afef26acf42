package ratchet

import (
	"slices"
	"time"
)

// Config says how fast a domain is held to what it proved.
type Config struct {
	File    string        `yaml:"file" default:"/var/lib/sallyport/peers.json" doc:"where the gate remembers what each remote domain proved"`
	Mode    string        `yaml:"mode" default:"enforce" oneof:"off|observe|enforce" doc:"off: nothing is remembered; observe: a peer below what it proved is told, in log and record; enforce: it is refused, once the times below have passed"`
	Learn   time.Duration `yaml:"learn" default:"168h" doc:"how long after a domain proved more than before nothing comes of it"`
	Observe time.Duration `yaml:"observe" default:"168h" doc:"how long after that a link below it is told and let through, before it is refused"`
	Domains int           `yaml:"domains" default:"100000" doc:"remote domains that are remembered; when there are more, those not seen for 90 days make room, and new ones are not remembered if there is none"`
}

// Sighting is what one link has shown.
type Sighting struct {
	Domain    string // the remote domain
	Direction string // in or out
	Channel   string // plaintext or tls
	Proof     string // as policy has it: none, dialback, dialback+tls, pkix, posh, dane, pin
	SPKI      string // SHA-256 of the public key in base64; empty for none
	Issuer    string
}

// Known is what the book says of a link before policy decides about it. The zero Known asks for nothing.
type Known struct {
	Channel string // the least channel that the domain is held to; empty for none
	Proof   string // the least proof
	Pin     string // match or other, when the domain has pins; empty when it has none
}

// Change is one thing about a link that an auditor should hear.
type Change struct {
	Kind     string // Downgrade, NewKey or NewIssuer
	What     string // channel, proof, key or issuer
	Old, New string
}

// The kinds of changes.
const (
	Downgrade = "downgrade" // below what the domain has proved
	NewKey    = "new-key"   // a public key that was not seen before, of an issuer that was
	NewIssuer = "new-issuer"
)

// Mark is the best that was seen on one axis, and since when.
type Mark struct {
	Best  string    `json:"best"`
	Since time.Time `json:"since"`
}

// Face is what a domain showed in one direction.
type Face struct {
	Channel Mark `json:"channel"`
	Proof   Mark `json:"proof"`
}

// Key is a public key that a domain has shown.
type Key struct {
	SPKI   string    `json:"spki"`
	Issuer string    `json:"issuer"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Peer is all that is remembered of one domain.
type Peer struct {
	Domain string    `json:"domain"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Links  uint64    `json:"links"`
	In     Face      `json:"in"`
	Out    Face      `json:"out"`
	Keys   []Key     `json:"keys,omitempty"`
	Pins   []string  `json:"pins,omitempty"` // sha256/…; empty: any key
}

func (p *Peer) face(direction string) *Face {
	if direction == "in" {
		return &p.In
	}
	return &p.Out
}

// Known says what a link of the peer is held to now, under the terms of c.
func (p *Peer) Known(c Config, s Sighting) (k Known) {
	now := time.Now()
	face := p.face(s.Direction)
	if face.Channel.stage(c, now) == enforcing {
		k.Channel = face.Channel.Best
	}
	if face.Proof.stage(c, now) == enforcing {
		k.Proof = face.Proof.Best
	}
	if len(p.Pins) > 0 {
		k.Pin = "other"
		if slices.Contains(p.Pins, "sha256/"+s.SPKI) {
			k.Pin = "match"
		}
	}
	return k
}

// rank orders what a link can show, by axis; the ladder is that of XEP-0238.
var rank = map[string]map[string]int{
	"channel": {"plaintext": 1, "tls": 2},
	"proof":   {"none": 1, "dialback": 2, "dialback+tls": 3, "pkix": 4, "posh": 4, "dane": 4, "pin": 4},
}

// stage is how a mark counts at a time.
type stage int

const (
	learning stage = iota
	observing
	enforcing
)

func (m Mark) stage(c Config, now time.Time) stage {
	age := now.Sub(m.Since)
	switch {
	case m.Best == "" || c.Mode == "off" || age < c.Learn:
		return learning
	case c.Mode != "enforce" || age < c.Learn+c.Observe:
		return observing
	}
	return enforcing
}

// tightens is when a link that shows value begins to be held to the mark; zero where it shows enough, never is, or is already.
func (m Mark) tightens(axis, value string, c Config, now time.Time) time.Time {
	if c.Mode != "enforce" || rank[axis][value] >= rank[axis][m.Best] || m.stage(c, now) == enforcing {
		return time.Time{}
	}
	return m.Since.Add(c.Learn + c.Observe)
}

// raise moves the mark up to value, or tells that value is below it and the mark has been learnt.
func (m *Mark) raise(axis, value string, c Config, now time.Time) (below bool) {
	switch have, got := rank[axis][m.Best], rank[axis][value]; {
	case got > have:
		*m = Mark{Best: value, Since: now}
	case got < have:
		return m.stage(c, now) != learning
	}
	return false
}

// maxKeys bounds the keys of one domain; clusters have a few.
const maxKeys = 16

// meet notes a key, and tells what is new about it. The first key of a domain is no news.
func (p *Peer) meet(s Sighting, now time.Time) []Change {
	if s.SPKI == "" {
		return nil
	}
	if i := slices.IndexFunc(p.Keys, func(k Key) bool { return k.SPKI == s.SPKI }); i >= 0 {
		p.Keys[i].Last, p.Keys[i].Issuer = now, s.Issuer
		return nil
	}
	var news []Change
	if len(p.Keys) > 0 {
		last := slices.MaxFunc(p.Keys, func(a, b Key) int { return a.Last.Compare(b.Last) })
		if slices.ContainsFunc(p.Keys, func(k Key) bool { return k.Issuer == s.Issuer }) {
			news = []Change{{Kind: NewKey, What: "key", Old: last.SPKI, New: s.SPKI}}
		} else {
			news = []Change{{Kind: NewIssuer, What: "key", Old: last.SPKI, New: s.SPKI}, {Kind: NewIssuer, What: "issuer", Old: last.Issuer, New: s.Issuer}}
		}
	}
	p.Keys = append(p.Keys, Key{SPKI: s.SPKI, Issuer: s.Issuer, First: now, Last: now})
	if len(p.Keys) > maxKeys {
		oldest := slices.MinFunc(p.Keys, func(a, b Key) int { return a.Last.Compare(b.Last) })
		p.Keys = slices.DeleteFunc(p.Keys, func(k Key) bool { return k == oldest })
	}
	return news
}
