package proxy

import (
	"bytes"
	"slices"

	"sallyport/audit"
	"sallyport/internal/content"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// sight is how a queued stanza looked to policy when it was let pass. Policy may be another one before the stanza leaves. Where it looks at
// the link, the link may be another one too: the first stanza of a pair is judged before there is one, and one may follow another. What
// was not judged by what is in force when it is to leave is judged again then. Stanzas that came alike share a sight.
type sight struct {
	view
	raw []byte // the stanza before policy's changes; nil: there were none
}

// view is all of a sight that can be compared.
type view struct {
	revision  string // of the policy
	observing bool
	link      *policy.LinkFacts // the outside leg, as it was; nil: there was none, or policy does not look at it on the way out
	looked    bool              // policy looks at the link that the stanza leaves on
	lang      string            // that it inherits
	would     policy.Effect     // of the decision
}

// sightOf is how a stanza looks that may pass.
func (in *inbound) sightOf(rules *policy.Snapshot, c *crossing) *sight {
	v := view{rules.Revision(), rules.Observing(), c.link, c.dir == Out && rules.ReadSet().OfLink(), in.lang.spoken, c.decision.Would}
	if c.link == &in.load.none || c.dir == Out && !v.looked {
		v.link = nil
	}
	if c.changed != nil {
		return &sight{v, c.el.AppendTo(nil, c.rewrite(in.lang.added))}
	}
	if in.seen == nil || in.seen.view != v {
		in.seen = &sight{view: v}
	}
	return in.seen
}

// blind says that policy looks at the link and there was none.
func (s *sight) blind() bool { return s.looked && s.link == nil }

// old says whether something else is in force than what a stanza was judged by.
func (s *sight) old(rules *policy.Snapshot, facts *policy.LinkFacts) bool {
	return s != nil && (s.revision != rules.Revision() || s.observing != rules.Observing() || s.looked && s.link != facts)
}

// lookAgain leaves in current what may pass by the policy in force, on the link that stands now.
func (o *outbound) lookAgain() {
	if !slices.ContainsFunc(o.current.items, func(it queued) bool { return it.sight != nil }) { // answers of ours alone
		return
	}
	rules, facts := o.p.Policy.Snapshot(), o.facts.Load()
	if !slices.ContainsFunc(o.current.items, func(it queued) bool { return it.sight.old(rules, facts) }) {
		return
	}
	var passed queue
	for i := range o.current.items {
		b, it := o.current.stanza(i), &o.current.items[i]
		if it.sight.old(rules, facts) {
			if b = o.judgeAgain(rules, b, it, facts); b == nil {
				continue
			}
		}
		passed.push(b, *it)
	}
	n := len(o.current.items)
	refused, shrunk := n-len(passed.items), o.current.start(n)-passed.start(len(passed.items))
	o.current.reset()
	o.current = passed
	o.p.router.release(shrunk)
	o.settled(refused)
}

// judgeAgain gives what is to leave of a stanza; nil for nothing, and then it is answered and settled.
func (o *outbound) judgeAgain(rules *policy.Snapshot, b []byte, it *queued, facts *policy.LinkFacts) []byte {
	s, raw := it.sight, b
	if s.raw != nil {
		raw = s.raw
	}
	in := &inbound{p: o.p, door: Inside, id: o.id, log: o.log, lang: language{spoken: s.lang}, load: new(load)} // as if it came now
	c, err := crossingOf(o.r, raw)
	if err != nil {
		o.p.settle(&answered{r: o.r, seq: it.seq, reason: stanza.Error{Condition: stanza.PolicyViolation, Text: err.Error()}}, false)
		return nil
	}
	c.link = facts
	if o.r.dir == In {
		in.door, in.id, c.link = Outside, s.link.ID, s.link
	}
	o.p.judgeOn(o.p.ctx, rules, in, c)
	out := raw
	if c.changed != nil {
		out = c.changed
	}
	same := c.decision.Effect == policy.Allow && c.decision.Would == s.would && bytes.Equal(out, b)
	if !same && !o.decideAgain(in, c, it) {
		return nil
	}
	if s.blind() {
		in.contacted(rules, c)
	}
	it.sight = in.sightOf(rules, c)
	return out
}

// judgedAgain is why a stanza has another event.
const judgedAgain = "judged again before it left, see "

// decideAgain records a decision that is another one than when the stanza came, and settles what was recorded then. It says whether
// the stanza passes.
func (o *outbound) decideAgain(in *inbound, c *crossing, it *queued) bool {
	p := o.p
	events := []audit.Event{stanzaEvent(in, c)}
	e, a := &events[0], &answered{r: o.r, seq: it.seq, reason: c.unrecordable()}
	e.Again = true
	if err := p.Record.Append(p.ctx, events); err != nil {
		p.instruments.unrecorded(1)
		p.unkept.tell(o.log, 1, err)
		p.undelivered(a, c.el)
		return false
	}
	p.instruments.judgedAgain(c)
	in.notify(c)
	switch c.decision.Effect {
	case policy.Allow:
		o.replaced(it.seq, judgedAgain+e.ID.String())
		it.seq = e.Seq
		return true
	case policy.Drop:
		a.reason = stanza.Error{Condition: stanza.Condition(c.decision.Condition), Text: judgedAgain + e.ID.String()}
		p.settle(a, false)
	default:
		a.reason = c.refusal(e)
		p.refuseAs(a, c)
	}
	return false
}

// replaced settles a stanza's event in whose place there is another one.
func (o *outbound) replaced(seq uint64, why string) {
	if seq == 0 {
		return
	}
	o.p.Record.Note(audit.Event{Kind: audit.Delivery, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(),
		Outcome: audit.Replaced, Text: why, Of: []audit.SeqRange{{First: seq, Last: seq}}})
}

// crossingOf reads a queued stanza.
func crossingOf(r route, raw []byte) (*crossing, error) {
	el, err := stanza.Reread(raw)
	if err != nil {
		return nil, err
	}
	var addrs jid.Cache
	from, err := addrs.Parse(el.From())
	if err != nil {
		return nil, wrapped("from", err)
	}
	to, err := addrs.Parse(el.To())
	if err != nil {
		return nil, wrapped("to", err)
	}
	return &crossing{el: el, dir: r.dir, pair: r.pair, from: from, to: to, facts: content.Classify(el, from.JID.Local, to.JID.Local)}, nil
}
