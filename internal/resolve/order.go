package resolve

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
)

// order puts endpoints in the sequence in which they are to be tried (RFC 2782): by priority, and within one priority drawn by
// lot, weight against weight. pick draws a number from 0 to n inclusive.
func order(eps []Endpoint, pick func(n uint64) uint64) {
	// Those of weight 0 come first in the running sum, so that they have a small chance and not none.
	slices.SortStableFunc(eps, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	for len(eps) > 0 {
		equals := slices.IndexFunc(eps, func(e Endpoint) bool { return e.Priority != eps[0].Priority })
		if equals < 0 {
			equals = len(eps)
		}
		draw(eps[:equals], pick)
		eps = eps[equals:]
	}
}

// draw shuffles endpoints of one priority: each place goes to the first endpoint at which the running sum of the weights of
// those still left reaches the number drawn.
func draw(eps []Endpoint, pick func(n uint64) uint64) {
	for ; len(eps) > 1; eps = eps[1:] {
		var total uint64
		for _, e := range eps {
			total += uint64(e.Weight)
		}
		drawn, sum := pick(total), uint64(0)
		chosen := slices.IndexFunc(eps, func(e Endpoint) bool {
			sum += uint64(e.Weight)
			return sum >= drawn
		})
		// The chosen one moves to the front; the others keep their order.
		e := eps[chosen]
		copy(eps[1:chosen+1], eps[:chosen])
		eps[0] = e
	}
}

// lot draws a number from 0 to n inclusive. n is a sum of a few 16-bit weights, so that the bias of the remainder is nil.
func lot(n uint64) uint64 {
	var b [8]byte
	// crypto/rand.Read never fails: without randomness the program does not run.
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) % (n + 1)
}

// interleave puts IPv6 and IPv4 addresses by turns, IPv6 first (RFC 8305 §4), so that one broken family costs one delay only.
func interleave(v6, v4 []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(v6)+len(v4))
	for i := range max(len(v6), len(v4)) {
		if i < len(v6) {
			out = append(out, v6[i])
		}
		if i < len(v4) {
			out = append(out, v4[i])
		}
	}
	return out
}
