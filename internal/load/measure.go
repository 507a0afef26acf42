package load

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Direction of a flow through a subject.
type Direction bool

const (
	In  Direction = false // from the remote end to the local one
	Out Direction = true  // from the local end to the remote one
)

func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

// Flow is one kind of traffic.
type Flow struct {
	Direction Direction
	Size      int  // bytes per stanza
	Single    bool // one write per stanza; else about 16 KiB per write
}

// Rate is what a flow came to.
type Rate struct {
	Stanzas   int64
	Wall      time.Duration
	CPU       time.Duration // of the subject
	Writes    int64         // of the subject
	Generator time.Duration // CPU of this process, for both ends
}

// PerStanza is the subject's CPU time per stanza.
func (r Rate) PerStanza() time.Duration { return r.CPU / time.Duration(max(1, r.Stanzas)) }

// PerSecond is how many stanzas went through in a second of wall time.
func (r Rate) PerSecond() float64 { return float64(r.Stanzas) / r.Wall.Seconds() }

// WritesPerStanza is how many write system calls the subject made per stanza.
func (r Rate) WritesPerStanza() float64 { return float64(r.Writes) / float64(max(1, r.Stanzas)) }

func (s *Subject) ends(d Direction) (from, to *end) {
	if d == Out {
		return s.local, s.remote
	}
	return s.remote, s.local
}

// Run sends a flow as fast as it is taken for about the given time, and waits until all of it has come out. Stanzas that came
// back as errors, or not at all, are an error.
func (s *Subject) Run(ctx context.Context, f Flow, about time.Duration) (r Rate, err error) {
	from, to := s.ends(f.Direction)
	b := newBatch(Route{from.domain, to.domain}, f.Size)
	arrived, _ := to.in.now()
	_, faults := from.in.lastError()
	before, err := s.usage()
	if err != nil {
		return r, err
	}
	self, begun := selfCPU(), time.Now()
	for time.Since(begun) < about {
		if err := b.writeTo(from, f.Single); err != nil {
			return r, fmt.Errorf("sending to %s: %w", s.Name, err)
		}
		r.Stanzas += int64(len(b.stanzas))
	}
	if err := to.in.Await(ctx, arrived+r.Stanzas); err != nil {
		last, bounced := from.in.lastError()
		return r, fmt.Errorf("%s: %w; %d came back as errors, the last: %s", s.Name, err, bounced-faults, last)
	}
	r.Wall, r.Generator = time.Since(begun), selfCPU()-self
	after, err := s.usage()
	used := after.sub(before)
	r.CPU, r.Writes = used.CPU, used.Writes
	return r, err
}

func (b batch) writeTo(e *end, single bool) error {
	if !single {
		_, err := e.w.Write(b.whole)
		return err
	}
	for _, st := range b.stanzas {
		if _, err := e.w.Write(st); err != nil {
			return err
		}
	}
	return nil
}

// Trips are the round trips of bursts.
type Trips struct {
	Burst int
	Times []time.Duration // sorted
}

// Percentile returns the p-th percentile.
func (t Trips) Percentile(p int) time.Duration {
	if len(t.Times) == 0 {
		return 0
	}
	return t.Times[min(len(t.Times)-1, len(t.Times)*p/100)]
}

// RoundTrips sends bursts from the remote end, one after the other, each stanza in a write of its own. The local end answers
// what it reads at once.
func (s *Subject) RoundTrips(ctx context.Context, burst, bursts int) (Trips, error) {
	there, back := newBatch(Route{s.remote.domain, s.local.domain}, 300), newBatch(Route{s.local.domain, s.remote.domain}, 300)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.local.in.onArrival(func(n int) {
		for n > 0 {
			k := min(n, len(back.stanzas))
			if _, err := s.local.w.Write(back.whole[:k*len(back.stanzas[0])]); err != nil {
				cancel(fmt.Errorf("answering: %w", err))
			}
			n -= k
		}
	})
	defer s.local.in.onArrival(nil)
	t := Trips{Burst: burst}
	for range bursts {
		arrived, _ := s.remote.in.now()
		begun := time.Now()
		for _, st := range there.stanzas[:burst] {
			if _, err := s.remote.w.Write(st); err != nil {
				return t, fmt.Errorf("sending to %s: %w", s.Name, err)
			}
		}
		if err := s.remote.in.Await(ctx, arrived+int64(burst)); err != nil {
			return t, fmt.Errorf("%s: %w", s.Name, err)
		}
		t.Times = append(t.Times, time.Since(begun))
	}
	slices.Sort(t.Times)
	return t, nil
}
