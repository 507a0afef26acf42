package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"sallyport/audit"
	"sallyport/internal/stanza"
	"sallyport/internal/transform"
	"sallyport/policy"
)

// change does to a stanza that may pass what policy asks for. What cannot be done whole is denied, under the name of the rule that
// asked for it, and so is a message of which nothing is left; one that was but a signal is dropped. The record has the hashes of both.
func (in *inbound) change(c *crossing) {
	d := &c.decision
	if len(d.Transforms) == 0 || d.Effect != policy.Allow {
		return
	}
	s := transform.Read(c.el)
	part := audit.ChangePart{Before: digest(c.el.Raw())}
	for i := range d.Transforms {
		t := &d.Transforms[i]
		part.Rules = append(part.Rules, t.Rule)
		if err := apply(s, t); err != nil {
			c.unchangeable(t, err)
			return
		}
	}
	// What one change takes out can bring together what another was to mask.
	for i := range d.Transforms {
		t := &d.Transforms[i]
		if t.Do != policy.Mask {
			continue
		}
		if err := apply(s, t); err != nil {
			c.unchangeable(t, err)
			return
		}
	}
	changed := s.Append(nil, c.rewrite(in.lang.added))
	switch _, err := stanza.Reread(changed); {
	case err != nil:
		c.forbid(policy.Deny, "what policy makes of it is no stanza: "+err.Error())
	case len(changed) > in.p.now().Limits.Stanza.Stanza:
		c.forbid(policy.Deny, "what policy adds makes it larger than limits.stanza_bytes")
	default:
		part.After = digest(changed)
		c.changed, c.change = changed, part
	}
}

// unchangeable is the end of a stanza to which a change cannot be done.
func (c *crossing) unchangeable(t *policy.Transform, err error) {
	idle := errors.Is(err, transform.ErrIdle)
	c.emptied = idle || errors.Is(err, transform.ErrEmpty)
	c.decision.Rule = t.Rule
	effect := policy.Deny
	if idle {
		effect = policy.Drop
	}
	c.forbid(effect, t.Do.String()+": "+err.Error())
}

func (c *crossing) forbid(effect policy.Effect, reason string) {
	d := &c.decision
	d.Effect, d.Would, d.Reason, d.Condition = effect, effect, reason, string(stanza.PolicyViolation)
}

func apply(s *transform.Stanza, t *policy.Transform) error {
	switch t.Do {
	case policy.FoldPresence:
		s.FoldPresence()
	case policy.Strip:
		return s.Strip(t.Payloads)
	case policy.Mask:
		return s.Mask(t.Pattern, t.With)
	case policy.FirstLine:
		return s.FirstLine(t.Text)
	case policy.StripCandidates:
		return s.StripCandidates()
	case policy.Label:
		return s.Label(t.Text)
	default:
		return errors.New("is not known here")
	}
	return nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// notify records and logs what policy wants people to know of a stanza.
func (in *inbound) notify(c *crossing) {
	for _, n := range c.decision.Notify {
		in.p.Record.Note(audit.Event{Kind: audit.PolicyNotify, Dir: c.dir.String(), Local: c.pair.Local.String(), Remote: c.pair.Remote.String(),
			From: c.from.Full, To: c.to.Full, Link: in.id, Stanza: partOf(c.el), Decision: audit.DecisionPart{Rule: n.Rule}, Address: n.To, Text: n.Text})
		in.log.Warn("policy gives notice", "rule", n.Rule, "for", n.To, "text", n.Text, "from", c.from.Bare, "to", c.to.Bare)
	}
}
