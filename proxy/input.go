package proxy

import (
	"context"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/content"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// fill translates a crossing into what policy sees. Attributes that cost an allocation are extracted only when the policy in
// force reads them.
func (p *Proxy) fill(reads policy.FieldSet, in *inbound, c *crossing) {
	i := &in.load.input
	i.Direction = c.dir.String()
	i.Local, i.Remote = c.pair.Local.String(), c.pair.Remote.String()
	i.From = policy.Address{Bare: c.from.Bare, Local: c.from.JID.Local, Domain: c.from.JID.Domain.String(), Resource: c.from.JID.Resource}
	i.To = policy.Address{Bare: c.to.Bare, Local: c.to.JID.Local, Domain: c.to.JID.Domain.String(), Resource: c.to.JID.Resource}
	i.Link = *c.link
	if c.link != &in.load.none && (reads.Has(policy.FieldKnownChannel) || reads.Has(policy.FieldKnownProof) || reads.Has(policy.FieldKnownPin)) {
		i.Link.Known = p.known(c.dir, c.pair, c.link) // links outlive what was known of their peer when they came up
	}
	i.Stanza = policy.StanzaFacts{Kind: kindName(c.el.Kind()), Type: typeName(c.el), Size: len(c.el.Raw())}
	if reads.Has(policy.FieldID) {
		i.Stanza.ID = string(c.el.ID())
	}
	if reads.Has(policy.FieldLang) {
		i.Stanza.Lang = in.lang.spoken
		if own := c.el.Lang(); own != nil {
			i.Stanza.Lang = string(own)
		}
	}
	if reads.Has(policy.FieldPayloads) {
		for space, local := range c.el.Payloads() {
			i.Stanza.Payloads = append(i.Stanza.Payloads, servers(space)+"|"+local)
		}
	}
	i.Stanza.Class, i.Stanza.E2EE, i.Stanza.Label = c.facts.Class.Names(), c.facts.E2EE, c.facts.Label
	i.Stanza.HasBody = c.facts.Body
	i.Contact = reads.Has(policy.FieldContact) && p.contact(c)
	if readsWords(reads) {
		w := content.Extract(c.el)
		i.Stanza.Body, i.Stanza.Subject, i.Stanza.Text, i.Stanza.URLs, i.Stanza.JIDs = w.Body, w.Subject, w.Text, w.URLs, w.JIDs
	}
}

// readsWords tells whether policy looks at what the stanza says.
func readsWords(reads policy.FieldSet) bool {
	return reads.Has(policy.FieldBody) || reads.Has(policy.FieldSubject) || reads.Has(policy.FieldText) ||
		reads.Has(policy.FieldURLs) || reads.Has(policy.FieldJIDs)
}

const nsServer = "jabber:server"

// servers takes the namespace of clients for that of servers. Whoever shows a stanza in the end shows a body in either: one that wears
// the clients' must not pass by a rule about bodies (RFC 6120 §4.8.3).
func servers(space string) string {
	if space == "jabber:client" {
		return nsServer
	}
	return space
}

// outsideLeg gives the facts of the outside leg, whichever way the stanza goes: that is where policy wants to look.
func (in *inbound) outsideLeg(c *crossing) *policy.LinkFacts {
	if c.dir == In {
		return &c.proof.facts
	}
	o := in.last
	if r := (route{c.dir, c.pair}); o == nil || o.r != r {
		o = in.p.router.find(r)
	}
	if o != nil {
		if facts := o.facts.Load(); facts != nil {
			return facts
		}
	}
	return &in.load.none
}

// linkVerdict is what policy said of a pair on a link, under one revision and in one mode.
type linkVerdict struct {
	pair      Pair
	link      *policy.LinkFacts
	revision  string
	observing bool
	d         policy.LinkDecision
}

// linkDecision is policy's word about the pair, asked again whenever the policy or the link has changed. The last one is kept, for
// stanzas come in runs; the others policy remembers by itself.
func (in *inbound) linkDecision(ctx context.Context, rules *policy.Snapshot, c *crossing) policy.LinkDecision {
	v := &in.verdict
	if v.pair == c.pair && v.link == c.link && v.revision == rules.Revision() && v.observing == rules.Observing() && !v.d.Uncacheable {
		return v.d
	}
	i := policy.Input{Direction: c.dir.String(), Local: c.pair.Local.String(), Remote: c.pair.Remote.String()}
	if c.dir == In {
		i.Link = *c.link
	}
	*v = linkVerdict{c.pair, c.link, rules.Revision(), rules.Observing(), rules.Link(ctx, &i)}
	return v.d
}

// factsFor describes an inbound link as it stands for a pair.
func (in *inbound) factsFor(s *stream.Stream, pair Pair) policy.LinkFacts {
	f := policy.LinkFacts{ID: in.id, Channel: "plaintext", Proof: "dialback", RemoteIP: in.peer.Addr().String()}
	state := s.TLS()
	if state == nil {
		return f
	}
	describeTLS(&f, state)
	f.Proof = "dialback+tls"
	if in.door == Outside && len(state.PeerCertificates) > 0 {
		in.p.describeCert(&f, state, in.p.Certs.Verifier().Verify(state.PeerCertificates, pair.Remote.ASCII()))
	}
	return f
}

// certified is the certificate by which a pair is proved on an inbound link, if it is by one that needs no word of DNS or the web.
func (in *inbound) certified(s *stream.Stream, pair Pair) judged {
	state := s.TLS()
	if in.door == Inside || state == nil || len(state.PeerCertificates) == 0 {
		return judged{}
	}
	chain := state.PeerCertificates
	return judge(func() certs.Result { return in.p.Certs.Verifier().Verify(chain, pair.Remote.ASCII()) })
}

// stanzaEvent is what the record says of a crossing.
func stanzaEvent(in *inbound, c *crossing) audit.Event {
	d, f := &c.decision, c.link
	level, err := audit.ParseLevel(d.Audit)
	if err != nil {
		level = audit.LevelDefault
	}
	if level == audit.LevelDefault {
		level = in.p.now().Level
	}
	e := audit.Event{
		Kind: audit.Stanza, Level: level, Dir: c.dir.String(), Local: c.pair.Local.String(), Remote: c.pair.Remote.String(), From: c.from.Full, To: c.to.Full,
		Link: in.id, Channel: f.Channel, Proof: f.Proof, TLS: f.TLSVersion, Cipher: f.Cipher, RemoteIP: f.RemoteIP,
	}
	e.Stanza = partOf(c.el)
	e.Stanza.Class, e.Stanza.E2EE, e.Stanza.Label, e.Stanza.Thread = c.facts.Class.Names(), c.facts.E2EE, c.facts.Label, c.facts.Thread
	e.Decision = audit.DecisionPart{Effect: d.Effect.String(), Rule: d.Rule, Reason: d.Reason, Revision: d.Revision, Cached: d.Cached, Retention: d.Retention}
	e.Change = c.change
	if level >= audit.LevelSealed {
		e.Content = in.said(c)
	}
	if d.Would != d.Effect {
		e.Decision.Mode, e.Decision.Would = "observe", d.Would.String()
	}
	return e
}

func partOf(el *stanza.Element) audit.StanzaPart {
	return audit.StanzaPart{Kind: kindName(el.Kind()), Type: typeName(el), ID: el.ID(), Size: len(el.Raw())}
}

// linkEvent is what the record says of a link that stands or stood.
func linkEvent(k audit.Kind, d Direction, pair Pair, f policy.LinkFacts) audit.Event {
	return audit.Event{Kind: k, Dir: d.String(), Local: pair.Local.String(), Remote: pair.Remote.String(), Link: f.ID, Channel: f.Channel, Proof: f.Proof,
		TLS: f.TLSVersion, Cipher: f.Cipher, ALPN: f.ALPN, RemoteIP: f.RemoteIP, CertSPKI: f.CertSPKI, CertIssuer: f.CertIssuer, CertNotAfter: f.CertNotAfter}
}

func kindName(k stanza.Kind) string {
	switch k {
	case stanza.Message:
		return "message"
	case stanza.Presence:
		return "presence"
	case stanza.IQ:
		return "iq"
	}
	return ""
}

// typeName gives the defined types (RFC 6121 §5.2.2, §4.7.1, RFC 6120 §8.2.3) without allocating.
func typeName(el *stanza.Element) string {
	switch string(el.Type()) {
	case "":
		return ""
	case "chat":
		return "chat"
	case "groupchat":
		return "groupchat"
	case "headline":
		return "headline"
	case "normal":
		return "normal"
	case "error":
		return "error"
	case "get":
		return "get"
	case "set":
		return "set"
	case "result":
		return "result"
	case "subscribe":
		return "subscribe"
	case "subscribed":
		return "subscribed"
	case "unsubscribe":
		return "unsubscribe"
	case "unsubscribed":
		return "unsubscribed"
	case "unavailable":
		return "unavailable"
	case "probe":
		return "probe"
	}
	return string(el.Type())
}
