package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

func destroyCommand() *cobra.Command {
	var path, class, before, reason, as string
	cmd := &cobra.Command{
		Use: "destroy", Short: "Destroy the sealing keys of a retention class, so that nobody can open what was sealed under them", Args: cobra.NoArgs,
		Long: `Destroy the sealing keys of a retention class, so that nobody can open what was sealed under them.

The lines stay as they are, and so do all proofs. Copies of the keys' files, in backups too, have to be destroyed by whoever made them.`,
		Example: `  sallyport audit destroy --class default --before 2026-07-01 --reason "retention is over"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			day, err := time.Parse(time.DateOnly, before)
			if err != nil {
				return fmt.Errorf("--before: %q is no day (2026-11-24)", before)
			}
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason: say why; it is recorded")
			}
			c, err := config.Load(path)
			if err != nil {
				return fault(err)
			}
			doomed, err := audit.Doomed(c.Audit.Dir, class, day, time.Now(), c.Audit.Sealing.Period)
			if err != nil {
				return fault(err)
			}
			if len(doomed) == 0 {
				return fault(fmt.Errorf("class %s has no keys from before %s", class, before))
			}
			note := console.Note{Kind: "audit.destroy", As: as, Why: reason, Query: fmt.Sprintf("class=%s before=%s", class, before), Count: uint64(len(doomed))}
			if err := noteDeed(cmd.Context(), c, note); err != nil {
				return fault(err)
			}
			for _, k := range doomed {
				if err := k.Destroy(); err != nil {
					return fault(err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), k.Name+": destroyed")
			}
			return fault(giveBack(c.Audit.Dir, c.Audit.SecretsDir()))
		},
	}
	configFlag(cmd, &path)
	flags := cmd.Flags()
	flags.StringVar(&class, "class", "default", "retention `CLASS`")
	flags.StringVar(&before, "before", "", "`DAY` (UTC) that the keys' periods have to end before")
	flags.StringVar(&reason, "reason", "", "`WHY`: it is recorded")
	flags.StringVar(&as, "as", "", "`NAME` of who does it, beside the user that the system knows")
	return cmd
}
