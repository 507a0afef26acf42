package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// router finds the outbound link of a route and opens one where there is none. It remembers which routes failed just now, so
// that their stanzas bounce at once instead of waiting for the same failure.
type router struct {
	p *Proxy

	// Guarded by mu.
	mu      sync.Mutex
	links   map[route]*outbound
	refused map[route]*failedRoute
	ill     map[string]illness // backends that cannot be reached, by address
	back    map[Pair]*inbound  // outside: peers that want a pair's stanzas on their own stream

	held atomic.Int64 // bytes in all queues
}

type failedRoute struct {
	until time.Time
	wait  time.Duration
	f     *Failure
}

const maxFailedRoutes = 8192

func (rt *router) init(p *Proxy) {
	rt.p = p
	rt.links = make(map[route]*outbound)
	rt.refused = make(map[route]*failedRoute)
	rt.ill = make(map[string]illness)
	rt.back = make(map[Pair]*inbound)
}

// hold reserves room in memory for a stanza in a queue, release gives it back.
func (rt *router) hold(n, most int) bool {
	if rt.held.Add(int64(n)) <= int64(most) {
		return true
	}
	rt.held.Add(-int64(n))
	return false
}

func (rt *router) release(n int) { rt.held.Add(-int64(n)) }

// send queues a stanza for a route, opening its link. The error is why it was not queued: errFull, or the route's *Failure.
func (rt *router) send(r route, bytes []byte, it queued, patience time.Duration) (*outbound, error) {
	for {
		o, err := rt.link(r, it.answer != nil)
		if err != nil {
			return nil, err
		}
		switch err := o.push(bytes, it, patience); err {
		case errEnded:
			continue // it ended between the two; the next one is new, or a failure
		default:
			return o, err
		}
	}
}

// link gives the link of a route. Bounces may open some more than stanzas, or a gate that is full could not say so.
func (rt *router) link(r route, bounce bool) (*outbound, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if o := rt.links[r]; o != nil {
		return o, nil
	}
	if f := rt.refused[r]; f != nil && time.Now().Before(f.until) {
		return nil, f.f
	}
	most := rt.p.now().Limits.OutboundLinks
	if bounce {
		most += max(1, most/10)
	}
	if len(rt.links) >= most {
		return nil, errFull
	}
	o := newOutbound(rt.p.ctx, rt.p, r)
	rt.links[r] = o
	rt.p.links.Go(o.run)
	return o, nil
}

// find gives the link of a route if there is one.
func (rt *router) find(r route) *outbound {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.links[r]
}

func (rt *router) remove(o *outbound) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.links[o.r] == o {
		delete(rt.links, o.r)
	}
}

// failed starts or doubles the time in which a route's stanzas bounce at once (PROTOCOL 11.8). A backend's absence is never
// remembered: it is waited for.
func (rt *router) failed(r route, f *Failure) time.Duration {
	if r.dir == In {
		return 0
	}
	limits := &rt.p.now().Limits
	rt.mu.Lock()
	defer rt.mu.Unlock()
	wait := limits.NegativeMin
	if last := rt.refused[r]; last != nil && time.Since(last.until) < limits.NegativeMax {
		wait = min(2*last.wait, limits.NegativeMax)
	}
	if len(rt.refused) >= maxFailedRoutes {
		clear(rt.refused)
	}
	rt.refused[r] = &failedRoute{until: time.Now().Add(wait), wait: wait, f: f}
	return wait
}

// failures are the failed routes that are remembered.
func (rt *router) failures() []FailedRoute {
	most := rt.p.now().Limits.NegativeMax
	rt.mu.Lock()
	defer rt.mu.Unlock()
	all := []FailedRoute{}
	for r, last := range rt.refused {
		if time.Since(last.until) < most {
			all = append(all, FailedRoute{Pair: arrow(r), Step: last.f.Step, Error: last.f.Err.Error(), Advice: last.f.Advice, Next: last.until})
		}
	}
	return all
}

func (rt *router) succeeded(r route) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	delete(rt.refused, r)
}

// forgive forgets all failures: after a reload the reason may be gone.
func (rt *router) forgive() {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	clear(rt.refused)
}

func (rt *router) live() []*outbound {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	all := make([]*outbound, 0, len(rt.links))
	for _, o := range rt.links {
		all = append(all, o)
	}
	return all
}

// drain waits until every queue is empty, or the time for that is over, and then ends the links; what is left is bounced, and the
// bounces get a last moment of their own, within ctx.
func (rt *router) drain(ctx context.Context, patience time.Duration) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	wait := func(most time.Duration, over func() bool) {
		for end := time.Now().Add(most); ctx.Err() == nil && time.Now().Before(end) && !over(); {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
	wait(patience, rt.quiet)
	const lastMoment = 2 * time.Second
	for _, dir := range []Direction{Out, In} {
		for _, o := range rt.live() {
			if o.r.dir == dir {
				o.stop(nil)
			}
		}
		wait(lastMoment, func() bool { return rt.ended(dir) && rt.quiet() })
	}
}

// quiet says whether nothing waits to be written.
func (rt *router) quiet() bool {
	for _, o := range rt.live() {
		if !o.idle() {
			return false
		}
	}
	return true
}

// ended says whether no link of a direction is left.
func (rt *router) ended(dir Direction) bool {
	for _, o := range rt.live() {
		if o.r.dir == dir {
			return false
		}
	}
	return true
}
