package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// clock keeps a connection's deadlines. Four parties set one for reading, and the earliest counts: the caller by
// SetReadDeadline, the context of the step that is being taken, the end of the stream, and the peer's silence.
type clock struct {
	conn net.Conn

	// Guarded by mu.
	mu     sync.Mutex
	caller time.Time
	step   time.Time
	end    time.Time
	silent time.Time
}

// past is a deadline that ends a call which is already waiting.
var past = time.Unix(1, 0)

// set changes one of the deadlines, and with it the connection's.
func (c *clock) set(deadline *time.Time, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	*deadline = t
	return c.conn.SetReadDeadline(earliest(c.caller, c.step, c.end, c.silent))
}

// patient says, when a wait for the peer has timed out, that nobody's deadline but that for its silence has passed.
func (c *clock) patient() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := earliest(c.caller, c.step, c.end)
	return !c.silent.IsZero() && (first.IsZero() || time.Now().Before(first))
}

// writeWithin bounds the next writing by d and by the step's context.
func (c *clock) writeWithin(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.SetWriteDeadline(earliest(time.Now().Add(d), c.step))
}

// written lifts the bound of the last writing. TLS writes by itself while we read, to answer a KeyUpdate for one: under a deadline that
// has passed it would fail, and every Write after it.
func (c *clock) written() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Time{})
}

// during makes calls on the connection end with ctx, until the returned function is called. Steps do not overlap.
func (c *clock) during(ctx context.Context) (done func()) {
	deadline, _ := ctx.Deadline()
	c.set(&c.step, deadline)
	over := false // guarded by mu
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !over {
			c.step = past
			c.conn.SetDeadline(past)
		}
	})
	return func() {
		stop()
		c.mu.Lock()
		over = true
		c.mu.Unlock()
		c.set(&c.step, time.Time{})
	}
}

// earliest ignores zero times; it is zero when all are.
func earliest(ts ...time.Time) (first time.Time) {
	for _, t := range ts {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// overdue names ctx's end where err says no more than that a deadline passed. The connection's may pass a moment before ctx's.
func overdue(ctx context.Context, err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w (%v)", cause, err)
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return fmt.Errorf("%w (%v)", context.DeadlineExceeded, err)
	}
	return err
}

// isTimeout says whether a peer was too slow, rather than that somebody wanted no more.
func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
