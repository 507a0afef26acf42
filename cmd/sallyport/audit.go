package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
	"sallyport/internal/jid"
)

func auditCommand() *cobra.Command {
	return group(&cobra.Command{Use: "audit", Short: "Read and verify the record"}, searchCommand(), exportCommand(), indexCommand(), tailCommand(), verifyCommand(), proveCommand(), consistencyCommand(), checkpointCommand(), keyCommand(), statementCommand(), holdCommand(), deleteCommand(),
		openCommand(), askCommand(), destroyCommand())
}

// recordFlags are common to the commands that read the record.
type recordFlags struct {
	path, dir string
	asJSON    bool
}

func (f *recordFlags) add(cmd *cobra.Command) {
	f.addPlaces(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// addPlaces adds the flags that say where the record is.
func (f *recordFlags) addPlaces(cmd *cobra.Command) {
	configFlag(cmd, &f.path)
	cmd.Flags().StringVar(&f.dir, "dir", "", "`DIRECTORY` of the record; default: the configuration's audit.dir")
}

// directory is where the record is. An empty directory is a fault: it is the wrong one, or somebody emptied it.
func (f *recordFlags) directory() (string, error) {
	dir := f.dir
	if dir == "" {
		c, err := config.Load(f.path)
		if err != nil {
			return "", err
		}
		dir = c.Audit.Dir
	}
	return dir, isRecord(dir)
}

// place is a record with its secrets, which the configuration can have elsewhere than beside it.
func (f *recordFlags) place(dir string) audit.Config {
	if c, err := config.Load(f.path); err == nil && sameDir(dir, c.Audit.Dir) {
		return audit.Config{Dir: dir, Secrets: c.Audit.SecretsDir()}
	}
	return audit.Config{Dir: dir}
}

// lookFlags are common to the commands that show events: who looks, and why, is recorded.
type lookFlags struct {
	recordFlags
	paths   []string // of several configurations; nil: that of path
	as, why string
}

// addPlaces is for commands that take the records of several gates.
func (f *lookFlags) addPlaces(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.paths, "config", "c", []string{defaultConfig}, "configuration `FILE`; again for each gate whose own record is read")
	cmd.Flags().StringVar(&f.dir, "dir", "", "`DIRECTORY` of the record; default: the configuration's audit.dir")
}

func (f *lookFlags) addWho(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.as, "as", "", "`NAME` of who asks, beside the user that the system knows")
	cmd.Flags().StringVar(&f.why, "reason", "", "`REASON`, which is recorded")
}

// directories are those that are named, or else the gates' own. live are the configurations of the gates whose records are among them; a copy has
// none, and nothing can be recorded in it. A record that is somebody's own and not that of a configuration is refused.
func (f *lookFlags) directories(named []string) (dirs []string, live []*config.Config, err error) {
	if f.dir != "" {
		named = append([]string{f.dir}, named...)
	}
	paths := f.paths
	if paths == nil {
		paths = []string{f.path}
	}
	var gates []*config.Config
	var unread error
	for _, path := range paths {
		c, err := config.Load(path)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		gates = append(gates, c)
	}
	if len(named) == 0 {
		if unread != nil {
			return nil, nil, unread
		}
		for _, c := range gates {
			named = append(named, c.Audit.Dir)
		}
	}
	for _, dir := range named {
		if err := isRecord(dir); err != nil {
			return nil, nil, err
		}
		own := slices.IndexFunc(gates, func(c *config.Config) bool { return sameDir(dir, c.Audit.Dir) })
		switch {
		case own >= 0 && !slices.Contains(live, gates[own]):
			live = append(live, gates[own])
		case own >= 0:
		case audit.InUse(dir):
			return nil, nil, fmt.Errorf("a gate writes to %s, so that it has to be recorded there who reads it: name that gate's configuration (-c)", dir)
		case audit.Owned(dir):
			return nil, nil, fmt.Errorf("%s is no copy but a gate's own record, for the key that signs it lies beside it: name that gate's configuration (-c), so that it is recorded who reads it", dir)
		}
	}
	return named, live, nil
}

// note records that somebody looks, in each record where that can be recorded.
func (f *lookFlags) note(ctx context.Context, live []*config.Config, n console.Note) error {
	n.As, n.Why = f.as, f.why
	for _, c := range live {
		if err := noteDeed(ctx, c, n); err != nil {
			return err
		}
	}
	return nil
}

func sameDir(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// isRecord says why a directory holds no record that can be read.
func isRecord(dir string) error {
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("reading the record: %w; is it the audit.dir of the gate?", err)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "*.jsonl*")); err != nil || len(found) == 0 {
		return fmt.Errorf("there is no record in %s; is it the audit.dir of the gate?", dir)
	}
	return nil
}

// print writes one event: its line, or the part of it that a person wants.
func (f *recordFlags) print(w io.Writer) func(line []byte, r audit.Record) error {
	return func(line []byte, r audit.Record) error {
		if f.asJSON {
			_, err := fmt.Fprintf(w, "%s\n", line)
			return err
		}
		_, err := fmt.Fprintln(w, sentence(r))
		return err
	}
}

// recorded spells an address or a domain as the record does, whichever way it is typed: Corp.Example. is corp.example, and xn-- is
// Unicode. What is neither stays as it is, and is looked for like that.
func recorded(name string) string {
	rest, below := strings.CutPrefix(name, "*.")
	j, err := jid.Parse(rest)
	switch {
	case err != nil:
		return name
	case below:
		return "*." + j.String()
	}
	return j.String()
}

// moment reads a day (of the local time zone, in which events are shown too), a time, or a span before now.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a day (2026-11-24), a time (2026-11-24T12:00:00Z) nor a span (24h)", s)
}

// span reads the two ends of a time. One that ends before it begins has nothing in it, which looks like an answer.
func span(since, until string) (from, to time.Time, err error) {
	if from, err = moment(since); err != nil {
		return from, to, fmt.Errorf("--since: %w", err)
	}
	if to, err = moment(until); err != nil {
		return from, to, fmt.Errorf("--until: %w", err)
	}
	if !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("--until %s is not after --since %s", until, since)
	}
	return from, to, nil
}

func tailCommand() *cobra.Command {
	var f lookFlags
	var follow bool
	var n int
	cmd := &cobra.Command{
		Use: "tail [DIRECTORY...]", Short: "Show the latest events of the record, or of several; of the gate's own this is recorded", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, live, err := f.directories(args)
			if err != nil {
				return fault(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			asked := fmt.Sprintf("tail lines=%d", n)
			if follow {
				asked += " follow"
			}
			if err := f.note(ctx, live, console.Note{Kind: "audit.search", Query: asked}); err != nil {
				return fault(err)
			}
			show := f.print(cmd.OutOrStdout())
			err = audit.Tail(ctx, dirs, follow, n, func(h audit.Hit) error { return show(h.Line, h.Record) })
			if ctx.Err() != nil {
				return nil
			}
			return fault(err)
		},
	}
	f.addPlaces(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	f.addWho(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more")
	cmd.Flags().IntVarP(&n, "lines", "n", 10, "`N` events; below zero: all")
	return cmd
}

func counted(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
