package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/certs"
	"sallyport/internal/config"
	"sallyport/internal/console"
	"sallyport/policy"
	"sallyport/proxy"
)

func statusCommand() *cobra.Command {
	var path, socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show the live links of a running gate", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if socket == "" {
				cfg, err := config.Load(path)
				if err != nil {
					return fault(err)
				}
				socket = cfg.Admin.Socket
			}
			st, err := askStatus(cmd.Context(), socket)
			if err != nil {
				return fault(err)
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(st)
			}
			return printStatus(cmd.OutOrStdout(), st)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&socket, "socket", "", "admin `SOCKET`; default: the configuration's admin.socket")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// status is console.Status with its parts in their own types.
type status struct {
	Version string         `json:"version"`
	PID     int            `json:"pid"`
	Config  string         `json:"config"`
	Gate    proxy.Snapshot `json:"gate"`
	Certs   []certs.Status `json:"certificates"`
	Record  recordStatus   `json:"record"`
	Sinks   []sink.Status  `json:"sinks"`
}

func askStatus(ctx context.Context, socket string) (st status, err error) {
	return st, console.Ask(ctx, socket, "/status", &st)
}

func printStatus(w io.Writer, st status) error {
	state := "serving"
	if st.Gate.Draining {
		state = "draining"
	}
	observing := ""
	if st.Gate.Observing {
		observing = ", which only observes"
	}
	fmt.Fprintf(w, "sallyport %s, pid %d, %s for %s, policy %s%s\n", st.Version, st.PID, state, time.Since(st.Gate.Started).Round(time.Second), st.Gate.Revision, observing)
	printSources(w, st.Gate.Sources)
	printRecord(w, st.Record)
	printSinks(w, st.Sinks)
	for _, x := range st.Gate.Ending {
		fmt.Fprintln(w, audit.Visible(x.String()))
	}
	fmt.Fprintln(w)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(st.Gate.Links) > 0 {
		fmt.Fprintln(tab, "DOOR\tLINK\tPAIR\tSTATE\tCHANNEL\tPROOF\tPEER\tSTANZAS\tQUEUE")
	}
	for _, l := range st.Gate.Links {
		channel := l.Channel
		if l.TLS != "" {
			channel = l.TLS
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", l.Door, l.Kind, strings.Join(l.Pairs, ", "), l.State, channel, l.Proof, l.Peer+streamOf(l, st.Gate.Links), l.Stanzas, l.Queue)
	}
	if len(st.Gate.Links) == 0 {
		fmt.Fprintln(tab, "no link stands now")
	}
	printFailed(tab, st.Gate.Failed)
	fmt.Fprintln(tab)
	fmt.Fprintln(tab, "CERTIFICATE\tEXPIRES\tFROM")
	for _, c := range st.Certs {
		expires := "none yet"
		if !c.NotAfter.IsZero() {
			expires = c.NotAfter.Format(time.DateOnly)
		}
		if c.Failures > 0 {
			expires += fmt.Sprintf(", %d attempts failed, next %s", c.Failures, second(c.NextTry))
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\n", strings.Join(c.Names, ", "), expires, c.File)
	}
	if err := tab.Flush(); err != nil || st.Gate.Candidate == nil {
		return err
	}
	return printCandidate(w, st.Gate.Candidate)
}

// streamOf says on whose stream a link is, if it has none of its own.
func streamOf(l proxy.LinkSnapshot, all []proxy.LinkSnapshot) string {
	if l.Over == "" {
		return ""
	}
	for _, other := range all {
		if other.ID == l.Over && other.ID != l.ID && len(other.Pairs) > 0 {
			return ", on the stream of " + other.Pairs[0]
		}
	}
	return ", on the stream of link " + l.Over
}

// printFailed tells of the routes that could not be opened, and when each is tried again. JSON has them all.
func printFailed(w io.Writer, routes []proxy.FailedRoute) {
	const most = 50
	if len(routes) == 0 {
		return
	}
	fmt.Fprintln(w, "\nFAILED\tSTEP\tNEXT TRY\tBECAUSE")
	for _, r := range routes[:min(len(routes), most)] {
		next := "with the next stanza"
		if wait := time.Until(r.Next); wait > 0 {
			next = "in " + wait.Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Pair, r.Step, next, audit.Visible(r.Error))
	}
	if more := len(routes) - most; more > 0 {
		fmt.Fprintf(w, "and %d more: status --json\n", more)
	}
}

// printSources says how old what each source of the policy gave is, and what is wrong with it.
func printSources(w io.Writer, sources []policy.FeedStatus) {
	for _, s := range sources {
		fmt.Fprintf(w, "%s", s.Source)
		if s.Version != "" {
			fmt.Fprintf(w, " %s", s.Version)
		}
		fmt.Fprintf(w, ", confirmed %s ago", time.Since(s.Confirmed).Round(time.Second))
		if s.Stale {
			fmt.Fprint(w, ", STALE")
		}
		if s.Problem != "" {
			fmt.Fprintf(w, ": %s", audit.Visible(s.Problem))
		}
		fmt.Fprintln(w)
	}
}

// printRecord says how the record does, and where it does not, what that means for stanzas.
func printRecord(w io.Writer, r recordStatus) {
	fmt.Fprintf(w, "record: %s in %s, %s free", counted(r.Events, "event"), r.Segment, inBytes(r.Free))
	if r.Lost > 0 {
		fmt.Fprintf(w, ", %d events lost since the start", r.Lost)
	}
	fmt.Fprintln(w)
	if r.Error == "" {
		return
	}
	what := "stanzas are refused"
	if r.OnFailure == audit.Pass {
		what = "stanzas pass unrecorded"
	}
	fmt.Fprintf(w, "record: TAKES NO EVENTS for %s, %s; %s wait: %s\n", time.Since(r.Since).Round(time.Second), what, counted(uint64(r.Waiting), "event"), audit.Visible(r.Error))
}

// inBytes writes a size as people say it.
func inBytes(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i, f := 0, float64(n)
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// printSinks says how far each sink is behind the record, and why.
func printSinks(w io.Writer, sinks []sink.Status) {
	for _, s := range sinks {
		required := ""
		if s.Required {
			required = ", required"
		}
		fmt.Fprintf(w, "sink %s (%s%s): %d events behind", s.Name, s.Type, required, s.Records)
		if s.Seconds >= 1 {
			fmt.Fprintf(w, ", by %s", (time.Duration(s.Seconds) * time.Second))
		}
		if s.Error != "" {
			fmt.Fprintf(w, ", failing for %s: %s", time.Since(s.Since).Round(time.Second), audit.Visible(s.Error))
		}
		fmt.Fprintln(w)
	}
}

func printCandidate(w io.Writer, c *policy.Comparison) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nCANDIDATE %s: %d stanzas judged, %d differ, %d missed\n", c.Revision, c.Judged, c.Differ, c.Missed)
	for _, d := range c.Differences {
		fmt.Fprintf(&b, "%6d  %-3s %s: %s by %s, would be %s by %s\n", d.Count, d.Direction, audit.Visible(d.Remote), d.Effect, audit.Visible(d.Rule), d.Would, audit.Visible(d.WouldRule))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
