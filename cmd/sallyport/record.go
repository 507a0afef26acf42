package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/internal/config"
	"sallyport/proxy"
)

// openRecord opens the record and what carries it elsewhere.
func (g *gate) openRecord() (err error) {
	c := g.config
	opened := make(chan struct{}) // checkpoints come before the sinks are there, and wait
	defer close(opened)
	c.Audit.Log = g.log
	c.Audit.OnCheckpoint = func(signed []byte) {
		if <-opened; g.sinks != nil {
			g.sinks.Checkpoint(signed)
		}
	}
	if g.record, err = audit.Open(c.Audit.Config); err != nil {
		return c.At("audit.dir", err)
	}
	host, _ := os.Hostname()
	record := sink.Record{Dir: c.Audit.Dir, Node: cmp.Or(c.Audit.Node, host), Committed: func() uint64 { return g.record.Stats().Seq }}
	if g.sinks, err = sink.Open(record, c.Audit.Sinks, g.log); err != nil {
		return c.At("audit.sinks", err)
	}
	return nil
}

// sinkTime is how long a start waits for required sinks, whose receivers may not answer at all.
const sinkTime = 15 * time.Second

// lastTime is how long a stop waits for sinks to take the end of the record; what they do not take, they get at the next start.
const lastTime = 5 * time.Second

// carry begins to carry the record elsewhere, and gives the sinks without which no stanza passes the time to take their first events.
func (g *gate) carry(start, run context.Context) {
	run, stop := context.WithCancel(context.WithoutCancel(run)) // until the record is closed: its end is carried too
	done := make(chan struct{})
	go func() { defer close(done); g.sinks.Run(run) }()
	g.carried = func(by time.Time) {
		ctx, cancel := context.WithDeadline(run, by)
		defer cancel()
		g.sinks.Drain(ctx)
		stop()
		<-done
	}
	ctx, cancel := context.WithTimeout(start, sinkTime)
	defer cancel()
	g.sinks.Tried(ctx)
}

// recordStatus is how the record does.
type recordStatus struct {
	Events    uint64    `json:"events"`
	Segment   string    `json:"segment"`
	Free      uint64    `json:"free"`    // bytes left on its file system
	Waiting   int       `json:"waiting"` // events that go in when it takes some again
	Lost      uint64    `json:"lost"`    // since the start: they never will
	OnFailure string    `json:"on_failure"`
	Error     string    `json:"error,omitempty"` // why it takes no events
	Since     time.Time `json:"since,omitzero"`  // when that began
}

func (g *gate) recordStatus() recordStatus {
	s := g.record.Stats()
	r := recordStatus{Events: s.Seq, Segment: s.Segment, Free: s.Free, Waiting: s.Held, Lost: s.Lost, OnFailure: g.config.Audit.OnFailure, Since: s.Since}
	if s.Fault != nil {
		r.Error = s.Fault.Error()
	}
	return r
}

// recordHealth is the same for the measurements.
func (g *gate) recordHealth() proxy.RecordHealth {
	s := g.record.Stats()
	return proxy.RecordHealth{Failing: s.Fault != nil, Free: s.Free, Lost: s.Lost}
}

// recordFaults are the line of the configuration with what keeps the record from being opened there, as far as that shows without
// writing; and, if it is no fault, what is worth knowing.
func recordFaults(c *config.Config) (note string, err error) {
	note, err = audit.Foresee(c.Audit.Config)
	if note != "" {
		note = c.At("audit.dir", errors.New(note)).Error()
	}
	if err != nil {
		err = c.At("audit.dir", err)
	}
	return note, err
}

// exposed are the sinks that the record goes to so that others on the way can read it, each with its line of the configuration.
func exposed(c *config.Config) (reasons []error) {
	for i, s := range c.Audit.Sinks {
		if how := s.Exposed(); how != "" {
			reasons = append(reasons, c.At(fmt.Sprintf("audit.sinks[%d].url", i), fmt.Errorf("sink %s: %s", s.Name, how)))
		}
	}
	return reasons
}

// sinkLags are how far the sinks are behind, for the measurements.
func (g *gate) sinkLags() []proxy.SinkLag {
	var lags []proxy.SinkLag
	for _, s := range g.sinks.Status() {
		lags = append(lags, proxy.SinkLag{Name: s.Name, Records: s.Records, Seconds: s.Seconds})
	}
	return lags
}
