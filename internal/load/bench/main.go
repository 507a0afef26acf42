// Command bench measures the gate's speed and memory beside real servers, in one run, and prints one table: what `make bench`
// shows. Package load says what is measured and how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	gate   string
	dir    string
	links  string
	rest   time.Duration
	json   string
	direct bool
	suite  load.Suite
}

func run(ctx context.Context) error {
	if len(os.Args) > 1 && os.Args[1] == "crowd" {
		return load.Crowd(ctx, os.Stdin, os.Stdout)
	}
	var o options
	flag.StringVar(&o.gate, "sallyport", "bin/sallyport", "the gate's program")
	flag.StringVar(&o.dir, "dir", "", "where subjects keep their files; the disk of the gate's record (default: a temporary directory)")
	flag.StringVar(&o.links, "links", "1000,10000", "how many idle link pairs")
	flag.DurationVar(&o.rest, "rest", 150*time.Second, "how long links are idle before their memory is measured")
	flag.StringVar(&o.json, "json", "", "write the figures to this file too")
	flag.BoolVar(&o.direct, "direct", true, "measure Prosody and ejabberd too, if they are installed")
	flag.Func("only", "measure only flows and bursts whose name matches this regular expression", func(text string) (err error) {
		o.suite.Only, err = regexp.Compile(text)
		return err
	})
	flag.StringVar(&o.suite.Profiles, "profiles", "", "keep CPU profiles of the gates in this directory")
	flag.DurationVar(&o.suite.Time, "time", 2*time.Second, "of one run of a flow")
	flag.IntVar(&o.suite.Runs, "runs", 3, "runs of each flow")
	flag.IntVar(&o.suite.Bursts, "bursts", 300, "bursts of each length")
	flag.Parse()
	gate, err := filepath.Abs(o.gate)
	if err != nil {
		return err
	}
	o.gate = gate
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	o.suite.Progress = os.Stderr
	return o.measure(ctx)
}

func (o *options) measure(ctx context.Context) error {
	text, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d CPUs, %s, load before %s\nCPU is the subject's alone; flows run as fast as they are taken; ratios are to the first column.\n\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), strings.Join(strings.Fields(string(text))[:3], " "))
	defer func() {
		for _, s := range o.suite.Subjects {
			s.Close()
		}
	}()
	starts, err := o.start(ctx)
	if err != nil {
		return err
	}
	report := o.suite.Run(ctx)
	for _, s := range o.suite.Subjects {
		s.Close()
	}
	o.suite.Subjects = nil
	if err := o.manyLinks(ctx, starts, report); err != nil {
		return err
	}
	if err := report.Print(os.Stdout); err != nil {
		return err
	}
	if o.json == "" {
		return nil
	}
	figures, err := json.MarshalIndent(report, "", "  ")
	return errors.Join(err, os.WriteFile(o.json, figures, 0o644))
}

// starter starts one subject in an empty directory.
type starter func(ctx context.Context, dir string) (*load.Subject, error)

// start starts all subjects, the generator alone at the end, and returns how to start those again that are measured with many
// links; the others are nil.
func (o *options) start(ctx context.Context) (starts []starter, err error) {
	gate := func(durability string) starter {
		return func(ctx context.Context, dir string) (*load.Subject, error) {
			return load.Gate(ctx, load.GateOptions{Binary: o.gate, Dir: dir, Durability: durability})
		}
	}
	direct := func(server load.Server) starter {
		return func(ctx context.Context, dir string) (*load.Subject, error) { return load.Direct(ctx, server, dir) }
	}
	all := []starter{gate("sync"), gate("async")}
	if o.direct {
		all = append(all, direct(load.Prosody()), direct(load.Ejabberd()))
	}
	alone := func(ctx context.Context, _ string) (*load.Subject, error) { return load.Alone(ctx, false) }
	for i, start := range append(all, alone) {
		s, err := o.begin(ctx, start)
		if errors.Is(err, load.ErrNotInstalled) {
			continue
		}
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s is up\n", s.Name)
		o.suite.Subjects = append(o.suite.Subjects, s)
		if i == 1 || i == len(all) {
			start = nil // durability makes no difference to a link; the generator has no links to measure
		}
		starts = append(starts, start)
	}
	return starts, nil
}

func (o *options) begin(ctx context.Context, start starter) (*load.Subject, error) {
	dir, err := os.MkdirTemp(o.dir, "subject-")
	if err != nil {
		return nil, err
	}
	return start(ctx, dir)
}

// manyLinks measures set-ups and idle memory, each with a fresh subject. All subjects rest at the same time.
func (o *options) manyLinks(ctx context.Context, starts []starter, report *load.Report) error {
	for word := range strings.SplitSeq(o.links, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return fmt.Errorf("-links: %w", err)
		}
		n = min(n, load.LinkLimit())
		if n > 1000 {
			starts = starts[:1] // the servers beside the gate are measured with a thousand
		}
		if err := o.linksOf(ctx, n, starts, report); err != nil {
			return err
		}
	}
	return nil
}

// linksOf opens n links of each subject, lets them rest, and enters what they cost.
func (o *options) linksOf(ctx context.Context, n int, starts []starter, report *load.Report) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	held := make([]*load.Links, len(starts))
	for column, start := range starts {
		if start == nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "  %d link pairs, %s …\n", n, report.Columns[column])
		s, err := o.begin(ctx, start)
		if err != nil {
			return err
		}
		defer s.Close()
		if held[column], err = s.Links(ctx, self, n); err != nil {
			report.EnterLinks(column, n, nil, err)
			continue
		}
		defer held[column].Close()
	}
	fmt.Fprintf(os.Stderr, "  at rest for %s …\n", o.rest)
	select {
	case <-time.After(o.rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	for column, l := range held {
		if l != nil {
			report.EnterLinks(column, n, l, l.Rested())
		}
	}
	return nil
}
