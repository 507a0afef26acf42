package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/config"
	"sallyport/internal/console"
	"sallyport/internal/resolve"
	"sallyport/internal/telemetry"
	"sallyport/policy"
	"sallyport/proxy"
)

func runCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "run", Short: "Run the gate in the foreground (SIGHUP reloads, SIGTERM drains, a second SIGTERM stops)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			g, err := startGate(ctx, path)
			if err != nil {
				return fault(err)
			}
			hangUps := make(chan os.Signal, 1)
			signal.Notify(hangUps, syscall.SIGHUP)
			for {
				select {
				case <-hangUps:
					g.reload()
				case err := <-g.failed:
					return fault(errors.Join(err, g.stop()))
				case <-ctx.Done():
					stop() // a second SIGTERM ends the process at once
					return fault(g.stop())
				}
			}
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// gate is a running gate with all its parts.
type gate struct {
	path      string
	config    *config.Config
	level     *slog.LevelVar
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	certs     *certs.Manager
	policy    *policy.Engine
	record    *audit.Log
	proxy     *proxy.Proxy
	lost      []audit.Record // what was on its way when the gate last ended
	failed    chan error     // a part that must not end has ended

	cancel context.CancelFunc
	parts  errgroup.Group
}

// startGate builds and opens everything in order, or nothing: what was opened before a fault is closed again.
func startGate(ctx context.Context, path string) (_ *gate, err error) {
	g := &gate{path: path, level: new(slog.LevelVar), failed: make(chan error, 1)}
	if g.config, err = config.Load(path); err != nil {
		return nil, err
	}
	g.log = logger(g.config.Log, g.level)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	sockets, err := openSockets(g.config)
	if err != nil {
		return nil, err
	}
	if err = g.build(run); err == nil {
		err = g.open(run, sockets)
	}
	if err != nil {
		sockets.close()
		return nil, err
	}
	g.record.Note(audit.Event{Kind: audit.NodeStart, Revision: g.policy.Snapshot().Revision(), Text: "sallyport " + version})
	g.log.Info("the gate stands", "version", version, "outside", g.config.Outside.Listen, "inside", g.config.Inside.Gate.String(), "domains", g.config.Domains(), "policy", g.policy.Snapshot().Revision())
	return g, nil
}

// build makes the rooms, without a socket but for telemetry's.
func (g *gate) build(ctx context.Context) (err error) {
	c := g.config
	if g.telemetry, err = telemetry.Start(ctx, c.Telemetry, version, g.log); err != nil {
		return err
	}
	if g.certs, err = certs.New(c.Certs.Config); err != nil {
		return err
	}
	if err = covered(c, g.certs.Covers); err != nil {
		return err
	}
	if g.policy, err = policy.New(c.Policy, c.PolicyData()); err != nil {
		return err
	}
	secret, err := dialback.LoadOrCreate(c.Dialback.SecretFile)
	if err != nil {
		return err
	}
	resolver, err := resolve.New(c.Resolver())
	if err != nil {
		return err
	}
	c.Audit.Log = g.log
	if g.record, err = audit.Open(c.Audit); err != nil {
		return err
	}
	if g.lost, err = audit.Unsettled(c.Audit.Dir); err != nil {
		g.log.Error("what a crash left behind cannot be read; no sender is told", "error", err)
	}
	g.proxy = &proxy.Proxy{
		Policy: g.policy, Record: g.record, Certs: g.certs, Resolver: resolver, Secret: secret, Log: g.log,
		Telemetry: proxy.Telemetry{Meter: g.telemetry.Meter(), Tracer: g.telemetry.Tracer()},
	}
	return g.proxy.Start(c.Settings())
}

