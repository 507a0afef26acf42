package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
)

// newResolver asks the given pretend servers.
func newResolver(t *testing.T, c Config, servers ...*xmpptest.DNS) *Resolver {
	t.Helper()
	for _, s := range servers {
		c.Servers = append(c.Servers, Server{Addr: s.Addr()})
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// places writes endpoints down as "target:port addr,addr", in their order.
func places(eps []Endpoint) []string {
	var out []string
	for _, ep := range eps {
		var addrs []string
		for _, a := range ep.Addrs {
			addrs = append(addrs, a.String())
		}
		out = append(out, fmt.Sprintf("%s:%d %s", ep.Target, ep.Port, strings.Join(addrs, ",")))
	}
	return out
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id    string
		zone  []string
		want  []string
		err   string // part of the message of the wanted error
		kind  error
		asked int // questions that it took; 0: any number
	}{
		{"[D01] targets by priority, IPv6 and IPv4 by turns", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 20 0 5270 b.a.example.",
			"_xmpp-server._tcp.a.example. 60 IN SRV 10 0 5269 X.a.example.",
			"x.a.example. 60 IN A 1.1.1.1", "x.a.example. 60 IN A 1.1.1.2", "x.a.example. 60 IN AAAA 2a00::1",
			"b.a.example. 60 IN A 1.1.1.3",
		}, []string{"x.a.example:5269 2a00::1,1.1.1.1,1.1.1.2", "b.a.example:5270 1.1.1.3"}, "", nil, 5},
		{"[D01] CNAME in front of the service and of the host", []string{
			"_xmpp-server._tcp.a.example. 60 IN CNAME srv.host.example.",
			"srv.host.example. 60 IN SRV 0 0 5269 alias.host.example.",
			"alias.host.example. 60 IN CNAME real.host.example.", "real.host.example. 60 IN A 1.1.1.1",
		}, []string{"alias.host.example:5269 1.1.1.1"}, "", nil, 3},
		{"[D01] a target without address is passed over", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 gone.a.example.",
			"_xmpp-server._tcp.a.example. 60 IN SRV 1 0 5269 x.a.example.", "x.a.example. 60 IN A 1.1.1.1",
		}, []string{"x.a.example:5269 1.1.1.1"}, "", nil, 5},
		{"[D01] a target written as an address", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 1.2.3.4.",
		}, []string{"1.2.3.4:5269 1.2.3.4"}, "", nil, 1},
		{"[D02] no service, though there is an address", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 0 .", "a.example. 60 IN A 1.1.1.1",
		}, nil, "not available", &NotFoundError{}, 1},
		{"[D03] SRV targets without address, though the domain has one", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 gone.a.example.", "a.example. 60 IN A 1.1.1.1",
		}, nil, "gone.a.example: no such name (NXDOMAIN)", &NotFoundError{}, 3},
		{"[D03] SRV with port 0", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 0 x.a.example.", "x.a.example. 60 IN A 1.1.1.1", "a.example. 60 IN A 1.1.1.1",
		}, nil, "port 0", &NotFoundError{}, 3},
		{"[D04] NXDOMAIN for SRV: the domain's own host", []string{
			"a.example. 60 IN A 1.1.1.1", "a.example. 60 IN AAAA 2a00::1",
		}, []string{"a.example:5269 2a00::1,1.1.1.1"}, "", nil, 3},
		{"[D04] NODATA for SRV: the domain's own host", []string{
			`_xmpp-server._tcp.a.example. 60 IN TXT "no"`, "a.example. 60 IN A 1.1.1.1",
		}, []string{"a.example:5269 1.1.1.1"}, "", nil, 3},
		{"[D04] nothing at all", nil, nil, "SRV: no such name (NXDOMAIN); address: no such name (NXDOMAIN)", &NotFoundError{}, 3},
		{"[D09] SRV to loopback", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 25 x.a.example.", "x.a.example. 60 IN A 127.0.0.1",
		}, nil, "127.0.0.1:25 (loopback address, by x.a.example)", &FilteredError{}, 3},
		{"[D09] fallback to a private address names what would allow it", []string{"a.example. 60 IN A 10.0.0.1"},
			nil, `peers."a.example".route`, &FilteredError{}, 3},
		{"[D09] only the public ones of several addresses are left", []string{
			"a.example. 60 IN A 10.0.0.1", "a.example. 60 IN A 1.1.1.1", "a.example. 60 IN AAAA ::1", "a.example. 60 IN AAAA ::ffff:10.0.0.2",
		}, []string{"a.example:5269 1.1.1.1"}, "", nil, 3},
		{"[D09] an address written as a name passes the filter too", []string{
			"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 169.254.169.254.",
		}, nil, "link-local", &FilteredError{}, 1},
	} {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			server := xmpptest.ListenDNS(t, c.zone...)
			eps, err := newResolver(t, Config{}, server).Endpoints(t.Context(), jid.MustDomain("a.example"))
			if got := places(eps); !slices.Equal(got, c.want) {
				t.Errorf("endpoints %q, want %q", got, c.want)
			}
			if c.kind == nil && err != nil || c.kind != nil && (fmt.Sprintf("%T", err) != fmt.Sprintf("%T", c.kind) || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %T %v, want %T with %q", err, err, c.kind, c.err)
			}
			if n := len(server.Asked()); c.asked != 0 && n != c.asked {
				t.Errorf("%d questions, want %d: %q", n, c.asked, server.Asked())
			}
		})
	}
}

