package proxy

import (
	"cmp"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// refuse answers a stanza that policy does not let through, in words that its sender can pass on: the reason and the id under
// which the record has the decision (POLICY "Answers to a deny").
func (p *Proxy) refuse(c *crossing, e *audit.Event) {
	p.refuseAs(&answered{r: route{c.dir, c.pair}, seq: e.Seq, denied: !c.emptied, reason: c.refusal(e)}, c)
}

func (p *Proxy) refuseAs(a *answered, c *crossing) {
	if c.el.Kind() == stanza.Presence && string(c.el.Type()) == "subscribe" {
		p.unsubscribe(a, c)
		return
	}
	if !p.bounce(a, c.el) && !a.denied {
		p.settle(a, false)
	}
}

// refusal is what the sender is told of a denial. A stranger who is told service-unavailable in no words hears what servers say of an address
// that does not exist (RFC 6120 §8.3.3.19): an id would tell that there is one ([A11]).
func (c *crossing) refusal(e *audit.Event) stanza.Error {
	d := &c.decision
	if c.dir == In && d.Condition == string(stanza.ServiceUnavailable) && d.Message == "" {
		return stanza.Error{Condition: stanza.ServiceUnavailable}
	}
	var text string
	switch {
	case c.dir == Out:
		text = cmp.Or(d.Message, "not allowed by the federation policy of "+c.pair.Local.String())
	case c.ofPartner():
		text = d.Message
	}
	cond := stanza.Condition(d.Condition)
	if cond == "" {
		cond = stanza.PolicyViolation
	}
	return stanza.Error{Condition: cond, By: c.pair.Local.String(), Text: strings.TrimSpace(text + " (decision " + e.ID.String() + ")")}
}

// ofPartner says whether a stanza comes from a domain that policy lets have a link and that proved itself where nobody could listen or
// put in a word. All others learn the condition and the id alone: words could tell who exists, and what is forbidden to whom.
func (c *crossing) ofPartner() bool {
	return !c.shutOut && c.link != nil && c.link.Channel == "tls" && certs.Strength(c.link.Proof) > 0
}

// unsubscribe answers a request for somebody's presence as that person would who declines it, and from the bare address (RFC 6121
// §3.1.4): it must not be asked again at each login, and it must not show whether the address exists.
func (p *Proxy) unsubscribe(a *answered, c *crossing) {
	reply := stanza.AppendUnsubscribed(nil, c.el, c.from.Bare, c.to.Bare, a.reason.Text)
	if !p.reply(a, reply) && !a.denied {
		p.settle(a, false)
	}
}

// drop is the end of a stanza that policy lets vanish. Where it was to pass, and nothing was left of it, the record says what became of it.
func (p *Proxy) drop(c *crossing, e *audit.Event) {
	if c.emptied {
		reason := stanza.Error{Condition: stanza.Condition(c.decision.Condition), Text: c.decision.Reason}
		p.settle(&answered{r: route{c.dir, c.pair}, seq: e.Seq, reason: reason}, false)
	}
}

// unrecorded answers what could not be recorded and therefore did not pass (AUDIT "Failure"). Where nobody could wait for the record
// any longer, it may have the stanzas nevertheless, and must not look for them at the next start.
func (p *Proxy) unrecorded(in *inbound, l *load, err error) {
	p.instruments.unrecorded(len(l.cross))
	p.unkept.tell(in.log, len(l.cross), err)
	for i := range l.cross {
		c := &l.cross[i]
		p.undelivered(&answered{r: route{c.dir, c.pair}, seq: l.events[i].Seq, denied: c.decision.Effect != policy.Allow, reason: c.unrecordable()}, c.el)
	}
}

// unkept tells of stanzas that were refused because they could not be recorded: at once, and then of all in a while together. The log may be
// on the very disk that is full.
type unkept struct {
	mu   sync.Mutex
	told time.Time
	more int // since then
}

const unkeptEvery = 10 * time.Second

func (u *unkept) tell(log *slog.Logger, stanzas int, err error) {
	u.mu.Lock()
	u.more += stanzas
	if time.Since(u.told) < unkeptEvery {
		u.mu.Unlock()
		return
	}
	n := u.more
	u.told, u.more = time.Now(), 0
	u.mu.Unlock()
	log.Error("the record takes no events; stanzas are refused", "stanzas", n, "error", err,
		"advice", "see the error: the space, permissions and health of the disk of audit.dir, or a required sink; it goes on by itself")
}

func (c *crossing) unrecordable() stanza.Error {
	return stanza.Error{Condition: stanza.ResourceConstraint, Type: "wait", By: c.pair.Local.String(), Text: "the message could not be recorded; try again later"}
}

// undeliverable turns the reason why a route took no stanza into what its sender is told.
func undeliverable(err error, by string) stanza.Error {
	var f *Failure
	if errors.As(err, &f) {
		return f.stanzaError(by)
	}
	return stanza.Error{Condition: stanza.ResourceConstraint, Type: "wait", By: by, Text: "too many messages are waiting for this domain"}
}

// undelivered bounces a stanza that was accepted and cannot be delivered. It is settled when its sender has been told, or at once
// where nobody can be.
func (p *Proxy) undelivered(a *answered, el *stanza.Element) {
	if !p.bounce(a, el) {
		p.settle(a, false)
	}
}

// bounceQueued bounces a stanza out of the queue of a link that failed. Our own error replies end here.
func (p *Proxy) bounceQueued(r route, bytes []byte, it *queued, reason stanza.Error) {
	if it.answer != nil {
		p.settle(it.answer, false)
		return
	}
	a := &answered{r: r, seq: it.seq, reason: reason}
	el, err := stanza.Reread(bytes)
	if err != nil {
		p.settle(a, false)
		return
	}
	p.undelivered(a, el)
}

// settle records what became of a stanza that was not delivered: whether its sender was told. Of a denied one the record knows the
// end already, unless its sender was not told.
func (p *Proxy) settle(a *answered, told bool) {
	if !a.denied {
		p.instruments.bounced(a.r.dir, string(a.reason.Condition), told)
	}
	if a.seq == 0 || a.denied && told {
		return
	}
	e := audit.Event{Kind: audit.Delivery, Dir: a.r.dir.String(), Local: a.r.pair.Local.String(), Remote: a.r.pair.Remote.String(), Outcome: audit.Dropped,
		Condition: string(a.reason.Condition), Text: a.reason.Text, Of: []audit.SeqRange{{First: a.seq, Last: a.seq}}}
	switch {
	case a.lost && told:
		e.Outcome, e.Text = audit.Lost, "lost in a crash, its sender was told"
	case a.lost:
		e.Outcome, e.Text = audit.Lost, "lost in a crash; its sender could not be told, or it is of a kind that gets no answer"
	case told:
		e.Outcome = audit.Bounced
	case a.denied:
		e.Outcome = audit.Untold
	}
	p.Record.Note(e)
}

// bounce sends the error reply for a stanza back to where it came from, by the link of the opposite direction: inside, in the
// name of the remote domain, whether or not that exists (D6); outside, over a link of the local domain (D14). It says whether
// there is a reply, which settles the stanza when it has left; errors, results and most presence are never answered ([A07]).
func (p *Proxy) bounce(a *answered, el *stanza.Element) bool {
	from, errFrom := jid.Parse(string(el.From()))
	to, errTo := jid.Parse(string(el.To()))
	if errFrom != nil || errTo != nil {
		return false
	}
	return p.answer(a, el, from.String(), to.String())
}

// answer is bounce for a stanza whose addresses were read already; to may be the domain of a recipient that cannot be read.
func (p *Proxy) answer(a *answered, el *stanza.Element, from, to string) bool {
	legacy := a.r.dir == Out // old servers inside read the numeric code (XEP-0086)
	reply, ok := stanza.AppendBounce(nil, el, from, to, a.reason, legacy)
	return ok && p.reply(a, reply)
}

// reply sends what answers a stanza by the link of the opposite direction.
func (p *Proxy) reply(a *answered, reply []byte) bool {
	o, err := p.router.send(route{a.r.dir.reverse(), a.r.pair}, reply, queued{answer: a}, 0)
	if err != nil {
		p.Log.Warn("a bounce could not be sent", "from", a.r.pair.receiver(a.r.dir).String(), "to", a.r.pair.sender(a.r.dir).String(), "reason", err)
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
