package proxy

import (
	"context"
	"errors"
	"time"

	"sallyport/audit"
)

// once opens the stream and pumps until it ends. stood says that the stream came up; the error is why it did not, or why it ended.
func (o *outbound) once() (stood bool, err error) {
	c, err := o.call()
	if err != nil {
		return false, err
	}
	select {
	case <-o.redo: // was about the stream before
	default:
	}
	o.up(c)
	if f := o.unwanted(); f != nil {
		o.stop(f) // the policy or the settings changed while the link was made
	}
	return true, o.pump(c)
}

// call opens a stream, or finds that of a peer that has come by itself in the meantime.
func (o *outbound) call() (*connection, error) {
	for {
		called, hangUp := context.WithCancelCause(o.ctx)
		ctx, cancel := context.WithDeadline(called, o.deadline())
		o.mu.Lock()
		o.hangUp = hangUp
		o.mu.Unlock()
		c, err := o.open(ctx)
		came := errors.Is(context.Cause(ctx), errCame)
		cancel()
		hangUp(nil)
		if err == nil || o.ctx.Err() != nil {
			return c, err
		}
		if back := o.returning(); back != nil && o.vouched(o.ctx, back) {
			return back, nil
		}
		if !came { // else it has gone again
			return nil, err
		}
	}
}

// open connects and proves us, within the time that the queue may wait. A peer that ends the stream because of our certificate gets
// another one, with dialback alone ([S08]); one that takes no more streams gets our proof on one that stands (D23). Who wants our stanzas
// on its own stream is not called ([M02]).
func (o *outbound) open(ctx context.Context) (*connection, error) {
	if c := o.returning(); c != nil && o.vouched(ctx, c) {
		return c, nil
	}
	ctx, span := o.p.Telemetry.span(ctx, "link", routeAttributes(o.r)...)
	c, err := o.p.open(ctx, o.r, externalToo)
	if errors.Is(err, errExternalRefused) && ctx.Err() == nil {
		c, err = o.p.open(ctx, o.r, dialbackAlone)
	}
	if o.r.dir == Out && crowded(err) {
		if shared, failed := o.share(ctx); shared != nil || failed != nil {
			c, err = shared, failed
		}
	}
	endSpan(span, err)
	return c, err
}

// up announces the link.
func (o *outbound) up(c *connection) {
	c.facts.ID = o.id
	if o.r.dir == Out {
		c.facts.Known = o.p.known(Out, o.r.pair, &c.facts)
	}
	o.mu.Lock()
	o.by = c.by
	o.mu.Unlock()
	o.s.Store(c.s)
	o.facts.Store(&c.facts) // from here on it can be judged again
	o.mu.Lock()
	o.state, o.remote, o.backend, o.since, o.over = Up, c.s.RemoteAddr().String(), c.backend, time.Now(), ""
	if c.w != nil {
		o.over = c.w.id
	}
	o.mu.Unlock()
	o.p.router.succeeded(o.r)
	o.p.instruments.opened(o.r.dir.exit(), "out", c.facts)
	e := linkEvent(audit.LinkOpen, o.r.dir, o.r.pair, c.facts)
	e.Link = o.id
	if c.w != nil {
		e.Text = "on the stream of link " + c.w.id
	}
	o.p.Record.Note(e)
	o.log.Info("link open", "peer", o.remote, "channel", c.facts.Channel, "proof", c.facts.Proof, "tls", c.facts.TLSVersion, "cipher", c.facts.Cipher)
	if o.r.dir == Out && c.w == nil { // a caller proves nothing of how its server answers
		o.p.remember(Out, o.r.pair, &c.facts, o.log, o.note)
	}
}

// note records an event of this link.
func (o *outbound) note(e audit.Event) {
	e.Link, e.Dir, e.Address = o.id, o.r.dir.String(), o.remote
	o.p.Record.Note(e)
}

// down is the reverse of up.
func (o *outbound) down(why error) {
	facts := o.facts.Swap(nil)
	o.enter(Opening)
	o.p.instruments.closed(o.r.dir.exit(), "out", *facts)
	e := linkEvent(audit.LinkClose, o.r.dir, o.r.pair, *facts)
	e.Link, e.Error = o.id, ending(why)
	o.p.Record.Note(e)
	o.log.Info("link closed", "reason", ending(why), "stanzas", o.carried.Load())
}
