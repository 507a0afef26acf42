package resolve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
)

// InsideConfig describes the name server of the backends.
type InsideConfig struct {
	Listen    netip.AddrPort `yaml:"dns" default:"" doc:"UDP and TCP address of the name server that the backends are given"`
	Gate      netip.AddrPort `yaml:"listen" default:"" doc:"the inside door: where every XMPP domain is said to live"`
	AllowFrom []netip.Prefix `yaml:"dns_from" default:"" doc:"networks that may ask; default: loopback and private addresses"`
	TTL       uint32         `yaml:"dns_ttl" default:"60" doc:"seconds for which the backends may remember where the gate is"`
	Forward   *Resolver      `yaml:"-"` // whose name servers answer all other questions; nil: nobody
	Log       *slog.Logger   `yaml:"-"` // nil: says nothing
}

const (
	insideTCP      = 64              // connections at once
	insideForwards = 256             // questions under way to the forward servers
	insideStop     = 2 * time.Second // for the answers under way at the end
	insideAnswer   = 4096            // bytes of the largest answer over UDP, however much the client would take
	defaultTTL     = 60
	jabberService  = "_jabber._tcp." // asked by jabberd2 and Openfire, from before RFC 3920
	directService  = "_xmpps-server._tcp."
)

// Inside is the name server that leads the backends to the gate.
//
// Any domain's _xmpp-server SRV record is the gate's inside door, whether the domain exists or not: a bounce for a domain that does not
// exist has to come from that domain (D6), so it must be reachable. _xmpps-server does not exist: the inside door
// speaks no direct TLS. The SRV target is the gate's address written as a name ("127.0.2.1."), because ejabberd
// asks the system and not us for the target's address, and there every resolver knows such a name; those who do ask us get the
// address record. An IPv6 address cannot be written so, and is called inside-gate.sallyport.
type Inside struct {
	// Set at birth.
	config InsideConfig
	target string // name of the gate, canonical
	udp    net.PacketConn
	tcp    net.Listener
	asker  *asker // of those who answer all other questions; nil: nobody does
	// believed says that they validate DNSSEC, and nobody can change what they say.
	believed bool

	flights singleflight.Group // one question goes to the forward servers once at a time: even a circle of servers ends
	slots   chan struct{}
	failing atomic.Bool // the last forwarded question brought nothing
}

// ListenInside opens the sockets. Its error lists every fault of the configuration.
func ListenInside(c InsideConfig) (*Inside, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.TTL == 0 {
		c.TTL = defaultTTL
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	in := &Inside{
		config: c,
		target: gateName(c.Gate.Addr().Unmap()),
		slots:  make(chan struct{}, insideForwards),
	}
	if c.Forward != nil {
		in.asker, in.believed = c.Forward.asker, c.Forward.config.DNSSEC
	}
	var err error
	if in.udp, in.tcp, err = listenBoth(c.Listen); err != nil {
		return nil, fmt.Errorf("inside.dns: listening on %v: %w", c.Listen, err)
	}
	in.tcp = netutil.LimitListener(&doorkeeper{in.tcp, in}, insideTCP)
	return in, nil
}

func (c *InsideConfig) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !c.Listen.IsValid() {
		fault("inside.dns is not address:port")
	}
	switch {
	case !c.Gate.IsValid() || c.Gate.Port() == 0:
		fault("inside.listen is not address:port")
	case c.Gate.Addr().IsUnspecified():
		fault("inside.listen: %v is no address that a backend can call; inside.dns needs one", c.Gate)
	}
	if c.Forward != nil {
		for _, s := range c.Forward.config.Servers {
			if (ownAddresses{c.Listen}).has(s.Addr) {
				fault("inside.dns would forward to itself (%v): name the server of your network in outside.resolver", s)
			}
		}
	}
	return errors.Join(faults...)
}

// gateName is the name that SRV records give as the target.
func gateName(gate netip.Addr) string {
	if gate.Is4() {
		return gate.String() + "."
	}
	return "inside-gate.sallyport."
}

// listenBoth opens UDP and TCP on one port, also when the port is left to the system.
func listenBoth(at netip.AddrPort) (net.PacketConn, net.Listener, error) {
	for tries := 0; ; tries++ {
		tcp, err := net.Listen("tcp", at.String())
		if err != nil {
			return nil, nil, err
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return udp, tcp, nil
		}
		tcp.Close()
		if at.Port() != 0 || tries == 10 {
			return nil, nil, err
		}
	}
}

// doorkeeper turns away those who may not ask before they take one of the few connections.
type doorkeeper struct {
	net.Listener
	in *Inside
}

// Accept returns the next connection of somebody who may ask.
func (d *doorkeeper) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil || d.in.admits(conn.RemoteAddr()) {
			return conn, err
		}
		conn.Close()
	}
}

// Addr is where the server listens, UDP and TCP.
func (in *Inside) Addr() netip.AddrPort { return in.tcp.Addr().(*net.TCPAddr).AddrPort() }

// Close gives the sockets back of a server that never served.
func (in *Inside) Close() error { return errors.Join(in.udp.Close(), in.tcp.Close()) }

// Serve answers until ctx ends, then returns nil. It may be called once.
func (in *Inside) Serve(ctx context.Context) error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { in.serve(ctx, w, q) })
	group, ctx := errgroup.WithContext(ctx)
	for _, server := range []*dns.Server{{PacketConn: in.udp}, {Listener: in.tcp}} {
		started, ended := make(chan struct{}), make(chan struct{})
		server.Handler = handler
		server.UDPSize = udpSize
		server.NotifyStartedFunc = func() { close(started) }
		group.Go(func() error {
			defer close(ended)
			return server.ActivateAndServe()
		})
		group.Go(func() error {
			select {
			case <-started:
			case <-ended:
				return nil
			}
			<-ctx.Done()
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), insideStop)
			defer cancel()
			return server.ShutdownContext(stop)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("serving inside.dns on %v: %w", in.config.Listen, err)
	}
	return nil
}

