package transform

import (
	"net/netip"
	"strings"

	"sallyport/internal/content"
)

// Of the addresses that are routed on the internet, what is not meant to be.
var (
	internet  = netip.MustParsePrefix("2000::/3") // all that is given out of version 6 (RFC 4291 §2.4)
	sixToFour = netip.MustParsePrefix("2002::/16")
	teredo    = netip.MustParsePrefix("2001::/32")
	special   = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),     // RFC 1122 §3.2.1.3
		netip.MustParsePrefix("100.64.0.0/10"), // RFC 6598
		netip.MustParsePrefix("192.0.0.0/24"),  // RFC 6890
		netip.MustParsePrefix("198.18.0.0/15"), // RFC 2544
		netip.MustParsePrefix("240.0.0.0/4"),   // RFC 1112 §4
		netip.MustParsePrefix("2001:2::/48"),   // RFC 5180
	}
)

// closed tells whether any of the addresses is one of a closed network; names of such count too, and what is neither. An empty one is none.
func closed(addresses ...string) bool {
	for _, s := range addresses {
		if s = host(s); s == "" {
			continue
		}
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			if closedAddr(a) {
				return true
			}
		} else if closedName(s) {
			return true
		}
	}
	return false
}

// host is a host as a lenient reader takes it: without white space around it, a final dot, and other widths of its characters.
func host(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\u3002' || r == '\uFF61' { // full stops of IDNA (RFC 3490 §3.1)
			return '.'
		}
		return r
	}, s)
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(content.Plain(s)), "."))
}

func closedAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return true
	}
	for _, p := range special {
		if p.Contains(a) {
			return true
		}
	}
	if a.Is4() {
		return false
	}
	if !internet.Contains(a) {
		return true
	}
	within, ok := inner(a)
	return ok && closedAddr(within)
}

// inner is the address of version 4 that one of version 6 is made from: of 6to4 (RFC 3056 §2), Teredo (RFC 4380 §4) and ISATAP
// (RFC 5214 §6.1).
func inner(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

// closedEnds are the ends of names that no public DNS has: RFC 6761, RFC 6762 appendix G, RFC 8375, and those that ICANN gives to nobody.
var closedEnds = []string{".localhost", ".local", ".localdomain", ".lan", ".internal", ".intranet", ".private", ".corp", ".home", ".home.arpa", ".invalid"}

// closedName tells names of closed networks, and what is no name of a host.
func closedName(s string) bool {
	for _, end := range closedEnds {
		if strings.HasSuffix(s, end) {
			return true
		}
	}
	// A number, in whatever notation, is an address that this does not read and somebody else may.
	last := s[strings.LastIndexByte(s, '.')+1:]
	return !strings.Contains(s, ".") || last == "" || last[0] >= '0' && last[0] <= '9' || strings.ContainsFunc(s, notOfHosts)
}

func notOfHosts(r rune) bool {
	return r < 0x80 && r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
}

// writesClosed tells whether an address of a closed network is written anywhere in s.
func writesClosed(s string) bool {
	for _, word := range strings.FieldsFunc(host(s), func(r rune) bool { return r != '.' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'f') }) {
		for _, w := range append(strings.Split(word, ":"), word) { // with a port behind it, or one of version 6
			if a, err := netip.ParseAddr(strings.Trim(w, ".")); err == nil && closedAddr(a) {
				return true
			}
		}
	}
	return false
}
