package proxy

import (
	"bytes"
	"slices"
	"time"

	"sallyport/audit"
	"sallyport/internal/content"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// sight is how a queued stanza looked to a policy that looks at the link too. The first stanza of a pair is judged before there is a
// link, and a link may be followed by another one: what was not judged on the link on which it is to leave is judged again there.
type sight struct {
	link  *policy.LinkFacts // as they were; nil: there was no link
	raw   []byte            // the stanza before policy's changes; nil: there were none
	lang  string            // that it inherits
	would policy.Effect     // of the decision
}

// sightOf is nil where the link makes no difference.
func (in *inbound) sightOf(rules *policy.Snapshot, c *crossing) *sight {
	if c.dir != Out || !rules.ReadSet().OfLink() {
		return nil
	}
	s := &sight{link: c.link, lang: in.lang.spoken, would: c.decision.Would}
	if c.link == &in.load.none {
		s.link = nil
	}
	if c.changed != nil {
		s.raw = c.el.AppendTo(nil, c.rewrite(in.lang.added))
	}
	return s
}

// lookAgain leaves in current what policy lets pass on the link that stands now.
func (o *outbound) lookAgain() {
	facts := o.facts.Load()
	old := func(it queued) bool { return it.sight != nil && it.sight.link != facts }
	if !o.current.looks || !slices.ContainsFunc(o.current.items, old) {
		return
	}
	var passed queue
	for i := range o.current.items {
		b, it := o.current.stanza(i), &o.current.items[i]
		if old(*it) {
			if b = o.judgeAgain(b, it, facts); b == nil {
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
func (o *outbound) judgeAgain(b []byte, it *queued, facts *policy.LinkFacts) []byte {
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
	rules, begun := o.p.Policy.Snapshot(), time.Now()
	o.p.judgeStanza(o.p.ctx, rules, in, c)
	out, kept := raw, []byte(nil)
	if c.changed != nil {
		out, kept = c.changed, bytes.Clone(raw)
	}
	same := c.decision.Effect == policy.Allow && c.decision.Would == s.would && bytes.Equal(out, b)
	if !same && !o.decideAgain(in, c, it, time.Since(begun)) {
		return nil
	}
	if s.link == nil {
		in.contacted(rules, c)
	}
	it.sight = &sight{link: facts, raw: kept, lang: s.lang, would: c.decision.Would}
	return out
}

// decideAgain records a decision that is another one than when the stanza came, and settles what was recorded then. It says whether
// the stanza passes.
func (o *outbound) decideAgain(in *inbound, c *crossing, it *queued, judged time.Duration) bool {
	p, begun := o.p, time.Now()
	events := []audit.Event{stanzaEvent(in, c)}
	e, a := &events[0], &answered{r: o.r, seq: it.seq, reason: c.unrecordable()}
	if err := p.Record.Append(p.ctx, events); err != nil {
		p.instruments.unrecorded(1)
		p.unkept.tell(o.log, 1, err)
		p.undelivered(a, c.el)
		return false
	}
	p.instruments.carried([]crossing{*c}, judged, time.Since(begun))
	in.notify(c)
	switch c.decision.Effect {
	case policy.Allow:
		o.replaced(it.seq, "judged again when its link stood, see "+e.ID.String())
		it.seq = e.Seq
		return true
	case policy.Drop:
		a.reason = stanza.Error{Condition: stanza.Condition(c.decision.Condition), Text: "judged again when its link stood, see " + e.ID.String()}
		p.settle(a, false)
	default:
		a.reason = c.refusal(e)
		p.undelivered(a, c.el)
	}
	return false
}

// replaced settles a stanza's event in whose place there is another one.
func (o *outbound) replaced(seq uint64, why string) {
	if seq == 0 {
		return
	}
	o.p.Record.Note(audit.Event{Kind: audit.Delivery, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(),
		Outcome: audit.Dropped, Text: why, Of: []audit.SeqRange{{First: seq, Last: seq}}})
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
