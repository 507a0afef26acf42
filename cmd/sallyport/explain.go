package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/policy"
)

// decisionID is an id of the record, wherever it stands in what somebody has copied from a screen.
var decisionID = regexp.MustCompile(`(?i)\b[0-9A-Z]{26}\b`)

func policyExplainCommand() *cobra.Command {
	var f recordFlags
	var dir string
	cmd := &cobra.Command{
		Use: "explain ID", Short: "Say why something was decided, and what would change it", Args: cobra.MinimumNArgs(1),
		Long: "Say why something was decided. ID is that of an event in the record, as it stands in the error that a sender gets; the whole\ntext of the error will do.",
		RunE: func(cmd *cobra.Command, args []string) error {
			id := decisionID.FindString(strings.Join(args, " "))
			if id == "" {
				return errors.New("there is no id in it: 26 letters and digits, as in (decision 01KB…)")
			}
			where, err := f.directory()
			if err != nil {
				return fault(err)
			}
			var found *audit.Record
			if err := audit.Search(cmd.Context(), where, audit.Query{ID: id, Limit: 1}, func(_ []byte, r audit.Record) error { found = &r; return nil }); err != nil {
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
			in, missing := inputOf(found, s)
			now := judged(cmd.Context(), s, in)
			if f.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"event": found, "now": now, "missing": missing})
			}
			return printExplained(cmd, found, s, in, now, missing)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&dir, "policy", "", "`DIRECTORY` to take in place of policy.dir")
	return cmd
}

// printExplained says what was decided then, by which rule, and what the present policy says.
func printExplained(cmd *cobra.Command, r *audit.Record, s *policy.Snapshot, in *policy.Input, now verdict, missing []string) error {
	w := cmd.OutOrStdout()
	d := &r.Decision
	fmt.Fprintln(w, sentence(*r))
	fmt.Fprintln(w)
	then := verdict{About: now.About, Effect: d.Effect, Would: d.Would, Rule: d.Rule, Reason: d.Reason, Revision: d.Revision}
	e := s.Explain(d.Rule, in, r.Kind != "stanza")
	then.Where, then.Data = e.Where, e.Data
	if d.Effect != "allow" || d.Would != "" {
		then.Remedy = e.Remedy
	}
	if err := then.print(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	switch {
	case d.Revision != s.Revision():
		fmt.Fprintf(w, "The policy has changed since (revision %s now); what is written above about the rule is of the present one.\n", s.Revision())
	case !e.Defined:
		fmt.Fprintf(w, "The policy has no rule of the name %s; the gate itself speaks so.\n", d.Rule)
	}
	if len(missing) > 0 {
		fmt.Fprintf(w, "The record does not have what the policy reads besides: %s. What follows is without it.\n", strings.Join(missing, ", "))
	}
	_, err := fmt.Fprintf(w, "Asked again now, the policy says: %s, rule %s.\n", now.Effect, audit.Visible(now.Rule))
	return err
}

// inputOf makes the input of a decision out of its event, as far as the record has it, and says which attributes the policy reads that
// it does not have. Below level metadata that is nearly everything.
func inputOf(r *audit.Record, s *policy.Snapshot) (in *policy.Input, missing []string) {
	l := &r.Link
	in = &policy.Input{Direction: r.Dir, Local: r.Local, Remote: r.Remote, From: addressOf(r.From), To: addressOf(r.To),
		Link: policy.LinkFacts{ID: l.ID, Channel: l.Channel, Proof: l.Proof, TLSVersion: l.TLS, Cipher: l.Cipher, ALPN: l.ALPN, RemoteIP: l.RemoteIP, Route: l.Route,
			CertSPKI: r.Cert.SPKI, CertIssuer: r.Cert.Issuer, CertNotAfter: r.Cert.NotAfter},
		Stanza: policy.StanzaFacts{Kind: r.Stanza.Kind, Type: r.Stanza.Type, ID: r.Stanza.ID, Size: r.Stanza.Size, Class: r.Stanza.Class, Label: r.Stanza.Label, E2EE: r.Stanza.E2EE}}
	for _, f := range s.ReadsStanza() {
		switch f {
		case policy.FieldLang, policy.FieldPayloads, policy.FieldHasBody, policy.FieldBody, policy.FieldSubject, policy.FieldText, policy.FieldURLs, policy.FieldJIDs,
			policy.FieldContact, policy.FieldCertSPKI, policy.FieldCertIssuer, policy.FieldCertNotAfter, policy.FieldRevocation:
			if r.Kind == "stanza" {
				missing = append(missing, f.String())
			}
		}
	}
	return in, missing
}

func addressOf(s string) policy.Address {
	j, err := jid.Parse(s)
	if err != nil {
		return policy.Address{}
	}
	return policy.Address{Bare: j.Bare().String(), Local: j.Local, Domain: j.Domain.String(), Resource: j.Resource}
}
