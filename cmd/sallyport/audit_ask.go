package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

func askCommand() *cobra.Command {
	var path, from, to, body, day, as, reason string
	cmd := &cobra.Command{
		Use: "ask", Short: "Ask whether exactly this was sent, by whom and when, without opening anything", Args: cobra.NoArgs,
		Long: `Ask whether exactly this was sent, by whom and when, without opening anything.

Bodies are compared by keyed hashes (levels sealed and content), addresses too at level link. The hash.key of audit.secrets is needed.`,
		Example: `  sallyport audit ask --body-file claim.txt --day 2026-11-24
  sallyport audit ask --from alice@corp.example --to bob@partner.example --day 2026-11-24`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" && to == "" && body == "" {
				return errors.New("say what is asked: --from, --to or --body-file")
			}
			q := audit.Query{Kind: "stanza"}
			if day != "" {
				begin, err := time.ParseInLocation(time.DateOnly, day, time.Local)
				if err != nil {
					return fmt.Errorf("--day: %q is no day (2026-11-24)", day)
				}
				q.Since, q.Until = begin, begin.AddDate(0, 0, 1)
			}
			c, err := config.Load(path)
			if err != nil {
				return fault(err)
			}
			q.Secrets = c.Audit.SecretsDir()
			h, err := audit.LoadHasher(c.Audit.Config)
			if err != nil {
				return fault(err)
			}
			asks := asking{h: h, from: recorded(from), to: recorded(to)}
			if body != "" {
				text, err := os.ReadFile(body)
				if err != nil {
					return fault(fmt.Errorf("--body-file: %w", err))
				}
				asks.body = withoutEnd(text)
			}
			asked := asks.text(q.Since) + " day=" + day
			if err := noteDeed(cmd.Context(), c, console.Note{Kind: "audit.search", As: as, Why: reason, Query: asked}); err != nil {
				return fault(err)
			}
			found := 0
			err = audit.Search(cmd.Context(), c.Audit.Dir, q, func(_ []byte, r audit.Record) error {
				if !asks.match(&r) {
					return nil
				}
				found++
				_, err := fmt.Fprintln(cmd.OutOrStdout(), sentence(r))
				return err
			})
			if err == nil && found == 0 {
				err = errors.New(asks.nothing())
			}
			return fault(err)
		},
	}
	configFlag(cmd, &path)
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "sender: `USER@HOST`")
	flags.StringVar(&to, "to", "", "recipient: `USER@HOST`")
	flags.StringVar(&body, "body-file", "", "`FILE` with the body's exact text; one line end at its end does not count")
	flags.StringVar(&day, "day", "", "`DAY` (2026-11-24), of the local time zone")
	flags.StringVar(&reason, "reason", "", "`REASON`, which is recorded")
	flags.StringVar(&as, "as", "", "`NAME` of who asks, beside the user that the system knows")
	return cmd
}

// withoutEnd takes off the line end that editors put behind a text.
func withoutEnd(text []byte) []byte { return bytes.TrimSuffix(text, []byte("\n")) }

// asking is what is asked for. Its hashes are made once a day.
type asking struct {
	h        *audit.Hasher
	from, to string
	body     []byte // nil: any

	day                        string
	fromHash, toHash, bodyHash string
}

// text puts what is asked into words, for the record: a body by its hash of the day, or of today.
func (a *asking) text(day time.Time) string {
	hash := ""
	if day.IsZero() {
		day = time.Now()
	}
	if a.body != nil {
		hash = a.h.Body(day, a.body)
	}
	return fmt.Sprintf("ask from=%s to=%s body=%s", a.from, a.to, hash)
}

// nothing is the answer where no line matches.
func (a *asking) nothing() string {
	if a.body != nil {
		return "no line of level sealed or content has this text; lines of other levels say nothing of texts"
	}
	return "the record has nothing of it"
}

func (a *asking) match(r *audit.Record) bool {
	if day := r.Time.UTC().Format(time.DateOnly); day != a.day {
		a.day, a.fromHash, a.toHash, a.bodyHash = day, a.h.Address(r.Time, a.from), a.h.Address(r.Time, a.to), a.h.Body(r.Time, a.body)
	}
	return sameAddress(a.from, r.From, a.fromHash, r.Hash.From) && sameAddress(a.to, r.To, a.toHash, r.Hash.To) && (a.body == nil || r.Hash.Body == a.bodyHash)
}

// sameAddress compares bare addresses: one that is asked for with one that stands in the record, or their hashes.
func sameAddress(asked, stands, askedHash, hash string) bool {
	bare, _, _ := strings.Cut(stands, "/")
	wanted, _, _ := strings.Cut(asked, "/")
	return asked == "" || bare == wanted || hash != "" && hash == askedHash
}
