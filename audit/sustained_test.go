package audit

import (
	"bytes"
	"context"
	"flag"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

var sustain = flag.Duration("sustain", 2*time.Second, "how long BenchmarkSustained records at its rate")

// BenchmarkSustained records 100,000 stanzas a second, from 16 links in batches of 64, for as long as -sustain says. It tells what rate was
// reached, and the memory in use after a sixth of the time and at the end; beside it, how many lines a second the disk alone takes in groups
// as large as all links together make them. Run it with -benchtime 1x.
func BenchmarkSustained(b *testing.B) {
	const links, size, rate = 16, 64, 100_000
	for _, durability := range []string{Sync, Async} {
		b.Run(durability, func(b *testing.B) {
			for b.Loop() {
				l, err := Open(Config{Dir: b.TempDir(), Secrets: b.TempDir(), Durability: durability, Node: "gate-1"})
				if err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				end := begun.Add(*sustain)
				var running sync.WaitGroup
				for link := range links {
					running.Go(func() { sustained(b, l, link, size, time.Second*size*links/rate, end) })
				}
				<-time.After(*sustain / 6)
				early := inUse()
				running.Wait()
				took := time.Since(begun)
				b.ReportMetric(float64(l.Stats().Seq)/took.Seconds(), "events/s")
				b.ReportMetric(early, "MB-early")
				b.ReportMetric(inUse(), "MB-late")
				if err := l.Close(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.Run("bare fdatasync", func(b *testing.B) {
		f, err := osDisk{}.create(filepath.Join(b.TempDir(), "bare"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		group := bytes.Repeat([]byte(line(stanzaEvent(0))), size*links)
		for b.Loop() {
			groups, begun := int64(0), time.Now()
			for ; time.Since(begun) < *sustain/6; groups++ {
				if _, err := f.WriteAt(group, groups*int64(len(group))); err != nil {
					b.Fatal(err)
				}
				if err := f.sync(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(groups*size*links)/time.Since(begun).Seconds(), "events/s")
		}
	})
}

// sustained is one link: a batch every so often, or as often as the record takes one.
func sustained(b *testing.B, l *Log, link, size int, every time.Duration, end time.Time) {
	events := make([]Event, size)
	for i := range events {
		events[i] = stanzaEvent(link*size + i)
	}
	for next := time.Now(); next.Before(end) && time.Now().Before(end); next = next.Add(every) {
		<-time.After(time.Until(next))
		if err := l.Append(context.Background(), events); err != nil {
			b.Error(err)
			return
		}
		l.Note(Event{Kind: Delivery, Link: "o17", Dir: "out", Local: "corp.example", Remote: "partner.example", Outcome: Written,
			Of: []SeqRange{{events[0].Seq, events[size-1].Seq}}})
	}
}

// inUse is the memory of the heap that is in use, in megabytes.
func inUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse) / 1e6
}
