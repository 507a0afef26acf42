package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/policy"
)

// newFeeds makes the sources of the policy besides its directory, as the configuration names them.
func newFeeds(c *config.Config) (feeds []*policy.Feed, err error) {
	if c.Policy.Bundle != nil {
		f, fault := policy.NewBundle(*c.Policy.Bundle)
		if fault != nil {
			return nil, c.At("policy.bundle", fault)
		}
		feeds = append(feeds, f)
	}
	if c.Directory != nil {
		f, fault := directory.New(*c.Directory)
		if fault != nil {
			return nil, c.At("directory", fault)
		}
		feeds = append(feeds, f)
	}
	for _, f := range feeds {
		f.Log = slog.New(slog.DiscardHandler)
	}
	return feeds, nil
}

// withKept gives the policy's configuration with what its sources gave last, for tools, which ask nobody. The notes say where that is
// nothing.
func withKept(c *config.Config) (pc policy.Config, notes []string, err error) {
	pc = c.Policy
	feeds, err := newFeeds(c)
	if err != nil {
		return pc, nil, err
	}
	for _, f := range feeds {
		s, err := f.Kept()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			notes = append(notes, fmt.Sprintf("%s: nothing has been fetched yet; a start fetches it", f.Origin))
		case err != nil:
			return pc, nil, err
		default:
			pc.Supplies = append(pc.Supplies, s)
		}
	}
	return pc, notes, nil
}

// fetched gives the feeds, and the policy's configuration with what each of them starts with. A source that has nothing to start with keeps
// the gate down: policy without it may allow what it would refuse.
func fetched(ctx context.Context, c *config.Config, log *slog.Logger) (pc policy.Config, feeds []*policy.Feed, err error) {
	pc = c.Policy
	if feeds, err = newFeeds(c); err != nil {
		return pc, nil, err
	}
	for _, f := range feeds {
		f.Log = log
		s, fault := f.First(ctx)
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f.Origin, fault))
		}
		pc.Supplies = append(pc.Supplies, s)
	}
	return pc, feeds, err
}

// arrival is what a feed has got and wants in force.
type arrival struct {
	supply policy.Supply
	taken  chan error
}

// supply hands over what a feed has got, and waits for what becomes of it.
func (g *gate) supply(ctx context.Context, s policy.Supply) error {
	a := arrival{s, make(chan error, 1)}
	select {
	case g.arrivals <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.taken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take puts what a feed has got in force, and judges the live links again.
func (g *gate) take(s policy.Supply) error {
	was := g.policy.Snapshot().Revision()
	if err := g.policy.Use(s); err != nil {
		return err
	}
	if now := g.policy.Snapshot().Revision(); now != was {
		g.proxy.Apply(g.settings(g.config))
		g.log.Info("a source of the policy has something new; the new policy is in force", "source", s.Origin, "revision", now, "before", was)
		g.record.Note(audit.Event{Kind: audit.PolicyReload, Revision: now})
	}
	return nil
}

// feed runs the sources of the policy.
func (g *gate) feed(ctx context.Context) {
	for _, f := range g.feeds {
		f.Refused = func(err error) {
			g.record.Note(audit.Event{Kind: audit.PolicyReload, Revision: g.policy.Snapshot().Revision(), Error: err.Error()})
		}
		g.part(func() error { f.Run(ctx, g.supply); return nil })
	}
}
