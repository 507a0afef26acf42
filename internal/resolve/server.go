package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sallyport/internal/jid"
)

// Server is a recursive name server. It is asked in clear, over UDP and TCP, unless TLS says otherwise.
type Server struct {
	Addr netip.AddrPort
	TLS  string // DNS over TLS (RFC 7858) with a certificate for this name or address; empty: in clear
}

// dotPort is where name servers take TLS (RFC 7858 §3.1).
const dotPort = 853

// ParseServer reads "address:port" or, for DNS over TLS, "tls://address:port#name". The port of TLS may be left out, and so may the
// name: then the certificate has to be for the address.
func ParseServer(s string) (Server, error) {
	secure, overTLS := strings.CutPrefix(s, "tls://")
	if !overTLS {
		addr, err := netip.ParseAddrPort(s)
		if err != nil || addr.Port() == 0 {
			return Server{}, fmt.Errorf("name server %q is not address:port, nor tls://address#name", s)
		}
		return Server{Addr: addr}, nil
	}
	at, name, named := strings.Cut(secure, "#")
	addr, err := netip.ParseAddrPort(at)
	if err != nil {
		bare, wrong := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(at, "["), "]"))
		addr, err = netip.AddrPortFrom(bare, dotPort), wrong
	}
	if err != nil || addr.Port() == 0 {
		return Server{}, fmt.Errorf("name server %q is not tls://address#name; a name server is not looked up by name", s)
	}
	if !named {
		return Server{Addr: addr, TLS: addr.Addr().WithZone("").String()}, nil
	}
	host, err := jid.ParseDomain(name)
	if err != nil {
		return Server{}, fmt.Errorf("name server %q: the name in its certificate: %w", s, err)
	}
	return Server{Addr: addr, TLS: host.ASCII()}, nil
}

// UnmarshalText takes what ParseServer takes.
func (s *Server) UnmarshalText(text []byte) (err error) {
	*s, err = ParseServer(string(text))
	return err
}

// String writes the server as ParseServer reads it.
func (s Server) String() string {
	if s.TLS == "" {
		return s.Addr.String()
	}
	return "tls://" + s.Addr.String() + "#" + s.TLS
}

// Believable returns why the server's word about DNSSEC cannot be believed, nil if nobody on the way can change it: the way is inside
// this machine, or the server proves itself.
func (s Server) Believable() error {
	if s.TLS != "" || s.Addr.Addr().Unmap().IsLoopback() {
		return nil
	}
	return errOpenWay
}

var errOpenWay = errors.New("anyone on the way could say that an answer was validated; dnssec needs a resolver on this machine, or tls://address#name")
