package config

import (
	"cmp"
	"fmt"

	"sallyport/internal/jid"
	"sallyport/policy"
)

// floor is what holds for a peer of whom nothing is said.
func floor() Peer { return Peer{Channel: "tls", Proof: "dialback", TLSMin: "1.2"} }

// ladder is XEP-0238's names for channel and proof.
var ladder = map[string]Peer{
	"permissive": {Channel: "plaintext", Proof: "dialback"},
	"verified":   {Channel: "plaintext", Proof: "dialback"},
	"encrypted":  {Channel: "tls", Proof: "dialback"},
	"trusted":    {Channel: "tls", Proof: "pkix"},
}

// climbed returns p with its level put into channel and proof.
func (p Peer) climbed() Peer {
	if step, ok := ladder[p.Level]; ok {
		p.Channel, p.Proof = step.Channel, step.Proof
	}
	return p
}

// over returns p with what it leaves out taken from base. Of base only what all peers can share counts.
func (p Peer) over(base Peer) Peer {
	p.Channel = cmp.Or(p.Channel, base.Channel)
	p.Proof = cmp.Or(p.Proof, base.Proof)
	p.TLSMin = cmp.Or(p.TLSMin, base.TLSMin)
	return p
}

// checkPeers looks at each entry as it will hold, over default and floor.
func (r report) checkPeers(c *Config, owners map[jid.Domain]string) {
	standard := c.Peers[DefaultPeer].climbed().over(floor())
	for pattern, entry := range c.Peers {
		path := fmt.Sprintf("peers[%s]", pattern)
		if entry.Level != "" && (entry.Channel != "" || entry.Proof != "") {
			r.About(path+".level", "%s is %s and %s already; give either the level, or channel and proof", entry.Level, ladder[entry.Level].Channel, ladder[entry.Level].Proof)
		}
		entry = entry.climbed()
		r.checkAvailable(path, entry, c.Outside)
		domain, wildcard := pattern.Domain()
		switch {
		case pattern == DefaultPeer:
			r.checkDefault(path, entry)
			continue
		case domain.IsIP(), !wildcard && !domain.Qualified():
			r.About(path, "it is no domain that could federate: it needs a dot and must not be an address")
		default:
			r.checkForeign(path, domain, owners)
		}
		if wildcard && entry.Route != "" {
			r.About(path+".route", "a route leads to one domain; name it")
		}
		r.checkTerms(path, entry, entry.over(standard))
	}
}

// checkForeign: a local domain, and whatever lies under one, never comes from outside (PROTOCOL D22), so an entry for it would say
// something that nothing obeys.
func (r report) checkForeign(path string, domain jid.Domain, owners map[jid.Domain]string) {
	if owner := owners[domain]; owner != "" {
		r.About(path, "%s is served by %s, so it is no peer", domain, owner)
		return
	}
	for local, owner := range owners {
		if domain.Within(local) {
			r.About(path, "it lies under %s of %s; such a name is never taken for a remote one", local, owner)
			return
		}
	}
}

// checkDefault: what only makes sense for somebody in particular is not for everybody.
func (r report) checkDefault(path string, entry Peer) {
	for key, given := range map[string]bool{"until": entry.Until != "", "route": entry.Route != "", "pins": len(entry.Pins) > 0, "deny": entry.Deny} {
		if given {
			r.About(path+"."+key, "it would hold for everyone; give it to the peers that it is meant for")
		}
	}
	if entry.Channel == "plaintext" {
		r.About(firstOf(r, path+".channel", path+".level"), "plaintext for everyone cannot be had; give it to the peers that need it, each with until")
	}
	if entry.Proof == "pin" {
		r.About(path+".proof", "pin for everyone cannot be had; give it to the peers whose pins you have")
	}
}

// checkTerms finds demands that no link could meet, and leave that should have an end.
func (r report) checkTerms(path string, own, effective Peer) {
	if own.Deny {
		if own.Channel != "" || own.Proof != "" || own.TLSMin != "" || own.Route != "" || len(own.Pins) > 0 {
			r.About(path+".deny", "the peer is denied, so nothing else about it can hold; only until goes with it")
		}
		return
	}
	if own.Channel == "plaintext" {
		if own.Until == "" {
			r.About(firstOf(r, path+".channel", path+".level"), "plaintext needs the last day of the exception; for example:  until: 2027-06-30")
		}
		if effective.Proof != "dialback" {
			r.About(firstOf(r, path+".proof", path+".channel"), "proof %s needs TLS, and the channel may be plaintext; drop one of them", effective.Proof)
		}
		if len(own.Pins) > 0 {
			r.About(path+".pins", "pins need TLS, and the channel may be plaintext; drop one of them")
		}
		if own.TLSMin != "" {
			r.About(path+".tls_min", "the channel may be plaintext, so there is no oldest version of TLS")
		}
	}
	if own.Revocation == "hard" && effective.Proof == "posh" {
		r.About(path+".revocation", "hard asks what the certificate's authority says, and a proof by posh has none; take proof pkix, or leave it soft")
	}
	if effective.Proof == "pin" && len(own.Pins) == 0 {
		r.About(firstOf(r, path+".proof", path), "proof pin needs pins; for example:  pins: [\"sha256/…\"]")
	}
}

// checkAvailable finds proofs that no link could reach.
func (r report) checkAvailable(path string, entry Peer, o Outside) {
	if entry.Proof == "dane" && !o.DNSSEC {
		r.About(path+".proof", "dane needs a resolver that validates; set outside.dnssec")
	}
	if entry.Proof == "posh" && !o.POSH {
		r.About(path+".proof", "posh is asked for, and outside.posh is false")
	}
}

// firstOf is the first of the paths that stands in the file.
func firstOf(r report, paths ...string) string {
	for _, p := range paths {
		if r.Stands(p) {
			return p
		}
	}
	return paths[len(paths)-1]
}

// PolicyData is what the configuration contributes to the policy's data: who may federate and on which terms. Keys that are left out
// in the file are left out here: the policy lays an entry over the default by itself.
func (c *Config) PolicyData() policy.Data {
	peers := make(map[string]any, len(c.Peers))
	for pattern, p := range c.Peers {
		entry := make(map[string]any)
		p = p.climbed()
		if p.Ratchet != nil {
			entry["ratchet"] = *p.Ratchet
		}
		for key, value := range map[string]string{"channel": p.Channel, "proof": p.Proof, "tls_min": p.TLSMin, "revocation": p.Revocation, "until": string(p.Until), "route": string(p.Route)} {
			if value != "" {
				entry[key] = value
			}
		}
		if len(p.Pins) > 0 {
			pins := make([]any, len(p.Pins))
			for i, pin := range p.Pins {
				pins[i] = string(pin)
			}
			entry["pins"] = pins
		}
		if p.Deny {
			entry["deny"] = true
		}
		peers[string(pattern)] = entry
	}
	local := make(map[string]any)
	for _, d := range c.Domains() {
		local[d.String()] = map[string]any{}
	}
	return policy.Data{"federation": c.Federation, "peers": peers, "local": local}
}

// Domains are the local domains, in the order of the file.
func (c *Config) Domains() []jid.Domain {
	var all []jid.Domain
	for _, b := range c.Backends {
		all = append(all, b.Domains...)
	}
	return all
}
