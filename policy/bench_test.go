package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// large is the data of a large company: 1,000 peers and 100,000 users that stay inside.
func large() Data {
	peers, users := map[string]any{}, map[string]any{}
	for i := range 1_000 {
		peers[fmt.Sprintf("partner%d.example", i)] = map[string]any{"proof": "pkix"}
	}
	for i := range 100_000 {
		users[fmt.Sprintf("inside%d@corp.example", i)] = true
	}
	return Data{"federation": "listed", "peers": peers, "internal": map[string]any{"users": users}}
}

// crossing is an everyday message on its way out.
func crossing() *Input {
	return &Input{
		Direction: "out", Local: "corp.example", Remote: "partner7.example",
		From: Address{Bare: "juliet@corp.example", Local: "juliet", Domain: "corp.example", Resource: "balcony"},
		To:   Address{Bare: "romeo@partner7.example", Local: "romeo", Domain: "partner7.example"},
		Link: LinkFacts{ID: "l1", Channel: "tls", Proof: "pkix", TLSVersion: "TLS 1.3"},
		Stanza: StanzaFacts{
			Kind: "message", Type: "chat", ID: "m1", Size: 300, Payloads: []string{"jabber:server|body"}, HasBody: true, Body: "Good morrow.",
		},
	}
}

// engine loads a policy and gives it time: how long a busy machine takes is not what is tested, unless c says so.
func engine(tb testing.TB, c Config, base Data) *Engine {
	tb.Helper()
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	e, err := New(c, base)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func BenchmarkStanzaMemoised(b *testing.B) {
	s := engine(b, Config{}, large()).Snapshot()
	in := crossing()
	if d := s.Stanza(b.Context(), in); d.Effect != Allow {
		b.Fatal(d)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Stanza(b.Context(), in)
	}
}

func BenchmarkStanzaMemoisedParallel(b *testing.B) {
	s := engine(b, Config{}, large()).Snapshot()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		in := crossing()
		for pb.Next() {
			s.Stanza(b.Context(), in)
		}
	})
}

func BenchmarkStanzaFull(b *testing.B) {
	s := engine(b, Config{}, large()).Snapshot()
	in := crossing()
	b.ReportAllocs()
	cpu(b, func() {
		if d, _, err := s.judge(b.Context(), in); err != nil || d.Effect != Allow {
			b.Fatal(d, err)
		}
	})
}

func BenchmarkLinkMemoised(b *testing.B) {
	s := engine(b, Config{}, large()).Snapshot()
	in := crossing()
	if d := s.Link(b.Context(), in); d.Effect != Allow {
		b.Fatal(d)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Link(b.Context(), in)
	}
}

func BenchmarkLinkFull(b *testing.B) {
	s := engine(b, Config{}, large()).Snapshot()
	in := crossing()
	b.ReportAllocs()
	cpu(b, func() {
		if d, err := s.judgeLink(b.Context(), in); err != nil || d.Effect != Allow {
			b.Fatal(d, err)
		}
	})
}

// BenchmarkReload takes other data from a file into force each time, 100,000 people, as an operator has them, together with a rule; and keeps the
// revision. Meanwhile a stanza comes every 20 µs or so: worst-ms is the longest from one to the next being judged, so the longest that traffic stood still
// in all rounds, and p99.9-ms what all but one in a thousand stayed below; cpu-ms/op is what a reload takes, with what is judged meanwhile.
func BenchmarkReload(b *testing.B) {
	dir := b.TempDir()
	people := func(n int) {
		var users strings.Builder
		for i := range 100_000 {
			fmt.Fprintf(&users, "%q: {}%s\n", fmt.Sprintf("inside%d.%d@corp.example", n, i), map[bool]string{true: "", false: ","}[i == 99_999])
		}
		write(b, dir, "users.json", `{"internal": {"users": {`+users.String()+`}}}`)
	}
	people(0)
	write(b, dir, "files.rego", noFiles)
	data := large()
	delete(data, "internal")
	e := engine(b, Config{Dir: dir, History: b.TempDir()}, data)
	e.KeepHistory()
	stop, done := make(chan struct{}), make(chan []time.Duration)
	var reloading atomic.Bool
	go func() {
		var took []time.Duration
		in := crossing()
		for {
			select {
			case <-stop:
				done <- took
				return
			default:
			}
			begun := time.Now()
			time.Sleep(20 * time.Microsecond) // the next stanza comes
			e.Snapshot().Stanza(b.Context(), in)
			if reloading.Load() {
				took = append(took, time.Since(begun))
			}
		}
	}()
	n, spent := 0, int64(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		n++
		people(n)
		b.StartTimer()
		reloading.Store(true)
		before := spentCPU()
		if err := e.Reload(data); err != nil {
			b.Fatal(err)
		}
		spent += spentCPU() - before
		b.StopTimer()
		time.Sleep(100 * time.Millisecond) // while what the reload has left is collected
		reloading.Store(false)
		b.StartTimer()
	}
	close(stop)
	took := <-done
	slices.Sort(took)
	b.ReportMetric(float64(spent)/float64(n)/1e6, "cpu-ms/op")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "worst-ms")
	b.ReportMetric(float64(took[len(took)*999/1000])/1e6, "p99.9-ms")
}

const noFiles = `package sallyport.stanza

deny contains {"rule": "no-files", "reason": "files stay inside"} if {
	input.direction == "out"
	"jabber:x:oob|x" in input.stanza.payloads
	not data.peers[input.remote.domain].files
}
`

func write(tb testing.TB, dir, name, text string) {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// M is an object of a data document.
type M = map[string]any
