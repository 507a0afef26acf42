package main

import (
	"cmp"
	"fmt"
	"strings"

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
		Use:   "sallyport",
		Short: "A guarded way through for XMPP federation: TLS, proof, policy and record in front of any Jabber server",
		Long: `A guarded way through for XMPP federation: TLS, proof, policy and record in front of any Jabber server.

Try "sallyport demo" first. Exit codes: 0 done, 1 a fault was found, 2 called wrongly.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		text, _, _ := strings.Cut(err.Error(), ": strconv.") // the function that did not like it
		return fmt.Errorf("%s; see %s --help", text, cmd.CommandPath())
	})
	group(root, runCommand(), demoCommand(), checkCommand(), probeCommand(), statusCommand(), auditCommand(), policyCommand(), peersCommand(), versionCommand())
	explain(root)
	return root
}

// explain puts our own words in place of Cobra's for arguments that are too many or too few: what the command takes stands in its Use.
func explain(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if check := sub.Args; check != nil && !sub.HasSubCommands() {
			sub.Args = func(cmd *cobra.Command, args []string) error {
				if check(cmd, args) == nil {
					return nil
				}
				_, takes, _ := strings.Cut(cmd.Use, " ")
				return fmt.Errorf("it takes %s; see %s --help", cmp.Or(takes, "no arguments"), cmd.CommandPath())
			}
		}
		explain(sub)
	}
}

// group makes a command that only holds others. Cobra by itself takes an unknown one below the root for a call for help.
func group(cmd *cobra.Command, within ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(within...)
	cmd.SuggestionsMinimumDistance = 2
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		unknown := fmt.Errorf("unknown command %q", cmd.CommandPath()+" "+args[0])
		if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
			return fmt.Errorf("%w; did you mean %s?", unknown, strings.Join(meant, " or "))
		}
		return fmt.Errorf("%w; see %s --help", unknown, cmd.CommandPath())
	}
	return cmd
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
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration `FILE`")
}
