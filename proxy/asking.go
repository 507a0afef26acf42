package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"sallyport/dialback"
	"sallyport/internal/jid"
)

// asking bounds the connections that strangers make us open: in total, per address, per domain that is asked, and none to a domain
// that just failed ([B10]); and those that a backend makes us open to itself (D3).
type asking struct {
	mu       sync.Mutex
	total    int
	byAddr   map[netip.Addr]int
	byDomain map[jid.Domain]int
	failed   map[jid.Domain]failedAsk
	backends map[string]*callbacks
}

type failedAsk struct {
	until time.Time
	err   error
}

// callbacks are the questions to one backend.
type callbacks struct {
	slots    *semaphore.Weighted
	disowned time.Time // when it last disowned a key,
	link     string    // and on which stream that was shown
}

var errBusy = errors.New("too many verifications are under way")

const maxFailedAsks = 4096

func (a *asking) init() {
	a.byAddr = make(map[netip.Addr]int)
	a.byDomain = make(map[jid.Domain]int)
	a.failed = make(map[jid.Domain]failedAsk)
	a.backends = make(map[string]*callbacks)
}

// do runs one question within the bounds. A stranger that is beyond them is refused; a backend waits, for it takes a refusal for the
// end of a stream that may carry all its domains (D8).
func (a *asking) do(ctx context.Context, in *inbound, pair Pair, question func(context.Context) (dialback.Verdict, error)) (dialback.Verdict, error) {
	limits := &in.p.now().Limits
	if in.door == Inside {
		slots := a.backend(in.backend.Address, limits.PendingPerStream).slots
		if err := slots.Acquire(ctx, 1); err != nil {
			return dialback.Invalid, err
		}
		defer slots.Release(1)
		ctx, cancel := context.WithTimeout(ctx, limits.Callback)
		defer cancel()
		return question(ctx)
	}
	if err := a.recent(pair.Remote); err != nil {
		return dialback.Invalid, err
	}
	addr := in.origin()
	if !a.enter(addr, pair.Remote, limits) {
		return dialback.Invalid, errBusy
	}
	defer a.leave(addr, pair.Remote)
	ctx, cancel := context.WithTimeout(ctx, limits.Verify)
	defer cancel()
	verdict, err := question(ctx)
	if err != nil && ctx.Err() != context.Canceled {
		a.remember(pair.Remote, err, in.p.now().Limits.NegativeVerify)
	}
	return verdict, err
}

func (a *asking) enter(addr netip.Addr, d jid.Domain, limits *Limits) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total >= limits.PendingTotal || a.byAddr[addr] >= limits.PendingPerAddress || a.byDomain[d] >= limits.PendingPerDomain {
		return false
	}
	a.total++
	a.byAddr[addr]++
	a.byDomain[d]++
	return true
}

func (a *asking) leave(addr netip.Addr, d jid.Domain) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if a.byAddr[addr]--; a.byAddr[addr] <= 0 {
		delete(a.byAddr, addr)
	}
	if a.byDomain[d]--; a.byDomain[d] <= 0 {
		delete(a.byDomain, d)
	}
}

// backend gives the place of one backend's questions; at once so many of them run.
func (a *asking) backend(address string, atOnce int) *callbacks {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.backends[address]
	if c == nil {
		c = &callbacks{slots: semaphore.NewWeighted(int64(atOnce))}
		a.backends[address] = c
	}
	return c
}

// disowned notes that a backend disowned a key that was shown in its name. again says that it did so not long ago on another stream:
// one such key may have been on its way when the backend restarted with a new secret, two are an alarm (D3, 11.9 no. 24).
func (a *asking) disowned(in *inbound) (again bool) {
	const memory = 10 * time.Minute
	c := a.backend(in.backend.Address, in.p.now().Limits.PendingPerStream)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	again = c.link != "" && c.link != in.id && now.Sub(c.disowned) < memory
	c.link, c.disowned = in.id, now
	return again
}

func (a *asking) recent(d jid.Domain) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.failed[d]
	if !ok {
		return nil
	}
	if time.Now().After(f.until) {
		delete(a.failed, d)
		return nil
	}
	return fmt.Errorf("not asked again for a while: %w", f.err)
}

// forgive forgets all failures: after a reload the reason may be gone.
func (a *asking) forgive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.failed)
}

func (a *asking) remember(d jid.Domain, err error, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.failed) >= maxFailedAsks {
		clear(a.failed)
	}
	a.failed[d] = failedAsk{until: time.Now().Add(wait), err: err}
}
