package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Suite measures several subjects in turns, so that a change of the machine's mood falls on all of them alike.
type Suite struct {
	Subjects []*Subject
	Time     time.Duration // of one run of a flow
	Runs     int           // of each flow
	Bursts   int           // of each length
	Progress io.Writer
	Only     *regexp.Regexp // measures whose name matches; nil: all
	Profiles string         // a directory for CPU profiles of the gates, one of each flow; empty: none

	report *Report
}

// stanzaGoal and tripGoal are what issue 2 asks of gates: µs of CPU for a stanza of 300 bytes, and ms for the round trip of a burst of
// ten at the median; idleGoal, kB for an idle link pair.
const (
	stanzaGoal = 4
	tripGoal   = 2
	idleGoal   = 60
)

// flows are the kinds of traffic that are measured.
func flows() []Flow {
	return []Flow{
		{In, 300, false}, {Out, 300, false}, {In, 300, true}, {Out, 300, true},
		{In, 2000, false}, {Out, 2000, false}, {In, 20000, false}, {Out, 20000, false},
	}
}

func (f Flow) name() string {
	writes := ""
	if f.Single {
		writes = ", one a write"
	}
	return fmt.Sprintf("%d B %s%s", f.Size, f.Direction, writes)
}

func (f Flow) goal() float64 {
	if f.Size == 300 && !f.Single {
		return stanzaGoal
	}
	return 0
}

// Run measures flows and round trips into the report. A subject that fails at one measure has no figure there, and its reason is in
// the report.
func (s *Suite) Run(ctx context.Context, report *Report) {
	s.report = report
	for _, f := range flows() {
		if s.wants(f.name()) {
			fmt.Fprintf(s.Progress, "  %s …\n", f.name())
			s.flow(ctx, f)
		}
	}
	for _, burst := range []int{1, 2, 10} {
		if s.wants(burstName(burst)) {
			fmt.Fprintf(s.Progress, "  bursts of %d …\n", burst)
			s.bursts(ctx, burst)
		}
	}
}

// Columns are the names of the subjects.
func (s *Suite) Columns() (names []string) {
	for _, subject := range s.Subjects {
		names = append(names, subject.Name)
	}
	return names
}

func (s *Suite) wants(name string) bool { return s.Only == nil || s.Only.MatchString(name) }

func burstName(n int) string { return fmt.Sprintf("burst of %d", n) }

func (s *Suite) flow(ctx context.Context, f Flow) {
	cpu, rate, writes := make([][]float64, len(s.Subjects)), make([][]float64, len(s.Subjects)), make([][]float64, len(s.Subjects))
	faults := make([]string, len(s.Subjects))
	for range s.Runs {
		for i, subject := range s.Subjects {
			if faults[i] != "" {
				continue
			}
			r, err := subject.Run(ctx, f, s.Time)
			if err != nil {
				faults[i] = err.Error()
				continue
			}
			rate[i] = append(rate[i], r.PerSecond())
			if len(subject.pids) > 0 {
				cpu[i] = append(cpu[i], r.PerStanza().Seconds()*1e6)
			} else {
				cpu[i] = append(cpu[i], r.Generator.Seconds()*1e6/float64(r.Stanzas))
			}
			if subject.writes {
				writes[i] = append(writes[i], r.WritesPerStanza())
			}
		}
	}
	if s.Profiles != "" {
		s.profile(ctx, f, faults)
	}
	for i := range s.Subjects {
		s.enter(i, cpuTable, f.name(), cpu[i], faults[i]).Goal = f.goal()
		s.enter(i, rateTable, f.name(), rate[i], faults[i])
		s.enter(i, writeTable, f.name(), writes[i], faults[i])
	}
}

// profile has each gate profiled in a run of its own, so that no figure has the cost of that in it.
func (s *Suite) profile(ctx context.Context, f Flow, faults []string) {
	for i, subject := range s.Subjects {
		if subject.admin == "" || faults[i] != "" {
			continue
		}
		profiled := make(chan error, 1)
		file := filepath.Join(s.Profiles, strings.NewReplacer(" ", "-", ",", "").Replace(subject.Name+" "+f.name())+".pprof")
		go func() { profiled <- subject.cpuProfile(ctx, s.Time, file) }()
		_, err := subject.Run(ctx, f, s.Time)
		if err = errors.Join(err, <-profiled); err != nil {
			fmt.Fprintln(s.Progress, "  no profile:", err)
		}
	}
}

func (s *Suite) bursts(ctx context.Context, burst int) {
	goal := 0.0
	if burst == 10 {
		goal = tripGoal
	}
	median, late := make([][]float64, len(s.Subjects)), make([][]float64, len(s.Subjects))
	faults := make([]string, len(s.Subjects))
	for range s.Runs {
		for i, subject := range s.Subjects {
			if faults[i] != "" {
				continue
			}
			t, err := subject.RoundTrips(ctx, burst, s.Bursts)
			if err != nil {
				faults[i] = err.Error()
				continue
			}
			median[i], late[i] = append(median[i], t.Percentile(50).Seconds()*1e3), append(late[i], t.Percentile(99).Seconds()*1e3)
		}
	}
	for i := range s.Subjects {
		s.enter(i, tripTable, burstName(burst)+", median", median[i], faults[i]).Goal = goal
		s.enter(i, tripTable, burstName(burst)+", 99 %", late[i], faults[i])
	}
}

func (s *Suite) enter(column int, title, name string, values []float64, fault string) *Row {
	f := FigureOf(values...)
	f.Fault = fault
	return s.report.set(column, title, name, f)
}

// EnterHandshakes adds what bare TLS handshakes come to, and what the gate's way in does beside them, in the gate's column: each of
// proofs was measured right after the one of bare.
func (r *Report) EnterHandshakes(bare, proofs []float64) {
	var share []float64
	for i := range bare {
		share = append(share, 100*proofs[i]/bare[i])
	}
	r.set(0, setupTable, "bare mutual TLS handshakes", FigureOf(bare...))
	r.set(0, setupTable, "ways in, until ready for stanzas", FigureOf(proofs...))
	r.set(0, setupTable, "the same, in per cent of the bare (goal: 60)", FigureOf(share...))
}

// EnterLinks adds what link pairs cost a subject; l is nil when err says why there are none.
func (r *Report) EnterLinks(column, n int, l *Links, err error) {
	name := fmt.Sprintf("%s link pairs", number(float64(n)))
	if err != nil {
		r.set(column, setupTable, name, Figure{Fault: err.Error()})
		return
	}
	r.set(column, setupTable, name, FigureOf(l.PerCPUSecond()))
	r.set(column, bytesTable, name+", right after", FigureOf(float64(l.Fresh())/1000))
	r.set(column, bytesTable, name+", at rest", FigureOf(float64(l.PerPair())/1000)).Goal = idleGoal
}
