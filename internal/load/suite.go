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

	report Report
}

// flows are the kinds of traffic that are measured, with their goals.
func flows() []struct {
	Flow
	goal string
} {
	return []struct {
		Flow
		goal string
	}{
		{Flow{In, 300, false}, "≤ 4"}, {Flow{Out, 300, false}, "≤ 4"},
		{Flow{In, 300, true}, ""}, {Flow{Out, 300, true}, ""},
		{Flow{In, 2000, false}, ""}, {Flow{Out, 2000, false}, ""},
		{Flow{In, 20000, false}, ""}, {Flow{Out, 20000, false}, ""},
	}
}

func (f Flow) name() string {
	writes := "batches"
	if f.Single {
		writes = "one a write"
	}
	return fmt.Sprintf("%s %d B, %s", f.Direction, f.Size, writes)
}

// Run measures flows and round trips. A subject that fails at one measure has no figure there, and its reason is in the report.
func (s *Suite) Run(ctx context.Context) *Report {
	for _, subject := range s.Subjects {
		s.report.Columns = append(s.report.Columns, subject.Name)
	}
	for _, f := range flows() {
		if !s.wants(f.name()) {
			continue
		}
		fmt.Fprintf(s.Progress, "  %s …\n", f.name())
		s.flow(ctx, f.Flow, f.goal)
	}
	for _, burst := range []int{1, 2, 10} {
		if !s.wants(burstName(burst)) {
			continue
		}
		fmt.Fprintf(s.Progress, "  bursts of %d …\n", burst)
		s.bursts(ctx, burst)
	}
	return &s.report
}

func (s *Suite) wants(name string) bool { return s.Only == nil || s.Only.MatchString(name) }

func burstName(n int) string { return fmt.Sprintf("burst of %d and back", n) }

func (s *Suite) flow(ctx context.Context, f Flow, goal string) {
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
		s.enter(i, f.name(), "CPU µs/stanza", goal, cpu[i], faults[i])
		s.enter(i, f.name(), "stanzas/s", "", rate[i], faults[i])
		s.enter(i, f.name(), "writes/stanza", "", writes[i], faults[i])
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
	goal := ""
	if burst == 10 {
		goal = "< 2"
	}
	name := burstName(burst)
	for i, subject := range s.Subjects {
		t, err := subject.RoundTrips(ctx, burst, s.Bursts)
		if err != nil {
			s.enter(i, name, "ms, median", goal, nil, err.Error())
			continue
		}
		s.enter(i, name, "ms, median", goal, []float64{t.Percentile(50).Seconds() * 1e3}, "")
		s.enter(i, name, "ms, 99 %", "", []float64{t.Percentile(99).Seconds() * 1e3}, "")
	}
}

func (s *Suite) enter(column int, name, unit, goal string, values []float64, fault string) {
	f := FigureOf(values...)
	f.Fault = fault
	s.report.Set(column, name, unit, goal, f)
}

// EnterLinks adds what n link pairs cost a subject; l is nil when err says why there are none.
func (r *Report) EnterLinks(column, n int, l *Links, err error) {
	name := fmt.Sprintf("%d link pairs", n)
	if err != nil {
		r.Set(column, name, "set up/CPU s", "", Figure{Fault: err.Error()})
		return
	}
	r.Set(column, name, "set up/CPU s", "", FigureOf(l.PerCPUSecond()))
	r.Set(column, name, "kB/pair, at once", "", FigureOf(float64(l.Fresh())/1000))
	r.Set(column, name, "kB/pair, idle", "≤ 60", FigureOf(float64(l.PerPair())/1000))
}
