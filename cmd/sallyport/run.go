package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/config"
	"sallyport/internal/console"
	"sallyport/internal/contacts"
	"sallyport/internal/ratchet"
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
			holdLittle()
			hangUps := make(chan os.Signal, 1)
			signal.Notify(hangUps, syscall.SIGHUP) // before the start: a hang-up that comes too early must not end the gate
			g, err := startGate(ctx, path, nil)
			if err != nil {
				return fault(err)
			}
			notify("READY=1")
			changes, done := g.policyChanges()
			defer done()
			for {
				select {
				case <-hangUps:
					g.reload()
				case <-changes:
					g.reloadPolicy()
				case a := <-g.arrivals:
					a.taken <- g.take(a.supply)
				case err := <-g.failed:
					notify("STOPPING=1")
					return fault(errors.Join(err, g.stop()))
				case <-ctx.Done():
					stop() // a second SIGTERM ends the process at once
					notify("STOPPING=1")
					return fault(g.stop())
				}
			}
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// holdLittle lets half as much garbage wait for the collector as Go does by default. A gate holds thousands of idle links and throws
// little away where it is busy: docs/performance.md has what this costs and saves. GOGC in the environment decides otherwise.
func holdLittle() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// gate is a running gate with all its parts.
type gate struct {
	path      string
	config    *config.Config
	level     *slog.LevelVar
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	rooms
	record  *audit.Log
	sinks   *sink.Set
	carried func(by time.Time) // ends the sinks, when they have what the closed record holds; nil: they do not run
	peers   *ratchet.Book
	posh    *certs.POSHSource // nil while nobody is asked
	inner   *certs.Inner      // nil while no backend goes by certificates
	proxy   *proxy.Proxy
	feeds   []*policy.Feed
	lost    []audit.Record // what was on its way when the gate last ended
	failed  chan error     // a part that must not end has ended

	arrivals chan arrival // of the feeds

	run    context.Context // of all parts
	cancel context.CancelFunc
	parts  sync.WaitGroup
}

// startGate builds and opens everything in order, or nothing: what was opened before a fault is closed again. Its error has every
// fault of the files, or else of the sockets, one a line. A nil log means the one that the configuration asks for.
func startGate(ctx context.Context, path string, log *slog.Logger) (_ *gate, err error) {
	g := &gate{path: path, level: new(slog.LevelVar), failed: make(chan error, 1), arrivals: make(chan arrival)}
	if g.config, err = config.Load(path); err != nil {
		return nil, err
	}
	if g.log = log; log == nil {
		g.log = logger(g.config.Log, g.level)
	}
	g.config.Policy.Log = g.log
	pc, feeds, err := fetched(ctx, g.config, g.log)
	g.feeds = feeds
	if g.rooms, err = load(g.config, pc, err); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.run, g.cancel = run, cancel
	s, err := openSockets(g.config, g.resolver, g.log)
	if err == nil {
		err = g.open(run)
	}
	if err != nil {
		s.close()
		return nil, errors.Join(err, g.close(time.Now()))
	}
	g.carry(ctx, run)
	g.serve(run, s)
	g.greet()
	return g, nil
}

// open makes what writes to the disk, and the proxy from all that is there.
func (g *gate) open(ctx context.Context) (err error) {
	c := g.config
	if g.telemetry, err = telemetry.Start(ctx, c.Telemetry, version, g.log); err != nil {
		return c.At("telemetry.otlp", err)
	}
	secret, err := dialback.LoadOrCreate(c.Dialback.SecretFile)
	if err != nil {
		return c.At("dialback.secret_file", err)
	}
	if err := g.openRecord(); err != nil {
		return err
	}
	if g.lost, err = audit.Unsettled(c.Audit.Dir); err != nil {
		g.log.Error("what a crash left behind cannot be read; no sender is told", "error", err)
	}
	if g.peers, err = ratchet.Open(c.Ratchet, g.log); err != nil {
		return c.At("ratchet.file", err)
	}
	g.proxy = &proxy.Proxy{
		Policy: g.policy, Feeds: g.feeds, Record: sink.Guard{Log: g.record, Sinks: g.sinks}, Health: g.recordHealth, SinkLags: g.sinkLags, Certs: g.certs, Resolver: g.resolver, Secret: secret, Ratchet: g.peers, Log: g.log,
		Contacts:  contacts.New(c.Contacts),
		Telemetry: proxy.Telemetry{Meter: g.telemetry.Meter(), Tracer: g.telemetry.Tracer()},
	}
	if g.inner, err = openInner(c, g.log); err != nil {
		return err
	}
	g.policy.KeepHistory()
	g.proxy.Revoked = g.revocations(g.log, g.proxy.Recheck)
	return g.proxy.Start(g.settings(c))
}

