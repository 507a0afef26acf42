package audit

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

var (
	archiveDir    = flag.String("archive", "", "directory for the record that BenchmarkArchive searches; made if it is not there, and kept")
	archiveEvents = flag.Int("archive-events", 100_000, "how many events it gets")
)

// BenchmarkArchive searches a large record: make archive has one of 10 million events made and removed.
func BenchmarkArchive(b *testing.B) {
	dir := *archiveDir
	if dir == "" {
		dir = filepath.Join(b.TempDir(), "audit")
	}
	if _, err := os.Stat(dir); gone(err) {
		start := time.Now()
		makeArchive(b, dir, *archiveEvents)
		b.Logf("%d events made in %s", *archiveEvents, time.Since(start).Round(time.Second))
		start = time.Now()
		packAll(b, dir)
		b.Logf("and the rest compressed and indexed in %s", time.Since(start).Round(time.Second))
	}
	sizes := map[string]int64{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sizes[filepath.Ext(e.Name())] += info.Size() >> 20
		}
	}
	b.Logf("MiB by kind of file: %v", sizes)
	rare := "user7@" + archiveDomain(123)
	var id ID
	if err := Search(b.Context(), dir, Query{User: rare, Limit: 1}, func(_ []byte, r Record) error { id = r.ID; return nil }); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"local user", Query{User: "user4242@corp.example"}},
		{"remote user", Query{User: rare}},
		{"pair", Query{From: "user4242@corp.example", Domain: archiveDomain(99)}},
		{"rule", Query{Rule: "rare"}},
		{"nobody", Query{User: "nobody@corp.example"}},
		{"id", Query{ID: id.String()}},
	} {
		b.Run(c.name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				found = 0
				if err := Search(context.Background(), dir, c.q, func([]byte, Record) error { found++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(found), "found")
			b.ReportMetric(float64(peakMemory()>>10), "MB-peak")
		})
	}
}

func archiveDomain(n int) string { return fmt.Sprintf("partner%d.example", n) }

// makeArchive records stanzas between 10,000 local users and 25,000 remote ones, evenly, which is how they are hardest to find.
func makeArchive(b *testing.B, dir string, events int) {
	l, err := Open(Config{Dir: dir, Durability: Async, Node: "gate-1"})
	if err != nil {
		b.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 2))
	batch := stanzas(0, 32)
	for at := 0; at < events; at += len(batch) {
		for i := range batch {
			e := &batch[i]
			remote := chance.IntN(500)
			e.Local, e.Remote = "corp.example", archiveDomain(remote)
			e.From = fmt.Sprintf("user%d@corp.example/phone.%d", chance.IntN(10_000), chance.IntN(3))
			e.To = fmt.Sprintf("user%d@%s", chance.IntN(50), e.Remote)
			if chance.IntN(2) == 0 {
				e.From, e.To = e.To+"/desk", "user"+strconv.Itoa(chance.IntN(10_000))+"@corp.example"
			}
			e.Stanza.ID = stanzaName(chance.Uint64())
			if e.Decision.Rule = "partners"; chance.IntN(20_000) == 0 {
				e.Decision.Rule = "rare"
			}
		}
		if err := l.Append(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		l.Note(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{batch[0].Seq, batch[len(batch)-1].Seq}}})
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func stanzaName(n uint64) []byte {
	return []byte(base32.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, n))[:13])
}

// peakMemory is the most that this process has had in memory, in KiB.
func peakMemory() (kib int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	if m := regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status); m != nil {
		kib, _ = strconv.Atoi(string(m[1]))
	}
	return kib
}
