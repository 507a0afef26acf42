package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/policy"
)

func policyCommand() *cobra.Command {
	return group(&cobra.Command{Use: "policy", Short: "Work on the policy"}, policyCheckCommand())
}

func policyCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "check", Short: "Compile the policy with its data and list every fault", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return fault(err)
			}
			engine, err := policy.New(c.Policy, c.PolicyData())
			if err != nil {
				return fault(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "no fault found, revision", engine.Snapshot().Revision())
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}