// serve lets the world in.
func (g *gate) serve(ctx context.Context, s sockets) {
	if s.names != nil {
		g.part(func() error { return s.names.Serve(ctx) })
	}
	g.part(func() error { return g.proxy.Serve(s.inside, proxy.Inside) })
	for _, ln := range s.outside {
		g.part(func() error { return g.proxy.Serve(ln, proxy.Outside) })
	}
	for _, ln := range s.direct {
		g.part(func() error { return g.proxy.ServeDirect(ln) })
	}
	g.part(func() error { g.peers.Run(ctx); return nil })
	g.part(func() error { g.policy.Shadow().Run(ctx); return nil })
	g.feed(ctx)
	g.part(func() error { return new(tidy).run(ctx) })
	g.part(func() error { return reminders(ctx, g.log, g.policy) })
	if s.acme != nil {
		challenge := g.config.Certs.ACME.Challenge // a reload changes the configuration
		g.part(func() error { return g.certs.ServeChallenges(ctx, s.acme, challenge) })
	}
	if s.posh != nil {
		g.part(func() error { return g.certs.ServePOSH(ctx, s.posh) })
	}
	g.part(func() error { g.certs.Run(ctx, g.log); return nil })
	g.proxy.Recover(g.lost)
	g.lost = nil
	if s.metrics != nil {
		g.part(func() error { return g.telemetry.Serve(ctx, s.metrics) })
	}
	admin := &console.Server{Log: g.log, Status: g.status, Peers: &console.Peers{Book: g.peers, Changed: g.peerChanged}, Record: g.recordDeed}
	g.part(func() error { return admin.Serve(ctx, s.admin) })
}

// settings are the configuration's for the proxy, with what a reload makes anew: documents that were fetched under other trust anchors
// are fetched again.
func (g *gate) settings(c *config.Config) proxy.Settings {
	s := c.Settings()
	g.resolver.Shun(c.BackendSockets())
	s.Inner = g.inner
	if old := g.posh; old != nil {
		g.part(func() error { old.Shutdown(g.run); return nil })
	}
	g.posh = g.poshSource(c)
	s.POSH = g.posh
	return s
}

// peerChanged follows a change by hand of what is remembered of a remote domain.
func (g *gate) peerChanged(order string, o console.PeerOrder) {
	g.record.Note(audit.Event{Kind: audit.ConfigPeer, Remote: o.Domain, Text: strings.Join(append([]string{order}, o.Pins...), " ")})
	g.log.Info("what is remembered of a peer was changed by hand", "domain", o.Domain, "order", order)
	g.proxy.Review()
}

// part runs something that must not end before the gate does.
func (g *gate) part(serve func() error) {
	g.parts.Go(func() {
		if err := serve(); err != nil {
			select {
			case g.failed <- err:
			default: // one reason is enough
			}
		}
	})
}

// greet says what stands.
func (g *gate) greet() {
	revision := g.policy.Snapshot().Revision()
	g.record.Note(audit.Event{Kind: audit.NodeStart, Revision: revision, Text: "sallyport " + version})
	g.log.Info("the gate stands", "version", version, "pid", os.Getpid(), "config", g.path, "outside", g.config.Outside.Listen,
		"inside", g.config.Inside.Gate.String(), "domains", g.config.Domains(), "policy", revision)
	g.log.Info("checkpoints of the audit record are signed; give the key to who is to verify it", "key", g.record.PublicKey())
	g.warn()
}

// warn tells what is no fault and yet wants somebody's hand.
func (g *gate) warn() {
	each(outOfDate(g.config, g.certs.Covers), func(reason string) { g.log.Warn("certificate out of date", "reason", reason) })
	if err := g.sinks.Behind(); err != nil {
		g.log.Warn("stanzas are refused until a required sink takes the record", "error", err)
	}
	for _, how := range exposed(g.config) {
		g.log.Warn("a sink is not held to encryption", "reason", how.Error())
	}
	for _, warning := range g.certs.Warnings() {
		g.log.Warn("a certificate file wants attention", "reason", placed(g.config, warning).Error())
	}
	remind(g.log, g.policy, time.Now())
}

func (g *gate) status() console.Status {
	return console.Status{Version: version, PID: os.Getpid(), Config: g.path, Gate: g.proxy.Snapshot(), Certs: g.certs.Status(), Record: g.recordStatus(), Sinks: g.sinks.Status()}
}

// stopTime is how long a drain may take with all that comes after it. What is still there then ends with the process: a
// service manager would do worse.
const stopTime = 28 * time.Second

// endTime is how long a stop may take altogether.
const endTime = 29500 * time.Millisecond

// stop drains and closes everything.
func (g *gate) stop() error {
	begun := time.Now()
	g.log.Info("draining", "at_most", g.config.Limits.Drain.String())
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		g.proxy.Shutdown(ctx)
		g.cancel()
		g.hush()
		g.parts.Wait()
	}()
	select {
	case <-drained:
	case <-ctx.Done():
		g.log.Warn("some streams did not end in time and are cut off")
	}
	g.record.Note(audit.Event{Kind: audit.NodeStop})
	err := g.close(begun.Add(endTime))
	g.log.Info("stopped", "after", time.Since(begun).Round(time.Millisecond).String())
	return err
}

// hush ends what was being fetched from strangers: nobody waits for it any more.
func (g *gate) hush() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	g.proxy.Revoked.Shutdown(now)
	if g.posh != nil {
		g.posh.Shutdown(now)
	}
}

// close gives back what was opened, in the reverse order. By then it waits for nobody any more.
func (g *gate) close(by time.Time) error {
	g.cancel()
	var errs []error
	if g.record != nil {
		errs = append(errs, g.record.Close())
		if g.carried != nil {
			g.carried(time.Now().Add(min(lastTime, time.Until(by))))
		}
	}
	if g.peers != nil {
		errs = append(errs, g.peers.Close(), g.proxy.Contacts.Close())
	}
	if g.telemetry != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		errs = append(errs, g.telemetry.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
