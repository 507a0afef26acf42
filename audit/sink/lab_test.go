package sink_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/audit/sink"
)

// gate is a record that grows, and its sink.
type gate struct {
	t    *testing.T
	dir  string
	log  *audit.Log
	cfg  sink.Config
	set  *sink.Set
	all  atomic.Pointer[sink.Set] // for checkpoints, which come from another goroutine
	end  func()
	ids  map[string]bool // of all stanza events
	said *bytes.Buffer   // the log, when no sink runs
}

func openGate(t *testing.T, cfg sink.Config) *gate {
	t.Helper()
	g := &gate{t: t, dir: t.TempDir(), cfg: cfg, ids: map[string]bool{}, said: new(bytes.Buffer)}
	log, err := audit.Open(audit.Config{Dir: g.dir, Secrets: t.TempDir(), Node: "gate-1", Durability: audit.Async, SegmentBytes: 20 << 10,
		OnCheckpoint: func(signed []byte) {
			if set := g.all.Load(); set != nil {
				set.Checkpoint(signed)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	g.log = log
	g.start()
	t.Cleanup(func() {
		g.stop()
		log.Close()
	})
	return g
}

func (g *gate) start() {
	g.t.Helper()
	set, err := sink.Open(sink.Record{Dir: g.dir, Node: "gate-1", Committed: func() uint64 { return g.log.Stats().Seq }}, []sink.Config{g.cfg},
		slog.New(slog.NewTextHandler(g.said, nil)))
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx) }()
	g.all.Store(set)
	g.set, g.end = set, func() { cancel(); <-done }
}

func (g *gate) stop() {
	if g.end != nil {
		g.end()
		g.end = nil
	}
}

// cross records n stanzas, with what strangers like to put into them.
func (g *gate) cross(n int) {
	g.t.Helper()
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = audit.Event{Kind: audit.Stanza, Level: audit.LevelMetadata, Dir: "in", Local: "corp.example", Remote: "partner.example",
			From: fmt.Sprintf("maria%d@partner.example", i), To: "tom@corp.example", Text: "a\x00b\"]\\\n\t\u202e" + strings.Repeat("é", 200)}
	}
	if err := g.log.Append(context.Background(), events); err != nil {
		g.t.Fatal(err)
	}
	for i := range events {
		g.ids[events[i].ID.String()] = true
	}
}

// arrive waits until the sink says that it is through.
func (g *gate) arrive() {
	g.t.Helper()
	g.until("the sink is through", func() bool { s := g.set.Status()[0]; return s.Records == 0 && s.Error == "" && s.Sent > 0 })
}

func (g *gate) until(what string, ok func() bool) {
	g.t.Helper()
	deadline := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			g.t.Fatalf("%s: not within 15 s; status %+v", what, g.set.Status())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
