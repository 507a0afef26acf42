package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// State is how far an outbound link has come. It is for people and metrics; the program counter is the state that decides.
type State string

// The states of an outbound link.
const (
	Opening State = "opening"
	Up      State = "up"
	Waiting State = "waiting" // between two tries
	Ended   State = "ended"
)

// outbound is the link of one route: a queue, the goroutine that opens and writes the stream, and one that reads it.
type outbound struct {
	// Set at birth.
	p    *Proxy
	r    route
	id   string
	log  *slog.Logger
	wake chan struct{} // buffered: something is in the queue
	redo chan error    // buffered: the stream must begin anew, and why
	stop context.CancelCauseFunc
	ctx  context.Context

	// Guarded by mu.
	mu        sync.Mutex
	state     State
	next      queue
	room      chan struct{} // closed when the queue was taken, for those who wait for room
	full      bool          // overflowed: senders do not wait until it was emptied
	inFlight  int           // stanzas taken and not yet settled
	kept      int           // of those, written and not acknowledged,
	keptBytes int           // and how long they are
	remote    string
	since     time.Time
	backend   string                  // inside: where the stream leads
	over      string                  // the link on whose stream it writes; empty: its own
	by        judged                  // what proves the peer of the stream that stands
	due       time.Time               // when the link has to be judged again; zero: when the policy changes
	hangUp    context.CancelCauseFunc // ends the call that is under way; nil before the first

	// Owned by run.
	current queue
	unacked []batch // written and not acknowledged, in their order
	unaware bool    // the peer's acknowledgements were wrong or late: do without

	facts   atomic.Pointer[policy.LinkFacts] // while the stream stands
	s       atomic.Pointer[stream.Stream]    // the newest
	w       atomic.Pointer[writer]           // of a stream that it opened, while that stands
	carried atomic.Uint64
}

func newOutbound(ctx context.Context, p *Proxy, r route) *outbound {
	o := &outbound{p: p, r: r, id: linkID(), wake: make(chan struct{}, 1), redo: make(chan error, 1), state: Opening, room: make(chan struct{})}
	o.ctx, o.stop = context.WithCancelCause(ctx)
	o.log = p.Log.With("link", o.id, "door", r.dir.exit().String(), "from", r.from().String(), "to", r.to().String())
	return o
}

// errFull and errEnded are why a queue does not take a stanza.
var (
	errFull  = errors.New("the queue is full")
	errEnded = errors.New("the link has ended")
)

// push queues a stanza. A full queue of a live link holds the caller back, for patience at the most, so that a sender faster than
// its receiver is slowed down and not bounced; a full queue of any other link refuses at once, and so does a gate that holds too
// much for all links together.
func (o *outbound) push(bytes []byte, it queued, patience time.Duration) error {
	limits := &o.p.now().Limits
	total := limits.QueueTotal
	if it.answer != nil {
		total += total / 8 // a gate that is full must be able to say so
	}
	for {
		o.mu.Lock()
		switch {
		case o.state == Ended:
			o.mu.Unlock()
			return errEnded
		case len(o.next.items)+o.kept < limits.QueueCount && len(o.next.buf)+o.keptBytes+len(bytes) <= max(limits.QueueBytes, len(bytes)) && o.p.router.hold(len(bytes), total):
			it.since = time.Now()
			o.next.push(bytes, it)
			o.mu.Unlock()
			return nil
		case o.state != Up || o.full || patience == 0:
			o.mu.Unlock()
			return errFull
		}
		room := o.room
		o.mu.Unlock()
		o.nudge()
		wait := time.NewTimer(patience)
		select {
		case <-room:
			wait.Stop()
		case <-wait.C:
			o.mu.Lock()
			o.full = true
			o.mu.Unlock()
		}
	}
}

// nudge tells run that there is something to write.
func (o *outbound) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take moves what is queued into current; false when there is nothing.
func (o *outbound) take() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next.empty() {
		return false
	}
	o.current.reset()
	o.current, o.next = o.next, o.current
	o.inFlight += len(o.current.items)
	o.full = false
	close(o.room)
	o.room = make(chan struct{})
	return true
}

func (o *outbound) enter(s State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = s
}

// run opens the stream and writes what is queued, until the link is idle for long, fails, or is told to stop. What cannot be
// delivered is bounced, all of it, before run returns.
func (o *outbound) run() {
	defer o.stop(nil)
	tries := 0 // in vain, since something was delivered
	for {
		before := o.carried.Load()
		stood, err := o.once()
		if stood && o.retire() {
			return
		}
		if o.ctx.Err() != nil {
			o.end(o.stopped())
			return
		}
		if o.carried.Load() != before {
			tries = 0
		}
		if stood && voluntary(err) {
			continue // what is queued now came in the meantime
		}
		peer := ""
		if stood {
			peer = o.remote
		}
		f := failure(StepStream, peer, err)
		o.p.instruments.failed(o.r.dir.exit(), f.Step)
		wait, again := o.again(f, stood, tries)
		if !again {
			o.fail(f)
			return
		}
		f.line(o.log, wait)
		o.pause(min(wait, time.Until(o.deadline())))
		if o.sift(f); o.idle() {
			if !stood {
				o.fail(f)
				return
			}
			if o.retire() {
				return
			}
		}
		tries++
	}
}

