package audit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stanzaEvent is a stanza at level metadata as the gate fills it in: 27 values, a line of some 700 bytes.
func stanzaEvent(i int) Event {
	return Event{
		Kind: Stanza, Dir: "out", Local: "corp.example", Remote: "partner.example",
		From: "alice@corp.example/desk", To: "bob@partner.example/phone",
		Link: "o17", Channel: "tls", Proof: "pkix", TLS: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", RemoteIP: "198.51.100.7",
		Stanza:   StanzaPart{Kind: "message", Type: "chat", ID: fmt.Appendf(nil, "purple%08x", i), Size: 300, Class: []string{"text"}},
		Decision: DecisionPart{Effect: "allow", Rule: "allow-listed", Revision: "5f2c9e10", Mode: "enforce", Cached: true},
	}
}

func BenchmarkEncode(b *testing.B) {
	e := stanzaEvent(1)
	e.Time = time.Date(2026, 7, 30, 12, 0, 0, 123456789, time.UTC)
	stamp := appendTime(nil, e.Time)
	enc, ids := newEncoder("gate-1"), newIDMaker(ID{})
	ids.at(e.Time)
	enc.event(&e, stamp, nil)
	b.SetBytes(int64(len(enc.buf)))
	b.ReportAllocs()
	for b.Loop() {
		enc.buf = enc.buf[:0]
		e.Seq++
		e.ID = ids.make()
		enc.event(&e, stamp, nil)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, durability := range []string{Sync, Async} {
		for _, size := range []int{1, 32, 64} {
			b.Run(fmt.Sprintf("%s/batch=%d", durability, size), func(b *testing.B) {
				l, err := Open(Config{Dir: b.TempDir(), Durability: durability, Node: "gate-1"})
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				events := make([]Event, size)
				for i := range events {
					events[i] = stanzaEvent(i)
				}
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if err := l.Append(ctx, events); err != nil {
						b.Fatal(err)
					}
					l.Note(Event{Kind: Delivery, Link: "o17", Dir: "out", Local: "corp.example", Remote: "partner.example", Outcome: Written,
						Of: []SeqRange{{events[0].Seq, events[size-1].Seq}}})
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/event")
			})
		}
	}
}

// BenchmarkAppendParallel is group commit at work: many links, each with batches of its own.
func BenchmarkAppendParallel(b *testing.B) {
	const size = 8
	l, err := Open(Config{Dir: b.TempDir(), Node: "gate-1"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		events := make([]Event, size)
		for i := range events {
			events[i] = stanzaEvent(i)
		}
		for pb.Next() {
			if err := l.Append(context.Background(), events); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/event")
}

// BenchmarkBareSync is what the disk alone costs: a batch's bytes, written and synced.
func BenchmarkBareSync(b *testing.B) {
	for _, size := range []int{1, 32, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			f, err := osDisk{}.create(filepath.Join(b.TempDir(), "bare"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			enc := newEncoder("gate-1")
			for i := range size {
				e := stanzaEvent(i)
				enc.event(&e, appendTime(nil, time.Now()), nil)
			}
			var at int64
			for b.Loop() {
				if _, err := f.WriteAt(enc.buf, at); err != nil {
					b.Fatal(err)
				}
				if err := f.sync(); err != nil {
					b.Fatal(err)
				}
				at += int64(len(enc.buf))
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/event")
		})
	}
}

// BenchmarkLone is one stanza that comes alone: what its commit takes, and what a bare write of the same bytes and fdatasync take, in turn.
// Medians, for a disk now and then takes fifty times as long.
func BenchmarkLone(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Config{Dir: filepath.Join(dir, "audit"), Node: "gate-1"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	f, err := osDisk{}.create(filepath.Join(dir, "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	events, bare := []Event{stanzaEvent(0)}, []byte(line(stanzaEvent(0)))
	var commits, syncs []time.Duration
	var at int64
	for b.Loop() {
		begun := time.Now()
		if err := l.Append(context.Background(), events); err != nil {
			b.Fatal(err)
		}
		commits = append(commits, time.Since(begun))
		begun = time.Now()
		if _, err := f.WriteAt(bare, at); err != nil {
			b.Fatal(err)
		}
		if err := f.sync(); err != nil {
			b.Fatal(err)
		}
		syncs = append(syncs, time.Since(begun))
		at += int64(len(bare))
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2].Nanoseconds()) / 1e3
	}
	b.ReportMetric(median(commits), "µs-commit")
	b.ReportMetric(median(syncs), "µs-bare-fdatasync")
	b.ReportMetric(median(commits)/median(syncs), "ratio")
}

// BenchmarkVerify reads a record of a million events, as plain and as compressed segments, beside what SHA-256 alone takes for the same bytes:
// of each line, and of the two hashes that a line adds to the tree.
func BenchmarkVerify(b *testing.B) {
	const events = 1_000_000
	for _, form := range []string{None, Zstd} {
		b.Run(form, func(b *testing.B) {
			dir := recordOf(b, events)
			if form == Zstd {
				packAll(b, dir)
			}
			begun := ownTime()
			for b.Loop() {
				r, err := Verify(dir)
				if err != nil || !r.OK() || r.Covered != events {
					b.Fatal(err, r.Faults)
				}
			}
			b.ReportMetric(events*float64(b.N)/(float64(ownTime()-begun)/1e9), "events/cpu-s")
		})
	}
	b.Run("bare SHA-256", func(b *testing.B) {
		line, node := []byte(line(stanzaEvent(1))), make([]byte, 65)
		begun := ownTime()
		for b.Loop() {
			for range events {
				sha256.Sum256(line)
				sha256.Sum256(node)
			}
		}
		b.ReportMetric(events*float64(b.N)/(float64(ownTime()-begun)/1e9), "events/cpu-s")
	})
}

// BenchmarkSearch reads a record of 100,000 events; divide for the cost of one.
func BenchmarkSearch(b *testing.B) {
	dir := recordOf(b, 100_000)
	for b.Loop() {
		found := 0
		err := Search(context.Background(), dir, Query{User: "nobody@corp.example"}, func([]byte, Record) error { found++; return nil })
		if err != nil || found != 0 {
			b.Fatal(err, found)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func recordOf(b *testing.B, n int) (dir string) {
	b.Helper()
	dir = b.TempDir()
	l, err := Open(Config{Dir: dir, Durability: Async, Node: "gate-1", Compress: None})
	if err != nil {
		b.Fatal(err)
	}
	events := make([]Event, 100)
	for i := range n / len(events) {
		for j := range events {
			events[j] = stanzaEvent(i*len(events) + j)
		}
		if err := l.Append(context.Background(), events); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, segmentName(1))); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkAppendProved is what a record costs the processor until it is in the tree: encoded, hashed as a leaf, its part of the tree
// made, in batches of 32; and beside it what SHA-256 alone takes for the same bytes.
func BenchmarkAppendProved(b *testing.B) {
	const size = 32
	events := make([]Event, size)
	for i := range events {
		events[i] = stanzaEvent(i)
	}
	at := time.Date(2026, 7, 30, 12, 0, 0, 123456789, time.UTC)
	stamp := appendTime(nil, at)
	enc, ids := newEncoder("gate-1"), newIDMaker(ID{})
	n := notary{leaf: newLeafHasher(), treeFile: treeFile{file: nowhere{}}}
	seq := uint64(0)
	encode := func() {
		ids.at(at)
		enc.buf = enc.buf[:0]
		for i := range events {
			seq++
			events[i].Seq, events[i].ID = seq, ids.make()
			enc.event(&events[i], stamp, nil)
		}
	}
	var begun int64
	per := func(b *testing.B) { b.ReportMetric(float64(ownTime()-begun)/float64(b.N*size), "cpu-ns/event") }
	b.Run("encode+leaf+tree", func(b *testing.B) {
		b.ReportAllocs()
		begun = ownTime()
		for b.Loop() {
			encode()
			n.grow(enc.buf)
		}
		per(b)
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		begun = ownTime()
		for b.Loop() {
			encode()
		}
		per(b)
	})
	b.Run("bare SHA-256", func(b *testing.B) {
		encode()
		line := enc.buf[:len(enc.buf)/size]
		begun = ownTime()
		for b.Loop() {
			for range size {
				sha256.Sum256(line)
			}
		}
		per(b)
	})
}

// nowhere takes all writes at no cost.
type nowhere struct{ file }

func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// TestNotaryAllocatesNothing: what the writer does for the proof costs no garbage.
func TestNotaryAllocatesNothing(t *testing.T) {
	n := notary{leaf: newLeafHasher(), treeFile: treeFile{file: nowhere{}}}
	lines := []byte(line(stanzaEvent(1)) + line(stanzaEvent(2)))
	if got := testing.AllocsPerRun(100, func() { n.grow(lines) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkSealed is a stanza with a body of 300 bytes at level sealed, encoded in batches of 32: its line, the keyed hash, the ratchet
// and the box. Beside it, what the box and the hash alone cost with a key that stands ready.
func BenchmarkSealed(b *testing.B) {
	const size = 32
	body := strings.Repeat("x", 300)
	var begun int64
	perEvent := func(b *testing.B) {
		b.ReportMetric(float64(ownTime()-begun)/float64(b.N*size), "cpu-ns/event")
		b.ReportAllocs()
	}
	hasher := newHasher(make([]byte, hashKeySize))
	for _, level := range []Level{LevelMetadata, LevelContent, LevelSealed} {
		b.Run(level.String(), func(b *testing.B) {
			enc, ids, stamp := newEncoder("gate-1"), newIDMaker(ID{}), appendTime(nil, time.Now())
			enc.hasher = hasher
			var c *chain
			if level == LevelSealed {
				c = &chain{name: "default/2026-07-30-1"}
			}
			events := make([]Event, size)
			for i := range events {
				events[i] = secretStanza(i, body)
				events[i].Level = level
			}
			begun = ownTime()
			for b.Loop() {
				enc.buf = enc.buf[:0]
				for i := range events {
					events[i].Seq, events[i].ID = uint64(i+1), ids.make()
					enc.event(&events[i], stamp, c)
				}
			}
			perEvent(b)
		})
	}
	b.Run("bare", func(b *testing.B) {
		aead := aeadOf([keySize]byte{})
		var box, sum []byte
		plain, line := []byte(body), make([]byte, 700)
		begun = ownTime()
		for b.Loop() {
			for range size {
				box = aead.Seal(box[:0], boxNonce[:], plain, line)
				sum = hasher.append(sum[:0], hashesBody, []byte("2026-07-30"), plain)
			}
		}
		perEvent(b)
	})
}

// ownTime is the time that processors have spent on this process, in nanoseconds: on a busy machine the clock tells something else.
func ownTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
