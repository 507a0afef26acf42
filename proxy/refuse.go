package proxy

import (
	"errors"
	"strings"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// refuse answers a stanza that policy does not let through, in words that its sender can pass on: the reason and the id under
// which the record has the decision (POLICY "Answers to a deny").
func (p *Proxy) refuse(c *crossing, e *audit.Event) {
	d := &c.decision
	text := d.Message
	if text == "" && c.dir == Out {
		// Strangers learn the id alone: a reason could tell who exists.
		text = "not allowed by the federation policy of " + c.pair.Local.String()
	}
	cond := stanza.Condition(d.Condition)
	if cond == "" {
		cond = stanza.PolicyViolation
	}
	p.bounce(route{c.dir, c.pair}, c.el, stanza.Error{Condition: cond, By: c.pair.Local.String(), Text: strings.TrimSpace(text + " (decision " + e.ID.String() + ")")})
}

// unrecorded answers what could not be recorded and therefore did not pass (AUDIT "Failure").
func (p *Proxy) unrecorded(in *inbound, batch []crossing, err error) {
	p.instruments.unrecorded(len(batch))
	in.log.Error("the record takes no events; stanzas are refused", "stanzas", len(batch), "error", err, "advice", "see audit.dir: space, permissions, disk")
	for i := range batch {
		c := &batch[i]
		p.bounce(route{c.dir, c.pair}, c.el, stanza.Error{Condition: stanza.ResourceConstraint, Type: "wait", By: c.pair.Local.String(), Text: "the message could not be recorded; try again later"})
	}
}

// undeliverable turns the reason why a route took no stanza into what its sender is told.
func undeliverable(err error, by string) stanza.Error {
	var f *Failure
	if errors.As(err, &f) {
		return f.stanzaError(by)
	}
	return stanza.Error{Condition: stanza.ResourceConstraint, Type: "wait", By: by, Text: "too many messages are waiting for this domain"}
}

// bounceCrossing bounces a stanza that was allowed and recorded, and settles it.
func (p *Proxy) bounceCrossing(c *crossing, seq uint64, reason stanza.Error) {
	answered := p.bounce(route{c.dir, c.pair}, c.el, reason)
	p.settle(route{c.dir, c.pair}, seq, answered, reason)
}

// bounceQueued bounces a stanza out of the queue of a link that failed. Our own error replies end here.
func (p *Proxy) bounceQueued(r route, bytes []byte, it queued, reason stanza.Error) {
	if it.bounce {
		return
	}
	limits := stanza.DefaultLimits()
	limits.Stanza = max(len(bytes), limits.Stanza)
	el, err := stanza.ParseOne(bytes, limits)
	answered := err == nil && p.bounce(r, el, reason)
	p.settle(r, it.seq, answered, reason)
}

// settle records what became of an allowed stanza that was not delivered.
func (p *Proxy) settle(r route, seq uint64, answered bool, reason stanza.Error) {
	outcome := audit.Dropped
	if answered {
		outcome = audit.Bounced
	}
	p.instruments.bounced(r.dir, string(reason.Condition), answered)
	p.Record.Note(audit.Event{Kind: audit.Delivery, Dir: r.dir.String(), Local: r.pair.Local.String(), Remote: r.pair.Remote.String(),
		Outcome: outcome, Condition: string(reason.Condition), Text: reason.Text, Of: []audit.SeqRange{{First: seq, Last: seq}}})
}

// bounce sends the error reply for a stanza back to where it came from, by the link of the opposite direction: inside, in the
// name of the remote domain, whether or not that exists (D6); outside, over a link of the local domain (D14). It says whether
// the sender is told; errors, results and most presence are never answered ([A07]).
func (p *Proxy) bounce(r route, el *stanza.Element, reason stanza.Error) bool {
	from, errFrom := jid.Parse(string(el.From()))
	to, errTo := jid.Parse(string(el.To()))
	if errFrom != nil || errTo != nil {
		return false
	}
	return p.answer(r, el, from.String(), to.String(), reason)
}

// answer is bounce for a stanza whose addresses were read already; to may be the domain of a recipient that cannot be read.
func (p *Proxy) answer(r route, el *stanza.Element, from, to string, reason stanza.Error) bool {
	legacy := r.dir == Out // old servers inside read the numeric code (XEP-0086)
	reply, ok := stanza.AppendBounce(nil, el, from, to, reason, legacy)
	if !ok {
		return false
	}
	back := route{r.dir.reverse(), r.pair}
	o, err := p.router.send(back, reply, 0, true)
	if err != nil {
		p.Log.Warn("a bounce could not be sent", "from", to, "to", from, "reason", err)
		return false
	}
	o.nudge()
	return true
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func wrapped(what string, err error) error { return errors.Join(errors.New("bad "+what), err) }
