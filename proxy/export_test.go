package proxy

import (
	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/policy"
)

// CountBounce counts a bounce with any condition.
func (p *Proxy) CountBounce(condition string) { p.instruments.bounced(Out, condition, true) }

// Returns says whether a peer wants the pair's stanzas on a stream of its own.
func (p *Proxy) Returns(local, remote string) bool {
	return p.router.way(route{Out, Pair{jid.MustDomain(local), jid.MustDomain(remote)}}) != nil
}

// DenialText is what the sender of a stanza is told that policy denies with a message.
func DenialText(d Direction, pair Pair, link policy.LinkFacts, shutOut bool, message string) string {
	c := crossing{dir: d, pair: pair, link: &link, shutOut: shutOut, decision: policy.Decision{Message: message}}
	return c.refusal(&audit.Event{}).Text
}
