package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/audit"
)

// noise bounds what strangers can make the gate write, in the record and in the log: proofs that fail, and the like, in a minute, of one
// remote address and of all. Of the bound for all, the second half is kept for networks of which nothing was told yet, so that whoever
// has many addresses drowns his neighbours, and nobody else. What is beyond is counted, and told when the minute is over ([B20]).
type noise struct {
	mu     sync.Mutex
	since  time.Time // of the minute; zero: nothing was written in this one
	told   int
	by     map[netip.Addr]int        // told, by origin; no longer than told
	heard  map[netip.Prefix]struct{} // networks of which something was told; no longer than told
	silent map[netip.Addr]uint64     // not told, by origin; no longer than Limits.Failures
	rest   uint64                    // not told, of further origins
	end    *time.Timer
}

// loud tells whether something that a remote address has done may be written, and counts it.
func (n *noise) loud(p *Proxy, origin netip.Addr) bool {
	limits := &p.now().Limits
	network := networkOf(origin)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		n.since, n.by, n.heard, n.silent = time.Now(), map[netip.Addr]int{}, map[netip.Prefix]struct{}{}, map[netip.Addr]uint64{}
		n.end = time.AfterFunc(time.Minute, func() { n.flush(p) })
	}
	_, heard := n.heard[network]
	if n.by[origin] >= limits.FailuresPerAddress || n.told >= limits.Failures || heard && n.told >= limits.Failures-limits.Failures/2 {
		if _, counted := n.silent[origin]; counted || len(n.silent) < limits.Failures {
			n.silent[origin]++
		} else {
			n.rest++
		}
		return false
	}
	n.told++
	n.by[origin]++
	n.heard[network] = struct{}{}
	return true
}

// networkOf is what one customer of a provider may have of addresses: an IPv4 network of 24 bits, an IPv6 network of 48 (RFC 6177 §2).
func networkOf(origin netip.Addr) netip.Prefix {
	bits := 48
	if origin.Is4() {
		bits = 24
	}
	network, _ := origin.Prefix(bits)
	return network
}

// flush ends the minute and tells what was not told in it.
func (n *noise) flush(p *Proxy) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		return
	}
	n.end.Stop()
	if len(n.silent) > 0 {
		count, most, who := n.summary()
		p.Record.Note(audit.Event{Kind: audit.AuthFlood, Dir: In.String(), Count: count, Since: n.since, Until: time.Now(), Address: most.String(),
			Text: "failed proofs and the like, beyond limits.failures_per_address or limits.failures: " + who})
		p.Log.Warn("more failures of strangers than are told one by one", "count", count, "since", n.since.UTC().Format(time.RFC3339), "from", who,
			"advice", "see what came before; a firewall can hold the addresses off")
	}
	n.since, n.told, n.by, n.heard, n.silent, n.rest = time.Time{}, 0, nil, nil, nil, 0
}

// summary counts what was not told, and names who did most of it.
func (n *noise) summary() (count uint64, most netip.Addr, who string) {
	const named = 3
	origins := slices.SortedFunc(maps.Keys(n.silent), func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(n.silent[b], n.silent[a]), a.Compare(b))
	})
	count = n.rest
	var parts []string
	for i, origin := range origins {
		count += n.silent[origin]
		if i < named {
			parts = append(parts, fmt.Sprintf("%d from %s", n.silent[origin], origin))
		}
	}
	if more := len(origins) - named; more > 0 || n.rest > 0 {
		parts = append(parts, "the rest from others")
	}
	return count, origins[0], strings.Join(parts, ", ")
}

// loud tells whether what this link does may be written. A backend's always is.
func (in *inbound) loud() bool { return in.door == Inside || in.p.noise.loud(in.p, in.origin()) }

// loudAt is loud for a server that we called.
func (p *Proxy) loudAt(server netip.Addr) bool {
	_, ours := p.now().backendAt(server)
	return ours || p.noise.loud(p, originOf(server))
}
