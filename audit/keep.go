package audit

import (
	"context"
	"errors"
	"time"
)

const (
	keepAfter = time.Minute    // after a start: there is other work first
	keepEvery = 24 * time.Hour // between looks for what has outlived its retention
)

// keeper deletes what has outlived its retention, in a goroutine of its own.
type keeper struct {
	log    *Log
	cancel context.CancelFunc
	done   chan struct{}
	wait   map[string]time.Time // segments that need not be looked at before
}

// startKeeper begins it; nil where nothing has a term.
func (l *Log) startKeeper() *keeper {
	if _, ok := l.cfg.Retention.shortest(time.Time{}); !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{log: l, cancel: cancel, done: make(chan struct{}), wait: map[string]time.Time{}}
	go k.run(ctx)
	return k
}

func (k *keeper) close() {
	if k != nil {
		k.cancel()
		<-k.done
	}
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	timer := time.NewTimer(keepAfter)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(keepEvery)
		}
		if err := k.round(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			k.log.cfg.Log.Warn("what has outlived its retention cannot be deleted; it is tried again tomorrow", "error", err)
		}
	}
}

// round deletes what is due. The clock that dates the lines also says when their time is over.
func (k *keeper) round(ctx context.Context) error {
	l := k.log
	now := l.now().UTC()
	d, err := deleteOn(ctx, l.w.disk, l.cfg, Order{Now: now, Wait: k.wait}, func(e Event) error {
		e.Deed.Who, e.Deed.Why, e.Deed.Query = "the gate", "the retention is over", "expired"
		events := []Event{e}
		if err := l.Append(ctx, events); err != nil {
			return err
		}
		if events[0].Seq == 0 { // on_failure: pass
			return ErrUnrecorded
		}
		l.cfg.Log.Info("an audit segment has outlived its retention and is deleted", "segment", e.Segment, "events", e.Count)
		return nil
	})
	for _, kept := range d.Kept {
		if kept.until.After(now) {
			k.wait[kept.Segment] = kept.until
		}
	}
	return err
}
