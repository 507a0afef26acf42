package resolve

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sallyport/internal/jid"
)

// Endpoint is one place where a domain is served: a host and port, and the addresses of the host.
type Endpoint struct {
	Target   string       // host name as DNS or the configuration gave it, for messages; never for identity ([D08])
	Port     uint16       // TCP port
	Addrs    []netip.Addr // IPv6 and IPv4 by turns; empty for a static route to a host name, which Dial looks up
	Priority uint16       // of the SRV record: lower is better
	Weight   uint16       // of the SRV record: share of the load among equals
	Route    bool         // static, from the configuration: exempt from the address filter
	Fallback bool         // there is no SRV record: the domain's own host on port 5269
}

// ParseRoute reads a static route, "host:port" or "address:port" (RFC 6120 §3.2.3).
func ParseRoute(s string) (Endpoint, error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return Endpoint{}, fmt.Errorf("route %q is not host:port", s)
	}
	port, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, fmt.Errorf("route %q: %q is not a port", s, s[colon+1:])
	}
	host, err := jid.ParseDomain(s[:colon])
	if err != nil {
		return Endpoint{}, fmt.Errorf("route %q: %w", s, err)
	}
	ep := Endpoint{Target: host.ASCII(), Port: uint16(port), Route: true}
	if addr, ok := literal(host.ASCII()); ok {
		ep.Target, ep.Addrs = addr.String(), []netip.Addr{addr}
	}
	return ep, nil
}

// literal reads an address written as a host name: "192.0.2.1", "192.0.2.1." or "[2001:db8::1]".
func literal(host string) (netip.Addr, bool) {
	host = strings.TrimSuffix(host, ".")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(host)
	return addr.Unmap(), err == nil && addr.Zone() == ""
}

// narrow returns ep with other addresses.
func (ep Endpoint) narrow(addrs []netip.Addr) Endpoint {
	ep.Addrs = addrs
	return ep
}
