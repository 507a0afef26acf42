package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sallyport/audit"
)

// Set is all sinks of one gate.
type Set struct {
	sinks []*carrier
}

// Record is the record that the sinks follow: its directory, its gate's name, and up to which seq it is committed.
type Record struct {
	Dir       string
	Node      string
	Committed func() uint64
}

// Open prepares sinks. Its error has all faults of their configuration, and of the cursors' files of those
// that are required. The others' cursors are tried again in Run, where it also shows whether receivers answer.
func Open(rec Record, configs []Config, log *slog.Logger) (*Set, error) {
	s := new(Set)
	var faults []error
	var names []string
	for _, c := range configs {
		c = c.withDefaults()
		if err := c.Check(); err != nil {
			faults = append(faults, fmt.Errorf("sink %s: %w", c.Name, err))
			continue
		}
		if slices.Contains(names, c.Name) {
			faults = append(faults, fmt.Errorf("sink %s: two have this name", c.Name))
			continue
		}
		names = append(names, c.Name)
		one := &carrier{cfg: c, rec: rec, log: log.With("sink", c.Name), news: make(chan struct{}, 1), told: make(chan struct{})}
		if err := one.open(); err != nil && c.Required {
			faults = append(faults, err)
			continue
		}
		s.sinks = append(s.sinks, one)
	}
	if err := release(rec.Dir, names); err != nil {
		log.Warn("a sink that is no longer configured may keep segments from being deleted", "error", err)
	}
	return s, errors.Join(faults...)
}

// release lets segments go that were kept for sinks which are no longer configured. Their cursors stay, for the case that they come back.
func release(dir string, names []string) error {
	all, err := cursors(dir)
	if err != nil {
		return err
	}
	for _, name := range all {
		if slices.Contains(names, name) {
			continue
		}
		c, err := readCursor(dir, name)
		if err == nil && c.Required {
			c.Required = false
			err = c.write(dir, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Run carries until ctx ends.
func (s *Set) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, c := range s.sinks {
		group.Go(func() { c.run(ctx) })
	}
	group.Wait()
}

// Checkpoint posts a signed checkpoint to each sink. It does not wait: one that a sink could not post before the next came is left out, as
// the next says all that it said.
func (s *Set) Checkpoint(signed []byte) {
	text := string(signed)
	for _, c := range s.sinks {
		c.checkpoint.Store(&text)
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
}

// Tried waits, while Run runs, until each required sink has taken something or failed to, or ctx ends.
func (s *Set) Tried(ctx context.Context) {
	for _, c := range s.sinks {
		if !c.cfg.Required {
			continue
		}
		select {
		case <-c.told:
		case <-ctx.Done():
			return
		}
	}
}

// Drain waits, while Run runs, until each sink has taken all that is committed, and the newest checkpoint, or fails, or ctx ends.
func (s *Set) Drain(ctx context.Context) {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for slices.ContainsFunc(s.sinks, (*carrier).goesOn) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Behind says which required sink is further behind than its lag, or has not answered yet since the start, and why. Nil: none is.
func (s *Set) Behind() error {
	for _, c := range s.sinks {
		if !c.cfg.Required {
			continue
		}
		if !c.answered.Load() {
			return fmt.Errorf("the required sink %s has not answered since the start: %s", c.cfg.Name, c.lastError())
		}
		if behind := c.behind(); behind > c.cfg.Lag {
			return fmt.Errorf("the required sink %s is %s behind, more than its lag of %s allows: %s", c.cfg.Name, behind.Round(time.Second), c.cfg.Lag, c.lastError())
		}
	}
	return nil
}

// Status is how one sink does.
type Status struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Required bool      `json:"required"`
	Records  uint64    `json:"records_behind"`
	Seconds  float64   `json:"seconds_behind"`      // age of the oldest event that was not taken yet
	Error    string    `json:"error,omitempty"`     // of the last attempt; empty: it works
	Since    time.Time `json:"since,omitzero"`      // when Error happened
	Sent     uint64    `json:"sent"`                // events since the start, repetitions included
	Posted   time.Time `json:"checkpoint,omitzero"` // when the last checkpoint was posted
}

// Status tells how each sink does, in the order of the configuration.
func (s *Set) Status() []Status {
	var all []Status
	for _, c := range s.sinks {
		all = append(all, c.status())
	}
	return all
}

// Guard is a record that takes nothing while a required sink is too far behind.
type Guard struct {
	Log   *audit.Log
	Sinks *Set
}

// Append is audit.Log's, or audit.ErrUnrecorded, wrapped with the reason, while a required sink is too far behind.
func (g Guard) Append(ctx context.Context, events []audit.Event) error {
	if err := g.Sinks.Behind(); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnrecorded, err)
	}
	return g.Log.Append(ctx, events)
}

// Note is audit.Log's: what happened is noted in any case.
func (g Guard) Note(events ...audit.Event) { g.Log.Note(events...) }