// voluntary says whether it was we who ended a stream that had stood.
func voluntary(err error) bool {
	var ours *stream.Error
	return errors.Is(err, errIdle) || errors.Is(err, errMoved) || errors.As(err, &ours) && !ours.Received && ours.Condition == stream.Reset
}

// again says whether a failed link is tried once more, and after how long. A backend is expected to come back: what waits for it is
// kept for Limits.QueueAge. A remote server gets more tries when its stream had stood, at once, but not for ever without taking
// anything ([C24], PROTOCOL 11.1, 11.7). tries counts the tries in vain.
func (o *outbound) again(f *Failure, stood bool, tries int) (time.Duration, bool) {
	const inVain = 3
	switch {
	case f.Permanent:
		return 0, false
	case o.r.dir == In:
		return min(time.Second<<min(tries, 3), 8*time.Second), true
	}
	return 0, stood && tries < inVain
}

func (o *outbound) pause(wait time.Duration) {
	o.enter(Waiting)
	select {
	case <-time.After(wait):
	case <-o.ctx.Done():
	}
	o.enter(Opening)
}

// idle says that nothing waits to be written.
func (o *outbound) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next.empty() && o.inFlight == 0
}

// deadline is when the stanza that has waited longest may wait no longer.
func (o *outbound) deadline() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	since := time.Now()
	switch {
	case !o.current.empty():
		since = o.current.items[0].since
	case !o.next.empty():
		since = o.next.items[0].since
	}
	return since.Add(o.p.now().Limits.QueueAge)
}

// sift bounces what cannot wait for another try: what has waited for Limits.QueueAge, and a stanza at which two streams have ended.
// The third may take what stands behind it (PROTOCOL 11.2, the poison stanza).
func (o *outbound) sift(f *Failure) {
	if items := o.current.items; len(items) > 0 && items[0].cuts > 1 {
		poison := o.current.shift(1)
		o.settled(1)
		o.returned(&poison, stanza.Error{Condition: stanza.PolicyViolation, By: o.r.pair.Local.String(), Text: "the stream with the recipient's server ended twice at this message"})
	}
	o.expire(f.stanzaError(o.r.pair.Local.String()))
}

// expire bounces what has waited for too long.
func (o *outbound) expire(reason stanza.Error) {
	limit := time.Now().Add(-o.p.now().Limits.QueueAge)
	if n := o.current.older(limit); n > 0 {
		late := o.current.shift(n)
		o.settled(n)
		o.returned(&late, reason)
	}
	o.mu.Lock()
	late := o.next.shift(o.next.older(limit))
	o.mu.Unlock()
	o.returned(&late, reason)
}

// settled says that n stanzas of current are in flight no longer.
func (o *outbound) settled(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inFlight -= n
}

// returned bounces stanzas that are in the queue no longer.
func (o *outbound) returned(q *queue, reason stanza.Error) {
	defer q.reset()
	o.p.router.release(q.start(len(q.items)))
	for i := range q.items {
		o.p.bounceQueued(o.r, q.stanza(i), &q.items[i], reason)
	}
}

// retire ends the link if it has nothing left to write: no failure, nothing to bounce.
func (o *outbound) retire() bool {
	o.mu.Lock()
	done := o.next.empty() && o.inFlight == 0
	if done {
		o.state = Ended
		close(o.room)
	}
	o.mu.Unlock()
	if done {
		o.p.router.remove(o)
	}
	return done
}

// stopped is why the link was told to stop.
func (o *outbound) stopped() *Failure {
	if f, ok := context.Cause(o.ctx).(*Failure); ok {
		return f
	}
	return &Failure{Step: StepStream, Err: errors.New("this gate is shutting down")}
}

// fail ends the link for a reason: one line, one event, and bounces for all that waited.
func (o *outbound) fail(f *Failure) {
	wait := o.p.router.failed(o.r, f)
	f.line(o.log, wait)
	e := audit.Event{Kind: audit.LinkFail, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(),
		Step: string(f.Step), Address: f.Peer, Error: f.Err.Error(), Advice: f.Advice, Cert: f.Cert, NextTry: wait}
	decided(&e, f.Err)
	o.p.Record.Note(e)
	o.end(f)
}

// end takes the link out of the router and bounces what is left. After the state is Ended nothing can be queued any more.
func (o *outbound) end(f *Failure) {
	o.p.router.remove(o)
	o.mu.Lock()
	o.state = Ended
	close(o.room)
	rest := o.next
	o.next = queue{}
	o.inFlight = 0
	o.mu.Unlock()
	reason := f.stanzaError(o.r.pair.Local.String())
	o.returned(&o.current, reason)
	o.returned(&rest, reason)
}
