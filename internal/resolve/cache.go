package resolve

import (
	"sync"
	"time"

	"sallyport/internal/jid"
)

// finding is what a look-up of a domain came to, and for how long it holds.
type finding struct {
	endpoints []Endpoint
	err       error
	ttl       time.Duration
}

// entry is a domain's place in the cache, made when its look-up starts. The fields below done are written before done is closed and
// read after.
type entry struct {
	done      chan struct{}
	finding   finding
	expires   time.Time
	abandoned bool // the one who looked had to go before there was a result
}

func (e *entry) settled() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// cache remembers findings while they hold ([D07]), and sees to it that a domain is looked up by one at a time.
type cache struct {
	max int

	mu      sync.Mutex
	entries map[jid.Domain]*entry
}

func newCache(max int) *cache { return &cache{max: max, entries: map[jid.Domain]*entry{}} }

// find returns the entry of a domain. With mine, it is new, and the caller has to look the domain up and settle the entry; otherwise the
// caller waits for done.
func (c *cache) find(d jid.Domain) (e *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[d]; ok && (!e.settled() || time.Now().Before(e.expires)) {
		return e, false
	}
	delete(c.entries, d)
	c.makeRoom()
	e = &entry{done: make(chan struct{})}
	c.entries[d] = e
	return e, true
}

// settle gives an entry its finding and wakes those who wait. What does not hold for any time is not kept.
func (c *cache) settle(d jid.Domain, e *entry, f finding, abandoned bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.finding, e.abandoned = f, abandoned
	e.expires = time.Now().Add(f.ttl)
	close(e.done)
	if (abandoned || f.ttl <= 0) && c.entries[d] == e {
		delete(c.entries, d)
	}
}

// forget drops what is known of a domain.
func (c *cache) forget(d jid.Domain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, d)
}

// makeRoom drops what has expired among a handful of entries, and if nothing has, that which would expire first. Go's random order
// of maps picks the handful.
func (c *cache) makeRoom() {
	if len(c.entries) < c.max {
		return
	}
	const handful = 16
	var (
		seen    int
		victim  jid.Domain
		soonest time.Time
		now     = time.Now()
	)
	for d, e := range c.entries {
		if seen++; seen > handful {
			break
		}
		if !e.settled() {
			continue
		}
		if !now.Before(e.expires) {
			delete(c.entries, d)
			continue
		}
		if victim.IsZero() || e.expires.Before(soonest) {
			victim, soonest = d, e.expires
		}
	}
	if len(c.entries) >= c.max {
		delete(c.entries, victim)
	}
}
