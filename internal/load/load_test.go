package load

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"sallyport/internal/peer"
	"time"
)

// TestMain is the other process when it is started as that.
func TestMain(m *testing.M) {
	other := map[string]func(context.Context, io.Reader, io.Writer) error{Gathering: Crowd, Shake: Shaker}
	if len(os.Args) > 1 && other[os.Args[1]] != nil {
		if err := other[os.Args[1]](context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestStanzasAreWholeAndOfTheirSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{300, 2000, 20000} {
		b := newBatch(Route{"load.example", "corp.example"}, size)
		for _, st := range b.stanzas {
			if len(st) != size {
				t.Fatalf("a stanza of %d bytes, want %d", len(st), size)
			}
			if err := xml.Unmarshal(st, new(struct{})); err != nil {
				t.Fatalf("%v in %s", err, st)
			}
		}
		if len(b.whole) != size*len(b.stanzas) || len(b.stanzas) == 0 {
			t.Errorf("a batch of %d bytes with %d stanzas of %d", len(b.whole), len(b.stanzas), size)
		}
	}
}

func TestCounterTellsErrorsApart(t *testing.T) {
	t.Parallel()
	c := newCounter()
	var answers int
	c.onArrival(func(n int) { answers += n })
	c.Read(strings.NewReader("<message id='1'/> <message type='error'><error/></message><presence/><message><body>type='error'</body></message>"))
	arrived, _ := c.now()
	if last, errors := c.lastError(); arrived != 2 || errors != 1 || answers != 2 || last != "<message type='error'><error/></message>" {
		t.Errorf("%d arrived, %d errors (%s), %d answered, want 2, 1, 2", arrived, errors, last, answers)
	}
	if err := c.Await(t.Context(), 2); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Await(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for what does not come: %v", err)
	}
}

func TestUsageGrows(t *testing.T) {
	t.Parallel()
	s := Subject{pids: []int{os.Getpid()}}
	before, err := s.usage()
	if err != nil {
		t.Fatal(err)
	}
	for begun := selfCPU(); selfCPU()-begun < 20*time.Millisecond; {
		fmt.Fprint(io.Discard, "work")
	}
	after, err := s.usage()
	if err != nil {
		t.Fatal(err)
	}
	if d := after.sub(before); d.CPU < 20*time.Millisecond || d.CPU > 10*time.Second || after.RSS < 1<<20 {
		t.Errorf("used %+v, RSS %d", d, after.RSS)
	}
}

// exercise runs every kind of flow through a subject once, shortly.
func exercise(t *testing.T, s *Subject) {
	t.Helper()
	for _, f := range []Flow{{In, 300, false}, {In, 300, true}, {Out, 300, false}, {Out, 2000, true}, {In, 20000, false}} {
		r, err := s.Run(t.Context(), f, 50*time.Millisecond)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		t.Logf("%s %s %d B, single %v: %.0f/s, %s CPU a stanza, %.2f writes, generator %s", s.Name, f.Direction, f.Size, f.Single,
			r.PerSecond(), r.PerStanza(), r.WritesPerStanza(), r.Generator/time.Duration(r.Stanzas))
	}
	for _, burst := range []int{1, 10} {
		trips, err := s.RoundTrips(t.Context(), burst, 20)
		if err != nil {
			t.Fatal(err)
		}
		if len(trips.Times) != 20 || trips.Percentile(50) <= 0 || trips.Percentile(50) > trips.Percentile(99) {
			t.Errorf("trips %v", trips)
		}
		t.Logf("%s burst of %d: %s", s.Name, burst, trips.Percentile(50))
	}
}

func TestGeneratorAlone(t *testing.T) {
	t.Parallel()
	for _, plaintext := range []bool{true, false} {
		s, err := Alone(t.Context(), plaintext)
		if err != nil {
			t.Fatal(err)
		}
		exercise(t, s)
		s.Close()
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	s, err := Alone(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.pids = []int{os.Getpid()}
	const n = perSource + 10 // from two addresses
	l, err := s.Links(t.Context(), os.Args[0], n)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Rested(&Subject{pids: s.pids}); err != nil {
		t.Fatal(err)
	}
	if l.Count != n || l.Setup.CPU <= 0 || l.PerCPUSecond() <= 0 || l.Fresh() < -1<<20 {
		t.Errorf("links %+v", l)
	}
	if arrived, _ := s.local.in.now(); arrived != n+1 {
		t.Errorf("%d stanzas arrived over %d links", arrived-1, n)
	}
	t.Logf("%d links, %.0f set up in a CPU second, %d B each", n, l.PerCPUSecond(), l.PerPair())
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	perCPUSecond, err := Handshakes(t.Context(), os.Args[0], 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if perCPUSecond < 10 || perCPUSecond > 1e6 {
		t.Errorf("%.0f handshakes in a CPU second", perCPUSecond)
	}
}

func TestProofs(t *testing.T) {
	t.Parallel()
	s, ctx, err := newSubject(t.Context(), "a server", gateDomain)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id, err := s.authority.Issue(gateDomain)
	if err != nil {
		t.Fatal(err)
	}
	server, err := peer.Modern{Domains: []string{gateDomain}, Certificate: id.TLS, Roots: s.authority.Pool(), External: true}.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.place, s.pids = server.Addr(), []int{os.Getpid()}
	if _, _, err := s.remoteEnd(ctx); err != nil {
		t.Fatal(err)
	}
	perCPUSecond, err := s.Proofs(t.Context(), 100*time.Millisecond, "")
	if err != nil {
		t.Fatal(err)
	}
	if perCPUSecond < 10 || perCPUSecond > 1e6 {
		t.Errorf("%.0f ways in in a CPU second", perCPUSecond)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := NewReport("sallyport sync", "sallyport async", "other")
	r.set(0, cpuTable, "300 B in", FigureOf(3, 1, 2)).Goal = 4
	r.set(1, cpuTable, "300 B in", FigureOf(3.5))
	r.set(2, cpuTable, "300 B in", FigureOf(20))
	r.set(0, rateTable, "300 B in", FigureOf(1234567))
	r.set(2, writeTable, "300 B in", Figure{Fault: "it broke"})
	r.EnterHandshakes([]float64{1650}, []float64{990})
	r.EnterLinks(0, 1000, &Links{Count: 1000, Setup: Usage{CPU: 2 * time.Second, RSS: 90e6}, Memory: 61e6}, nil)
	r.EnterLinks(2, 1000, nil, errors.New("it does not federate"))
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 (1–3)", "3.50 ×1.75", "20 ×10", "≤ 4, reached", "fault", "–", "1 234 567", "300 B in, other: it broke", "1650", "990", "60", "500", "61",
		"≤ 60, missed", "1000 link pairs, other: it does not federate"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), tripTable) {
		t.Error("a table without figures was printed")
	}
}

// TestSuiteTakesTurns runs all measures on two subjects, one of which breaks.
func TestSuiteTakesTurns(t *testing.T) {
	t.Parallel()
	var subjects []*Subject
	for _, plaintext := range []bool{true, false} {
		s, err := Alone(t.Context(), plaintext)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		subjects = append(subjects, s)
	}
	subjects[1].local.w = broken{}
	suite := Suite{Subjects: subjects, Time: 5 * time.Millisecond, Runs: 2, Bursts: 3, Progress: io.Discard}
	var out strings.Builder
	report := NewReport(suite.Columns()...)
	suite.Run(t.Context(), report)
	if err := report.Print(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "wire cut"); n < 4 {
		t.Errorf("%d measures tell that the link broke, want those of all flows out:\n%s", n, out.String())
	}
	if n := len(report.Tables[0].Rows); n != 8 {
		t.Errorf("%d flows, want 8:\n%s", n, out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("wire cut") }
