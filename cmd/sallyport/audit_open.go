package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

// openFlags say what is to be opened, with whose keys and why.
type openFlags struct {
	queryFlags
	offline            bool
	identities, shares []string
}

func openCommand() *cobra.Command {
	var f openFlags
	f.q.Limit = 1000
	cmd := &cobra.Command{
		Use: "open", Short: "Show what sealed stanzas say, with an officer's key; recorded before anything is shown", Args: cobra.NoArgs,
		Example: `  sallyport audit open --id 01K1DVJ9G0N0000000000000AB --identity officer.key --reason "case 2026-117"
  sallyport audit open --user alice@corp.example --since 2026-11-24 --identity officer.key --reason "case 2026-117"
  sallyport audit open --offline --dir /mnt/copy --id 01K1DVJ9G0N0000000000000AB --identity officer.key --reason "case 2026-117"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(f.why) == "" {
				return errors.New("--reason: say why, for the record")
			}
			if f.offline != (f.dir != "") {
				return errors.New("--offline and --dir go together: a copy of the record is opened where nothing can be recorded")
			}
			if err := f.read(); err != nil {
				return err
			}
			if f.conditions() == "" {
				return errors.New("say what is to be opened: --id, --user, --from, --to, --domain, --rule or --since")
			}
			return fault(f.run(cmd))
		},
	}
	configFlag(cmd, &f.path)
	f.addQuery(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "`DIRECTORY` of a copy of a record, with --offline")
	flags.BoolVar(&f.offline, "offline", false, "open a copy, away from the gate: nothing is recorded, which is said")
	flags.StringArrayVar(&f.identities, "identity", nil, "`FILE` with an officer's age identity; again for each officer")
	flags.StringArrayVar(&f.shares, "share", nil, "`FILE` of a sealing key that an officer has decrypted with age; again for each")
	flags.StringVar(&f.why, "reason", "", "`REASON`, which is recorded")
	return cmd
}

// sealedEvent is one to be opened.
type sealedEvent struct {
	line   []byte
	record audit.Record
}

// record is where the record is, and the configuration of its gate: nil for a copy, where nothing can be recorded.
func (f *openFlags) record() (dir string, live *config.Config, err error) {
	c, err := config.Load(f.path)
	switch {
	case !f.offline && err != nil:
		return "", nil, err
	case !f.offline:
		return c.Audit.Dir, c, isRecord(c.Audit.Dir)
	case audit.InUse(f.dir) || audit.Owned(f.dir) || err == nil && sameDir(f.dir, c.Audit.Dir):
		return "", nil, fmt.Errorf("%s is no copy: it is a gate's own record, in which it is recorded who opens; leave --offline and --dir out", f.dir)
	}
	return f.dir, nil, isRecord(f.dir)
}

func (f *openFlags) run(cmd *cobra.Command) error {
	dir, c, err := f.record()
	if err != nil {
		return err
	}
	opener, err := f.opener(dir)
	if err != nil {
		return err
	}
	var live []*config.Config
	if c != nil {
		live = append(live, c)
	}
	if err := f.doubt(cmd.ErrOrStderr(), []string{dir}, live); err != nil {
		return err
	}
	var found []sealedEvent
	q := f.q
	q.Kind = "stanza"
	err = audit.Search(cmd.Context(), dir, q, func(line []byte, r audit.Record) error {
		if r.Sealed.Box != "" {
			found = append(found, sealedEvent{slices.Clone(line), r})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("there is nothing sealed that was asked for")
	}
	if c == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "opened offline, recorded nowhere: %s, %s, by %s, reason: %s, %s in %s\n", time.Now().UTC().Format(time.RFC3339),
			counted(uint64(len(found)), "event"), cmp.Or(f.as, userName(os.Getuid())), audit.Visible(f.why), audit.Visible(f.asked()), audit.Visible(dir))
	} else if err := noteDeed(cmd.Context(), c, console.Note{Kind: "audit.open", As: f.as, Why: f.why, Query: f.asked(), Count: uint64(len(found))}); err != nil {
		return err
	}
	var faults []error
	for _, e := range found {
		content, err := opener.Open(e.line, e.record)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		printContent(cmd.OutOrStdout(), e.record, content)
	}
	return errors.Join(faults...)
}

// opener has the keys that were brought.
func (f *openFlags) opener(dir string) (*audit.Opener, error) {
	if len(f.identities)+len(f.shares) == 0 {
		return nil, errors.New("--identity: name the file of an officer's key")
	}
	o := audit.NewOpener(dir)
	for _, path := range f.identities {
		ids, err := audit.ReadIdentities(path)
		if err != nil {
			return nil, fmt.Errorf("--identity: %w", err)
		}
		o.Add(ids...)
	}
	for _, path := range f.shares {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--share: %w", err)
		}
		k, err := audit.ParseKeyFile(text)
		if err != nil {
			return nil, fmt.Errorf("--share: %s: %w", path, err)
		}
		o.Give(k)
	}
	return o, nil
}

// printContent shows what a stanza says. Nothing of it can play with the terminal.
func printContent(w io.Writer, r audit.Record, c audit.ContentRecord) {
	fmt.Fprintln(w, sentence(r))
	for _, part := range [][2]string{{"lang", c.Lang}, {"subject", c.Subject}, {"body", c.Body}, {"xml", c.XML}} {
		if part[1] == "" {
			continue
		}
		for line := range strings.SplitSeq(part[1], "\n") {
			fmt.Fprintf(w, "  %-8s%s\n", part[0], audit.Visible(line))
		}
	}
}
