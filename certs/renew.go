package certs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	atOnce    = 4                // certificates being obtained at the same time
	watchTick = 10 * time.Minute // how often the clock is looked at
	watchTime = 24 * time.Hour   // how often a concern is told
	jump      = 5 * time.Minute  // of the clock, worth a line
	soonAgain = time.Minute      // the least between attempts of two runs of the program
)

// Run obtains and renews the certificates of Config.ACME and watches the dates of all of ours, until ctx ends. A new configuration counts
// from its Apply on, and a reload tries at once what had failed. Errors are told in log, and again by Status and Concerns; they never
// touch a certificate that serves.
func (m *Manager) Run(ctx context.Context, log *slog.Logger) {
	var watching sync.WaitGroup
	watching.Go(func() { m.watch(ctx, log) })
	defer watching.Wait()
	for first := true; ctx.Err() == nil; first = false {
		m.mu.Lock()
		a, changed := m.issuer, m.changed
		m.mu.Unlock()
		run, stop := context.WithCancel(ctx)
		var keeping sync.WaitGroup
		if a != nil {
			k := &keeper{Manager: m, issuer: a, log: log, slots: make(chan struct{}, atOnce), account: make(chan struct{}, 1), restarted: first}
			keeping.Go(func() { k.run(run) })
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		stop()
		keeping.Wait()
	}
}

// keeper keeps the certificates of one configuration.
type keeper struct {
	*Manager
	issuer    *issuer
	log       *slog.Logger
	slots     chan struct{}
	restarted bool          // the program has just begun: attempts of its last run count
	account   chan struct{} // one attempt at a time looks for the account, so that two do not make two
	base      http.RoundTripper
}

func (k *keeper) run(ctx context.Context) {
	k.base = k.transport // of tests
	if k.base == nil {
		t := k.issuer.transport()
		defer t.CloseIdleConnections()
		k.base = t
	}
	var each sync.WaitGroup
	for _, names := range k.issuer.wanted {
		each.Go(func() { k.keep(ctx, names) })
	}
	each.Wait()
}

// keep renews one certificate for as long as ctx lasts.
func (k *keeper) keep(ctx context.Context, names wanted) {
	name := names[0]
	if err := k.damage(name); err != nil {
		k.log.Warn("a stored certificate is of no use; another is obtained", "error", err)
	}
	if !sleep(ctx, k.held(name)) {
		return
	}
	for k.untilDue(ctx, names) {
		p, err := k.attempt(ctx, names)
		if ctx.Err() != nil {
			return
		}
		wait := time.Duration(0)
		if err != nil {
			wait = k.failed(ctx, names, err)
		} else if k.succeeded(ctx, names, p); k.due(names).Before(k.clock()) {
			wait = pauseAfter(manyFailures, p, k.clock()) // it came in the last third of its life; the next one may be no better
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// held is how long the first attempt has to wait because of those before: as long as the authority asked for, and after a restart of the program
// long enough that one which is restarted again and again asks nobody each time.
func (k *keeper) held(name string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	past, now := k.attempts[name], k.clock()
	switch {
	case past.Failures == 0:
		return 0
	case past.Asked:
		return min(past.Next.Sub(now), acmeHold)
	case k.restarted:
		return min(past.Last.Add(soonAgain).Sub(now), soonAgain)
	}
	return 0
}

// due is when the certificate for names is to be obtained: at once if it is not there, else when a third of its life is left, a little
// earlier for some than for others.
func (k *keeper) due(names wanted) time.Time {
	p := k.obtainedFor(names)
	if p == nil {
		return time.Time{}
	}
	return renewal(p.cert.Leaf)
}

// renewal is when a third of a certificate's life is left, less a jitter of up to a tenth of that third. The jitter is the certificate's own:
// it is the same after a restart, and another for each certificate and machine.
func renewal(leaf *x509.Certificate) time.Time {
	third := leaf.NotAfter.Sub(leaf.NotBefore) / 3
	sum := sha256.Sum256(leaf.Raw)
	jitter := time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(max(third/10, 1)))
	return leaf.NotAfter.Add(-third - jitter)
}

// take waits for a place; false when ctx ends.
func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// untilDue waits until the wall clock says that it is time, however that may jump; false when ctx ends.
func (k *keeper) untilDue(ctx context.Context, names wanted) bool {
	for ctx.Err() == nil {
		left := k.due(names).Sub(k.clock())
		if left <= 0 {
			return true
		}
		k.forget(ctx, names[0])
		if !sleep(ctx, min(left, max(left/10, time.Minute), time.Hour)) {
			return false
		}
	}
	return false
}

// forget lets go of failed attempts when there is nothing left to attempt.
func (k *keeper) forget(ctx context.Context, name string) {
	k.mu.Lock()
	past := k.attempts[name].Failures
	delete(k.attempts, name)
	k.mu.Unlock()
	if past == 0 {
		return
	}
	if err := k.issuer.store.remember(ctx, name, attempts{}); err != nil {
		k.log.Warn("the note of failed attempts cannot be removed", "error", line(err))
	}
}

// attempt obtains one certificate, when it is this one's turn.
func (k *keeper) attempt(ctx context.Context, names wanted) (_ *pair, err error) {
	if !take(ctx, k.slots) {
		return nil, ctx.Err()
	}
	defer func() { <-k.slots }()
	limit := orderTime
	if k.issuer.config.DNS != nil {
		limit += k.issuer.config.DNS.Wait
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was not done after %s", limit))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("obtaining it panicked: %v", p)
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}()
	if err := k.issuer.store.ready(ctx); err != nil {
		return nil, err
	}
	c, err := k.client(ctx)
	if err != nil {
		return nil, err
	}
	var s solver = k.responder
	if k.issuer.config.challenge() == DNS01 {
		if s, err = k.issuer.updater(); err != nil {
			return nil, err
		}
	}
	return k.issuer.obtain(ctx, names, c, s)
}

func (k *keeper) client(ctx context.Context) (*client, error) {
	if !take(ctx, k.account) {
		return nil, ctx.Err()
	}
	defer func() { <-k.account }()
	return k.issuer.client(ctx, k.base)
}

// failed tells of a failure and returns how long to wait with the next attempt.
func (k *keeper) failed(ctx context.Context, names wanted, err error) time.Duration {
	name, now := names[0], k.clock()
	p := k.obtainedFor(names)
	k.mu.Lock()
	a := k.attempts[name]
	if a.Failures++; a.Failures == 1 {
		a.Since = now
	}
	wait := pauseAfter(a.Failures, p, now)
	asked, told := heldBack(err)
	if a.Asked = told && asked > wait; a.Asked {
		wait = min(asked, acmeHold)
	}
	a.Last, a.Next, a.Reason = now, now.Add(wait), line(err)
	k.attempts[name] = a
	k.mu.Unlock()
	level, fields := slog.LevelError, []any{"domains", []string(names), "authority", k.issuer.host, "challenge", k.issuer.config.challenge(),
		"error", a.Reason, "failures", a.Failures, "next_try", a.Next.UTC().Format(time.RFC3339)}
	if p != nil {
		fields = append(fields, "serving_until", p.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
		if left := p.cert.Leaf.NotAfter.Sub(now); left > p.cert.Leaf.NotAfter.Sub(p.cert.Leaf.NotBefore)/6 {
			level = slog.LevelWarn // there is time
		}
	}
	if err := k.issuer.store.remember(ctx, name, a); err != nil {
		fields = append(fields, "unstored", line(err))
	}
	k.log.Log(ctx, level, "certificate not obtained", fields...)
	return wait
}

// succeeded puts a certificate in use.
func (k *keeper) succeeded(ctx context.Context, names wanted, p *pair) {
	k.forget(ctx, names[0])
	k.adopt(names[0], p)
	k.log.Info("certificate obtained", "domains", []string(names), "authority", k.issuer.host, "challenge", k.issuer.config.challenge(),
		"until", p.cert.Leaf.NotAfter.UTC().Format(time.RFC3339), "renewal", renewal(p.cert.Leaf).UTC().Format(time.RFC3339))
}

// manyFailures are so many that pauseAfter grows no more.
const manyFailures = 21

// pauseAfter is the wait after the n-th failure in a row: doubled each time, from a first wait that suits the certificate's life to an eighth of
// what is left of it, and never more than six hours; one part in five is chance.
func pauseAfter(n int, p *pair, now time.Time) time.Duration {
	first, longest := time.Minute, time.Hour
	if p != nil {
		leaf := p.cert.Leaf
		first = min(max(leaf.NotAfter.Sub(leaf.NotBefore)/100, 5*time.Second), 5*time.Minute)
		longest = max(min(leaf.NotAfter.Sub(now)/8, 6*time.Hour), first)
		if !p.inDate(now) {
			longest = time.Hour
		}
	}
	wait := min(first<<min(n-1, manyFailures-1), longest)
	var random [8]byte
	rand.Read(random[:]) // ends the process where there is no random source; it returns no error
	return wait*9/10 + time.Duration(binary.BigEndian.Uint64(random[:])%uint64(wait/5))
}

// heldBack is how long the authority asks to be left alone.
func heldBack(err error) (time.Duration, bool) {
	var problem *acme.Error
	if !errors.As(err, &problem) || problem.Header == nil {
		return 0, false
	}
	return retryAfter(problem.Header)
}

// watch tells once a day of each certificate of ours that ends soon, whoever is to renew it, and of jumps of the clock.
func (m *Manager) watch(ctx context.Context, log *slog.Logger) {
	told := make(map[string]time.Time)
	last, timer, look := m.clock(), time.Now(), time.Time{}
	for {
		now := m.clock()
		if gap := now.Round(0).Sub(last.Round(0)) - time.Since(timer); gap.Abs() > jump { // the timer does not jump
			log.Warn("the clock of this machine jumped; certificates stay as they are, renewals follow the new time", "by", gap.Round(time.Second).String())
			clear(told)
			look = time.Time{}
		}
		last, timer = now, time.Now()
		if now.Sub(look) >= time.Hour {
			look = now
			m.tell(ctx, log, told, now)
		}
		if !sleep(ctx, watchTick) {
			return
		}
	}
}

// tell tells of each concern that was not told within a day, nor is told with each attempt.
func (m *Manager) tell(ctx context.Context, log *slog.Logger, told map[string]time.Time, now time.Time) {
	for _, concern := range m.concerns(now) {
		if concern.attempted || now.Sub(told[concern.about]) < watchTime {
			continue
		}
		told[concern.about] = now
		level := slog.LevelWarn
		if concern.ended {
			level = slog.LevelError
		}
		log.Log(ctx, level, "a certificate of ours needs a hand", "error", concern.text)
	}
}

// sleep waits for a time that no jump of the wall clock changes; false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
