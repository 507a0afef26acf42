package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
)

func statementCommand() *cobra.Command {
	var f recordFlags
	var trust trustFlags
	var day, peer string
	cmd := &cobra.Command{
		Use: "statement", Short: "Print the gate's signed statement of a day: so much crossed, so much is recorded; and count it again", Args: cobra.NoArgs,
		Example: `  sallyport audit statement --day 2026-11-25
  sallyport audit statement --day 2026-11-25 --peer partner.example --key gate-1.pub`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			on, err := time.Parse(time.DateOnly, day)
			if err != nil {
				return fmt.Errorf("--day: %q is not a day, such as 2026-11-25", day)
			}
			keys, err := trust.read()
			if err != nil {
				return err
			}
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			if keys.None() {
				if keys, err = audit.RecordKeys(dir); err != nil {
					return fault(err)
				}
			}
			if peer != audit.AllPeers {
				peer = recorded(peer)
			}
			text, err := keys.Stated(cmd.Context(), dir, on, peer)
			fmt.Fprint(cmd.OutOrStdout(), text)
			if errors.Is(err, audit.ErrUnsigned) {
				err = fmt.Errorf("%w: this was counted now", err)
			}
			if errors.Is(err, audit.ErrDeleted) { // the statement stands; it only cannot be counted again
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return nil
			}
			return fault(err)
		},
	}
	f.addPlaces(cmd)
	trust.add(cmd)
	cmd.Flags().StringVar(&day, "day", time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly), "`DAY`, in UTC; default: yesterday")
	cmd.Flags().StringVar(&peer, "peer", audit.AllPeers, "remote `DOMAIN`; * for all together")
	return cmd
}
