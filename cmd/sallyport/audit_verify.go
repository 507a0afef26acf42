package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/console"
)

// trustFlags are what an auditor brings along.
type trustFlags struct {
	keys, checkpoints []string
}

func (f *trustFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "public `KEY` of the gate, as text or as a file of one or more; again for each key that the gate has had")
}

// read gives the keys that were named, each as text or as a file.
func (f *trustFlags) read() (keys audit.Keys, err error) {
	for _, value := range f.keys {
		more, err := audit.ParseKeys(value)
		if err != nil {
			text, fileErr := os.ReadFile(value)
			if fileErr != nil {
				return keys, fmt.Errorf("--key: neither a key (%w) nor a file (%w)", err, fileErr)
			}
			if more, err = audit.ParseKeys(string(text)); err != nil {
				return keys, fmt.Errorf("--key %s: %w", value, err)
			}
		}
		keys = keys.Join(more)
	}
	return keys, nil
}

func verifyCommand() *cobra.Command {
	var f recordFlags
	var trust trustFlags
	var proof string
	cmd := &cobra.Command{
		Use: "verify [DIRECTORY...]", Short: "Check that the record is what was recorded: nothing edited, put in, removed, moved or cut off",
		Example: `  sallyport audit verify --key gate-1.pub --checkpoint kept-last-month
  sallyport audit verify /mnt/copy-of-gate-1 /mnt/copy-of-gate-2 --key gates.pub
  sallyport audit verify --proof message.tlog-proof --key gate-1.pub`,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			var a audit.Auditor
			var err error
			if a.Keys, err = trust.read(); err != nil {
				return err
			}
			for _, path := range trust.checkpoints {
				notes, err := readNotes(path)
				if err != nil {
					return fault(fmt.Errorf("--checkpoint: %w", err))
				}
				a.Checkpoints = append(a.Checkpoints, notes...)
			}
			if proof != "" && a.Keys.None() {
				return errors.New("--proof needs --key: whose signature counts?")
			}
			if proof != "" {
				return fault(f.verifyProof(cmd.OutOrStdout(), proof, a.Keys))
			}
			if len(a.Checkpoints) > 0 && a.Keys.None() {
				return errors.New("--checkpoint needs --key: whose signature counts?")
			}
			if len(dirs) == 0 {
				dir, err := f.directory()
				if err != nil {
					return fault(err)
				}
				dirs = append(dirs, dir)
			}
			return fault(f.verifyAll(cmd.OutOrStdout(), dirs, a))
		},
	}
	f.add(cmd)
	trust.add(cmd)
	cmd.Flags().StringArrayVar(&trust.checkpoints, "checkpoint", nil, "`FILE` of checkpoints that were kept elsewhere")
	cmd.Flags().StringVar(&proof, "proof", "", "check the proofs of events in `FILE`, without any record")
	return cmd
}

// verifyAll checks records. Its error has a line for each fault, with the directory in front if there are several.
func (f *recordFlags) verifyAll(w io.Writer, dirs []string, a audit.Auditor) error {
	auditors, err := a.Each(dirs)
	faults := []error{err}
	for i, dir := range dirs {
		prefix := ""
		if len(dirs) > 1 {
			prefix = dir + ": "
		}
		if err := isRecord(dir); err != nil {
			faults = append(faults, err)
			continue
		}
		report, err := auditors[i].Verify(dir)
		if err != nil {
			return err
		}
		if !f.asJSON {
			describe(w, prefix, &report)
		} else if err := json.NewEncoder(w).Encode(report); err != nil {
			return err
		}
		for _, problem := range report.Faults {
			faults = append(faults, fmt.Errorf("%s%s", prefix, problem))
		}
		if more := report.Found - uint64(len(report.Faults)); more > 0 {
			faults = append(faults, fmt.Errorf("%sand %s", prefix, counted(more, "more fault")))
		}
	}
	return errors.Join(faults...)
}

// describe says in a few lines what was checked, and what that is worth.
func describe(w io.Writer, prefix string, r *audit.Report) {
	fmt.Fprintf(w, "%s%s in %s, seq %d to %d, %s without a delivery\n", prefix, counted(r.Events, "event"), counted(uint64(r.Segments), "segment"), r.First, r.Last, counted(r.Unsettled, "allowed stanza"))
	if r.Deleted > 0 {
		fmt.Fprintf(w, "%s%s before and between them deleted, as the record itself says\n", prefix, counted(r.Deleted, "event"))
	}
	switch {
	case r.Covered == 0:
		fmt.Fprintf(w, "%sno checkpoint covers any of it: this finds accidents, and proves nothing\n", prefix)
	default:
		fmt.Fprintf(w, "%sa checkpoint of %s, made %s, covers them up to seq %d; %s after it\n", prefix, r.Gate, second(r.CoveredAt), r.Covered, counted(r.Last-min(r.Covered, r.Last), "line"))
	}
	if r.OwnKeys && r.Covered > 0 {
		fmt.Fprintf(w, "%sthe key lies in the record itself: this finds accidents. With --key it is a proof\n", prefix)
	}
	for _, p := range r.Pauses {
		fmt.Fprintf(w, "%sno checkpoint from %s to %s: %s\n", prefix, second(p.From), second(p.To), p.Why)
	}
}

