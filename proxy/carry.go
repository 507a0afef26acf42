package proxy

import (
	"cmp"
	"context"
	"sync"
	"time"

	"sallyport/audit"
	"sallyport/internal/content"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// crossing is one stanza on its way through.
type crossing struct {
	el       *stanza.Element
	dir      Direction
	pair     Pair
	from, to *jid.Address
	proof    *proof // under which its stream may carry it
	facts    content.Facts
	changed  []byte // as policy wants it to leave; nil: as it came
	emptied  bool   // policy's changes leave nothing of it
	change   audit.ChangePart
	link     *policy.LinkFacts // of the outside leg
	decision policy.Decision
	shutOut  bool // its pair may have no link at all
	sight    *sight
}

// load is what one read brought, on its way through. Loads are shared by all links: only those that carry hold one.
type load struct {
	cross   []crossing
	events  []audit.Event
	input   policy.Input     // what policy is being asked
	none    policy.LinkFacts // of a link that does not stand yet
	out     []byte           // the stanza that is being forwarded
	said    []byte           // what stanzas say, for the record
	reading reading          // of the one that is being read
}

var loads = sync.Pool{New: func() any { return new(load) }}

// carry is the one way through, the same in both directions, for all that a link read at once: policy judges, the record is
// committed, and only then is each stanza sent, refused or dropped. What cannot be recorded is refused (DESIGN §5, 1).
func (p *Proxy) carry(ctx context.Context, in *inbound) {
	l := in.load
	if l == nil {
		return
	}
	defer in.unload()
	begun := time.Now()
	rules := p.Policy.Snapshot()
	for i := range l.cross {
		c := &l.cross[i]
		c.facts = content.Classify(c.el, c.from.JID.Local, c.to.JID.Local)
		p.judge(ctx, rules, in, &l.cross[i])
		l.events = append(l.events, stanzaEvent(in, &l.cross[i]))
	}
	judged := time.Now()
	if err := p.Record.Append(ctx, l.events); err != nil {
		p.unrecorded(in, l, err)
		return
	}
	p.instruments.carried(l.cross, judged.Sub(begun), time.Since(judged))
	for i := range l.cross {
		c, e := &l.cross[i], &l.events[i]
		in.notify(c)
		switch c.decision.Effect {
		case policy.Allow:
			if c.sight = in.sightOf(rules, c); !c.sight.blind() {
				in.contacted(rules, c)
			}
			p.forward(in, c, e)
		case policy.Drop:
			p.drop(c, e)
		default:
			p.refuse(c, e)
		}
	}
	in.flush()
}

// judge asks policy about one stanza: first whether its pair may have a link at all, then about the stanza.
func (p *Proxy) judge(ctx context.Context, rules *policy.Snapshot, in *inbound, c *crossing) {
	c.link = in.outsideLeg(c)
	p.judgeOn(ctx, rules, in, c)
}

// judgeOn is judge where the outside leg is known.
func (p *Proxy) judgeOn(ctx context.Context, rules *policy.Snapshot, in *inbound, c *crossing) {
	if d := in.linkDecision(ctx, rules, c); d.Effect != policy.Allow {
		c.decision = policy.Decision{Effect: policy.Deny, Rule: d.Rule, Reason: d.Reason, Message: d.Message, Revision: d.Revision, Labels: d.Labels,
			Condition: cmp.Or(d.Condition, string(stanza.NotAllowed))}
		c.shutOut = true
		if also, picked := p.Policy.Shadow().Picks(); picked {
			p.fill(also, in, c)
			p.Policy.Shadow().Offer(&in.load.input, &c.decision)
		}
		return
	}
	p.judgeStanza(ctx, rules, in, c)
}

// judgeStanza is judge for a pair that may have a link.
func (p *Proxy) judgeStanza(ctx context.Context, rules *policy.Snapshot, in *inbound, c *crossing) {
	shadow := p.Policy.Shadow()
	also, picked := shadow.Picks()
	p.fill(rules.ReadSet()|also, in, c)
	c.decision = rules.Stanza(ctx, &in.load.input)
	if picked {
		shadow.Offer(&in.load.input, &c.decision)
	}
	in.change(c)
}

// forward queues an allowed stanza for its way out; what the queue does not take is bounced.
func (p *Proxy) forward(in *inbound, c *crossing, e *audit.Event) {
	l := in.load
	if c.changed != nil {
		l.out = append(l.out[:0], c.changed...)
	} else {
		l.out = c.el.AppendTo(l.out[:0], c.rewrite(in.lang.added))
	}
	r, it := route{c.dir, c.pair}, queued{seq: e.Seq, sight: c.sight}
	o, err := in.last, errEnded
	if o != nil && o.r == r {
		err = o.push(l.out, it, 0)
	}
	if err != nil {
		o, err = p.router.send(r, l.out, it, in.patience())
	}
	if err != nil {
		p.undelivered(&answered{r: r, seq: e.Seq, reason: undeliverable(err, c.pair.Local.String())}, c.el)
		return
	}
	if in.last != o {
		in.flush()
		in.last = o
	}
}

// patience is how long a full queue may hold this link's reader back. A backend that shares one stream among its remote domains is
// not held back for the slowest of them: its questions about our keys would wait too (D4, D8).
func (in *inbound) patience() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.door == Inside && len(in.pairs) > 1 {
		return 0
	}
	return in.p.now().Limits.QueueWait
}

// rewrite says what our writer has to change: addresses that are not in canonical form, and the language that the stanza
// inherits from its stream ([C16], [A06]).
func (c *crossing) rewrite(lang string) stanza.Rewrite {
	rw := stanza.Rewrite{Lang: lang}
	if !c.from.Canonical {
		rw.From = c.from.Full
	}
	if !c.to.Canonical {
		rw.To = c.to.Full
	}
	return rw
}

// flush wakes the link that the batch was queued for: once a batch, not once a stanza.
func (in *inbound) flush() {
	if in.last != nil {
		in.last.nudge()
	}
}

// unload gives the load back, empty and pointing at nothing.
func (in *inbound) unload() {
	l := in.load
	in.load = nil
	in.carried.Add(uint64(len(l.cross)))
	clear(l.cross)
	clear(l.events)
	l.cross, l.events, l.input = l.cross[:0], l.events[:0], policy.Input{}
	if cap(l.out) > 64<<10 {
		l.out = nil
	}
	l.reading = reading{}
	if l.said = l.said[:0]; cap(l.said) > 64<<10 {
		l.said = nil
	}
	loads.Put(l)
}
