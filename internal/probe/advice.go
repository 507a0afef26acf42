package probe

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/certs"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// fixes are what mends what was found, first what stands in the way of federation.
func (x *examination) fixes() (all []Fix) {
	for _, part := range [][]Fix{x.dnsFixes(), x.visitFixes(), x.certificateFixes(), x.policyFixes(), x.proofFixes(), x.smallFixes()} {
		for _, f := range part {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

// srv is a record that leads to a host.
func srv(service, domain string, port int, host string) string {
	return fmt.Sprintf("_%s._tcp.%s. 3600 IN SRV 0 5 %d %s.", service, domain, port, host)
}

// peer is an entry of the configuration for the domain.
func (x *examination) peer(entry string) string {
	return fmt.Sprintf("peers: {%q: {%s}}", x.remote.String(), entry)
}

// dnsFixes mend a domain that cannot be found.
func (x *examination) dnsFixes() []Fix {
	d := &x.report.DNS
	switch {
	case d.Route != "":
		return nil
	case d.own:
		return []Fix{{Who: Us, What: "its DNS leads to this very gate: if it is a domain of ours, list it under backends[].domains"},
			{Who: Them, What: "if it is not ours, its DNS record is wrong: it must lead to its own server"}}
	case d.missing:
		return []Fix{{Who: Them, What: "say in DNS where its server is", Record: srv("xmpp-server", x.remote.ASCII(), 5269, "HOST."+x.remote.ASCII())},
			{Who: Us, What: "if it has a server that DNS does not tell of, say where", Option: x.peer(`route: "HOST:5269"`)}}
	case d.temporary && len(x.visits) == 0:
		return []Fix{{Who: Them, What: "its name servers give no usable answer: see delv or dnsviz.net"},
			{Who: Us, What: "if other domains fail as well, outside.resolver does not answer"}}
	case len(d.Refused) > 0:
		return []Fix{{Who: Them, What: "its DNS names " + first(d.Refused) + ", which nobody on the internet can reach: name the public address"},
			{Who: Us, What: "if that is meant, give it a route, or set outside.allow_private in a closed network",
				Option: x.peer(fmt.Sprintf("route: %q", d.Refused[0].Address))}}
	case d.fallback:
		return []Fix{{Who: Them, What: "say in DNS where its server is, rather than leave it to be guessed", Record: srv("xmpp-server", x.remote.ASCII(), 5269, x.remote.ASCII())}}
	}
	return nil
}

// visitFixes mend addresses that no stream came of.
func (x *examination) visitFixes() (all []Fix) {
	for _, v := range x.failedVisits() {
		at := v.out.Address
		if at == "" {
			at = placeName(v.ep)
		}
		all = append(all, x.visitFix(v, fmt.Sprintf("%s port %d", at, v.ep.Port))...)
	}
	return all
}

func (x *examination) visitFix(v *visit, at string) []Fix {
	var said *stream.Error
	switch {
	case v.out.Step == stepTCP:
		return []Fix{{Who: Them, What: "nobody takes a connection at " + at + ": start the server, open the port, or take the address out of DNS"}}
	case v.out.Clear != nil && v.out.Clear.StartTLS == "no":
		until := time.Now().AddDate(0, 3, 0).Format(time.DateOnly)
		return []Fix{{Who: Them, What: "turn TLS on at " + at},
			{Who: Us, What: "if plaintext must be, allow it for a time", Option: x.peer("channel: plaintext, until: " + until)}}
	case strings.Contains(v.out.Problem, "remote error: tls: ") && strings.Contains(v.out.Problem, "certificate"):
		return []Fix{{Who: Us, What: "the peer ends TLS because of the certificate that we show: is it in date, its chain complete, and " + x.From.String() + " named in it?", Option: "sallyport check --online"}}
	case strings.Contains(v.out.Problem, "remote error: tls: ") && v.out.Step == stepTLS, strings.Contains(v.out.Problem, "protocol version"):
		return []Fix{{Who: Them, What: "its TLS at " + at + " is too old or too narrow: allow TLS 1.2 with ECDHE and AES-GCM, or better TLS 1.3"}}
	case v.ep.DirectTLS && v.out.Step == stepTLS:
		return []Fix{{Who: Them, What: at + " does not begin with TLS, as its _xmpps-server record says: mend the server, or take the record away"}}
	case errors.As(v.err, &said) && said.Received && said.Condition == stream.HostUnknown:
		return []Fix{{Who: Them, What: "the server at " + at + " does not serve " + x.remote.String() + ": configure the domain there, or lead DNS to the server that does"}}
	case errors.As(v.err, &said) && said.Received:
		return []Fix{{Who: Them, What: "the server at " + at + " ended the stream (" + told(said) + "): its own log says why"}}
	case v.out.Step == stepTLS:
		return []Fix{{Who: Them, What: "TLS at " + at + " does not come about: its own log may say more"}}
	}
	return []Fix{{Who: Them, What: "what answers at " + at + " does not speak XMPP between servers as it should, or is overloaded"}}
}

// policyFixes are for what policy says no to.
func (x *examination) policyFixes() (all []Fix) {
	for _, j := range []Judgement{x.report.Policy.Out, x.report.Policy.In} {
		if !j.Allowed {
			all = append(all, x.policyFix(j))
		}
	}
	return all
}

// policyFix knows the rules of the shipped policy, policy/base.
func (x *examination) policyFix(j Judgement) Fix {
	spki := ""
	if v := x.seen(); v != nil {
		spki = v.facts.CertSPKI
	}
	name := x.remote.String()
	switch j.Rule {
	case "peer-not-listed":
		return Fix{Who: Us, What: "if it may federate, list it", Option: x.peer("")}
	case "peer-denied":
		return Fix{Who: Us, What: "if it may federate after all, take deny away from its entry under peers, or from data.peers"}
	case "peer-ended":
		return Fix{Who: Us, What: "its entry under peers has ended: give it another until, or none"}
	case "internal-domain":
		return Fix{Who: Us, What: "data.internal.domains keeps one of the two domains inside: take it out if it may cross"}
	case "channel-floor":
		return Fix{Who: Us, What: "if plaintext must be, allow it for a time", Option: x.peer("channel: plaintext, until: " + time.Now().AddDate(0, 3, 0).Format(time.DateOnly))}
	case "tls-floor":
		return Fix{Who: Us, What: "ask for no newer TLS than it has", Option: x.peer(`tls_min: "1.2"`)}
	case "proof-floor":
		return x.proofFix(j, spki)
	case "pin":
		if j.Held.Pin == "other" {
			return Fix{Who: Us, What: "its key is another than the pinned ones; if its operator confirms the new one, pin it", Option: "sallyport peers pin " + name + " sha256/" + spki}
		}
		return Fix{Who: Us, What: "its key is another than the pinned ones; if its operator confirms the new one, add it", Option: x.peer(fmt.Sprintf("pins: [%q]", "sha256/"+spki))}
	case "revocation-unknown":
		return Fix{Who: Us, What: "let certificates count whose authority does not say whether it took them back", Option: x.peer("revocation: soft")}
	case "ratchet-channel", "ratchet-proof":
		return Fix{Who: Us, What: "it has proved more than that before: ask its operator what has changed, and forget it only if that is meant", Option: "sallyport peers forgive " + name}
	case "revoked":
		return Fix{Who: Them, What: "have a new certificate issued, with a new key: this one was taken back"}
	case policy.RuleEngineError:
		return Fix{Who: Us, What: "the policy fails to decide", Option: "sallyport policy check"}
	}
	return Fix{Who: Us, What: "a rule of your own policy (policy.dir) says no: " + j.Rule}
}

// proofFix lowers what is asked to what there is.
func (x *examination) proofFix(j Judgement, spki string) Fix {
	v := x.seen()
	if v != nil && v.out.TLS != nil {
		for _, have := range []struct {
			proof string
			Verdict
		}{{certs.ProofDANE, v.out.TLS.DANE}, {certs.ProofPKIX, v.out.TLS.PKIX}, {certs.ProofPOSH, v.out.TLS.POSH}} {
			if have.Proved && j.Require.Proof != have.proof {
				return Fix{Who: Us, What: "ask for the proof that it has", Option: x.peer("proof: " + have.proof)}
			}
		}
	}
	if spki == "" {
		return Fix{Who: Us, What: "ask less of this peer", Option: x.peer("proof: dialback")}
	}
	return Fix{Who: Us, What: "until it has a better certificate, pin the key that it shows (let its operator confirm it), or ask for proof: dialback",
		Option: x.peer(fmt.Sprintf("proof: pin, pins: [%q]", "sha256/"+spki))}
}

// certificateFixes mend a certificate that proves nothing.
func (x *examination) certificateFixes() []Fix {
	v := x.seen()
	if v == nil || v.out.TLS == nil || v.result.Proved || v.ways() != "" {
		return nil
	}
	name := x.remote.String()
	err := v.result.Err
	if errors.Is(err, certs.ErrDANE) {
		return []Fix{{Who: Them, What: "its TLSA records name another certificate than the server shows: publish this key if it is the right one", Record: tlsa(v)}}
	}
	var all []Fix
	for _, fix := range []struct {
		is   error
		what string
	}{
		{certs.ErrNoCertificate, "give the server a certificate for " + name},
		{certs.ErrExpired, "renew the certificate"},
		{certs.ErrNotYetValid, "the certificate is not valid yet: is a clock wrong?"},
		{certs.ErrName, "have a certificate issued that names " + name + " in its subjectAltName; the name of the SRV target does not count without DNSSEC"},
		{certs.ErrUntrusted, x.untrusted(v)},
		{certs.ErrPurpose, "have a certificate issued for TLS servers (serverAuth)"},
		{certs.ErrWeak, "have a certificate issued with today's keys and signatures"},
		{certs.ErrConstraint, "its authority is not allowed to vouch for this name: use another"},
		{certs.ErrMalformed, "have the certificate issued anew: it is malformed"},
	} {
		if errors.Is(err, fix.is) {
			all = append(all, Fix{Who: Them, What: fix.what})
		}
	}
	return all
}

// untrusted tells a missing intermediate from an authority that nobody here knows.
func (x *examination) untrusted(v *visit) string {
	chain := v.out.TLS.Chain
	if len(chain) == 1 && chain[0].Subject != chain[0].Issuer {
		return fmt.Sprintf("send the whole chain: the server shows its own certificate alone, and not that of its issuer %q; if that is an authority of your own, its root belongs into certs.roots here", chain[0].Issuer)
	}
	return "have the certificate issued by an authority that others trust"
}

// tlsa is the record for the key that the server shows.
func tlsa(v *visit) string {
	leaf := v.s.TLS().PeerCertificates[0]
	return fmt.Sprintf("_%d._tcp.%s. 3600 IN TLSA 3 1 1 %x", v.ep.Port, strings.TrimSuffix(v.ep.Target, "."), sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
}

// proofFixes are for a peer that does not accept us.
func (x *examination) proofFixes() (all []Fix) {
	p := &x.report.Proof
	from := x.From.String()
	if p.External.Result == Failed {
		all = append(all, x.externalFix())
	}
	switch {
	case p.Dialback.Result == NotTried && x.chosen != nil:
		all = append(all, Fix{Who: Us, What: p.Dialback.Reason})
	case p.Dialback.Result == Failed && x.Absent != "":
		all = append(all, Fix{Who: Us, What: "start the gate, which answers when the peer asks whether our key is ours: " + x.Absent, Option: "sallyport run"})
	case p.Dialback.Result == Failed:
		all = append(all, Fix{Who: Us, What: "the peer asks at the address that the DNS of " + from + " gives: it must lead to this gate, and its port be open from outside",
			Option: "sallyport check --online", Record: srv("xmpp-server", x.From.ASCII(), 5269, "HOST-OF-THIS-GATE")})
	case p.Dialback.Result == NotOffered && p.External.Result == NotOffered:
		all = append(all, Fix{Who: Us, What: "it accepts certificates only: show it one that names " + from + " and that it trusts", Option: "sallyport check"})
	}
	return all
}

// externalFix knows why servers refuse certificates.
func (x *examination) externalFix() Fix {
	own, ok := x.Certs.Certificate(x.From.ASCII())
	if ok && own.Leaf != nil && !slices.Contains(usage(own.Leaf), "clientAuth") {
		return Fix{Who: Them, What: "it refuses our certificate, perhaps because it is for TLS servers alone, as public authorities issue them now: newer servers take those from servers; dialback goes on meanwhile"}
	}
	return Fix{Who: Them, What: "it offers EXTERNAL and then refuses our certificate: its own log says why; dialback goes on meanwhile"}
}

// smallFixes make a good domain better.
func (x *examination) smallFixes() (all []Fix) {
	v := x.seen()
	switch {
	case v == nil:
		return nil
	case v.out.TLS == nil:
		return []Fix{{Who: Them, What: "turn TLS on: everything crosses in clear"}}
	case v.ways() == "":
		return nil
	}
	if v.endsSoon() {
		all = append(all, Fix{Who: Them, What: "renew the certificate: it ends on " + v.result.NotAfter.UTC().Format(time.DateOnly)})
	}
	if x.chosen != nil && x.report.Proof.External.Result == NotOffered {
		what := "ask for a certificate of those who call, and offer EXTERNAL, so that we need not prove ourselves by DNS"
		if v.out.TLS.AsksForOur {
			what = "it asks for our certificate and does not offer EXTERNAL: it trusts another authority, or takes none that is for TLS servers alone"
		}
		all = append(all, Fix{Who: Them, What: what})
	}
	if v.out.TLS.Version == "TLS 1.2" {
		all = append(all, Fix{Who: Them, What: "allow TLS 1.3"})
	}
	for _, place := range x.report.DNS.Places {
		if place.Problem != "" && x.report.DNS.Route == "" {
			all = append(all, Fix{Who: Them, What: "mend or remove the SRV record that names " + place.Target + ": " + place.Problem})
		}
	}
	return all
}
