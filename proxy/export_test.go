package proxy

import "sallyport/internal/jid"

// CountBounce counts a bounce with any condition.
func (p *Proxy) CountBounce(condition string) { p.instruments.bounced(Out, condition, true) }

// Returns says whether a peer wants the pair's stanzas on a stream of its own.
func (p *Proxy) Returns(local, remote string) bool {
	return p.router.way(route{Out, Pair{jid.MustDomain(local), jid.MustDomain(remote)}}) != nil
}
