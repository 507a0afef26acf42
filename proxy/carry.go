package proxy

import (
	"context"
	"time"

	"sallyport/audit"
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
	decision policy.Decision
}

// carry is the one way through, the same in both directions, for all that a link read at once: policy judges, the record is
// committed, and only then is each stanza sent, refused or dropped. What cannot be recorded is refused (DESIGN §5, 1).
func (p *Proxy) carry(ctx context.Context, in *inbound) {
	batch := in.cross
	if len(batch) == 0 {
		return
	}
	defer in.next()
	begun := time.Now()
	rules := p.Policy.Snapshot()
	for i := range batch {
		p.judge(ctx, rules, in, &batch[i])
		in.events = append(in.events, stanzaEvent(in, &batch[i]))
	}
	judged := time.Now()
	if err := p.Record.Append(ctx, in.events); err != nil {
		p.unrecorded(in, batch, err)
		return
	}
	p.instruments.carried(batch, judged.Sub(begun), time.Since(judged))
	for i := range batch {
		c, e := &batch[i], &in.events[i]
		switch c.decision.Effect {
		case policy.Allow:
			p.forward(in, c, e)
		case policy.Drop:
		default:
			p.refuse(in, c, e)
		}
	}
	in.flush()
}

// judge asks policy about one stanza: first whether its pair may have a link at all, then about the stanza.
func (p *Proxy) judge(ctx context.Context, rules *policy.Snapshot, in *inbound, c *crossing) {
	if d := in.linkDecision(ctx, rules, c.pair); d.Effect != policy.Allow {
		c.decision = policy.Decision{Effect: policy.Deny, Rule: d.Rule, Reason: d.Reason, Condition: string(stanza.NotAllowed), Revision: d.Revision}
		return
	}
	p.fill(rules, in, c)
	c.decision = rules.Stanza(ctx, &in.input)
}

// forward queues an allowed stanza for its way out; what the queue does not take is bounced.
func (p *Proxy) forward(in *inbound, c *crossing, e *audit.Event) {
	in.out = c.el.AppendTo(in.out[:0], c.rewrite())
	r := route{c.dir, c.pair}
	o, err := in.last, error(nil)
	if o == nil || o.r != r || o.push(in.out, e.Seq, false) != nil {
		o, err = p.router.send(r, in.out, e.Seq, false)
	}
	if err != nil {
		p.bounceCrossing(c, e.Seq, undeliverable(err, c.pair.Local.String()))
		return
	}
	if in.last != o {
		in.flush()
		in.last = o
	}
}

// rewrite says what our writer has to change: addresses that are not in canonical form, and the language that the stanza
// inherits from its stream ([C16], [A06]).
func (c *crossing) rewrite() stanza.Rewrite {
	var rw stanza.Rewrite
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

// next forgets the batch that was carried.
func (in *inbound) next() {
	in.carried.Add(uint64(len(in.cross)))
	in.cross, in.events = in.cross[:0], in.events[:0]
}
