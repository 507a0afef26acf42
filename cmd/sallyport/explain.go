package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/console"
	"sallyport/internal/jid"
	"sallyport/policy"
)

// decisionID is an id of the record, wherever it stands in what somebody has copied from a screen.
var decisionID = regexp.MustCompile(`(?i)\b[0-9A-Z]{26}\b`)

func policyExplainCommand() *cobra.Command {
	var f lookFlags
	var dir string
	cmd := &cobra.Command{
		Use: "explain ID", Short: "Say why something was decided, and what would change it", Args: cobra.MinimumNArgs(1),
		Long: "Say why something was decided. ID is that of an event in the record, as it stands in the error that a sender gets; the whole\ntext of the error will do.",
		RunE: func(cmd *cobra.Command, args []string) error {
			id := decisionID.FindString(strings.Join(args, " "))
			if id == "" {
				return errors.New("there is no id in it: 26 letters and digits, as in (decision 01KB…)")
			}
			dirs, live, err := f.directories(nil)
			if err != nil {
				return fault(err)
			}
			where := dirs[0]
			if err := f.note(cmd.Context(), live, console.Note{Kind: "audit.search", Query: "explain id=" + id}); err != nil {
				return fault(err)
			}
			var found *audit.Record
			if err := audit.Search(cmd.Context(), where, audit.Query{ID: id, Limit: 1, Secrets: secretsOf(dirs, live)}, func(_ []byte, r audit.Record) error { found = &r; return nil }); err != nil {
				return fault(err)
			}
			if found == nil {
				return fault(fmt.Errorf("the record in %s has no event %s; is it another gate's?", where, strings.ToUpper(id)))
			}
			if found.Decision.Rule == "" {
				return fault(fmt.Errorf("event %s is no decision but a %s", found.ID, found.Kind))
			}
			s, err := snapshot(f.path, dir)
			if err != nil {
				return fault(err)
			}
			kept, err := newPast(&f.recordFlags)
			if err != nil {
				return fault(err)
			}
			x := explained{event: found, then: kept.of(found.Decision.Revision), now: s}
			x.in, x.missing = inputOf(found, s)
			x.verdict = judged(cmd.Context(), s, x.in)
			if f.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"event": found, "now": x.verdict, "missing": x.missing, "kept": x.then != nil})
			}
			return x.print(cmd.OutOrStdout())
		},
	}
	f.recordFlags.add(cmd)
	f.addWho(cmd)
	cmd.Flags().StringVar(&dir, "policy", "", "`DIRECTORY` to take in place of policy.dir")
	return cmd
}

// explained is a decision of the record, beside what the present policy says.
type explained struct {
	event   *audit.Record
	then    *policy.Snapshot // the revision that decided; nil when it is not kept
	now     *policy.Snapshot
	in      *policy.Input
	verdict verdict  // of now
	missing []string // attributes that now reads and the record does not hold
}