// verifyProof checks the proofs of a file, and shows their events.
func (f *recordFlags) verifyProof(w io.Writer, path string, keys audit.Keys) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--proof: %w", err)
	}
	proofs := audit.SplitProofs(b)
	if len(proofs) == 0 {
		return fmt.Errorf("%s has no proof in it", path)
	}
	var faults []error
	for i, proof := range proofs {
		if err := f.showProof(w, proof, keys); err != nil {
			name := path
			if len(proofs) > 1 {
				name = fmt.Sprintf("%s, proof %d", path, i+1)
			}
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// showProof checks one, and shows its event.
func (f *recordFlags) showProof(w io.Writer, proof []byte, keys audit.Keys) error {
	p, err := keys.OpenProof(proof)
	if err != nil {
		return err
	}
	r, err := audit.ParseRecord(p.Line)
	if err != nil {
		return err
	}
	if err := f.print(w)(p.Line, r); err != nil || f.asJSON {
		return err
	}
	_, err = fmt.Fprintf(w, "is line %d of the record of %s, by its checkpoint of %s\n", p.Index+1, p.Checkpoint.Origin, second(p.Checkpoint.Time))
	return err
}

// readNotes reads a file of signed notes.
func readNotes(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	notes, _ := audit.SplitNotes(b)
	if len(notes) == 0 {
		return nil, fmt.Errorf("%s has no checkpoint in it", path)
	}
	return notes, nil
}

func proveCommand() *cobra.Command {
	var f lookFlags
	var out string
	cmd := &cobra.Command{
		Use: "prove ID", Short: "Write a proof that an event is in the record, for somebody who has only the gate's public key; from the gate's own this is recorded", Args: cobra.ExactArgs(1),
		Example: `  sallyport audit prove 01K1DVJ9G0N0000000000000AB -o message.tlog-proof`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := audit.ParseID(args[0])
			if err != nil {
				return err
			}
			dirs, live, err := f.directories(nil)
			if err != nil {
				return fault(err)
			}
			p, err := audit.Prove(cmd.Context(), dirs[0], id)
			if err != nil {
				return fault(err)
			}
			proof := p.Format()
			if err := f.note(cmd.Context(), live, console.Note{Kind: "audit.export", Query: "prove id=" + id.String(), Count: 1, SHA256: fmt.Sprintf("%x", sha256.Sum256(proof))}); err != nil {
				return fault(err)
			}
			if out == "" {
				_, err = cmd.OutOrStdout().Write(proof)
				return fault(err)
			}
			return fault(os.WriteFile(out, proof, 0o600))
		},
	}
	f.recordFlags.addPlaces(cmd)
	f.addWho(cmd)
	cmd.Flags().StringVarP(&out, "out", "o", "", "`FILE` to write; default: standard output")
	return cmd
}

func consistencyCommand() *cobra.Command {
	var f recordFlags
	var trust trustFlags
	cmd := &cobra.Command{
		Use: "consistency OLD NEW", Short: "Check that the record went on from one checkpoint to another without a change", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := trust.read()
			if err != nil {
				return err
			}
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			if keys.None() {
				return errors.New("it needs --key: whose signature counts?")
			}
			var both [2]audit.Checkpoint
			for i, path := range args {
				notes, err := readNotes(path)
				if err != nil {
					return fault(err)
				}
				if both[i], err = keys.OpenPosted(notes[len(notes)-1]); err != nil {
					return fault(fmt.Errorf("%s: %w", path, err))
				}
			}
			if err := audit.Consistent(dir, both[0], both[1]); err != nil {
				return fault(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the record of %s went on from %s to %s, and what the first covers did not change\n", both[0].Origin, counted(uint64(both[0].Size), "line"), counted(uint64(both[1].Size), "line"))
			return fault(err)
		},
	}
	f.addPlaces(cmd)
	trust.add(cmd)
	return cmd
}

func checkpointCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Print the newest checkpoint of the record, to be kept elsewhere", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			c, err := audit.LastCheckpoint(dir)
			if err != nil {
				return fault(err)
			}
			_, err = cmd.OutOrStdout().Write(c.Note)
			return fault(err)
		},
	}
	f.addPlaces(cmd)
	return cmd
}

func keyCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use: "key", Short: "Print the public keys that the record was signed with, the present one last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := f.directory()
			if err != nil {
				return fault(err)
			}
			text, err := os.ReadFile(filepath.Join(dir, "record.pub"))
			if err != nil {
				return fault(fmt.Errorf("the gate makes its key when it first starts: %w", err))
			}
			_, err = cmd.OutOrStdout().Write(text)
			return fault(err)
		},
	}
	f.addPlaces(cmd)
	return cmd
}
