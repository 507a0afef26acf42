package resolve

import (
	"fmt"
	"net/netip"
	"sync/atomic"
)

// filter decides which addresses a stranger's DNS may make us call. Without it, an SRV record would let anyone who sends us a
// stanza's worth of interest probe our own network ([D09]).
type filter struct {
	allowPrivate bool
	own          ownAddresses
	backends     atomic.Pointer[ownAddresses] // nil: none
}

// refuses returns why at must not be called, nil if it may.
func (f *filter) refuses(target string, at netip.AddrPort) *Refusal {
	if f.own.has(at) {
		return &Refusal{Target: target, At: at, Reason: "this gate itself", Own: true}
	}
	if backends := f.backends.Load(); backends != nil && backends.has(at) {
		return &Refusal{Target: target, At: at, Reason: "a backend of this gate", Own: true}
	}
	kind, closed := classify(at.Addr())
	if kind == "" || closed && f.allowPrivate {
		return nil
	}
	return &Refusal{Target: target, At: at, Reason: kind}
}

// special is a block of addresses that are not on the public internet.
type special struct {
	prefix netip.Prefix
	kind   string
	closed bool // in use on closed networks, so that allow_private admits it
}

// credentials is what clouds serve to whoever asks from within, so that it stays refused on closed networks too, as link-local
// addresses do, where most clouds have it.
const credentials = "cloud's own address"

// specials4 follows the IANA registry of special-purpose IPv4 addresses, behind the clouds' own.
func specials4() []special {
	return []special{
		{netip.MustParsePrefix("100.100.100.200/32"), credentials, false}, // Alibaba
		{netip.MustParsePrefix("168.63.129.16/32"), credentials, false},   // Azure; on the public internet nobody's
		{netip.MustParsePrefix("0.0.0.0/8"), "unspecified address", false},
		{netip.MustParsePrefix("10.0.0.0/8"), "private address", true},
		{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT address", true},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback address", true},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local address", false},
		{netip.MustParsePrefix("172.16.0.0/12"), "private address", true},
		{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignment", false},
		{netip.MustParsePrefix("192.0.2.0/24"), "documentation address", true},
		{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay address", false},
		{netip.MustParsePrefix("192.168.0.0/16"), "private address", true},
		{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking address", true},
		{netip.MustParsePrefix("198.51.100.0/24"), "documentation address", true},
		{netip.MustParsePrefix("203.0.113.0/24"), "documentation address", true},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast address", false},
		{netip.MustParsePrefix("240.0.0.0/4"), "reserved address", false},
	}
}

// specials6 follows the IANA registry of special-purpose IPv6 addresses. What it does not name must lie in 2000::/3, which holds all
// of the public internet.
func specials6() []special {
	return []special{
		{netip.MustParsePrefix("fd00:ec2::/32"), credentials, false}, // Amazon
		{netip.MustParsePrefix("::/128"), "unspecified address", false},
		{netip.MustParsePrefix("::1/128"), "loopback address", true},
		{netip.MustParsePrefix("fc00::/7"), "private address", true},
		{netip.MustParsePrefix("fe80::/10"), "link-local address", false},
		{netip.MustParsePrefix("fec0::/10"), "private address", true},
		{netip.MustParsePrefix("ff00::/8"), "multicast address", false},
		{netip.MustParsePrefix("2001:db8::/32"), "documentation address", true},
		{netip.MustParsePrefix("3fff::/20"), "documentation address", true},
		{netip.MustParsePrefix("2001::/23"), "protocol assignment", false}, // Teredo and ORCHID among others
	}
}

// classify names what kind of special address addr is, "" for one on the public internet. closed says that closed networks use it.
func classify(addr netip.Addr) (kind string, closed bool) {
	if !addr.IsValid() {
		return "no address", false
	}
	addr = addr.Unmap()
	if v4, how, ok := embedded(addr); ok {
		kind, closed := classify(v4)
		if kind == "" {
			return "", false
		}
		return fmt.Sprintf("%s of a %s", how, kind), closed
	}
	list := specials4()
	if addr.Is6() {
		list = specials6()
	}
	for _, s := range list {
		if s.prefix.Contains(addr.WithZone("")) {
			return s.kind, s.closed
		}
	}
	if addr.Is6() && !netip.MustParsePrefix("2000::/3").Contains(addr) {
		return "reserved address", false
	}
	return "", false
}

// embedded finds the IPv4 address that a translated IPv6 address leads to in the end: NAT64 (RFC 6052 §2.1) and 6to4 (RFC 3056 §2).
func embedded(addr netip.Addr) (v4 netip.Addr, how string, ok bool) {
	if !addr.Is6() {
		return netip.Addr{}, "", false
	}
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), "NAT64 form", true
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), "6to4 form", true
	}
	return netip.Addr{}, "", false
}
