package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/console"
	"sallyport/policy"
)

// period are the flags that pick a part of the record.
type period struct{ since, until string }

func (p *period) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.since, "since", "", "`WHEN`: a day, a time (RFC 3339), or how long ago (24h)")
	cmd.Flags().StringVar(&p.until, "until", "", "`WHEN`, likewise")
}

// String puts it into words, for the record.
func (p *period) String() string { return "since=" + p.since + " until=" + p.until }

// query asks for the stanzas of the period.
func (p *period) query() (q audit.Query, err error) {
	q.Kind = "stanza"
	q.Since, q.Until, err = span(p.since, p.until)
	return q, err
}

func policyReplayCommand() *cobra.Command {
	var f lookFlags
	var p period
	var dir, revision string
	var strict bool
	cmd := &cobra.Command{
		Use: "replay", Short: "Judge recorded traffic by another policy, and list what would come out otherwise", Args: cobra.NoArgs,
		Example: "  sallyport policy replay --policy candidate/ --since 168h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := p.query()
			if err != nil {
				return err
			}
			dirs, live, err := f.directories(nil)
			if err != nil {
				return fault(err)
			}
			kept, err := newPast(&f.recordFlags)
			if err != nil {
				return fault(err)
			}
			s, err := snapshot(f.path, dir)
			if revision != "" {
				s, err = kept.get(revision)
			}
			if err != nil {
				return fault(err)
			}
			if err := f.note(cmd.Context(), live, console.Note{Kind: "audit.search", Query: "replay " + p.String()}); err != nil {
				return fault(err)
			}
			q.Secrets = secretsOf(dirs, live)
			r, err := replay(cmd.Context(), dirs[0], q, s, kept)
			if err != nil {
				return fault(err)
			}
			if f.asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			} else {
				err = r.print(cmd.OutOrStdout())
			}
			if err == nil && strict && r.Flipped > 0 {
				err = fault(fmt.Errorf("%s would come out otherwise", counted(uint64(r.Flipped), "decision")))
			}
			return err
		},
	}
	f.recordFlags.add(cmd)
	f.addWho(cmd)
	p.add(cmd)
	cmd.Flags().StringVar(&dir, "policy", "", "`DIRECTORY` of the policy to judge by; default: policy.dir")
	cmd.Flags().StringVar(&revision, "revision", "", "judge by a `REVISION` that was in force, as policy.history keeps it")
	cmd.MarkFlagsMutuallyExclusive("policy", "revision")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 if any decision would come out otherwise")
	return cmd
}

// replayed is what another policy would have made of recorded traffic.
type replayed struct {
	Revision string   `json:"revision"`
	Judged   int      `json:"judged"`
	Flipped  int      `json:"flipped"`
	Unknown  int      `json:"cannot_tell"`       // the record does not hold what they rest on
	Missing  []string `json:"missing,omitempty"` // attributes that the policy reads and the record does not hold
	Flips    []*flip  `json:"flips"`             // the most frequent first
	Others   int      `json:"others,omitempty"`  // flips of groups beyond the bound
}

// flip is a group of decisions that would come out alike.
type flip struct {
	Remote string `json:"remote"`
	Dir    string `json:"dir"`
	Was    string `json:"was"` // effect and rule
	Is     string `json:"is"`
	Count  int    `json:"count"`
	Sample string `json:"sample"` // id of the first
}

// flipGroups bounds what a replay keeps.
const flipGroups = 10000

var errNothing = errors.New("the record has no stanza in that time")

// replay judges as the gate would have, at the time of then: by what policy asked for, whether or not it was obeyed. A decision that rests on what the
// record does not hold is none; nor is one that the revision which decided then would not make again out of the record.
func replay(ctx context.Context, dir string, q audit.Query, s *policy.Snapshot, kept *past) (*replayed, error) {
	r := &replayed{Revision: s.Revision()}
	groups := map[flip]*flip{}
	rests := map[string]bool{} // whether a rule rests on what is missing, by level of the record
	err := audit.Search(ctx, dir, q, func(_ []byte, e audit.Record) error {
		in, missing := inputOf(&e, s)
		if len(missing) > len(r.Missing) {
			r.Missing = missing
		}
		now := judged(ctx, s.At(e.Time), in)
		r.Judged++
		was, is := cmp.Or(e.Decision.Would, e.Decision.Effect), cmp.Or(now.Would, now.Effect)
		rule := e.Level + " " + now.About + " " + now.Rule
		lacks, known := rests[rule]
		if !known {
			lacks = len(lacking(s, now, in, missing)) > 0
			rests[rule] = lacks
		}
		if lacks || was != is && !reproduced(ctx, kept.of(e.Decision.Revision), &e, in, was) {
			r.Unknown++
			return nil
		}
		if was == is {
			return nil
		}
		r.Flipped++
		key := flip{Remote: e.Remote, Dir: e.Dir, Was: was + " by " + e.Decision.Rule, Is: is + " by " + now.Rule}
		g := groups[key]
		switch {
		case g != nil:
		case len(groups) == flipGroups:
			r.Others++
			return nil
		default:
			g = new(flip)
			*g = key
			g.Sample = e.ID.String()
			groups[key] = g
			r.Flips = append(r.Flips, g)
		}
		g.Count++
		return nil
	})
	if err == nil && r.Judged == 0 {
		err = errNothing
	}
	slices.SortStableFunc(r.Flips, func(a, b *flip) int { return b.Count - a.Count })
	return r, err
}