// [D04]: no answer is not the answer "no".
func TestTemporaryIsNotMissing(t *testing.T) {
	t.Parallel()
	zone := []string{"a.example. 60 IN A 1.1.1.1", "_xmpp-server._tcp.b.example. 60 IN SRV 0 0 5269 x.b.example.", "x.b.example. 60 IN A 1.1.1.2"}
	for _, c := range []struct {
		name, domain, broken string
		how                  xmpptest.Fault
		want                 string
	}{
		{"SERVFAIL for SRV", "a.example", "_xmpp-server._tcp.a.example", xmpptest.ServerFails, "_xmpp-server._tcp.a.example SRV: %v answered SERVFAIL"},
		{"REFUSED for SRV", "a.example", "_xmpp-server._tcp.a.example", xmpptest.Refuses, "answered REFUSED"},
		{"silence for SRV", "a.example", "_xmpp-server._tcp.a.example", xmpptest.Silent, "%v gave no answer within 50ms"},
		{"SERVFAIL for the only target", "b.example", "x.b.example", xmpptest.ServerFails, "x.b.example"},
		{"SERVFAIL for the fallback", "a.example", "a.example", xmpptest.ServerFails, "a.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := xmpptest.ListenDNS(t, zone...)
			server.Break(c.broken, c.how)
			_, err := newResolver(t, Config{Timeout: 50 * time.Millisecond}, server).Endpoints(t.Context(), jid.MustDomain(c.domain))
			want := strings.ReplaceAll(c.want, "%v", server.Addr().String())
			if temporary, ok := errors.AsType[*TemporaryError](err); !ok || !strings.Contains(err.Error(), want) {
				t.Errorf("[D04] error %T %v, want a TemporaryError with %q", err, err, want)
			} else if temporary.Domain != c.domain {
				t.Errorf("error about %q, want %q", temporary.Domain, c.domain)
			}
		})
	}
}

func TestOneFamilySilentIsNoHindrance(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, "_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 x.a.example.",
		"_xmpp-server._tcp.a.example. 60 IN SRV 1 0 5269 silent.a.example.", "x.a.example. 60 IN A 1.1.1.1")
	server.Break("silent.a.example", xmpptest.Silent)
	eps, err := newResolver(t, Config{Timeout: 100 * time.Millisecond}, server).Endpoints(t.Context(), jid.MustDomain("a.example"))
	if got, want := places(eps), []string{"x.a.example:5269 1.1.1.1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("[D01] endpoints %q, %v; want %q: one target's trouble is not the other's", got, err, want)
	}
}

