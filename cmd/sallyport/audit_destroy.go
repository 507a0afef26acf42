package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
)

func destroyCommand() *cobra.Command {
	var o deedOrder
	var class, before string
	cmd := &cobra.Command{
		Use: "destroy", Short: "Destroy the sealing keys of a retention class, so that nobody can open what was sealed under them", Args: cobra.NoArgs,
		Long: `Destroy the sealing keys of a retention class, so that nobody can open what was sealed under them.

The lines stay as they are, and so do all proofs. While one of the keys has sealed what is under a legal hold, none is destroyed. Copies of the keys' files, in backups too, have to be destroyed by whoever made them.`,
		Example: `  sallyport audit destroy --class default --before 2026-07-01 --reason "retention is over"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if before == "" {
				return errors.New("--before: say which keys, by the day before which their periods ended")
			}
			day, err := time.Parse(time.DateOnly, before)
			if err != nil {
				return fmt.Errorf("--before: %q is no day (2026-11-24)", before)
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			keys := audit.KeyOrder{Class: class, Before: day, Now: time.Now()}
			destroyed, err := audit.DestroyKeys(cmd.Context(), c.Audit.Config, keys, o.note(cmd.Context(), c))
			for _, k := range destroyed {
				fmt.Fprintln(cmd.OutOrStdout(), k.Name+": destroyed")
			}
			return done(c, err)
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&class, "class", "default", "retention `CLASS`")
	flags.StringVar(&before, "before", "", "`DAY` (UTC) that the keys' periods have to end before")
	return cmd
}
