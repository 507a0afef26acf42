package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/audit"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
)

// errIdle ends a link that had nothing to carry.
var errIdle = errors.New("no stanza for a long time (limits.idle)")

// stuck is how long a write may go on after the link was told to stop.
const stuck = time.Second

// pump writes what is queued, batch by batch, one write a batch, until the stream ends, or the link leaves one that it shares. The error
// is why.
func (o *outbound) pump(c *connection) error {
	w := c.w
	if w == nil {
		w = o.begin(c)
	}
	if !w.join(o) {
		o.down(errMoved)
		return errMoved
	}
	fed := make(chan struct{})
	release := context.AfterFunc(o.ctx, func() {
		select {
		case <-fed:
		case <-time.After(stuck):
			w.s.Abort() // the peer does not read
		}
	})
	err := o.feed(w)
	o.lastCall(w)
	close(fed)
	release()
	if w.owner == o {
		o.close(w, err)
	}
	w.leave(o)
	o.takeBack(w)
	o.down(err)
	return err
}

// begin makes a writer of a stream that the link has opened.
func (o *outbound) begin(c *connection) *writer {
	w := newWriter(o.p, c.s, o, o.id, c.s.FeatureLimits())
	if o.r.dir == Out && !o.unaware && o.p.now().Acks && c.s.FeatureAcks() {
		w.enable()
	}
	if o.w.Store(w); c.both {
		o.receive(c, w)
	} else {
		o.p.links.Go(w.listen)
	}
	return w
}

// close ends a stream that the link has opened.
func (o *outbound) close(w *writer, err error) {
	o.w.Store(nil)
	w.vacate(o)
	if in := w.half.Load(); in != nil && in.acking.Load() {
		w.s.SetReadDeadline(past) // what comes from here on is not taken, and the peer hears so
		<-in.gone
	}
	finish(w.s, err)
	w.s.Abort()
	<-w.done // its last word may acknowledge something
}

// feed is pump without the end.
func (o *outbound) feed(w *writer) error {
	ping, rest := rhythm(&o.p.now().Limits, w.told.Idle)
	quiet := time.NewTimer(ping)
	defer quiet.Stop()
	last := time.Now()
	for {
		wrote, err := o.flush(w)
		if err != nil {
			return err
		}
		if wrote {
			last = time.Now()
		}
		select {
		case <-o.wake:
		case <-w.done:
			return w.err
		case err := <-o.redo:
			return err
		case <-quiet.C:
			switch silent := time.Since(last); {
			case silent >= rest && w.unused(o, rest):
				return errIdle
			case silent < ping:
				quiet.Reset(ping - silent)
			default:
				quiet.Reset(ping)
				if err := o.say(w, []byte(" ")); err != nil {
					return err
				}
			}
		case <-o.ctx.Done():
			return context.Cause(o.ctx)
		}
	}
}

// flush writes until nothing waits, and asks how far the peer is if it has not been asked already.
func (o *outbound) flush(w *writer) (wrote bool, err error) {
	limits := &o.p.now().Limits
	for o.acknowledged(w); !o.current.empty() || o.take(); o.acknowledged(w) {
		select {
		case <-w.done:
			return wrote, w.err // what is written now would be lost
		case err := <-o.redo:
			return wrote, err
		case <-o.ctx.Done():
			return wrote, context.Cause(o.ctx)
		default:
		}
		o.lookAgain()
		if o.fit(w.told.Bytes); o.current.empty() { // what is judged anew can have grown
			continue
		}
		if o.current.items[0].since.Add(limits.QueueAge).Before(time.Now()) {
			o.expire((&Failure{Step: StepStream, Err: errors.New("the peer takes its stanzas too slowly")}).stanzaError(o.r.pair.Local.String()))
			continue
		}
		if err := o.write(w); err != nil {
			return wrote, o.because(w, err)
		}
		wrote = true
	}
	if w.asks() {
		return wrote, o.say(w, stream.AppendAckRequest(nil))
	}
	return wrote, nil
}

// say writes what is no stanza.
func (o *outbound) say(w *writer, b []byte) error {
	if _, err := w.s.Write(b); err != nil {
		return o.because(w, err)
	}
	return nil
}

// rhythm says how often a link shows that it is there, and how long it may rest. A peer that says it waits less than the one
// (XEP-0478 §3.1) wants no link to rest: ours ends before the peer ends it, perhaps in the face of a stanza.
func rhythm(limits *Limits, told time.Duration) (ping, rest time.Duration) {
	if told > 0 && told <= limits.Keepalive {
		early := told - told/10
		return early, early
	}
	return limits.Keepalive, limits.Idle
}

// fit bounces what the peer says it does not take, in the words of XEP-0478 §4: the rule is the peer's, so nobody stands for it.
// most is the longest stanza that may go out; 0: the peer does not say.
func (o *outbound) fit(most int) {
	if most == 0 {
		return
	}
	if long := o.current.sieve(most); !long.empty() {
		o.settled(len(long.items))
		o.returned(&long, stanza.Error{Condition: stanza.PolicyViolation, Text: fmt.Sprintf("the recipient's server takes messages of %d bytes at the most", most)})
	}
}

// because ends the stream after a write that failed, and says why it did: the link was told to stop, or what the peer said, if it said
// so.
func (o *outbound) because(w *writer, err error) error {
	w.s.Abort()
	<-w.done
	var e *stream.Error
	switch {
	case o.ctx.Err() != nil:
		return context.Cause(o.ctx)
	case errors.As(w.err, &e) && (e.Received || e == w.faulty()):
		return e
	}
	return fmt.Errorf("writing: %w", err)
}

// write sends current in one piece. What a failed write had handed over whole counts as written; the rest stays in current, for the
// next stream or the bounces.
func (o *outbound) write(w *writer) error {
	limits := &o.p.now().Limits
	if left := time.Until(o.current.items[0].since.Add(limits.QueueAge)); left < limits.Write {
		// The first stanza may wait no longer than that for a peer that does not read.
		late := time.AfterFunc(left, w.s.Abort)
		defer late.Stop()
	}
	sent := len(o.current.items)
	w.turn.Lock()
	base, acked := w.count(sent)
	b := o.current.buf
	if w.asks() {
		b = stream.AppendAckRequest(b)
	}
	n, err := w.s.Write(b)
	w.turn.Unlock()
	if err != nil {
		sent = o.current.split(n)
	}
	if acked {
		o.keep(base, sent)
	} else {
		o.delivered(&o.current, 0, sent, audit.Written)
	}
	switch {
	case err == nil:
		o.current.reset()
		return nil
	case !acked:
		written := o.current.shift(sent)
		written.reset()
	}
	if !o.current.empty() {
		o.current.items[0].cuts++
	}
	return err
}

// delivered settles items[from:to] of what was written.
func (o *outbound) delivered(q *queue, from, to int, outcome string) {
	for _, again := range []bool{false, true} {
		of := q.ranges(from, to, again)
		if len(of) == 0 {
			continue
		}
		e := audit.Event{Kind: audit.Delivery, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(), Outcome: outcome, Of: of}
		if again {
			e.Text = "sent a second time; the first stream ended without a word about it, and may have delivered it too"
		}
		o.p.Record.Note(e)
	}
	for i := from; i < to; i++ {
		if a := q.items[i].answer; a != nil {
			o.p.settle(a, true)
		}
	}
	o.p.router.release(q.start(to) - q.start(from))
	o.carried.Add(uint64(to - from))
	o.settled(to - from)
}