func TestAllowPrivate(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, "a.example. 60 IN A 127.0.0.9", "gate.example. 60 IN A 127.0.3.1", "cloud.example. 60 IN A 169.254.169.254")
	r := newResolver(t, Config{AllowPrivate: true, Listeners: []netip.AddrPort{netip.MustParseAddrPort("127.0.3.1:5269")}}, server)
	eps, err := r.Endpoints(t.Context(), jid.MustDomain("a.example"))
	if got := places(eps); err != nil || !slices.Equal(got, []string{"a.example:5269 127.0.0.9"}) {
		t.Errorf("[D09] endpoints %q, %v; allow_private admits loopback", got, err)
	}
	if !eps[0].Fallback || eps[0].Route {
		t.Errorf("endpoint %+v, want one of the fallback", eps[0])
	}
	for domain, want := range map[string]string{"gate.example": "this gate itself", "cloud.example": "link-local"} {
		_, err = r.Endpoints(t.Context(), jid.MustDomain(domain))
		if filtered, ok := errors.AsType[*FilteredError](err); !ok || !strings.Contains(err.Error(), want) || len(filtered.Refused) != 1 {
			t.Errorf("[D09] ABUSE 39: %s gives %v, want a FilteredError with %q", domain, err, want)
		}
	}
}

// [A06]: what is no full name is not asked for.
func TestUnqualifiedNamesAreNotAsked(t *testing.T) {
	t.Parallel()
	server := xmpptest.ListenDNS(t, "localhost. 60 IN A 1.1.1.1")
	r := newResolver(t, Config{}, server)
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]"} {
		_, err := r.Endpoints(t.Context(), jid.MustDomain(name))
		if _, ok := errors.AsType[*NotFoundError](err); !ok {
			t.Errorf("[A06] %s gives %v, want a NotFoundError", name, err)
		}
	}
	long := strings.Repeat("a.", 120) + "example"
	if _, err := r.Endpoints(t.Context(), jid.MustDomain(long)); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a name whose SRV name is too long gives %v", err)
	}
	if asked := server.Asked(); len(asked) != 0 {
		t.Errorf("[A06] asked %q", asked)
	}
}

// An attacker's zone cannot make us ask without end.
func TestTargetsAreBounded(t *testing.T) {
	t.Parallel()
	var zone []string
	for i := range 40 {
		zone = append(zone, fmt.Sprintf("_xmpp-server._tcp.a.example. 60 IN SRV %d 0 5269 x%d.a.example.", 40-i, i))
		for j := range 20 {
			zone = append(zone, fmt.Sprintf("x%d.a.example. 60 IN A 1.1.%d.%d", i, i, j))
		}
	}
	zone = append(zone, "loop.example. 60 IN CNAME pool.example.", "pool.example. 60 IN CNAME loop.example.")
	server := xmpptest.ListenDNS(t, zone...)
	r := newResolver(t, Config{}, server)
	eps, err := r.Endpoints(t.Context(), jid.MustDomain("a.example"))
	if err != nil || len(eps) != maxServices || eps[0].Target != "x39.a.example" || len(eps[0].Addrs) != maxAddrs {
		t.Errorf("%d endpoints, %v; want the best %d with %d addresses: %q", len(eps), err, maxServices, maxAddrs, places(eps))
	}
	if n := len(server.Asked()); n > 2+2*(2*maxServices) {
		t.Errorf("%d questions for one domain", n)
	}
	if _, err := r.Endpoints(t.Context(), jid.MustDomain("loop.example")); err == nil {
		t.Error("a circle of CNAMEs leads somewhere")
	}
}
