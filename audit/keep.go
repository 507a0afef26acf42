package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
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

// round deletes what is due, segments and then sealing keys. The clock that dates the lines also says when their time is over.
func (k *keeper) round(ctx context.Context) error {
	l := k.log
	now := l.now().UTC()
	if first, err := trustClock(l.cfg.Dir, now); err != nil || first {
		return err
	}
	note := func(e Event) error {
		e.Deed.Who, e.Deed.Why, e.Deed.Query = "the gate", "the retention is over", cmp.Or(e.Deed.Query, "expired")
		events := []Event{e}
		if err := l.Append(ctx, events); err != nil {
			return err
		}
		if events[0].Seq == 0 { // on_failure: pass
			return ErrUnrecorded
		}
		l.cfg.Log.Info("something of the audit record has outlived its retention and goes", "event", e.Kind, "segment", e.Segment, "keys", e.Deed.Query, "count", e.Count)
		return nil
	}
	d, err := deleteOn(ctx, l.w.disk, l.cfg, Order{Now: now, Wait: k.wait}, note)
	for _, kept := range d.Kept {
		if kept.until.After(now) {
			k.wait[kept.Segment] = kept.until
		}
	}
	return errors.Join(err, destroyExpired(ctx, l.cfg, now, note))
}

const (
	lookName = "looked"           // in the record's directory: when it was last looked for what has outlived its retention
	maxAway  = 7 * 24 * time.Hour // between looks that the gate believes its clock
)

// trustClock says whether the gate may delete by its clock. After more than maxAway since the last look the gate has stood still, or the
// clock has jumped: somebody has to say which. The first look of all deletes nothing.
func trustClock(dir string, now time.Time) (first bool, err error) {
	text, err := readRegular(filepath.Join(dir, lookName))
	if gone(err) {
		return true, looked(dir, now)
	}
	if err != nil {
		return false, err
	}
	last, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
	if err == nil && now.Sub(last) <= maxAway {
		return false, nil
	}
	return false, fmt.Errorf("the last look was on %q, and the clock says %s: where that is right, say so by sallyport audit delete --expired, once; nothing is deleted before",
		clip(strings.TrimSpace(string(text))), now.Format(time.RFC3339))
}

// looked notes a look for what has outlived its retention.
func looked(dir string, now time.Time) error {
	return replaceFile(filepath.Join(dir, lookName), []byte(now.UTC().Format(time.RFC3339)+"\n"))
}
