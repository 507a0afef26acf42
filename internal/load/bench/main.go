// Command bench measures the gate's speed and memory beside real servers, in one run, and prints tables: what `make bench` shows.
// Package load says what is measured and how.
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

func run(ctx context.Context) error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case load.Gathering:
			return load.Crowd(ctx, os.Stdin, os.Stdout)
		case load.Shake:
			return load.Shaker(ctx, os.Stdin, os.Stdout)
		}
	}
	b, err := parse()
	if err != nil {
		return err
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(b.dir)
	}
	defer b.close()
	return b.measure(ctx)
}

// bench is one run.
type bench struct {
	// Set by flags.
	gate   string
	dir    string
	links  []int
	rest   time.Duration
	json   string
	direct bool
	suite  load.Suite

	self    string // this program
	report  *load.Report
	held    []held
	resting time.Time // when the last links came up
	closers []func()
}

// held is links of one subject, at rest while other things are measured.
type held struct {
	column, n int
	links     *load.Links
	bare      *load.Subject // the same without links
}

func parse() (*bench, error) {
	b := &bench{suite: load.Suite{Progress: os.Stderr}}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	links := flag.String("links", "1000,10000", "how many idle link pairs; empty: none")
	flag.StringVar(&b.gate, "sallyport", "bin/sallyport", "the gate's program")
	flag.StringVar(&b.dir, "dir", "", "where subjects keep their files; the disk of the gate's record (default: a temporary directory)")
	flag.DurationVar(&b.rest, "rest", 100*time.Second, "how long links are idle before their memory is measured")
	flag.StringVar(&b.json, "json", "", "write the figures to this file too")
	flag.BoolVar(&b.direct, "direct", true, "measure Prosody and ejabberd too, if they are installed")
	flag.Func("only", "measure only flows and bursts whose name matches this regular expression", func(text string) (err error) {
		b.suite.Only, err = regexp.Compile(text)
		return err
	})
	flag.StringVar(&b.suite.Profiles, "profiles", "", "keep CPU profiles of the gates in this directory")
	flag.DurationVar(&b.suite.Time, "time", time.Second, "of one run of a flow")
	flag.IntVar(&b.suite.Runs, "runs", 3, "runs of each flow and burst")
	flag.IntVar(&b.suite.Bursts, "bursts", 100, "bursts of each length in a run")
	flag.Parse()
	if b.gate, err = filepath.Abs(b.gate); err != nil {
		return nil, err
	}
	for word := range strings.SplitSeq(*links, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("-links: %w", err)
		}
		b.links = append(b.links, n)
	}
	return b, nil
}

func (b *bench) close() {
	for _, s := range b.suite.Subjects {
		s.Close()
	}
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

// measure brings the links up first: they rest while flows and bursts are measured, and their memory is looked at in the end.
func (b *bench) measure(ctx context.Context) error {
	begun := time.Now()
	fmt.Printf("%s, %d CPUs, %s, load before %s\n", begun.Format(time.DateTime), runtime.NumCPU(), runtime.Version(), loadAverage())
	subjects, err := b.start(ctx)
	if err != nil {
		return err
	}
	b.report = load.NewReport(b.suite.Columns()...)
	if err := b.bringUp(ctx, subjects); err != nil {
		return err
	}
	b.suite.Run(ctx, b.report)
	if err := b.lookAgain(ctx); err != nil {
		return err
	}
	fmt.Printf("CPU is the subject's alone; flows run as fast as they are taken; figures are medians (least–most); × is against the first column.\nThe whole took %s; load after %s.\n\n",
		time.Since(begun).Round(time.Second), loadAverage())
	if err := b.report.Print(os.Stdout); err != nil {
		return err
	}
	if b.json == "" {
		return nil
	}
	figures, err := json.MarshalIndent(b.report, "", "  ")
	return errors.Join(err, os.WriteFile(b.json, figures, 0o644))
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
