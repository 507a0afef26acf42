package proxy

import (
	"sallyport/internal/content"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// contact tells whether our side of a stanza has written to the other before.
func (p *Proxy) contact(c *crossing) bool {
	ours, theirs := c.from.Bare, c.to.Bare
	if c.dir == In {
		ours, theirs = theirs, ours
	}
	return p.Contacts.Has(ours, theirs)
}

// contacted remembers whom our side has written to, as long as the policy asks for it: by a message, an iq that wants an answer, a
// subscription or by joining a room. Presence alone is broadcast, and errors answer.
func (in *inbound) contacted(rules *policy.Snapshot, c *crossing) {
	if c.dir != Out || c.decision.Effect != policy.Allow || !rules.Reads(policy.FieldContact) {
		return
	}
	switch typ := string(c.el.Type()); c.el.Kind() {
	case stanza.Message:
		if typ == "error" {
			return
		}
	case stanza.IQ:
		if typ != "get" && typ != "set" {
			return
		}
	default:
		if typ != "subscribe" && typ != "subscribed" && c.facts.Class&content.MUC == 0 {
			return
		}
	}
	if err := in.p.Contacts.Note(c.from.Bare, c.to.Bare); err != nil {
		in.log.Warn("who has written to whom is not remembered beyond the end of this process", "error", err, "advice", "see contacts.file: space, permissions")
	}
}
