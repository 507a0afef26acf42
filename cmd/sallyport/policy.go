package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/policy"
)

func policyCommand() *cobra.Command {
	return group(&cobra.Command{Use: "policy", Short: "Work on the policy"}, policyCheckCommand(), policyTestCommand(), policyEvalCommand(),
		policyExplainCommand(), policyReplayCommand(), policyLearnCommand())
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
			pc, notes, err := withKept(c)
			if err != nil {
				return fault(err)
			}
			engine, err := policy.New(pc, c.PolicyData())
			if err != nil {
				return fault(errors.Join(err, said(notes)))
			}
			for _, note := range notes {
				fmt.Fprintln(cmd.OutOrStdout(), note)
			}
			for _, x := range engine.Ending(time.Now()) {
				fmt.Fprintln(cmd.OutOrStdout(), placedEnd(c, x))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "no fault found, revision", engine.Snapshot().Revision())
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// snapshot is the policy of the configuration or, where a directory is named, that one in its place.
func snapshot(path, dir string) (*policy.Snapshot, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	pc, notes, err := withKept(c)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		pc.Dir = dir
	}
	engine, err := policy.New(pc, c.PolicyData())
	if err != nil {
		return nil, errors.Join(err, said(notes))
	}
	return engine.Snapshot(), nil
}

// said makes an error of notes: with faults of the policy, they may be the reason.
func said(notes []string) error {
	var all []error
	for _, note := range notes {
		all = append(all, errors.New(note))
	}
	return errors.Join(all...)
}

func policyTestCommand() *cobra.Command {
	var path string
	var coverage float64
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test [DIRECTORY]", Short: "Run the policy's tests, and say what they do not reach", Args: cobra.MaximumNArgs(1),
		Long: "Run the tests (*_test.rego) of policy.dir, or of the directory that is named, against the policy as the gate would load it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(path)
			if err != nil {
				return fault(err)
			}
			pc, notes, err := withKept(c)
			if err != nil {
				return fault(err)
			}
			if len(args) == 1 {
				pc.Dir = args[0]
			}
			report, err := policy.Test(cmd.Context(), pc, c.PolicyData())
			if err != nil {
				return fault(errors.Join(err, said(notes)))
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			} else {
				err = printReport(cmd.OutOrStdout(), report)
			}
			switch {
			case err != nil:
				return err
			case report.Failed() > 0:
				return fault(fmt.Errorf("%d of %s failed", report.Failed(), counted(uint64(len(report.Tests)), "test")))
			case report.Coverage < coverage:
				return fault(fmt.Errorf("the tests reach %.1f%% of the lines, want %.1f%%", report.Coverage, coverage))
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().Float64Var(&coverage, "coverage", 0, "fail below so many `PERCENT` of the lines")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(w io.Writer, r *policy.Report) error {
	var b strings.Builder
	for _, t := range r.Tests {
		word := "ok  "
		switch {
		case t.Skipped:
			word = "skip"
		case !t.Passed:
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %s:%d  %s\n", word, t.File, t.Line, strings.TrimPrefix(t.Name, "data."))
		for line := range strings.Lines(t.Text) {
			fmt.Fprintf(&b, "      %s\n", strings.TrimRight(line, "\n"))
		}
	}
	for _, place := range r.Missed {
		fmt.Fprintf(&b, "no test reaches %s\n", place)
	}
	if len(r.Tests) == 0 {
		b.WriteString("there are no tests; they stand in files that end in _test.rego\n")
	} else {
		fmt.Fprintf(&b, "%s, %d failed, %.1f%% of the lines reached\n", counted(uint64(len(r.Tests)), "test"), r.Failed(), r.Coverage)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func policyEvalCommand() *cobra.Command {
	var path, dir, file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "eval", Short: "Ask the policy about an input", Args: cobra.NoArgs,
		Long: "Ask the policy about an input of policy/schema/input.json: about the stanza if it has one, else about the link.",
		Example: `  echo '{"direction": "out", "local": {"domain": "corp.example"}, "remote": {"domain": "partner.example"},
         "from": {"bare": "juliet@corp.example"}, "stanza": {"kind": "message", "class": ["file"]}}' | sallyport policy eval --input -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readArgument(cmd.InOrStdin(), file)
			if err != nil {
				return fault(err)
			}
			in, err := policy.ReadInput(text)
			if err != nil {
				return fault(err)
			}
			s, err := snapshot(path, dir)
			if err != nil {
				return fault(err)
			}
			v := judged(cmd.Context(), s, in)
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			}
			return v.print(cmd.OutOrStdout())
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&dir, "policy", "", "`DIRECTORY` to take in place of policy.dir")
	cmd.Flags().StringVar(&file, "input", "-", "`FILE` with the input; - is standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func readArgument(in io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file)
}