// serve answers one message. A lost reply is not our concern: the client asks again.
func (in *Inside) serve(ctx context.Context, w dns.ResponseWriter, q *dns.Msg) {
	reply := in.reply(ctx, w.RemoteAddr(), q)
	reply.RecursionAvailable = true
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		setEDNS(reply, opt)
		size = max(size, min(int(opt.UDPSize()), insideAnswer))
	}
	if _, overTCP := w.RemoteAddr().(*net.TCPAddr); overTCP {
		size = dns.MaxMsgSize
	}
	reply.Truncate(size)
	reply.Compress = true
	_ = w.WriteMsg(reply)
}

// setEDNS answers a client's EDNS with our own (RFC 6891 §6.1.1), keeping what reply already explains there.
func setEDNS(reply *dns.Msg, asked *dns.OPT) {
	opt := reply.IsEdns0()
	if opt == nil {
		reply.SetEdns0(udpSize, asked.Do())
		return
	}
	opt.SetUDPSize(udpSize)
	opt.SetDo(asked.Do())
}

// reply finds the answer to one message.
func (in *Inside) reply(ctx context.Context, from net.Addr, q *dns.Msg) *dns.Msg {
	if !in.admits(from) {
		return explained(q, dns.RcodeRefused, dns.ExtendedErrorCodeProhibited, "not in inside.dns_from")
	}
	if q.Opcode != dns.OpcodeQuery {
		return new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented)
	}
	if opt := q.IsEdns0(); opt != nil && opt.Version() != 0 {
		return new(dns.Msg).SetRcode(q, dns.RcodeBadVers)
	}
	// The library takes no message without exactly one question.
	asked := q.Question[0]
	name := dns.CanonicalName(asked.Name)
	switch {
	case asked.Qclass != dns.ClassINET || asked.Qtype == dns.TypeAXFR || asked.Qtype == dns.TypeIXFR:
		return new(dns.Msg).SetRcode(q, dns.RcodeRefused)
	case serves(name, srvPrefix), serves(name, jabberService):
		return in.service(q, asked)
	case serves(name, directService):
		return in.nothing(q, dns.RcodeNameError)
	case name == in.target:
		return in.address(q, asked)
	case dns.IsSubDomain(in.target, name):
		return in.nothing(q, dns.RcodeNameError)
	}
	return in.forward(ctx, q)
}

// serves reports whether name is that of a service, of any domain at all.
func serves(name, service string) bool {
	return len(name) > len(service) && strings.HasPrefix(name, service)
}

func (in *Inside) admits(from net.Addr) bool {
	at, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return false
	}
	addr := at.Addr().Unmap().WithZone("")
	for _, p := range in.config.AllowFrom {
		if p.Contains(addr) {
			return true
		}
	}
	// By default we are no open resolver.
	return len(in.config.AllowFrom) == 0 && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

// service answers where a domain's servers are: here.
func (in *Inside) service(q *dns.Msg, asked dns.Question) *dns.Msg {
	if asked.Qtype != dns.TypeSRV && asked.Qtype != dns.TypeANY {
		return in.nothing(q, dns.RcodeSuccess)
	}
	in.config.Log.Debug("a backend looks for a domain", "name", strings.TrimSuffix(asked.Name, "."))
	reply := new(dns.Msg).SetReply(q)
	reply.Authoritative = true
	reply.Answer = []dns.RR{&dns.SRV{Hdr: in.header(asked.Name, dns.TypeSRV), Port: in.config.Gate.Port(), Target: in.target}}
	reply.Extra = []dns.RR{in.gateRecord(in.target)}
	return reply
}

// address answers where the gate is.
func (in *Inside) address(q *dns.Msg, asked dns.Question) *dns.Msg {
	record := in.gateRecord(asked.Name)
	if asked.Qtype != record.Header().Rrtype && asked.Qtype != dns.TypeANY {
		return in.nothing(q, dns.RcodeSuccess)
	}
	reply := new(dns.Msg).SetReply(q)
	reply.Authoritative = true
	reply.Answer = []dns.RR{record}
	return reply
}

func (in *Inside) gateRecord(name string) dns.RR {
	addr := in.config.Gate.Addr().Unmap()
	if addr.Is4() {
		return &dns.A{Hdr: in.header(name, dns.TypeA), A: addr.AsSlice()}
	}
	return &dns.AAAA{Hdr: in.header(name, dns.TypeAAAA), AAAA: addr.AsSlice()}
}

// nothing is NXDOMAIN or NODATA, with the SOA record that says how long that holds (RFC 2308 §3).
func (in *Inside) nothing(q *dns.Msg, rcode int) *dns.Msg {
	reply := new(dns.Msg).SetRcode(q, rcode)
	reply.Authoritative = true
	name := q.Question[0].Name
	parent, _ := dns.NextLabel(name, 0)
	reply.Ns = []dns.RR{&dns.SOA{Hdr: in.header(name[parent:], dns.TypeSOA), Ns: "inside-gate.sallyport.", Mbox: "nobody.invalid.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: in.config.TTL}}
	return reply
}

func (in *Inside) header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: in.config.TTL}
}
