package main

import (
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
	"sallyport/internal/jid"
)

func auditCommand() *cobra.Command {
	return group(&cobra.Command{Use: "audit", Short: "Read and verify the record"}, searchCommand(), tailCommand(), verifyCommand(), proveCommand(), consistencyCommand(), checkpointCommand(), keyCommand(), statementCommand(), holdCommand(), deleteCommand(),
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

func searchCommand() *cobra.Command {
	var f recordFlags
	var q audit.Query
	var since, until string
	cmd := &cobra.Command{
		Use: "search", Short: "Find events of the record", Args: cobra.NoArgs,
		Example: `  sallyport audit search --user alice@corp.example --since 24h
  sallyport audit search --kind link.fail --domain partner.example
  sallyport audit search --effect deny --since 2026-11-24 --json`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if !slices.Contains([]string{"", "allow", "deny", "drop"}, q.Effect) {
				return fmt.Errorf("--effect: %q is not allow, deny or drop", q.Effect)
			}
			if q.Limit < 0 {
				return fmt.Errorf("--limit: %d is less than nothing", q.Limit)
			}
			for _, name := range []*string{&q.From, &q.To, &q.Domain, &q.User} {
				*name = recorded(*name)
			}
			if q.Since, err = moment(since); err != nil {
				return fmt.Errorf("--since: %w", err)
			}
			if q.Until, err = moment(until); err != nil {
				return fmt.Errorf("--until: %w", err)
			}
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			return fault(audit.Search(cmd.Context(), dir, q, f.print(cmd.OutOrStdout())))
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.From, "from", "", "sender: `ADDRESS` or domain")
	flags.StringVar(&q.To, "to", "", "recipient: `ADDRESS` or domain")
	flags.StringVar(&q.Domain, "domain", "", "`DOMAIN` on either side; *.example for those below it too")
	flags.StringVar(&q.User, "user", "", "`USER@HOST`, as sender or recipient")
	flags.StringVar(&q.Class, "class", "", "`CLASS` of the stanza")
	flags.StringVar(&q.Effect, "effect", "", "`EFFECT` of the decision: allow, deny or drop")
	flags.StringVar(&q.Rule, "rule", "", "`RULE` of the decision")
	flags.StringVar(&q.Kind, "kind", "", "`KIND` of event; link.* for all that begin so")
	flags.StringVar(&q.ID, "id", "", "`ID` of the event, as quoted in a bounce")
	flags.StringVar(&q.Text, "text", "", "`WORDS` in any value")
	flags.StringVar(&since, "since", "", "`WHEN`: a day, a time (RFC 3339), or how long ago (24h)")
	flags.StringVar(&until, "until", "", "`WHEN`, likewise")
	flags.IntVar(&q.Limit, "limit", 0, "`N` events at the most, the oldest; 0: all")
	return cmd
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
