package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
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
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON; of events the lines as they stand in the record")
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

// isRecord says why a directory holds no record that can be read.
func isRecord(dir string) error {
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("reading the record: %w", err)
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

func tailCommand() *cobra.Command {
	var f recordFlags
	var follow bool
	var n int
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the latest events of the record", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err = audit.Tail(ctx, dir, follow, n, f.print(cmd.OutOrStdout()))
			if ctx.Err() != nil {
				return nil
			}
			return fault(err)
		},
	}
	f.add(cmd)
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
