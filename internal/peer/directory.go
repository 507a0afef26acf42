package peer

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Directory says where other servers are. A domain without a route is looked up as RFC 6120 §3.2 says: SRV, then its own
// address and port 5269. The zero value finds nobody.
type Directory struct {
	Routes map[string]string // domain, or "*" for all that are not named, to host:port
	DNS    string            // ip:port of the name server that is asked for the rest
}

// find returns the places to try for a domain, best first.
func (d Directory) find(ctx context.Context, domain string) ([]string, error) {
	for _, name := range []string{domain, "*"} {
		if route, ok := d.Routes[name]; ok {
			return []string{route}, nil
		}
	}
	if d.DNS == "" {
		return nil, fmt.Errorf("no route to %s and no name server", domain)
	}
	answer, err := d.ask(ctx, "_xmpp-server._tcp."+domain, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	var services []*dns.SRV
	for _, rr := range answer.Answer {
		if srv, ok := rr.(*dns.SRV); ok {
			services = append(services, srv)
		}
	}
	if len(services) == 0 {
		return d.resolve(ctx, domain, 5269)
	}
	slices.SortStableFunc(services, func(a, b *dns.SRV) int { return cmp.Compare(a.Priority, b.Priority) })
	var places []string
	for _, srv := range services {
		at, e := d.resolve(ctx, srv.Target, srv.Port)
		places, err = append(places, at...), cmp.Or(err, e)
	}
	if len(places) == 0 {
		return nil, err
	}
	return places, nil
}

// resolve turns a host name, or an address written as a name, into places.
func (d Directory) resolve(ctx context.Context, host string, port uint16) ([]string, error) {
	name := strings.TrimSuffix(host, ".")
	if name == "" {
		return nil, fmt.Errorf("the domain offers no such service")
	}
	suffix := strconv.Itoa(int(port))
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{net.JoinHostPort(name, suffix)}, nil
	}
	answer, err := d.ask(ctx, name, dns.TypeA)
	if err != nil {
		return nil, err
	}
	var places []string
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			places = append(places, net.JoinHostPort(a.A.String(), suffix))
		}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	return places, nil
}

func (d Directory) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	answer, _, err := new(dns.Client).ExchangeContext(ctx, question, d.DNS)
	if err == nil && answer.Truncated {
		answer, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, question, d.DNS)
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s for %s %s: %w", d.DNS, name, dns.TypeToString[kind], err)
	}
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("asking %s for %s %s: %s", d.DNS, name, dns.TypeToString[kind], dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}
