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
	Target    string       `json:"target"`             // host name as DNS or the configuration gave it, for messages; for identity only with SecureName ([D08], [I24])
	Port      uint16       `json:"port"`               // TCP port
	Addrs     []netip.Addr `json:"addrs,omitempty"`    // IPv6 and IPv4 by turns; empty for a static route to a host name, which Dial looks up
	Priority  uint16       `json:"priority"`           // of the SRV record: lower is better
	Weight    uint16       `json:"weight"`             // of the SRV record: share of the load among equals
	DirectTLS bool         `json:"direct_tls"`         // TLS from the first byte, with SNI and ALPN (XEP-0368); an answer in clear is a failure
	Route     bool         `json:"route,omitempty"`    // static, from the configuration: exempt from the address filter
	Fallback  bool         `json:"fallback,omitempty"` // there is no SRV record: the domain's own host on port 5269

	// What DNSSEC says, through a resolver that is configured as validating; never set otherwise.
	SecureName  bool   `json:"secure_name"`    // it is the domain itself that names Target: a certificate for Target proves the domain (RFC 7673 §4.1)
	SecureAddrs bool   `json:"secure_addrs"`   // the addresses are Target's
	DANE        bool   `json:"dane"`           // Target has TLSA records: TLS is a must, and there is no way back from it (RFC 7673 §3.4)
	TLSA        []TLSA `json:"tlsa,omitempty"` // those of use, not to be changed; with any, the certificate must fit one; with none, it is judged as ever
}

// ParseRoute reads a static route, "host:port" or "address:port" (RFC 6120 §3.2.3), with "tls://" in front for direct TLS.
func ParseRoute(s string) (Endpoint, error) {
	place, direct := strings.CutPrefix(s, "tls://")
	colon := strings.LastIndexByte(place, ':')
	if colon < 0 {
		return Endpoint{}, fmt.Errorf("route %q is not host:port", s)
	}
	port, err := strconv.ParseUint(place[colon+1:], 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, fmt.Errorf("route %q: %q is not a port", s, place[colon+1:])
	}
	host, err := jid.ParseDomain(place[:colon])
	if err != nil {
		return Endpoint{}, fmt.Errorf("route %q: %w", s, err)
	}
	ep := Endpoint{Target: host.ASCII(), Port: uint16(port), DirectTLS: direct, Route: true}
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
