package sink_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/internal/xmpptest/receivers"
)

// BenchmarkSinks carries a record of 50,000 stanzas to a real receiver of each kind on this machine. Run it with -benchtime 1x.
func BenchmarkSinks(b *testing.B) {
	const stanzas = 50_000
	kinds := []struct {
		name string
		cfg  func(b *testing.B) sink.Config
	}{
		{"postgres", func(b *testing.B) sink.Config {
			s := receivers.Postgres(b)
			s.Start()
			s.SetUp("../../docs/audit-postgres.md")
			return sink.Config{Type: sink.Postgres, URL: s.URL, Secret: s.Secret, Roots: s.Roots}
		}},
		{"syslog", func(b *testing.B) sink.Config {
			s := receivers.Syslog(b)
			s.Start()
			return sink.Config{Type: sink.Syslog, URL: s.URL, Roots: s.Roots}
		}},
		{"nats", func(b *testing.B) sink.Config {
			s := receivers.NATS(b)
			s.Start()
			return sink.Config{Type: sink.NATS, URL: s.URL, Roots: s.Roots}
		}},
		{"otlp", func(b *testing.B) sink.Config {
			s := receivers.OTLP(b)
			s.Start()
			return sink.Config{Type: sink.OTLP, URL: s.URL}
		}},
	}
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			dir := b.TempDir()
			log, err := audit.Open(audit.Config{Dir: dir, Secrets: b.TempDir(), Node: "gate-1", Durability: audit.Async})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			batch := make([]audit.Event, 100)
			for i := range batch {
				batch[i] = audit.Event{Kind: audit.Stanza, Level: audit.LevelMetadata, Dir: "in", Local: "corp.example", Remote: "partner.example",
					From: fmt.Sprintf("maria%d@partner.example", i), To: "tom@corp.example", Text: strings.Repeat("a", 300)}
			}
			for range stanzas / len(batch) {
				if err := log.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			cfg := k.cfg(b)
			cfg.Name = k.name
			for b.Loop() {
				carryAll(b, dir, log, cfg)
			}
		})
	}
}

// carryAll runs a sink until it is through, and reports its rate from the first events that were taken on.
func carryAll(b *testing.B, dir string, log *audit.Log, cfg sink.Config) {
	set, err := sink.Open(sink.Record{Dir: dir, Node: "gate-1", Committed: func() uint64 { return log.Stats().Seq }}, []sink.Config{cfg}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx) }()
	defer func() { cancel(); <-done }()
	var begun time.Time
	var before uint64
	for {
		s := set.Status()[0]
		if begun.IsZero() && s.Sent > 0 {
			begun, before = time.Now(), s.Sent
		}
		if s.Sent > 0 && s.Records == 0 {
			b.ReportMetric(float64(s.Sent-before)/time.Since(begun).Seconds(), "events/s")
			return
		}
		<-time.After(time.Millisecond)
	}
}
