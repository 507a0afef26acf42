package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Exit codes: 0 done, 1 a fault was found, 2 usage.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return fmt.Sprint(e.err) }
func (e *exit) Unwrap() error { return e.err }

// fault is the end of a command that found something wrong, as opposed to one that was called wrongly.
func fault(err error) error {
	if err == nil {
		return nil
	}
	return &exit{code: 1, err: err}
}

const defaultConfig = "sallyport.yaml"

// command is the tree of all commands. Each lives in the file of its name.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "sallyport",
		Short:         "A guarded way through for XMPP federation: TLS, proof, policy and record in front of any Jabber server",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(), demoCommand(), checkCommand(), statusCommand(), auditCommand(), policyCommand(), peersCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "sallyport", version)
			return err
		},
	}
}

// configFlag adds -c to a command.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration file")
}
