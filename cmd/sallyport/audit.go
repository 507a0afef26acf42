package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read and verify the record"}
	cmd.AddCommand(searchCommand(), tailCommand(), verifyCommand())
	return cmd
}

// recordFlags are common to the commands that read the record.
type recordFlags struct {
	path, dir string
	asJSON    bool
}

func (f *recordFlags) add(cmd *cobra.Command) {
	configFlag(cmd, &f.path)
	cmd.Flags().StringVar(&f.dir, "dir", "", "directory of the record; default: the configuration's audit.dir")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print the lines of the record as they stand")
}

func (f *recordFlags) directory() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	c, err := config.Load(f.path)
	if err != nil {
		return "", err
	}
	return c.Audit.Dir, nil
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
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
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
	flags.StringVar(&q.From, "from", "", "sender: address or domain")
	flags.StringVar(&q.To, "to", "", "recipient: address or domain")
	flags.StringVar(&q.Domain, "domain", "", "domain on either side; *.example for those below it")
	flags.StringVar(&q.User, "user", "", "user@host, as sender or recipient")
	flags.StringVar(&q.Class, "class", "", "class of the stanza")
	flags.StringVar(&q.Effect, "effect", "", "allow, deny or drop")
	flags.StringVar(&q.Rule, "rule", "", "rule of the decision")
	flags.StringVar(&q.Kind, "kind", "", "kind of event; link.* for all that begin so")
	flags.StringVar(&q.ID, "id", "", "id of the event, as quoted in a bounce")
	flags.StringVar(&q.Text, "text", "", "words in any value")
	flags.StringVar(&since, "since", "", "a day, a time (RFC 3339), or how long ago (24h)")
	flags.StringVar(&until, "until", "", "the same")
	flags.IntVar(&q.Limit, "limit", 0, "so many at the most")
	return cmd
}

// moment reads a day, a time, or a span before now.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
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
	cmd.Flags().IntVarP(&n, "lines", "n", 10, "how many")
	return cmd
}

func verifyCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the record has no gap and no damage", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			report, err := audit.Verify(dir)
			if err != nil {
				return fault(err)
			}
			if f.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d events in %d segments, seq %d to %d, %d allowed stanzas without a delivery\n",
				report.Events, report.Segments, report.First, report.Last, report.Unsettled)
			var faults []error
			for _, problem := range report.Faults {
				faults = append(faults, errors.New(problem.String()))
			}
			return fault(errors.Join(faults...))
		},
	}
	f.add(cmd)
	return cmd
}

// sentence puts an event on one line for people. All that came from outside is made harmless for a terminal.
func sentence(r audit.Record) string {
	parts := []string{r.Time.Local().Format("2006-01-02 15:04:05.000"), fmt.Sprintf("%-8d", r.Seq), fmt.Sprintf("%-14s", r.Kind)}
	add := func(format string, v ...any) { parts = append(parts, fmt.Sprintf(format, v...)) }
	if r.Decision.Effect != "" {
		add("%-5s", r.Decision.Effect)
	}
	if r.From != "" || r.To != "" {
		add("%s → %s", r.From, r.To)
	} else if r.Remote != "" {
		add("%s ⇄ %s", r.Local, r.Remote)
	}
	if r.Stanza.Kind != "" {
		add("%s %s (%d bytes)", r.Stanza.Kind, r.Stanza.Type, r.Stanza.Size)
	}
	if r.Link.Channel != "" && r.Kind != "stanza" {
		add("%s/%s", r.Link.Channel, r.Link.Proof)
	}
	if len(r.Of) > 0 {
		add("%s seq %d–%d", r.Outcome, r.Of[0].First, r.Of[len(r.Of)-1].Last)
	}
	for _, kv := range [][2]string{{"rule", r.Decision.Rule}, {"step", r.Step}, {"condition", r.Condition}, {"error", r.Error}, {"advice", r.Advice}, {"text", r.Text}} {
		if kv[1] != "" && kv[1] != "allow" {
			add("%s=%q", kv[0], kv[1])
		}
	}
	return audit.Visible(strings.Join(parts, " "))
}
