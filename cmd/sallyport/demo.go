package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/audit"
	"sallyport/internal/demo"
	"sallyport/proxy"
)

func demoCommand() *cobra.Command {
	o := demo.Options{StartGate: startDemoGate}
	cmd := &cobra.Command{
		Use: "demo", Short: "A whole federation on loopback in one process: legacy server, gate, partner, stranger", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o.Out = cmd.OutOrStdout()
			o.Color = term.IsTerminal(int(os.Stdout.Fd()))
			result, err := demo.Run(ctx, o)
			if err == nil && !result.OK {
				err = errors.New("the demo did not go as it must")
			}
			return fault(err)
		},
	}
	cmd.Flags().BoolVar(&o.Once, "once", false, "end by itself; exit 0 only if everything was as it must be")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object at the end and nothing before it")
	cmd.Flags().StringVar(&o.Keep, "keep", "", "leave configuration, policy, certificates and record in `DIR`, a folder that is new or empty")
	return cmd
}

// demoGate is the gate of this very process, as the demo looks at it.
type demoGate struct{ *gate }

func startDemoGate(ctx context.Context, path string) (demo.Gate, error) {
	// The screen belongs to the play: the gate's log says what it must alone.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	g, err := startGate(ctx, path, log)
	if err != nil {
		return nil, err
	}
	return demoGate{g}, nil
}

func (d demoGate) Status(context.Context) (demo.StatusView, error) {
	var v demo.StatusView
	for _, l := range d.proxy.Snapshot().Links {
		v.Links = append(v.Links, demoLink(l))
	}
	return v, nil
}

func demoLink(l proxy.LinkSnapshot) demo.Link {
	return demo.Link{Door: l.Door, Kind: l.Kind, Pairs: l.Pairs, State: string(l.State), Channel: l.Channel, Proof: l.Proof, TLS: l.TLS, Peer: l.Peer, Stanzas: l.Stanzas}
}

func (d demoGate) VerifyRecord(context.Context) (demo.RecordView, error) {
	report, err := audit.Verify(d.config.Audit.Dir)
	v := demo.RecordView{Events: int(report.Events)}
	if len(report.Faults) > 0 {
		v.Problem = report.Faults[0].String()
	}
	return v, err
}

func (d demoGate) Stop() error { return d.stop() }
