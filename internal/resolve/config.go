package resolve

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Config says whom to ask and from where to call. The zero Config asks the system's name servers and calls public addresses only.
type Config struct {
	Servers      []Server      `yaml:"resolver" default:"" doc:"name servers to ask, in this order; tls://address:port#name is asked over TLS and has a certificate for name, or for the address where no name is given; default: those of /etc/resolv.conf"`
	ServerRoots  string        `yaml:"resolver_roots" doc:"PEM file with the authorities that vouch for the tls:// resolvers; default: the system's"`
	DNSSEC       bool          `yaml:"dnssec" default:"false" doc:"the resolvers validate DNSSEC and are believed: DANE counts, and what fails validation is not used; each resolver must be on this machine or tls://"`
	AllowPrivate bool          `yaml:"allow_private" default:"false" doc:"DNS answers may be loopback or private addresses (tests, closed networks)"`
	Source       []netip.Addr  `yaml:"source" default:"" doc:"local addresses to call from, at most one per family; default: the system chooses"`
	Timeout      time.Duration `yaml:"dns_timeout" default:"2s" doc:"how long one name server may take over one answer; each is asked twice"`
	DialTimeout  time.Duration `yaml:"dial_timeout" default:"10s" doc:"how long one address may take to accept a connection"`
	CacheEntries int           `yaml:"dns_cache" default:"10000" doc:"domains whose endpoints are remembered while their DNS records last"`

	// DirectTLS says that the caller can begin with TLS (XEP-0368), so that _xmpps-server records are asked for.
	DirectTLS bool `yaml:"-"`

	// Listeners are this gate's own: both doors and the inside DNS. They are never called, whoever's DNS names them, and never
	// asked as name servers.
	Listeners []netip.AddrPort `yaml:"-"`
}

const resolvConf = "/etc/resolv.conf"

// SystemServers returns the name servers of /etc/resolv.conf.
func SystemServers() ([]Server, error) {
	f, err := os.Open(resolvConf)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conf, err := dns.ClientConfigFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", resolvConf, err)
	}
	var servers []Server
	for _, s := range conf.Servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, Server{Addr: netip.AddrPortFrom(addr, 53)})
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s names no name server", resolvConf)
	}
	return servers, nil
}

// complete fills in the defaults and reports every fault. own tells which addresses are this gate's.
func (c Config) complete(own ownAddresses) (Config, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Servers) == 0 {
		servers, err := SystemServers()
		if err != nil {
			fault("outside.resolver is not set, and the system has none either: %w", err)
		}
		c.Servers = servers
	}
	for _, s := range c.Servers {
		if err := s.Believable(); c.DNSSEC && err != nil {
			fault("outside.resolver: %v: %w", s, err)
		}
		switch {
		case !s.Addr.IsValid() || s.Addr.Port() == 0:
			fault("outside.resolver: %v is not address:port", s)
		case own.has(s.Addr):
			fault("outside.resolver: %v is this gate's own inside DNS, which sends every domain back to the gate; name the server of your network", s)
		}
	}
	v4 := slices.IndexFunc(c.Source, netip.Addr.Is4)
	v6 := slices.IndexFunc(c.Source, netip.Addr.Is6)
	for i, s := range c.Source {
		if !s.IsValid() || i != v4 && i != v6 {
			fault("outside.source: %v: one IPv4 and one IPv6 address at the most", s)
		}
	}
	positive(&c.Timeout, 2*time.Second)
	positive(&c.DialTimeout, 10*time.Second)
	positive(&c.CacheEntries, 10000)
	return c, errors.Join(faults...)
}

// roots returns the authorities that vouch for name servers; nil: the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.ServerRoots == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.ServerRoots)
	if err != nil {
		return nil, fmt.Errorf("outside.resolver_roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("outside.resolver_roots: %s holds no certificate in PEM", c.ServerRoots)
	}
	return pool, nil
}

// positive gives *v its default unless it is more than zero.
func positive[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// ownAddresses are addresses on which this gate listens, wildcards included.
type ownAddresses []netip.AddrPort

// has reports whether a connection to at would end at one of our own listeners.
func (own ownAddresses) has(at netip.AddrPort) bool {
	addr := at.Addr().Unmap().WithZone("")
	for _, l := range own {
		if l.Port() != at.Port() {
			continue
		}
		if l.Addr().Unmap() == addr || l.Addr().IsUnspecified() && isLocal(addr) {
			return true
		}
	}
	return false
}

// isLocal reports whether this machine itself answers at addr.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	// Asked each time, and only by gates that listen on a wildcard: interfaces come and go.
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ifaces, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap().WithZone("") == addr
	})
}
