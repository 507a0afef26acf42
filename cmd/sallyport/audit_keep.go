package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

// deedOrder is what somebody wants done with the record of the configured gate, and why.
type deedOrder struct {
	path, why, as string
}

func (o *deedOrder) add(cmd *cobra.Command) {
	configFlag(cmd, &o.path)
	cmd.Flags().StringVar(&o.why, "reason", "", "`REASON`, which is recorded")
	cmd.Flags().StringVar(&o.as, "as", "", "`NAME` of who does it, which is recorded beside the system's; default: what sudo says")
}

// load reads the configuration. Without a reason nothing is ordered.
func (o *deedOrder) load() (*config.Config, error) {
	if o.why == "" {
		return nil, errors.New("--reason: say why, for the record")
	}
	c, err := config.Load(o.path)
	if err != nil {
		return nil, fault(err)
	}
	return c, fault(isRecord(c.Audit.Dir))
}

// note brings an event of a deed into the record, by the gate or without it.
func (o *deedOrder) note(ctx context.Context, c *config.Config) func(audit.Event) error {
	return func(e audit.Event) error {
		return noteDeed(ctx, c, console.Note{Kind: e.Kind.String(), As: o.as, Why: o.why, Query: e.Deed.Query,
			Count: e.Count, Key: e.Key, Segment: e.Segment, SHA256: e.SHA256, Of: e.Of, Since: e.Since, Until: e.Until})
	}
}

// done gives what root has made to whom the record belongs.
func done(c *config.Config, err error) error {
	return fault(errors.Join(err, giveBack(c.Audit.Dir, c.Audit.SecretsDir())))
}

func holdCommand() *cobra.Command {
	return group(&cobra.Command{Use: "hold", Short: "Keep events beyond their retention, by legal hold"}, holdAddCommand(), holdListCommand(), holdReleaseCommand())
}

func holdAddCommand() *cobra.Command {
	var o deedOrder
	var h audit.Hold
	var since, until string
	cmd := &cobra.Command{
		Use: "add", Short: "Place a hold on all events of a query, those that come later too", Args: cobra.NoArgs,
		Example: `  sallyport audit hold add --name case-117 --user alice@corp.example --since 2026-07-01 --reason "case 2026-117"`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			q := &h.Query
			for _, name := range []*string{&q.From, &q.To, &q.Domain, &q.User} {
				*name = recorded(*name)
			}
			if q.Since, q.Until, err = span(since, until); err != nil {
				return err
			}
			if *q == (audit.Query{}) {
				return errors.New("say what is held: --user, --domain, --from, --to, --since or --until")
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			return done(c, audit.PlaceHold(cmd.Context(), c.Audit.Dir, h, o.note(cmd.Context(), c)))
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&h.Name, "name", "", "`NAME` of the hold")
	flags.StringVar(&h.Query.User, "user", "", "`USER@HOST`, as sender or recipient")
	flags.StringVar(&h.Query.Domain, "domain", "", "`DOMAIN` on either side; *.example for those below it too")
	flags.StringVar(&h.Query.From, "from", "", "sender: `ADDRESS` or domain")
	flags.StringVar(&h.Query.To, "to", "", "recipient: `ADDRESS` or domain")
	flags.StringVar(&since, "since", "", "`WHEN`: a day, a time (RFC 3339), or how long ago (24h)")
	flags.StringVar(&until, "until", "", "`WHEN`, likewise; default: no end")
	return cmd
}

func holdListCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use: "list [DIRECTORY...]", Short: "List the holds that are in force, of one record or several",
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				dir, err := f.directory()
				if err != nil {
					return fault(err)
				}
				dirs = []string{dir}
			}
			found := 0
			for _, dir := range dirs {
				holds, err := audit.Holds(cmd.Context(), dir)
				for _, h := range holds {
					if len(dirs) > 1 {
						fmt.Fprintf(cmd.OutOrStdout(), "%s: ", dir)
					}
					fmt.Fprintln(cmd.OutOrStdout(), audit.Visible(h.Text()))
				}
				found += len(holds)
				if err != nil {
					return fault(err)
				}
			}
			if found == 0 {
				cmd.PrintErrln("no hold is in force")
			}
			return nil
		},
	}
	f.addPlaces(cmd)
	return cmd
}

func holdReleaseCommand() *cobra.Command {
	var o deedOrder
	cmd := &cobra.Command{
		Use: "release NAME", Short: "End a hold", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			return done(c, audit.ReleaseHold(cmd.Context(), c.Audit.Dir, args[0], o.note(cmd.Context(), c)))
		},
	}
	o.add(cmd)
	return cmd
}

func deleteCommand() *cobra.Command {
	var o deedOrder
	var before string
	var expired, dry bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete closed segments whose time is over; each is recorded first", Args: cobra.NoArgs,
		Example: `  sallyport audit delete --expired --dry-run
  sallyport audit delete --before 2024-01-01 --reason "retention schedule 4.2"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if expired == (before != "") {
				return errors.New("say what goes: either --expired or --before")
			}
			if dry {
				o.why = cmp.Or(o.why, "dry run")
			}
			to, err := moment(before)
			if err != nil {
				return fmt.Errorf("--before: %w", err)
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			what, note := "is deleted", o.note(cmd.Context(), c)
			query := "expired"
			if before != "" {
				query = "before=" + to.UTC().Format(time.RFC3339)
			}
			ask := func(e audit.Event) error {
				e.Deed.Query = query
				return note(e)
			}
			if dry {
				what, ask = "would be deleted", nil
			}
			d, err := audit.Delete(cmd.Context(), c.Audit.Config, audit.Order{Before: to, Now: time.Now()}, ask)
			tell(cmd.OutOrStdout(), d, what)
			if err == nil && len(d.Due)+len(d.Kept) == 0 {
				cmd.PrintErrln("nothing is due")
			}
			if dry {
				return fault(err)
			}
			if err == nil && len(d.Due) == 0 && len(d.Kept) > 0 {
				err = fmt.Errorf("nothing is deleted: %s stays, for %s", d.Kept[0].Segment, d.Kept[0].Why)
			}
			return done(c, err)
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&before, "before", "", "`WHEN`: segments that end before it, and whose retention is not longer")
	flags.BoolVar(&expired, "expired", false, "segments whose retention is over")
	flags.BoolVar(&dry, "dry-run", false, "change nothing; say what would go, and what stays and why")
	return cmd
}

func tell(w io.Writer, d audit.Deletion, what string) {
	for _, s := range d.Due {
		fmt.Fprintf(w, "%s %s: seq %d to %d, %s to %s\n", s.Segment, what, s.Seqs.First, s.Seqs.Last, s.Begin.Format(time.DateOnly), s.End.Format(time.DateOnly))
	}
	for _, k := range d.Kept {
		fmt.Fprintf(w, "%s stays: %s\n", k.Segment, audit.Visible(k.Why))
	}
}
