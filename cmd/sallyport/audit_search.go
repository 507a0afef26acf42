package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

// queryFlags say what is looked for, as it is typed.
type queryFlags struct {
	lookFlags
	q            audit.Query
	since, until string
}

func (f *queryFlags) add(cmd *cobra.Command) {
	f.addPlaces(cmd)
	f.addQuery(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.q.Kind, "kind", "", "`KIND` of event; link.* for all that begin so")
	flags.StringVar(&f.q.Text, "text", "", "`WORDS` in any value")
	flags.BoolVar(&f.q.NoIndex, "no-index", false, "read everything: believe no index")
	flags.StringVar(&f.why, "reason", "", "`REASON`, which is recorded")
}

// addQuery adds the flags that say which stanzas are meant.
func (f *queryFlags) addQuery(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.q.From, "from", "", "sender: `ADDRESS` or domain")
	flags.StringVar(&f.q.To, "to", "", "recipient: `ADDRESS` or domain")
	flags.StringVar(&f.q.Domain, "domain", "", "`DOMAIN` on either side; *.example for those below it too")
	flags.StringVar(&f.q.User, "user", "", "`USER@HOST`, as sender or recipient")
	flags.StringVar(&f.q.Class, "class", "", "`CLASS` of the stanza")
	flags.StringVar(&f.q.Effect, "effect", "", "`EFFECT` of the decision: allow, deny or drop")
	flags.StringVar(&f.q.Rule, "rule", "", "`RULE` of the decision")
	flags.StringVar(&f.q.ID, "id", "", "`ID` of the event, as quoted in a bounce, or of the stanza")
	flags.StringVar(&f.since, "since", "", "`WHEN`: a day, a time (RFC 3339), or how long ago (24h)")
	flags.StringVar(&f.until, "until", "", "`WHEN`, likewise")
	flags.IntVar(&f.q.Limit, "limit", f.q.Limit, "`N` events at the most, the oldest; 0: all")
	flags.StringVar(&f.as, "as", "", "`NAME` of who asks, beside the user that the system knows")
}

// read understands what was typed.
func (f *queryFlags) read() (err error) {
	q := &f.q
	if !slices.Contains([]string{"", "allow", "deny", "drop"}, q.Effect) {
		return fmt.Errorf("--effect: %q is not allow, deny or drop", q.Effect)
	}
	if q.Kind != "" && !audit.AsksKind(q.Kind) {
		return fmt.Errorf("--kind: there are no events of kind %q; docs/reference/audit-events.md lists them", q.Kind)
	}
	if q.Limit < 0 {
		return fmt.Errorf("--limit: %d is less than nothing", q.Limit)
	}
	for _, name := range []*string{&q.From, &q.To, &q.Domain, &q.User} {
		*name = recorded(*name)
	}
	q.Since, q.Until, err = span(f.since, f.until)
	return err
}

// asked puts the query into words, for the record.
func (f *queryFlags) asked() string {
	words := cmp.Or(f.conditions(), "everything")
	if f.q.Limit > 0 {
		words += fmt.Sprintf(" limit=%d", f.q.Limit)
	}
	return words
}

// conditions are what an event has to be; empty: there are none.
func (f *queryFlags) conditions() string {
	q := &f.q
	var words []string
	for _, kv := range [][2]string{{"from", q.From}, {"to", q.To}, {"domain", q.Domain}, {"user", q.User}, {"class", q.Class}, {"effect", q.Effect}, {"rule", q.Rule},
		{"kind", q.Kind}, {"id", q.ID}, {"text", q.Text}, {"since", f.since}, {"until", f.until}} {
		if kv[1] != "" {
			words = append(words, kv[0]+"="+kv[1])
		}
	}
	return strings.Join(words, " ")
}

