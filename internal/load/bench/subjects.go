package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sallyport/internal/load"
)

// subject is what can be measured, and how it is started in an empty directory.
type subject struct {
	start  func(ctx context.Context, dir string) (*load.Subject, error)
	links  bool // it is measured with many links,
	many   bool // and with very many
	column int
	bare   *load.Subject // with none, to compare with
}

func (b *bench) subjects() []*subject {
	gate := func(durability string) func(context.Context, string) (*load.Subject, error) {
		return func(ctx context.Context, dir string) (*load.Subject, error) {
			return load.Gate(ctx, load.GateOptions{Binary: b.gate, Dir: dir, Durability: durability})
		}
	}
	direct := func(server load.Server) func(context.Context, string) (*load.Subject, error) {
		return func(ctx context.Context, dir string) (*load.Subject, error) { return load.Direct(ctx, server, dir) }
	}
	all := []*subject{
		{start: gate("sync"), links: true, many: true},
		{start: gate("async")}, // durability makes no difference to a link
	}
	if b.direct {
		all = append(all, &subject{start: direct(load.Prosody()), links: true}, &subject{start: direct(load.Ejabberd()), links: true})
	}
	return append(all, &subject{start: func(ctx context.Context, _ string) (*load.Subject, error) { return load.Alone(ctx, false) }})
}

// start starts all subjects that are on this machine.
func (b *bench) start(ctx context.Context) (started []*subject, err error) {
	for _, s := range b.subjects() {
		running, err := b.begin(ctx, s)
		if errors.Is(err, load.ErrNotInstalled) {
			continue
		}
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s is up\n", running.Name)
		s.column = len(b.suite.Subjects)
		b.suite.Subjects = append(b.suite.Subjects, running)
		started = append(started, s)
	}
	return started, nil
}

func (b *bench) begin(ctx context.Context, s *subject) (*load.Subject, error) {
	dir, err := os.MkdirTemp(b.dir, "subject-")
	if err != nil {
		return nil, err
	}
	return s.start(ctx, dir)
}

// manyLinks is above what the servers beside the gate are measured with.
const manyLinks = 1000

// bringUp opens links through a fresh process of each subject, and measures bare handshakes next to them.
func (b *bench) bringUp(ctx context.Context, subjects []*subject) error {
	for _, n := range b.links {
		n = load.LinkLimit(n)
		for _, s := range subjects {
			if !s.links || n > manyLinks && !s.many {
				continue
			}
			fmt.Fprintf(os.Stderr, "  %d link pairs, %s …\n", n, b.report.Columns[s.column])
			if err := b.bringUpLinks(ctx, s, n); err != nil {
				return err
			}
		}
	}
	b.resting = time.Now()
	if len(b.links) == 0 {
		return nil
	}
	return b.shake(ctx, subjects)
}

// shake measures the gate's way in beside bare handshakes, in turns, for a machine that is shared does not stay the same.
func (b *bench) shake(ctx context.Context, subjects []*subject) error {
	i := slices.IndexFunc(subjects, func(s *subject) bool { return s.column == 0 && s.links })
	if i < 0 {
		return nil
	}
	gate, err := b.begin(ctx, subjects[i])
	if err != nil {
		return err
	}
	defer gate.Close()
	profile := ""
	if b.suite.Profiles != "" {
		profile = filepath.Join(b.suite.Profiles, "way-in.pprof")
	}
	var bare, proofs []float64
	for range 9 {
		n, err := load.Handshakes(ctx, b.self, time.Second)
		if err != nil {
			return err
		}
		m, err := gate.Proofs(ctx, time.Second, profile)
		if err != nil {
			return err
		}
		bare, proofs, profile = append(bare, n), append(proofs, m), ""
	}
	b.report.EnterHandshakes(bare, proofs)
	return nil
}

func (b *bench) bringUpLinks(ctx context.Context, s *subject, n int) (err error) {
	if s.bare == nil {
		if s.bare, err = b.begin(ctx, s); err != nil {
			return err
		}
		b.closers = append(b.closers, s.bare.Close)
	}
	fresh, err := b.begin(ctx, s)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, fresh.Close)
	links, err := fresh.Links(ctx, b.self, n)
	if err != nil {
		b.report.EnterLinks(s.column, n, nil, err)
		return nil
	}
	b.closers = append(b.closers, links.Close)
	b.held = append(b.held, held{s.column, n, links, s.bare})
	return nil
}

// lookAgain waits until the links have rested, and enters what they cost.
func (b *bench) lookAgain(ctx context.Context) error {
	if left := b.rest - time.Since(b.resting); len(b.held) > 0 && left > 0 {
		fmt.Fprintf(os.Stderr, "  at rest for another %s …\n", left.Round(time.Second))
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, h := range b.held {
		b.report.EnterLinks(h.column, h.n, h.links, h.links.Rested(h.bare))
	}
	return nil
}
