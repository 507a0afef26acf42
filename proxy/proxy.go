package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/contacts"
	"sallyport/internal/ratchet"
	"sallyport/internal/resolve"
	"sallyport/policy"
)

// Recorder is the record as the way through needs it. Its error means that nothing of the batch may pass.
type Recorder interface {
	// Append commits events and fills in their Seq, Time and ID.
	Append(ctx context.Context, events []audit.Event) error
	// Note adds events that nobody waits for to the next commit.
	Note(events ...audit.Event)
}

// SinkLag is how far one sink is behind the record.
type SinkLag struct {
	Name    string
	Records uint64
	Seconds float64 // age of the oldest event that it lacks
}

// RecordHealth is how the record does.
type RecordHealth struct {
	Failing bool   // it takes no events
	Free    uint64 // bytes left on its file system
	Lost    uint64 // events since the start that never will be in it (audit.on_failure: pass)
}

// Proxy is the gate: fill in the exported fields, then Start it, Serve its listeners, and Shutdown.
type Proxy struct {
	Policy    *policy.Engine
	Feeds     []*policy.Feed // sources of the policy besides its directory
	Record    Recorder
	Health    func() RecordHealth // of the record; nil: it is not measured
	SinkLags  func() []SinkLag    // how far what carries the record elsewhere is behind; nil: nothing does
	Certs     *certs.Manager
	Revoked   *certs.Revocations // nil: nobody is asked
	Ratchet   *ratchet.Book      // nil: nothing is remembered of peers
	Contacts  *contacts.Book     // nil: who has written to whom is not remembered
	Resolver  *resolve.Resolver
	Secret    dialback.Secrets // the keys of both sides are derived from it
	Telemetry Telemetry
	Log       *slog.Logger

	settings atomic.Pointer[Settings]
	outside  dialback.Secrets
	inside   dialback.Secrets

	instruments instruments
	router      router
	doors       [2]gate
	watch       watch
	innerIDs    innerIDs
	shown       shownKeys
	asking      asking
	noise       noise
	unkept      unkept

	ctx      context.Context // of all links; ended by Shutdown's last step
	stop     context.CancelFunc
	links    sync.WaitGroup
	draining atomic.Bool
	started  time.Time
}

// Start makes the proxy ready to serve. It opens no socket.
func (p *Proxy) Start(s Settings) error {
	var err error
	if p.instruments, err = newInstruments(p.Telemetry, p); err != nil {
		return err
	}
	p.outside = p.Secret.Derive("outside")
	p.inside = p.Secret.Derive("inside")
	p.use(s)
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.started = time.Now()
	p.router.init(p)
	p.doors[Outside].init(p, Outside)
	p.doors[Inside].init(p, Inside)
	p.asking.init()
	p.watch.init(p)
	p.links.Go(func() { p.watch.run(p.ctx) })
	return nil
}

// now gives the settings in force. A link takes them anew for each decision that a reload may change.
func (p *Proxy) now() *Settings { return p.settings.Load() }

// secret is the dialback secret of one side, and the one before it. Keys of one side mean nothing on the other (D12).
func (p *Proxy) secret(d Door) *dialback.Secrets {
	if d == Inside {
		return &p.inside
	}
	return &p.outside
}

// Apply puts new settings in force and judges the live links again: one that the new policy forbids is closed.
func (p *Proxy) Apply(s Settings) {
	p.use(s)
	p.Review()
}

func (p *Proxy) use(s Settings) {
	p.settings.Store(&s)
	if p.Revoked != nil {
		p.Revoked.Limit(s.Limits.RevocationBytes)
	}
}

// Review judges the live links again, as is due when what is known of peers or their certificates has changed.
func (p *Proxy) Review() {
	p.router.forgive()
	p.asking.forgive()
	p.watch.at(p.review(true))
}

// Recheck is Review beside the caller, for news that strangers may cause: lists of revoked certificates. Peers that were refused may come
// again at once, because nobody knew whether their certificates were good; whom strangers made us ask in vain is not asked sooner.
func (p *Proxy) Recheck() {
	p.router.forgive()
	p.watch.everything()
}

// Shutdown drains: no new streams, no new stanzas; queues are emptied within Limits.Drain or ctx, the rest is bounced; streams
// end with system-shutdown and their closing tags. It returns when every link has ended. When ctx ends, so do all connections.
func (p *Proxy) Shutdown(ctx context.Context) {
	p.draining.Store(true)
	defer context.AfterFunc(ctx, p.abort)()
	drain, cancel := context.WithTimeout(ctx, p.now().Limits.Drain)
	defer cancel()
	p.doors[Outside].close()
	// Backends keep their door while queues empty: proving a pair to them means answering their questions (D4).
	var ends sync.WaitGroup
	for d := range p.doors {
		ends.Go(func() { p.doors[d].hangUp(drain) })
	}
	ends.Wait()
	left, _ := drain.Deadline()
	p.router.drain(ctx, time.Until(left))
	p.doors[Inside].close()
	p.doors[Inside].hangUp(ctx)
	p.stop()
	p.links.Wait()
	p.noise.flush(p)
}

// abort ends every connection at once. What was queued is bounced as far as the record goes.
func (p *Proxy) abort() {
	p.stop()
	for d := range p.doors {
		for _, in := range p.doors[d].live() {
			in.conn.Close()
		}
	}
	for _, o := range p.router.live() {
		if s := o.s.Load(); s != nil {
			s.Abort()
		}
	}
}
