package main

import (
	"cmp"
	"os"
	"sync/atomic"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/proxy"
)

// openRecord opens the record and what carries it elsewhere.
func (g *gate) openRecord() (err error) {
	c := g.config
	var sinks atomic.Pointer[sink.Set] // checkpoints come before it is there
	c.Audit.Log = g.log
	c.Audit.OnCheckpoint = func(signed []byte) {
		if s := sinks.Load(); s != nil {
			s.Checkpoint(signed)
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
	sinks.Store(g.sinks)
	return nil
}

// sinkLags are how far the sinks are behind, for the measurements.
func (g *gate) sinkLags() []proxy.SinkLag {
	var lags []proxy.SinkLag
	for _, s := range g.sinks.Status() {
		lags = append(lags, proxy.SinkLag{Name: s.Name, Records: s.Records, Seconds: s.Seconds})
	}
	return lags
}
