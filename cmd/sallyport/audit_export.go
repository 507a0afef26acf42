package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/console"
)

func exportCommand() *cobra.Command {
	var f queryFlags
	x := audit.Export{Program: version}
	cmd := &cobra.Command{
		Use: "export [DIRECTORY...]", Short: "Take the events of a search out of the record, with a manifest; from the gate's own this is recorded", Args: cobra.ArbitraryArgs,
		Example: `  sallyport audit export --user alice@corp.example --since 2026-11-01 --format eml --out case-117 --reason "case 117"
  sallyport audit export --effect deny --format cef --out denied /mnt/gate-1 /mnt/gate-2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.read(); err != nil {
				return err
			}
			x.Query, x.Asked = f.q, f.asked()
			if err := x.Check(); err != nil {
				return err
			}
			return fault(f.export(cmd, args, x))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&x.Format, "format", "jsonl", "`FORM`: jsonl, csv, eml (one letter for each two and day), cef or ecs")
	cmd.Flags().BoolVar(&x.Bare, "bare", false, "without the proofs of the events, which take some two kilobytes each")
	cmd.Flags().StringVar(&x.To, "out", "", "`DIRECTORY` to be made; nothing is written over")
	return cmd
}

// export makes an export, records what it is, and only then gives it its name.
func (f *queryFlags) export(cmd *cobra.Command, args []string, x audit.Export) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dirs, live, err := f.directories(args)
	if err != nil {
		return err
	}
	if err := f.doubt(cmd.ErrOrStderr(), dirs, live); err != nil {
		return err
	}
	x.Dirs, x.Query = dirs, f.q
	m, err := x.Prepare(ctx)
	if err != nil {
		return err
	}
	if err = f.note(ctx, live, console.Note{Kind: "audit.export", Query: x.Asked + " format=" + x.Format, Count: m.Events, SHA256: m.SHA256}); err == nil {
		err = x.Publish()
	}
	if err != nil {
		return errors.Join(err, x.Discard())
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s in %s, SHA-256 of its manifest %s\n", counted(m.Events, "event"), x.To, m.SHA256)
	if m.Damaged > 0 {
		return fmt.Errorf("%d lines of the record cannot be read: audit verify says where", m.Damaged)
	}
	return nil
}
