package proxy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// fastPath is the way through without a network: what a peer has sent is scanned, judged by the shipped policy, recorded at level
// metadata, and queued for the link of its route.
type fastPath struct {
	p   *Proxy
	in  *inbound
	out *outbound

	scan *stanza.Scanner
	room []stanza.Element
}

// again is a peer that sends its header, and then one burst after the other.
type again struct {
	header, burst []byte
}

func (a *again) Read(b []byte) (int, error) {
	if len(a.header) > 0 {
		n := copy(b, a.header)
		a.header = a.header[n:]
		return n, nil
	}
	if len(b) < len(a.burst) {
		panic("a burst must fit the scanner's buffer")
	}
	return copy(b, a.burst), nil
}

func newFastPath(t testing.TB, burst int) *fastPath {
	t.Helper()
	local, remote := jid.MustDomain("corp.example"), jid.MustDomain("load.example")
	engine, err := policy.New(policy.Config{Timeout: time.Minute}, policy.Data{"federation": "listed", "peers": map[string]any{"load.example": map[string]any{"proof": "pkix"}}})
	fatal(t, err)
	record, err := audit.Open(audit.Config{Dir: t.TempDir(), Durability: audit.Async})
	fatal(t, err)
	t.Cleanup(func() { record.Close() })
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	p := &Proxy{Policy: engine, Record: record, Log: slog.New(slog.DiscardHandler), Telemetry: Telemetry{Meter: meters.Meter("test")}}
	fatal(t, p.Start(Settings{Backends: []Backend{{Domains: []jid.Domain{local}}}, Limits: DefaultLimits()}))
	t.Cleanup(p.stop)

	conn, _ := net.Pipe()
	f := &fastPath{p: p, in: newInbound(p, Outside, conn, netip.MustParseAddrPort("192.0.2.1:5269"))}
	f.in.addrs = jid.NewCache(256)
	pr := &proof{done: make(chan struct{}), valid: true, facts: policy.LinkFacts{ID: "0123456789ab", Channel: "tls", Proof: "pkix", TLSVersion: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", RemoteIP: "192.0.2.1"}}
	close(pr.done)
	f.in.senders[remote] = pr
	r := route{In, Pair{Local: local, Remote: remote}}
	f.out = newOutbound(context.Background(), p, r)
	f.out.state = Up
	p.router.links[r] = f.out

	f.scan = stanza.NewScanner(&again{header: []byte("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>"), burst: everyday(burst)}, stanza.Limits{})
	_, err = f.scan.Header()
	fatal(t, err)
	return f
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// everyday is so many messages of 300 bytes between a few people.
func everyday(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		head := fmt.Sprintf("<message type='chat' id='%06d' from='user%d@load.example/load' to='user%d@corp.example'><body>", i, i%20, i%20)
		const tail = "</body></message>"
		b.WriteString(head + strings.Repeat("x", 300-len(head)-len(tail)) + tail)
	}
	return b.Bytes()
}

// step carries one burst, and takes it off the queue again as the link's writer does.
func (f *fastPath) step(t testing.TB) int {
	n := f.queue(t)
	f.out.delivered(&f.out.current, 0, n, audit.Written)
	f.out.current.reset()
	return n
}

// queue carries one burst, up to the link's writer.
func (f *fastPath) queue(t testing.TB) int {
	batch, err := f.scan.Batch(f.room, mostBatch)
	if err != nil {
		t.Fatal(err)
	}
	f.room = batch
	for i := range batch {
		if err := f.in.take(context.Background(), &batch[i]); err != nil {
			t.Fatal(err)
		}
	}
	f.p.carry(context.Background(), f.in)
	if !f.out.take() || len(f.out.current.items) != len(batch) {
		t.Fatalf("%d of %d stanzas were queued", len(f.out.current.items), len(batch))
	}
	return len(batch)
}

// In steady state a stanza costs no allocation: what is left is by batch, six or so. The bound leaves room for the race detector, under
// which pools forget on purpose; one allocation a stanza would be far above it.
func TestFastPathAllocatesByBatchAlone(t *testing.T) {
	const burst = 100
	f := newFastPath(t, burst)
	for range 50 {
		f.step(t)
	}
	perBatch := testing.AllocsPerRun(200, func() { f.step(t) })
	if perBatch > burst/4 {
		t.Errorf("%.0f allocations for a batch of %d stanzas: some are made for each stanza", perBatch, burst)
	}
	t.Logf("%.0f allocations a batch", perBatch)
}

// Nor does it cost one to keep a stanza until it is acknowledged.
func TestKeepingAllocatesByBatchAlone(t *testing.T) {
	const burst = 100
	f := newFastPath(t, burst)
	w := newWriterFor(f.out)
	step := func() {
		for range 3 {
			f.queue(t)
			base, _ := w.count(burst)
			f.out.keep(base, burst)
		}
		taken, _ := w.account()
		if e := w.answered(uint32(taken + 3*burst)); e != nil {
			t.Fatal(e)
		}
		f.out.acknowledged(w)
		if f.out.kept != 0 || f.out.inFlight != 0 {
			t.Fatalf("%d stanzas are kept, %d in flight", f.out.kept, f.out.inFlight)
		}
	}
	for range 50 {
		step()
	}
	if perStep := testing.AllocsPerRun(100, step); perStep > 3*burst/4 {
		t.Errorf("%.0f allocations for three batches of %d stanzas: some are made for each stanza", perStep, burst)
	}
}

func BenchmarkFastPath(b *testing.B) {
	for _, burst := range []int{1, 10, 100, 200} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			f := newFastPath(b, burst)
			b.ReportAllocs()
			n, begun := 0, cpuTime()
			for b.Loop() {
				n += f.step(b)
			}
			b.ReportMetric(float64((cpuTime()-begun).Nanoseconds())/float64(n), "cpu-ns/stanza")
		})
	}
}

// cpuTime is what this process has used: on a machine with other work it says more than the time that passed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
