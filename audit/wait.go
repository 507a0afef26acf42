package audit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// waiter is one caller of Append.
type waiter struct {
	done     chan error // has room for the answer
	patience *time.Timer
	of       SeqRange  // its events
	passing  uint64    // of them: stanzas that are to pass
	left     departure // guarded by Log.mu
}

// departure is how a waiter that does not wait any longer has left.
type departure uint8

const (
	waits   departure = iota
	refused           // its stanzas did not pass
	passed            // its stanzas passed, for on_failure is pass
)

func (l *Log) waiter() *waiter {
	if n := len(l.idle); n > 0 {
		w := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return w
	}
	w := &waiter{done: make(chan error, 1), patience: time.NewTimer(l.cfg.Patience)}
	w.patience.Stop()
	return w
}

// wait says whether a waiter's events are in the record, and where they are not, why they must not pass.
func (l *Log) wait(ctx context.Context, w *waiter) (recorded bool, err error) {
	w.patience.Reset(l.cfg.Patience)
	defer w.patience.Stop()
	select {
	case err := <-w.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.idle = append(l.idle, w)
		return err == nil, l.excused(err)
	case <-w.patience.C:
		return l.leave(w, errHangs)
	case <-ctx.Done():
		return l.leave(w, ctx.Err())
	}
}

// excused is what is left of a failure of the record where that stops nothing.
func (l *Log) excused(err error) error {
	if l.cfg.OnFailure == Pass {
		return nil
	}
	return err
}

// leave gives up waiting, unless the answer is there.
func (l *Log) leave(w *waiter, cause error) (recorded bool, err error) {
	l.mu.Lock()
	select {
	case err := <-w.done:
		l.mu.Unlock()
		return err == nil, l.excused(err)
	default:
	}
	w.left = refused
	if cause != errHangs {
		l.mu.Unlock()
		return false, fmt.Errorf("waiting for the record: %w", cause)
	}
	if l.cfg.OnFailure == Pass {
		w.left = passed
	}
	first := l.hung == nil
	l.hung = errHangs
	l.ailing()
	l.mu.Unlock()
	if first {
		l.cfg.Log.Error("the audit record takes no events", "error", errHangs, "after", l.cfg.Patience.String(), "on_failure", l.cfg.OnFailure,
			"advice", "look at the disk of audit.dir; the record goes on by itself when that answers")
	}
	return false, l.excused(unrecorded(cause))
}

// errHangs has everybody who comes treated as on_failure says, until the disk answers.
var errHangs = errors.New("the disk does not answer")

// heard notes that the disk answers, be it with an error.
func (l *Log) heard() {
	l.mu.Lock()
	hung, since := l.hung != nil, l.since
	l.hung = nil
	if l.fault == nil {
		l.since = time.Time{}
	}
	now := l.clock()
	l.mu.Unlock()
	if hung {
		l.cfg.Log.Info("the disk of the audit record answers again", "after", now.Sub(since).Round(time.Millisecond).String())
	}
}

// ailing notes when what is wrong began.
func (l *Log) ailing() {
	if l.since.IsZero() {
		l.since = l.clock()
	}
}