// covered holds each local domain to having a certificate. One that has expired is no reason to stay down: peers that go by
// dialback do not look at dates, and `check` tells.
func covered(c *config.Config, covers func(string) error) error {
	var faults []error
	for _, d := range c.Domains() {
		if err := covers(d.ASCII()); !errors.Is(err, certs.ErrNotInDate) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// sockets are the gate's listeners; they are opened first, so that a port that is taken is told before anything is written.
type sockets struct {
	inside  net.Listener
	outside []net.Listener
	dns     *resolve.Inside
}

func openSockets(c *config.Config) (s sockets, err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.inside, err = net.Listen("tcp", c.Inside.Gate.String()); err != nil {
		return s, fmt.Errorf("inside.listen: %w", err)
	}
	for _, addr := range c.Outside.Listen {
		ln, err := net.Listen("tcp", addr.String())
		if err != nil {
			return s, fmt.Errorf("outside.listen: %w", err)
		}
		s.outside = append(s.outside, ln)
	}
	return s, nil
}

func (s sockets) close() {
	for _, ln := range append(s.outside, s.inside) {
		if ln != nil {
			ln.Close()
		}
	}
}

// open starts what serves.
func (g *gate) open(ctx context.Context, s sockets) error {
	c := g.config
	if c.Inside.Listen.IsValid() {
		in := c.Inside
		in.Forward, in.Log = g.proxy.Resolver.Servers(), g.log
		names, err := resolve.ListenInside(in)
		if err != nil {
			return err
		}
		g.part(func() error { return names.Serve(ctx) })
	}
	g.part(func() error { return g.proxy.Serve(s.inside, proxy.Inside) })
	for _, ln := range s.outside {
		g.part(func() error { return g.proxy.Serve(ln, proxy.Outside) })
	}
	g.proxy.Recover(g.lost)
	g.lost = nil
	if c.Admin.Socket != "" {
		admin := &console.Server{Socket: c.Admin.Socket, Log: g.log, Status: g.status}
		g.part(func() error { return admin.Serve(ctx) })
	}
	return nil
}

// part runs something that must not end before the gate does.
func (g *gate) part(serve func() error) {
	g.parts.Go(func() error {
		if err := serve(); err != nil {
			select {
			case g.failed <- err:
			default:
			}
			return err
		}
		return nil
	})
}

func (g *gate) status() console.Status {
	return console.Status{Version: version, PID: os.Getpid(), Config: g.path, Gate: g.proxy.Snapshot(), Certs: g.certs.Status()}
}

// reload puts a new configuration, policy and certificates in force, all of it or nothing, and says which.
func (g *gate) reload() {
	err := g.tryReload()
	e := audit.Event{Kind: audit.ConfigReload, Revision: g.policy.Snapshot().Revision()}
	if err != nil {
		e.Error = err.Error()
		g.log.Error("reload refused, everything stays as it was", "error", err)
	} else {
		g.log.Info("reloaded", "config", g.path, "policy", e.Revision)
	}
	g.record.Note(e)
}

// tryReload prepares every part before it applies any.
func (g *gate) tryReload() error {
	c, err := config.Load(g.path)
	if err != nil {
		return err
	}
	if err := fixed(g.config, c); err != nil {
		return err
	}
	material, err := g.certs.Prepare(c.Certs.Config)
	if err != nil {
		return err
	}
	if err := covered(c, material.Covers); err != nil {
		return err
	}
	if err := g.policy.Reload(c.PolicyData()); err != nil {
		return err
	}
	material.Apply()
	g.proxy.Apply(c.Settings())
	setLevel(c.Log, g.level)
	g.config = c
	return nil
}

// fixed names what a reload cannot change.
func fixed(old, now *config.Config) error {
	var faults []error
	for name, pair := range map[string][2]any{
		"inside":                {old.Inside.Gate.String() + old.Inside.Listen.String(), now.Inside.Gate.String() + now.Inside.Listen.String()},
		"outside.listen":        {old.Outside.Listen, now.Outside.Listen},
		"outside.direct_tls":    {old.Outside.DirectTLS, now.Outside.DirectTLS},
		"outside.resolver":      {old.Outside.Servers, now.Outside.Servers},
		"outside.allow_private": {old.Outside.AllowPrivate, now.Outside.AllowPrivate},
		"audit.dir":             {old.Audit.Dir, now.Audit.Dir},
		"audit.durability":      {old.Audit.Durability, now.Audit.Durability},
		"audit.on_failure":      {old.Audit.OnFailure, now.Audit.OnFailure},
		"policy":                {old.Policy, now.Policy},
		"dialback.secret_file":  {old.Dialback, now.Dialback},
		"telemetry":             {old.Telemetry, now.Telemetry},
		"admin.socket":          {old.Admin, now.Admin},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			faults = append(faults, fmt.Errorf("%s cannot be changed by a reload; restart the gate for it", name))
		}
	}
	return errors.Join(faults...)
}

// stop drains and closes everything.
func (g *gate) stop() error {
	g.log.Info("draining")
	ctx, cancel := context.WithTimeout(context.Background(), g.config.Limits.Drain+4*time.Second)
	defer cancel()
	g.proxy.Shutdown(ctx)
	g.record.Note(audit.Event{Kind: audit.NodeStop})
	err := g.close()
	g.log.Info("stopped")
	return err
}

// close gives back what was opened, in the reverse order.
func (g *gate) close() error {
	g.cancel()
	var errs []error
	if g.record != nil {
		errs = append(errs, g.record.Close())
	}
	if g.telemetry != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		errs = append(errs, g.telemetry.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