// print says what was decided then, by which rule, and what the present policy says.
func (x *explained) print(w io.Writer) error {
	d, by := &x.event.Decision, x.then
	if by == nil {
		by = x.now
	}
	e := by.Explain(d.Rule, x.in, x.event.Kind != "stanza")
	then := verdict{About: x.verdict.About, Effect: d.Effect, Would: d.Would, Rule: d.Rule, Reason: d.Reason, Revision: d.Revision, Where: e.Where, Data: e.Data}
	if d.Effect != "allow" || d.Would != "" {
		then.Remedy = e.Remedy
	}
	fmt.Fprintf(w, "%s\n\n", sentence(*x.event))
	if err := then.print(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	switch changed := d.Revision != x.now.Revision(); {
	case changed && x.then == nil:
		fmt.Fprintf(w, "The policy has changed since (revision %s now), and the revision that decided is not kept: what is written above about the rule is of the present one.\n", x.now.Revision())
	case changed:
		fmt.Fprintf(w, "The policy has changed since (revision %s now); what is written above about the rule is of the one that decided.\n", x.now.Revision())
	}
	if !e.Defined {
		fmt.Fprintf(w, "The policy has no rule of the name %s; the gate itself speaks so.\n", audit.Visible(d.Rule))
	}
	if lacks := lacking(x.now, x.verdict, x.in, x.missing); len(lacks) > 0 {
		fmt.Fprintf(w, "The record does not hold %s; judged without.\n", strings.Join(lacks, ", "))
	}
	_, err := fmt.Fprintf(w, "Asked again now, the policy says: %s, rule %s.\n", x.verdict.Effect, audit.Visible(x.verdict.Rule))
	return err
}

// lacking are the attributes that a verdict rests on and that the record does not hold.
func lacking(s *policy.Snapshot, v verdict, in *policy.Input, missing []string) (lacks []string) {
	if len(missing) == 0 {
		return nil
	}
	for _, f := range s.Explain(v.Rule, in, v.About == "link").Rests {
		if slices.Contains(missing, f.String()) {
			lacks = append(lacks, f.String())
		}
	}
	return lacks
}

// inputOf makes the input of a decision out of its event, as far as the record has it, and says which attributes the policy reads that
// it does not have. Below level metadata that is nearly everything.
func inputOf(r *audit.Record, s *policy.Snapshot) (in *policy.Input, missing []string) {
	l := &r.Link
	in = &policy.Input{Direction: r.Dir, Local: r.Local, Remote: r.Remote, From: addressOf(r.From), To: addressOf(r.To),
		Link: policy.LinkFacts{ID: l.ID, Channel: l.Channel, Proof: l.Proof, TLSVersion: l.TLS, Cipher: l.Cipher, ALPN: l.ALPN, RemoteIP: l.RemoteIP, Route: l.Route,
			CertSPKI: r.Cert.SPKI, CertIssuer: r.Cert.Issuer, CertNotAfter: r.Cert.NotAfter},
		Stanza: policy.StanzaFacts{Kind: r.Stanza.Kind, Type: r.Stanza.Type, ID: r.Stanza.ID, Size: r.Stanza.Size, Class: r.Stanza.Class, Label: r.Stanza.Label, E2EE: r.Stanza.E2EE}}
	if r.Kind != "stanza" {
		return in, nil
	}
	bare := r.Level == audit.LevelLink.String()
	if in.From.Domain, in.To.Domain = r.Remote, r.Local; r.Dir == "out" {
		in.From.Domain, in.To.Domain = r.Local, r.Remote
	}
	for _, f := range append(s.ReadsStanza(), s.ReadsLink()...) {
		if name := f.String(); (unrecorded(f) || bare && personal(f)) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return in, missing
}

// unrecorded are the attributes that no event of a stanza has.
func unrecorded(f policy.Field) bool {
	switch f {
	case policy.FieldLang, policy.FieldPayloads, policy.FieldHasBody, policy.FieldBody, policy.FieldSubject, policy.FieldText, policy.FieldURLs, policy.FieldJIDs,
		policy.FieldContact, policy.FieldALPN, policy.FieldRoute, policy.FieldCertSPKI, policy.FieldCertIssuer, policy.FieldCertNotAfter, policy.FieldRevocation,
		policy.FieldKnownChannel, policy.FieldKnownProof, policy.FieldKnownPin:
		return true
	}
	return false
}

// personal are those that one has from level metadata on.
func personal(f policy.Field) bool {
	switch f {
	case policy.FieldFromBare, policy.FieldFromLocal, policy.FieldFromResource, policy.FieldToBare, policy.FieldToLocal, policy.FieldToResource,
		policy.FieldType, policy.FieldID, policy.FieldClass, policy.FieldLabel, policy.FieldE2EE:
		return true
	}
	return false
}

func addressOf(s string) policy.Address {
	j, err := jid.Parse(s)
	if err != nil {
		return policy.Address{}
	}
	return policy.Address{Bare: j.Bare().String(), Local: j.Local, Domain: j.Domain.String(), Resource: j.Resource}
}