func searchCommand() *cobra.Command {
	var f queryFlags
	var format string
	cmd := &cobra.Command{
		Use: "search [DIRECTORY...]", Short: "Find events of the record, or of several; in the gate's own this is recorded", Args: cobra.ArbitraryArgs,
		Example: `  sallyport audit search --user alice@corp.example --since 24h
  sallyport audit search --kind link.fail --domain partner.example
  sallyport audit search --effect deny --since 2026-11-24 --json
  sallyport audit search --user alice@corp.example --format csv /mnt/gate-1 /mnt/gate-2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.read(); err != nil {
				return err
			}
			if f.asJSON {
				format = "json"
			}
			show, err := shower(format, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			return fault(f.search(cmd, args, show))
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "the lines as they stand in the record; the same as --format json")
	cmd.Flags().StringVar(&format, "format", "text", "`FORM`: text, table, csv or json")
	return cmd
}

func (f *queryFlags) search(cmd *cobra.Command, args []string, show func(audit.Hit) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dirs, live, err := f.directories(args)
	if err != nil {
		return err
	}
	if err := f.note(ctx, live, console.Note{Kind: "audit.search", Query: f.asked()}); err != nil {
		return err
	}
	if err := f.doubt(cmd.ErrOrStderr(), dirs, live); err != nil {
		return err
	}
	found := false
	err = audit.SearchAll(ctx, dirs, f.q, func(h audit.Hit) error { found = true; return show(h) })
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: there may be more")
	case err == nil && !found:
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing found")
	}
	return err
}

// secretsOf is where the key of a gate's own record is; empty: where it is by default.
func secretsOf(dirs []string, live []*config.Config) string {
	if len(dirs) == 1 && len(live) == 1 {
		return live[0].Audit.SecretsDir()
	}
	return ""
}

// doubt finds the key that tells which indexes the gate made, and says of each record in a line which of them it did not, or that it cannot
// be told.
func (f *queryFlags) doubt(w io.Writer, dirs []string, live []*config.Config) error {
	if f.q.NoIndex {
		return nil
	}
	f.q.Secrets = secretsOf(dirs, live)
	for _, dir := range dirs {
		names, checked, err := audit.Unvouched(audit.Config{Dir: dir, Secrets: f.q.Secrets})
		switch {
		case err != nil:
			return err
		case len(names) == 0:
		case checked:
			fmt.Fprintf(w, "%s: this gate did not make %s (of %s like it); what is in the segment is read without. sallyport audit index makes it anew\n",
				dir, names[0], counted(uint64(len(names)), "file"))
		default:
			fmt.Fprintf(w, "%s: whether the gate made %s cannot be told without its hash.key, and a forged index hides events: sallyport audit index --check compares, --no-index reads all\n",
				dir, counted(uint64(len(names)), "index file"))
		}
	}
	return nil
}

func indexCommand() *cobra.Command {
	var f recordFlags
	var check bool
	cmd := &cobra.Command{
		Use: "index [DIRECTORY...]", Short: "Make the indexes that search uses, where they are missing or do not fit", Args: cobra.ArbitraryArgs,
		Long: `Make the indexes that search uses, where they are missing or do not fit.

A gate makes them itself. This is for a copy whose indexes were left behind, or, with --check, to compare each with its segment.`,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				dir, err := f.directory()
				if err != nil {
					return fault(err)
				}
				dirs = []string{dir}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			var faults []error
			for _, dir := range dirs {
				faults = append(faults, index(ctx, cmd.OutOrStdout(), f.place(dir), check))
			}
			return fault(errors.Join(faults...))
		},
	}
	f.addPlaces(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "make all anew and compare; one that differs is replaced, and told of")
	return cmd
}

func index(ctx context.Context, w io.Writer, c audit.Config, check bool) error {
	dir := c.Dir
	if err := isRecord(dir); err != nil {
		return err
	}
	did, err := audit.MakeIndexes(ctx, c, check)
	err = errors.Join(err, giveBack(dir, dir))
	fmt.Fprintf(w, "%s: %d made, %d kept, %d replaced\n", dir, did.Made, did.Kept, len(did.Wrong))
	for _, name := range did.Wrong {
		err = errors.Join(err, fmt.Errorf("%s did not fit its segment, and was made anew", name))
	}
	for _, name := range did.None {
		err = errors.Join(err, fmt.Errorf("%s has damaged lines and gets no index: audit verify says where", name))
	}
	return err
}
