package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/certs"
	"sallyport/internal/config"
	"sallyport/policy"
)

func checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "check", Short: "List every fault of configuration, policy and certificates at once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := check(path); err != nil {
				return fault(err)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), path+": no fault found")
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// check looks at all that a start needs, without opening a socket or writing a file.
func check(path string) error {
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	var faults []error
	if manager, err := certs.New(c.Certs.Config); err != nil {
		faults = append(faults, err)
	} else {
		for _, d := range c.Domains() {
			faults = append(faults, manager.Covers(d.ASCII()))
		}
	}
	if _, err := policy.New(c.Policy, c.PolicyData()); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
