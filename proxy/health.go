package proxy

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/jid"
)

// illness is how long a backend cannot be reached, as the links that try to see it.
type illness struct{ since, last time.Time }

// forgotten is how long after the last vain try a backend counts as ill. Links that have something for it try more often.
const forgotten = 30 * time.Second

// missed notes that a backend did not take a connection, or did not answer on it, unless it was we who gave up.
func (rt *router) missed(ctx context.Context, backend string) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	now := time.Now()
	i := rt.ill[backend]
	if now.Sub(i.last) > forgotten {
		i.since = now
	}
	i.last = now
	rt.ill[backend] = i
}

// reached notes that a backend answers.
func (rt *router) reached(backend string) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	delete(rt.ill, backend)
}

// down says whether the backend of a local domain is known not to answer.
func (p *Proxy) down(settings *Settings, local jid.Domain) bool {
	backend, ok := settings.backendOf(local)
	return ok && p.router.down(backend.Address)
}

// down says whether a backend is known not to answer for some time (D15). When nobody tries any more, nobody knows.
func (rt *router) down(backend string) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	i, ok := rt.ill[backend]
	now := time.Now()
	return ok && now.Sub(i.last) <= forgotten && now.Sub(i.since) >= rt.p.now().Limits.BackendDown
}
