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
	"time"
)

// TestMain is the crowd when it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "crowd" {
		if err := Crowd(context.Background(), os.Stdin, os.Stdout); err != nil {
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
	if err := l.Rested(); err != nil {
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

func TestReport(t *testing.T) {
	t.Parallel()
	r := Report{Columns: []string{"gate", "other"}}
	r.Set(0, "flow", "µs", "≤ 4", FigureOf(3, 1, 2))
	r.Set(1, "flow", "µs", "≤ 4", FigureOf(20))
	r.Set(1, "flow", "writes", "", Figure{Fault: "it broke"})
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2.00 (1.00–3.00)", "20.0 ×10.0", "≤ 4", "fault", "–", "no figure: flow, other: it broke"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
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
	if err := suite.Run(t.Context()).Print(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "wire cut"); n < 4 {
		t.Errorf("%d measures tell that the link broke, want those of all flows out:\n%s", n, out.String())
	}
	if n := strings.Count(out.String(), "CPU µs/stanza"); n != 8 {
		t.Errorf("%d flows, want 8:\n%s", n, out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("wire cut") }
