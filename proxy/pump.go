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

// pump writes what is queued, batch by batch, one write a batch, until the stream ends. The error is why it did.
func (o *outbound) pump(s *stream.Stream) error {
	said := make(chan error, 1)
	o.p.links.Go(func() { said <- o.listen(s) })
	fed := make(chan struct{})
	release := context.AfterFunc(o.ctx, func() {
		select {
		case <-fed:
		case <-time.After(stuck):
			s.Abort() // the peer does not read
		}
	})
	err := o.feed(s, s.FeatureLimits(), said)
	close(fed)
	release()
	finish(s, err)
	s.Abort()
	o.down(err)
	return err
}

// feed is pump without the end.
func (o *outbound) feed(s *stream.Stream, told stream.Capacity, said <-chan error) error {
	limits := &o.p.now().Limits
	ping, rest := rhythm(limits, told.Idle)
	quiet := time.NewTimer(ping)
	defer quiet.Stop()
	last := time.Now()
	for {
		for !o.current.empty() || o.take() {
			select {
			case err := <-said:
				return err // what is written now would be lost
			case <-o.ctx.Done():
				return context.Cause(o.ctx)
			default:
			}
			if o.fit(told.Bytes); o.current.empty() {
				continue
			}
			if last = time.Now(); o.current.items[0].since.Add(limits.QueueAge).Before(last) {
				o.expire((&Failure{Step: StepStream, Err: errors.New("the peer takes its stanzas too slowly")}).stanzaError(o.r.pair.Local.String()))
				continue
			}
			if err := o.write(s); err != nil {
				s.Abort()
				return o.because(<-said, err)
			}
		}
		select {
		case <-o.wake:
		case err := <-said:
			return err
		case err := <-o.redo:
			return err
		case <-quiet.C:
			silent := time.Since(last)
			if silent >= rest {
				return errIdle
			}
			if silent < ping {
				quiet.Reset(ping - silent)
				continue
			}
			quiet.Reset(ping)
			if _, err := s.Write([]byte(" ")); err != nil {
				s.Abort()
				return o.because(<-said, err)
			}
		case <-o.ctx.Done():
			return context.Cause(o.ctx)
		}
	}
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

// because is why a write failed: that the link was told to stop, or what the peer said, if it said so.
func (o *outbound) because(said, err error) error {
	var e *stream.Error
	switch {
	case o.ctx.Err() != nil:
		return context.Cause(o.ctx)
	case errors.As(said, &e) && e.Received:
		return e
	}
	return fmt.Errorf("writing: %w", err)
}

// write sends current in one piece and settles it in the record. What a failed write had handed over whole counts as written;
// the rest stays in current, for the next stream or the bounces.
func (o *outbound) write(s *stream.Stream) error {
	limits := &o.p.now().Limits
	if left := time.Until(o.current.items[0].since.Add(limits.QueueAge)); left < limits.Write {
		// The first stanza may wait no longer than that for a peer that does not read.
		late := time.AfterFunc(left, s.Abort)
		defer late.Stop()
	}
	n, err := s.Write(o.current.buf)
	sent := len(o.current.items)
	if err != nil {
		sent = o.current.split(n)
	}
	o.delivered(sent)
	if err == nil {
		o.current.reset()
		return nil
	}
	written := o.current.shift(sent)
	written.reset()
	if !o.current.empty() {
		o.current.items[0].cuts++
	}
	return err
}

// delivered settles the first n stanzas of current.
func (o *outbound) delivered(n int) {
	if of := o.current.ranges(0, n); len(of) > 0 {
		o.p.Record.Note(audit.Event{Kind: audit.Delivery, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(), Outcome: audit.Written, Of: of})
	}
	for i := range o.current.items[:n] {
		if a := o.current.items[i].answer; a != nil {
			o.p.settle(a, true)
		}
	}
	o.p.router.release(o.current.start(n))
	o.carried.Add(uint64(n))
	o.settled(n)
}

// listen reads what a receiving server may say on a stream that carries stanzas only from us: errors, and its end. Questions
// and stanzas have no place here ([B21], [B25]).
func (o *outbound) listen(s *stream.Stream) error {
	strays := strays{p: o.p, s: s}
	for {
		el, err := s.Next()
		switch {
		case errors.Is(err, stream.ErrStanza):
			s.Fail(&stream.Error{Condition: stream.NotAuthorized})
			return errors.New("the peer sent a stanza on a stream of ours, which it has not proved itself on")
		case err != nil:
			return err
		}
		strays.pass(el)
	}
}
