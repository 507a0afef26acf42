package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
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
	born time.Time
	wake chan struct{} // buffered: something is in the queue, or the end is wanted
	stop context.CancelFunc
	ctx  context.Context

	// Guarded by mu.
	mu       sync.Mutex
	state    State
	next     queue
	room     chan struct{} // closed when the queue was taken, for those who wait for room
	full     bool          // overflowed: senders do not wait until it was emptied
	inFlight int           // stanzas taken and not yet settled
	facts    policy.LinkFacts
	remote   string
	since    time.Time

	// Owned by run.
	current queue

	carried atomic.Uint64
}

func newOutbound(ctx context.Context, p *Proxy, r route) *outbound {
	o := &outbound{p: p, r: r, id: linkID(), born: time.Now(), wake: make(chan struct{}, 1), state: Opening, room: make(chan struct{})}
	o.ctx, o.stop = context.WithCancel(ctx)
	o.log = p.Log.With("link", o.id, "door", r.dir.exit().String(), "from", r.from().String(), "to", r.to().String())
	return o
}

// errFull and errEnded are why a queue does not take a stanza.
var (
	errFull  = errors.New("the queue is full")
	errEnded = errors.New("the link has ended")
)

// push queues a stanza. A full queue of a live link holds the caller back for a while, so that a sender faster than its
// receiver is slowed down and not bounced; a full queue of any other link refuses at once.
func (o *outbound) push(bytes []byte, seq uint64, bounce bool) error {
	limits := &o.p.now().Limits
	for {
		o.mu.Lock()
		switch {
		case o.state == Ended:
			o.mu.Unlock()
			return errEnded
		case len(o.next.items) < limits.QueueCount && len(o.next.buf)+len(bytes) <= max(limits.QueueBytes, len(bytes)):
			o.next.push(bytes, seq, bounce, time.Now())
			o.mu.Unlock()
			return nil
		case o.state != Up || o.full || bounce:
			o.mu.Unlock()
			return errFull
		}
		room := o.room
		o.mu.Unlock()
		o.nudge()
		patience := time.NewTimer(limits.QueueWait)
		select {
		case <-room:
			patience.Stop()
		case <-patience.C:
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
	o.inFlight = len(o.current.items)
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
	defer o.stop()
	deadline := time.Now().Add(o.p.now().Limits.QueueAge)
	for try := 0; ; try++ {
		stood, err := o.once(deadline)
		if stood {
			if o.retire() {
				return
			}
			try, deadline = 0, time.Now().Add(o.p.now().Limits.QueueAge)
		}
		if o.ctx.Err() != nil {
			o.end(&Failure{Step: StepStream, Err: errors.New("this gate is shutting down")})
			return
		}
		if err == nil {
			continue
		}
		f := failure(StepStream, "", err)
		o.p.instruments.failed(o.r.dir.exit(), f.Step)
		wait, again := o.again(f, stood, try)
		if !again || time.Now().Add(wait).After(deadline) {
			o.fail(f)
			return
		}
		f.line(o.log, wait)
		o.pause(wait)
	}
}

// again says whether a failed link is tried once more, and after how long. A backend is expected to come back: its queue is
// kept for Limits.QueueAge. A remote server gets one more try when its stream had stood ([C24], PROTOCOL 11.1, 11.7).
func (o *outbound) again(f *Failure, stood bool, try int) (time.Duration, bool) {
	switch {
	case f.Permanent:
		return 0, false
	case o.r.dir == In:
		return min(time.Second<<min(try, 3), 8*time.Second), true
	}
	return 0, stood
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

// once opens the stream and pumps until it ends. stood says that the stream came up; a nil error with it, that we ended it.
func (o *outbound) once(deadline time.Time) (stood bool, err error) {
	ctx, cancel := context.WithDeadline(o.ctx, deadline)
	c, err := o.open(ctx)
	cancel()
	if err != nil {
		return false, err
	}
	o.up(c)
	return true, o.pump(c.s)
}

// open connects and proves us, within the time that the queue may wait.
func (o *outbound) open(ctx context.Context) (*connection, error) {
	ctx, span := o.p.Telemetry.span(ctx, "link", routeAttributes(o.r)...)
	c, err := o.p.connect(ctx, o.r)
	if err == nil {
		err = o.p.prove(ctx, o.r, c)
		if err != nil {
			c.s.Fail(&stream.Error{Condition: stream.UndefinedCondition})
		}
	}
	endSpan(span, err)
	return c, err
}

// up announces the link.
func (o *outbound) up(c *connection) {
	c.facts.ID = o.id
	o.mu.Lock()
	o.state, o.facts, o.remote, o.since = Up, c.facts, c.s.RemoteAddr().String(), time.Now()
	o.mu.Unlock()
	o.p.router.succeeded(o.r)
	o.p.instruments.opened(o.r.dir.exit(), "out", c.facts)
	e := linkEvent(audit.LinkOpen, o.r.dir, o.r.pair, c.facts)
	e.Link = o.id
	o.p.Record.Note(e)
	o.log.Info("link open", "peer", o.remote, "channel", c.facts.Channel, "proof", c.facts.Proof, "tls", c.facts.TLSVersion, "cipher", c.facts.Cipher)
}

// pump writes what is queued, batch by batch, one write a batch, and returns when the stream ends. nil: we ended it.
func (o *outbound) pump(s *stream.Stream) error {
	limits := o.p.now().Limits
	reader := make(chan error, 1)
	o.p.links.Go(func() { reader <- o.listen(s) })
	var end error
	defer func() { o.down(s, end) }()
	quiet := time.NewTimer(limits.Keepalive)
	defer quiet.Stop()
	last := time.Now()
	for {
		for !o.current.empty() || o.take() {
			if end = o.write(s); end != nil {
				s.Abort()
				return end
			}
			last = time.Now()
		}
		select {
		case <-o.wake:
		case err := <-reader:
			end = err
			s.Close()
			return end
		case <-quiet.C:
			quiet.Reset(limits.Keepalive)
			if time.Since(last) >= limits.Idle {
				s.Close()
				return nil
			}
			if _, err := s.Write([]byte(" ")); err != nil {
				end = err
				return end
			}
		case <-o.ctx.Done():
			s.Close()
			return nil
		}
	}
}

// write sends current in one piece and settles it in the record. What a failed write had handed over whole counts as written;
// the rest stays in current, for the next stream or the bounces.
func (o *outbound) write(s *stream.Stream) error {
	n, err := s.Write(o.current.buf)
	sent := len(o.current.items)
	if err != nil {
		sent = o.current.split(n)
	}
	if of := o.current.ranges(0, sent); len(of) > 0 {
		o.p.Record.Note(audit.Event{Kind: audit.Delivery, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(), Outcome: audit.Written, Of: of})
	}
	o.carried.Add(uint64(sent))
	o.mu.Lock()
	o.inFlight -= sent
	o.mu.Unlock()
	if err == nil {
		o.current.reset()
		return nil
	}
	var rest queue
	for i := sent; i < len(o.current.items); i++ {
		it := o.current.items[i]
		rest.push(o.current.stanza(i), it.seq, it.bounce, it.since)
	}
	o.current.reset()
	o.current = rest
	return err
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

func (o *outbound) down(s *stream.Stream, err error) {
	s.Abort()
	o.mu.Lock()
	o.state = Opening
	facts := o.facts
	o.mu.Unlock()
	o.p.instruments.closed(o.r.dir.exit(), "out", facts)
	e := linkEvent(audit.LinkClose, o.r.dir, o.r.pair, facts)
	e.Link, e.Error = o.id, ending(err)
	o.p.Record.Note(e)
	o.log.Info("link closed", "reason", ending(err), "stanzas", o.carried.Load())
}

// fail ends the link for a reason: one line, one event, and bounces for all that waited.
func (o *outbound) fail(f *Failure) {
	wait := o.p.router.failed(o.r, f)
	f.line(o.log, wait)
	o.p.Record.Note(audit.Event{Kind: audit.LinkFail, Link: o.id, Dir: o.r.dir.String(), Local: o.r.pair.Local.String(), Remote: o.r.pair.Remote.String(),
		Step: string(f.Step), Address: f.Peer, Error: f.Err.Error(), Advice: f.Advice, Cert: f.Cert, NextTry: wait})
	o.end(f)
}

// end takes the link out of the router and bounces what is left. After the state is Ended nothing can be queued any more.
func (o *outbound) end(f *Failure) {
	o.p.router.remove(o)
	o.mu.Lock()
	o.state = Ended
	close(o.room)
	rest := o.next
	o.mu.Unlock()
	reason := f.stanzaError(o.r.pair.Local.String())
	for _, q := range []*queue{&o.current, &rest} {
		for i := range q.items {
			o.p.bounceQueued(o.r, q.stanza(i), q.items[i], reason)
		}
	}
}
