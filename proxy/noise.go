package proxy

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"sallyport/audit"
)

// noise bounds what strangers can make the gate write, in the record and in the log: proofs that fail, and the like, of one remote address
// and of all, in a minute. What is beyond is counted, and told when the minute is over ([B20]).
type noise struct {
	mu     sync.Mutex
	since  time.Time // of the minute; zero: nothing was written in this one
	told   int
	by     map[netip.Addr]int // told, by origin; no longer than told
	silent uint64
	last   netip.Addr // one of those that were not told
	end    *time.Timer
}

// loud tells whether something that a remote address has done may be written, and counts it.
func (n *noise) loud(p *Proxy, origin netip.Addr) bool {
	limits := &p.now().Limits
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		n.since, n.by = time.Now(), map[netip.Addr]int{}
		n.end = time.AfterFunc(time.Minute, func() { n.flush(p) })
	}
	if n.told >= limits.Failures || n.by[origin] >= limits.FailuresPerAddress {
		n.silent++
		n.last = origin
		return false
	}
	n.told++
	n.by[origin]++
	return true
}

// flush ends the minute and tells what was not told in it.
func (n *noise) flush(p *Proxy) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		return
	}
	n.end.Stop()
	if n.silent > 0 {
		what := fmt.Sprintf("failed proofs and the like, beyond limits.failures_per_address or limits.failures; the last from %s", n.last)
		p.Record.Note(audit.Event{Kind: audit.AuthFlood, Dir: In.String(), Count: n.silent, Since: n.since, Until: time.Now(), Address: n.last.String(), Text: what})
		p.Log.Warn("more failures of strangers than are told one by one", "count", n.silent, "since", n.since.UTC().Format(time.RFC3339), "last", n.last.String(),
			"advice", "see what came before; a firewall can hold the address off")
	}
	n.since, n.told, n.by, n.silent = time.Time{}, 0, nil, 0
}

// loud tells whether what this link does may be written. A backend's always is.
func (in *inbound) loud() bool { return in.door == Inside || in.p.noise.loud(in.p, in.origin()) }
