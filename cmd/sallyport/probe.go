package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sallyport/dialback"
	"sallyport/internal/config"
	"sallyport/internal/jid"
	"sallyport/internal/probe"
	"sallyport/internal/ratchet"
)

func probeCommand() *cobra.Command {
	var path, from string
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe DOMAIN",
		Short: "Examine how a remote domain federates, and what our policy would do with it",
		Long: `Examine how a remote domain federates, and what our policy would do with it.

It goes the way that the gate would go: DNS with DNSSEC, TLSA and CAA; each address by TCP, STARTTLS or
direct TLS; the certificate by PKIX, DANE, POSH and revocation; then SASL EXTERNAL and a real dialback
round trip, for which the gate must be running. It says what is remembered of the domain, what the
policy decides in both directions and why, a grade in words, and what exactly mends what is wrong.

It sends no stanza, calls no address that the gate would not call, and shows neither key nor
certificate to a domain that the policy refuses. docs/probe.md describes the grades and the JSON.

Exit codes: 0 federation is possible under our policy, 1 it is not, 2 called wrongly.`,
		Example: `  sallyport probe partner.example
  sallyport probe partner.example --from conference.corp.example --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			remote, err := domainOf(args[0])
			if err != nil {
				return err
			}
			if !remote.Qualified() {
				return fmt.Errorf("%s is no domain that could federate: it needs a dot and must not be an address", remote)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			p, err := prober(ctx, path, from, remote)
			if err != nil {
				return err
			}
			report := p.Remote(ctx, remote)
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				err = report.Page(cmd.OutOrStdout())
			}
			if err == nil && !report.Federates {
				err = fault(fmt.Errorf("%s: %s: %s", report.Domain, report.Grade, report.Reason))
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&from, "from", "", "local `DOMAIN` in whose name to ask; default: the first of the configuration")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "`TIME` after which to tell what is known by then")
	return cmd
}

// prober makes a prober of the configuration at path, for one domain. A fault of the configuration is a fault; a domain that cannot be
// meant is wrong usage.
func prober(ctx context.Context, path, from string, remote jid.Domain) (*probe.Prober, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, fault(err)
	}
	as, err := localDomain(c, from)
	if err != nil {
		return nil, err
	}
	for _, local := range c.Domains() {
		if remote.Within(local) {
			return nil, fmt.Errorf("%s is one of our own domains; `sallyport check --online` looks at those", remote)
		}
	}
	pc, _, err := withKept(c)
	r, err := load(c, pc, err)
	if err != nil {
		return nil, fault(err)
	}
	p := &probe.Prober{From: as, Resolver: r.resolver, Routes: c.Settings().Routes, Certs: r.certs, Policy: r.policy.Snapshot(), Ratchet: c.Ratchet,
		Revoked: r.revocations(nil, nil), POSH: r.poshSource(c), Memory: remembered(ctx, c, remote)}
	secret, keyless := secretOf(c)
	p.Secret, p.Keyless = secret.Derive("outside"), keyless
	if _, err := askStatus(ctx, c.Admin.Socket); err != nil {
		p.Absent = err.Error()
	}
	return p, nil
}

// localDomain is the domain of ours that is named, or the first.
func localDomain(c *config.Config, name string) (jid.Domain, error) {
	if name == "" {
		return c.Domains()[0], nil
	}
	d, err := domainOf(name)
	if err != nil {
		return d, fmt.Errorf("--from: %w", err)
	}
	for _, local := range c.Domains() {
		if d == local {
			return d, nil
		}
	}
	return d, fmt.Errorf("--from: %s is not in backends[].domains", d)
}

// secretOf reads the dialback secret, and makes none: that is the gate's part. keyless says why there is none.
func secretOf(c *config.Config) (s dialback.Secrets, keyless string) {
	path := c.Dialback.SecretFile
	_, err := os.Stat(path)
	if err == nil {
		s, err = dialback.LoadOrCreate(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, "there is no dialback secret yet: the first start of the gate makes " + path
	case errors.Is(err, fs.ErrPermission):
		return s, "the dialback secret cannot be read: run the probe as the user that runs the gate, or as root"
	case err != nil:
		return s, err.Error()
	}
	return s, ""
}

// remembered is what the ratchet knows of a domain: in the running gate, or in its file while it does not run. Nothing of it is changed.
func remembered(ctx context.Context, c *config.Config, domain jid.Domain) probe.Memory {
	m := probe.Memory{Mode: c.Ratchet.Mode}
	if m.Mode == "off" {
		return m
	}
	all, err := liveBook(c.Admin.Socket).List(ctx)
	if err != nil {
		if _, missing := os.Stat(c.Ratchet.File); errors.Is(missing, fs.ErrNotExist) {
			return m
		}
		var book *ratchet.Book
		if book, err = ratchet.Open(c.Ratchet, slog.New(slog.DiscardHandler)); err == nil {
			all, err = book.List(), book.Close()
		}
	}
	if err != nil {
		m.Problem = err.Error()
		return m
	}
	for i := range all {
		if all[i].Domain == domain.String() {
			m.Peer = &all[i]
		}
	}
	return m
}