// reproduced says whether the revision that decided then comes to the same out of what the record holds; one that is not kept is believed to.
func reproduced(ctx context.Context, then *policy.Snapshot, e *audit.Record, in *policy.Input, was string) bool {
	if then == nil {
		return true
	}
	v := judged(ctx, then.At(e.Time), in)
	return cmp.Or(v.Would, v.Effect) == was
}

func (r *replayed) print(w io.Writer) error {
	var b strings.Builder
	for _, g := range r.Flips {
		fmt.Fprintf(&b, "%6d  %-3s %s: %s, would be %s; for instance %s\n", g.Count, g.Dir, audit.Visible(g.Remote), audit.Visible(g.Was), audit.Visible(g.Is), g.Sample)
	}
	if r.Others > 0 {
		fmt.Fprintf(&b, "%6d  in more groups than are shown\n", r.Others)
	}
	fmt.Fprintf(&b, "%s judged by revision %s, %d would come out otherwise\n", counted(uint64(r.Judged), "stanza"), r.Revision, r.Flipped)
	if r.Unknown > 0 {
		fmt.Fprintf(&b, "of %d it cannot be told: the record does not hold what they rest on%s\n", r.Unknown, listed(r.Missing))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", such as " + strings.Join(names, ", ")
}

func policyLearnCommand() *cobra.Command {
	var f recordFlags
	var p period
	cmd := &cobra.Command{
		Use: "learn", Short: "Propose entries of peers out of recorded traffic", Args: cobra.NoArgs,
		Long: "Propose entries of peers for the domains that traffic was exchanged with, or tried to, and that the policy does not know: what to\nreview after some days of policy.mode: observe.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := p.query()
			if err != nil {
				return err
			}
			where, err := f.directory()
			if err != nil {
				return fault(err)
			}
			s, err := snapshot(f.path, "")
			if err != nil {
				return fault(err)
			}
			found, err := learn(cmd.Context(), where, q, s)
			if err != nil {
				return fault(err)
			}
			if f.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(found)
			}
			return printLearned(cmd.OutOrStdout(), found)
		},
	}
	f.add(cmd)
	p.add(cmd)
	return cmd
}

// acquaintance is a domain that the record has and the policy does not know.
type acquaintance struct {
	Domain      string    `json:"domain"`
	In          int       `json:"in"`
	Out         int       `json:"out"`
	First, Last time.Time `json:"-"`
	Channel     string    `json:"channel"` // the least that was seen
	Proof       string    `json:"proof"`   // the least, of streams that it opened
}

// learnDomains bounds what is proposed: a list of more than that nobody reviews.
const learnDomains = 10000

func learn(ctx context.Context, dir string, q audit.Query, s *policy.Snapshot) ([]*acquaintance, error) {
	known := map[string]*acquaintance{}
	judged := 0
	err := audit.Search(ctx, dir, q, func(_ []byte, e audit.Record) error {
		judged++
		a, seen := known[e.Remote]
		if !seen {
			if len(known) >= learnDomains {
				return nil
			}
			d := s.Link(ctx, &policy.Input{Direction: e.Dir, Local: e.Local, Remote: e.Remote})
			if would := d.Would; would == policy.Deny && (d.Rule == "peer-not-listed" || d.Rule == "peer-ended") {
				a = &acquaintance{Domain: e.Remote, First: e.Time}
			}
			known[e.Remote] = a // nil: the policy knows it
		}
		if a == nil {
			return nil
		}
		a.Last = e.Time
		if e.Dir == "in" {
			a.In++
			a.Proof = lesser(a.Proof, e.Link.Proof, "dialback", "dialback+tls", "pkix", "posh", "dane", "pin")
		} else {
			a.Out++
		}
		a.Channel = lesser(a.Channel, e.Link.Channel, "plaintext", "tls")
		return nil
	})
	if err == nil && judged == 0 {
		err = errNothing
	}
	var found []*acquaintance
	for _, a := range known {
		if a != nil {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b *acquaintance) int {
		return cmp.Or(b.In+b.Out-a.In-a.Out, strings.Compare(a.Domain, b.Domain))
	})
	return found, err
}

// lesser is the one that stands first in the ladder. What is not in it, such as nothing, says nothing.
func lesser(a, b string, ladder ...string) string {
	switch i, j := slices.Index(ladder, a), slices.Index(ladder, b); {
	case j < 0, i >= 0 && i <= j:
		return a
	}
	return b
}

// entry is the line of peers for it: what it always reached, so that it is held to it.
func (a *acquaintance) entry() string {
	var terms []string
	if a.Channel == "plaintext" {
		terms = append(terms, `channel: plaintext`, `until: "`+a.Last.AddDate(0, 3, 0).Format(time.DateOnly)+`"`)
	}
	if a.Proof != "" && a.Proof != "dialback" && a.Proof != "dialback+tls" {
		terms = append(terms, "proof: "+a.Proof)
	}
	return fmt.Sprintf("%s: {%s}", a.Domain, strings.Join(terms, ", "))
}

func printLearned(w io.Writer, found []*acquaintance) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "# the policy knows each domain of that traffic")
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s that the policy does not know. Review each line; what you keep goes into peers.\n peers:\n", counted(uint64(len(found)), "domain"))
	for _, a := range found {
		fmt.Fprintf(&b, "+  %-40s # %d in, %d out, %s to %s\n", audit.Visible(a.entry()), a.In, a.Out, a.First.Format(time.DateOnly), a.Last.Format(time.DateOnly))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
