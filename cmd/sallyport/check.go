package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/probe"
)

func checkCommand() *cobra.Command {
	var path string
	var online bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "check", Short: "List every fault of configuration, policy and certificates at once", Args: cobra.NoArgs,
		Long: `List every fault of configuration, policy and certificates at once.

Without --online it reads files and nothing else, so that it can stand before a start or in a pipeline.
With --online it looks, for half a minute at the most, at what only the network knows: whether the SRV
records of each of our domains lead to this gate and it answers there with the right certificate, whether
the doors take calls, and whether each backend takes streams for its domains and asks inside.dns. Run it
on the gate's machine while the gate runs. Each backend is shown one false dialback key, which leaves one
line in the gate's log and one event in its record. docs/probe.md has the rest.

Exit codes: 0 no fault, 1 faults, 2 called wrongly.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			notes, err := check(path)
			for _, note := range notes {
				fmt.Fprintln(cmd.OutOrStdout(), note)
			}
			if online {
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				err = errors.Join(err, checkOnline(ctx, cmd.OutOrStdout(), path))
			}
			if err != nil {
				return fault(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path+": no fault found")
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&online, "online", false, "look at DNS, the doors and the backends as well")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "`TIME` after which --online tells what is known by then")
	return cmd
}

// check looks at all that a start needs, without opening a socket or writing a file. A certificate out of its dates, which a start
// only warns of, is a fault here, and so is one that ends soon. The notes are what is right and worth knowing.
func check(path string) (notes []string, err error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	for _, how := range exposed(c) {
		notes = append(notes, how.Error())
	}
	note, unfit := recordFaults(c)
	if note != "" {
		notes = append(notes, note)
	}
	pc, missing, err := withKept(c)
	notes = append(notes, missing...)
	r, err := load(c, pc, err)
	err = errors.Join(err, unfit)
	if r.policy != nil {
		for _, x := range r.policy.Ending(time.Now()) {
			notes = append(notes, placedEnd(c, x))
		}
	}
	if r.certs != nil {
		err = errors.Join(err, outOfDate(c, r.certs.Covers), errors.Join(r.certs.Concerns()...))
		each(pending(c, r.certs.Covers), func(note string) { notes = append(notes, note) })
		for _, warning := range r.certs.Warnings() {
			notes = append(notes, placed(c, warning).Error())
		}
	}
	return notes, err
}

// checkOnline looks at our own side of federation from outside, unless the files have faults, which check has told, that leave nothing to
// look at. What is as it should be, and what cannot be told, is printed; the error has every fault, each with the line of the configuration
// that it is about.
func checkOnline(ctx context.Context, w io.Writer, path string) error {
	c, err := config.Load(path)
	if err != nil {
		return nil
	}
	pc, _, err := withKept(c)
	r, err := load(c, pc, err)
	if err != nil {
		return nil
	}
	h := probe.House{Outside: c.Outside.Listen, DirectTLS: c.Outside.DirectTLS, Inside: c.Inside.Gate, Names: c.Inside.Listen, Resolver: r.resolver, Certs: r.certs}
	for _, b := range c.Backends {
		h.Backends = append(h.Backends, probe.Backend{Address: string(b.Address), Domains: b.Domains, TLS: b.TLS})
	}
	h.Secret, h.Keyless = secretOf(c)
	st, err := askStatus(ctx, c.Admin.Socket)
	if err != nil {
		h.Absent = err.Error()
	}
	var faults []error
	for _, f := range h.Look(ctx) {
		if f.Level == probe.Wrong {
			faults = append(faults, c.At(f.At, errors.New(f.Text)))
			continue
		}
		fmt.Fprintf(w, "%-5s%s\n", f.Level, f.Text)
	}
	if st.Record.Error != "" {
		faults = append(faults, c.At("audit.dir", fmt.Errorf("the running gate's record takes no events: %s", audit.Visible(st.Record.Error))))
	}
	for _, cert := range st.Certs {
		names := strings.Join(cert.Names, ", ")
		if !cert.Renewal.IsZero() {
			fmt.Fprintf(w, "%-5sthe certificate of %s is to be renewed from %s on\n", probe.Fine, names, cert.Renewal.UTC().Format(time.DateOnly))
		}
		if cert.Problem != "" {
			faults = append(faults, c.At("certs.acme", fmt.Errorf("obtaining the certificate of %s failed %d times: %s", names, cert.Failures, audit.Visible(cert.Problem))))
		}
	}
	return errors.Join(faults...)
}
