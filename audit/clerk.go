package audit

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	lookBack  = 31              // days before today whose statements are still written
	afterDays = 5 * time.Second // after midnight, when all lines of the day are there
)

// clerk writes the statements of each day that is over, in a goroutine of its own that gives way to all others: it reads the lines of a
// whole day.
type clerk struct {
	dir    string
	by     note.Signer
	log    *slog.Logger
	now    func() time.Time
	cancel context.CancelFunc
	done   chan struct{}
}

func startClerk(c Config, by note.Signer, now func() time.Time) *clerk {
	ctx, cancel := context.WithCancel(context.Background())
	k := &clerk{dir: c.Dir, by: by, log: c.Log, now: now, cancel: cancel, done: make(chan struct{})}
	go k.run(ctx)
	return k
}

func (k *clerk) close() {
	if k != nil {
		k.cancel()
		<-k.done
	}
}

func (k *clerk) run(ctx context.Context) {
	defer close(k.done)
	giveWay()
	for {
		now := k.now().UTC()
		today := now.Truncate(24 * time.Hour)
		k.catchUp(ctx, today)
		timer := time.NewTimer(today.Add(24*time.Hour + afterDays).Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// catchUp writes what is missing, from the record's first day on.
func (k *clerk) catchUp(ctx context.Context, today time.Time) {
	numbers, err := segments(k.dir)
	if err != nil || len(numbers) == 0 {
		return
	}
	h, ok, err := firstHead(k.dir, numbers[0])
	if err != nil || !ok {
		return
	}
	first, err := time.Parse(timeLayout, string(h.time))
	if err != nil {
		return
	}
	day := first.Truncate(24 * time.Hour)
	if oldest := today.AddDate(0, 0, -lookBack); day.Before(oldest) {
		day = oldest
	}
	for ; day.Before(today) && ctx.Err() == nil; day = day.AddDate(0, 0, 1) {
		if _, err := os.Stat(statementsPath(k.dir, day)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := state(ctx, k.dir, k.by, day); err != nil && ctx.Err() == nil {
			k.log.Warn("the statement of a day cannot be written; it is tried again tomorrow", "day", day.Format(time.DateOnly), "error", err)
		}
	}
}
