package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
)

// listenInside starts an inside DNS for the gate at 127.0.2.1:5269.
func listenInside(t *testing.T, c InsideConfig) *Inside {
	t.Helper()
	if !c.Listen.IsValid() {
		c.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if !c.Gate.IsValid() {
		c.Gate = netip.MustParseAddrPort("127.0.2.1:5269")
	}
	in, err := ListenInside(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- in.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve returns %v", err)
		}
	})
	return in
}

// put asks one question over udp or tcp and returns the answer.
func put(t *testing.T, in *Inside, network, name string, qtype uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	for _, c := range change {
		c(q)
	}
	reply, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).ExchangeContext(t.Context(), q, in.Addr().String())
	if err != nil {
		t.Fatalf("%s %s over %s: %v", name, dns.TypeToString[qtype], network, err)
	}
	return reply
}

func edns(size uint16) func(*dns.Msg) { return func(q *dns.Msg) { q.SetEdns0(size, false) } }

// records writes a section down without TTLs.
func records(section []dns.RR) []string {
	var out []string
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeOPT {
			f := strings.Fields(rr.String())
			out = append(out, strings.Join(append(f[:1:1], f[3:]...), " "))
		}
	}
	return out
}

// BACKENDS §1: what jabberd2, Prosody and ejabberd ask, in what words they ask it, and what they have to be told.
func TestInsideLeadsBackendsToTheGate(t *testing.T) {
	t.Parallel()
	in := listenInside(t, InsideConfig{TTL: 30})
	gate6 := listenInside(t, InsideConfig{Gate: netip.MustParseAddrPort("[fd00::1]:5270")})
	for _, c := range []struct {
		in     *Inside
		name   string
		qtype  uint16
		rcode  int
		answer []string
		extra  []string
	}{
		{in, "_xmpp-server._tcp.partner.example", dns.TypeSRV, dns.RcodeSuccess, []string{"_xmpp-server._tcp.partner.example. SRV 0 0 5269 127.0.2.1."}, []string{"127.0.2.1. A 127.0.2.1"}},
		{in, "_XMPP-Server._TCP.Does-Not-Exist.Invalid", dns.TypeSRV, dns.RcodeSuccess, []string{"_XMPP-Server._TCP.Does-Not-Exist.Invalid. SRV 0 0 5269 127.0.2.1."}, []string{"127.0.2.1. A 127.0.2.1"}},
		{in, "_xmpp-server._tcp.tld", dns.TypeSRV, dns.RcodeSuccess, []string{"_xmpp-server._tcp.tld. SRV 0 0 5269 127.0.2.1."}, []string{"127.0.2.1. A 127.0.2.1"}},
		{in, "_jabber._tcp.partner.example", dns.TypeSRV, dns.RcodeSuccess, []string{"_jabber._tcp.partner.example. SRV 0 0 5269 127.0.2.1."}, []string{"127.0.2.1. A 127.0.2.1"}},
		{in, "_xmpps-server._tcp.partner.example", dns.TypeSRV, dns.RcodeNameError, nil, nil},
		{in, "_xmpp-server._tcp.partner.example", dns.TypeTLSA, dns.RcodeSuccess, nil, nil},
		{in, "127.0.2.1", dns.TypeA, dns.RcodeSuccess, []string{"127.0.2.1. A 127.0.2.1"}, nil},
		{in, "127.0.2.1", dns.TypeAAAA, dns.RcodeSuccess, nil, nil},
		{in, "_5269._tcp.127.0.2.1", dns.TypeTLSA, dns.RcodeNameError, nil, nil},
		{gate6, "_xmpp-server._tcp.partner.example", dns.TypeSRV, dns.RcodeSuccess, []string{"_xmpp-server._tcp.partner.example. SRV 0 0 5270 inside-gate.sallyport."}, []string{"inside-gate.sallyport. AAAA fd00::1"}},
		{gate6, "inside-gate.sallyport", dns.TypeAAAA, dns.RcodeSuccess, []string{"inside-gate.sallyport. AAAA fd00::1"}, nil},
		{gate6, "inside-gate.sallyport", dns.TypeA, dns.RcodeSuccess, nil, nil},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := put(t, c.in, network, c.name, c.qtype)
			if reply.Rcode != c.rcode || !slices.Equal(records(reply.Answer), c.answer) || !slices.Equal(records(reply.Extra), c.extra) {
				t.Errorf("%s %s over %s:\n%v\nwant %s, %q, %q", c.name, dns.TypeToString[c.qtype], network, reply, dns.RcodeToString[c.rcode], c.answer, c.extra)
			}
			if !reply.RecursionAvailable || !reply.Authoritative {
				t.Errorf("%s: flags %v; stubs want ra, and these answers are our own", c.name, reply.MsgHdr)
			}
			if negative := len(c.answer) == 0; negative != (len(reply.Ns) == 1) {
				t.Errorf("%s: authority %v; a negative answer says how long it holds (RFC 2308 §3)", c.name, reply.Ns)
			}
		}
	}
	if reply := put(t, in, "udp", "_xmpp-server._tcp.partner.example", dns.TypeSRV); reply.Answer[0].Header().Ttl != 30 {
		t.Errorf("TTL %d, want 30", reply.Answer[0].Header().Ttl)
	}
}

func TestInsideForwards(t *testing.T) {
	t.Parallel()
	zone := []string{"www.partner.example. 300 IN A 198.51.100.7", "alias.example. 300 IN CNAME www.partner.example.", `_xmpp-client._tcp.a.example. 60 IN SRV 5 0 5222 c.a.example.`}
	for i := range 80 {
		zone = append(zone, fmt.Sprintf("big.example. 300 IN A 198.51.100.%d", i))
	}
	upstream := xmpptest.ListenDNS(t, zone...)
	in := listenInside(t, InsideConfig{Forward: newResolver(t, Config{}, upstream)})
	for _, network := range []string{"udp", "tcp"} {
		reply := put(t, in, network, "WWW.partner.Example", dns.TypeA, edns(1232))
		if got := records(reply.Answer); !slices.Equal(got, []string{"www.partner.example. A 198.51.100.7"}) && !slices.Equal(got, []string{"WWW.partner.Example. A 198.51.100.7"}) {
			t.Errorf("over %s: %q", network, got)
		}
		if reply.Question[0].Name != "WWW.partner.Example." {
			t.Errorf("the question comes back as %q", reply.Question[0].Name)
		}
		if reply = put(t, in, network, "alias.example", dns.TypeA); len(reply.Answer) != 2 || !reply.RecursionAvailable {
			t.Errorf("a CNAME chain over %s:\n%v", network, reply)
		}
		if reply = put(t, in, network, "_xmpp-client._tcp.a.example", dns.TypeSRV); len(reply.Answer) != 1 {
			t.Errorf("services of clients are not ours to answer:\n%v", reply)
		}
		if reply = put(t, in, network, "gone.example", dns.TypeA); reply.Rcode != dns.RcodeNameError || len(reply.Ns) != 1 {
			t.Errorf("NXDOMAIN over %s:\n%v", network, reply)
		}
	}
	if opt := put(t, in, "udp", "www.partner.example", dns.TypeA, edns(1232)).IsEdns0(); opt == nil || len(opt.Option) != 0 {
		t.Errorf("EDNS %v, want ours, without the forward server's options", opt)
	}
	for _, c := range []struct {
		network   string
		change    []func(*dns.Msg)
		truncated bool
		size      int
	}{
		{"udp", nil, true, 512},
		{"udp", []func(*dns.Msg){edns(800)}, true, 800},
		{"udp", []func(*dns.Msg){edns(4096)}, false, 4096},
		{"tcp", nil, false, 65535},
	} {
		reply := put(t, in, c.network, "big.example", dns.TypeA, c.change...)
		reply.Compress = true // as it was sent, for Len
		if reply.Truncated != c.truncated || reply.Len() > c.size || !c.truncated && len(reply.Answer) != 80 {
			t.Errorf("%d records of 80 over %s, cut off %t, in %d bytes; the client takes %d", len(reply.Answer), c.network, reply.Truncated, reply.Len(), c.size)
		}
		if (reply.IsEdns0() != nil) != (len(c.change) > 0) {
			t.Errorf("EDNS is for those who use it (RFC 6891 §7):\n%v", reply.Extra)
		}
	}
}

// Two clients share one answer, and each gets it as its own.
func TestRelayLeavesTheSharedAnswerAlone(t *testing.T) {
	t.Parallel()
	onward := new(dns.Msg).SetQuestion("wWw.eXample.", dns.TypeA)
	shared := new(dns.Msg).SetReply(onward)
	shared.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "wWw.eXample.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(198, 51, 100, 7)}}
	before := shared.String()
	for _, name := range []string{"www.example.", "WWW.EXAMPLE."} {
		q := new(dns.Msg).SetQuestion(name, dns.TypeA)
		reply := relay(q, shared)
		if reply.Id != q.Id || reply.Question[0].Name != name || reply.Answer[0].Header().Name != name {
			t.Errorf("%s is answered with\n%v", name, reply)
		}
	}
	if after := shared.String(); after != before {
		t.Errorf("the shared answer became\n%s\nit was\n%s", after, before)
	}
}

// A client learns what is wrong, and the log says it once.
func TestInsideForwardFailures(t *testing.T) {
	t.Parallel()
	upstream := xmpptest.ListenDNS(t, "a.example. 60 IN A 198.51.100.1")
	var logged lockedBuffer
	in := listenInside(t, InsideConfig{Forward: newResolver(t, Config{Timeout: 50 * time.Millisecond}, upstream), Log: slog.New(slog.NewTextHandler(&logged, nil))})
	for _, how := range []xmpptest.Fault{xmpptest.Silent, xmpptest.ServerFails, xmpptest.Refuses} {
		upstream.Break("", how)
		reply := put(t, in, "udp", "a.example", dns.TypeA, edns(1232))
		if reply.Rcode != dns.RcodeServerFailure || !strings.Contains(explain(reply), upstream.Addr().String()) {
			t.Errorf("fault %v gives\n%v", how, reply)
		}
	}
	upstream.Break("", xmpptest.Answers)
	if reply := put(t, in, "udp", "a.example", dns.TypeA); reply.Rcode != dns.RcodeSuccess {
		t.Errorf("after the failure:\n%v", reply)
	}
	if text := logged.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "again") != 1 {
		t.Errorf("logged:\n%s", text)
	}
	alone := listenInside(t, InsideConfig{})
	if reply := put(t, alone, "udp", "a.example", dns.TypeA, edns(1232)); reply.Rcode != dns.RcodeRefused || !strings.Contains(explain(reply), "no forward server") {
		t.Errorf("without forward servers:\n%v", reply)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ABUSE 39: two servers that forward to each other ask each other once, and give up.
func TestInsideCircleEnds(t *testing.T) {
	t.Parallel()
	one, err := ListenInside(InsideConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Gate: netip.MustParseAddrPort("127.0.2.1:5269")})
	if err != nil {
		t.Fatal(err)
	}
	towards := func(in *Inside) *Resolver {
		return newResolver(t, Config{Servers: []Server{{Addr: in.Addr()}}, Timeout: 100 * time.Millisecond})
	}
	two := listenInside(t, InsideConfig{Forward: towards(one)})
	one.asker = towards(two).asker
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- one.Serve(ctx) }()
	if reply := put(t, one, "udp", "a.example", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("a circle of servers answers\n%v", reply)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Clients that ask the same at once cost the forward server one question; too many different ones are turned away.
func TestInsideForwardsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		server := Server{Addr: netip.MustParseAddrPort("192.0.2.53:53")}
		in := &Inside{
			config: InsideConfig{Log: slog.New(slog.DiscardHandler)},
			slots:  make(chan struct{}, insideForwards),
			asker: &asker{servers: []Server{server}, timeout: time.Hour, exchange: func(ctx context.Context, _ Server, _ *dns.Msg) (*dns.Msg, error) {
				asked.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			}},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		client := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5353}
		for i := range 4 * insideForwards {
			all.Go(func() {
				in.reply(ctx, client, new(dns.Msg).SetQuestion(fmt.Sprintf("d%d.example.", i%insideForwards), dns.TypeA))
			})
		}
		synctest.Wait()
		if n := asked.Load(); n != insideForwards {
			t.Errorf("%d questions went on, want %d", n, insideForwards)
		}
		q := new(dns.Msg).SetQuestion("one-more.example.", dns.TypeA)
		q.SetEdns0(1232, false)
		if reply := in.reply(ctx, client, q); reply.Rcode != dns.RcodeServerFailure || !strings.Contains(explain(reply), "too many") {
			t.Errorf("one question too many:\n%v", reply)
		}
		cancel()
		all.Wait()
	})
}

func TestInsideAdmits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from []netip.Prefix
		addr string
		want bool
	}{
		{nil, "127.0.0.1:9", true},
		{nil, "[::1]:9", true},
		{nil, "10.0.0.1:9", true},
		{nil, "[::ffff:10.0.0.1]:9", true},
		{nil, "[fe80::1%eth0]:9", true},
		{nil, "9.9.9.9:9", false},
		{nil, "[2a00::1]:9", false},
		{[]netip.Prefix{netip.MustParsePrefix("9.9.9.0/24")}, "9.9.9.9:9", true},
		{[]netip.Prefix{netip.MustParsePrefix("9.9.9.0/24")}, "127.0.0.1:9", false},
	} {
		in := &Inside{config: InsideConfig{AllowFrom: c.from}}
		if got := in.admits(net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.addr))); got != c.want {
			t.Errorf("admits %s with %v: %t, want %t", c.addr, c.from, got, c.want)
		}
	}
	in := listenInside(t, InsideConfig{AllowFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if reply := put(t, in, "udp", "_xmpp-server._tcp.a.example", dns.TypeSRV, edns(1232)); reply.Rcode != dns.RcodeRefused || !strings.Contains(explain(reply), "inside.dns_from") {
		t.Errorf("from a foreign network:\n%v", reply)
	}
	// Over TCP there are few connections, of which strangers get none.
	q := new(dns.Msg).SetQuestion("_xmpp-server._tcp.a.example.", dns.TypeSRV)
	if reply, _, err := (&dns.Client{Net: "tcp", Timeout: 10 * time.Second}).ExchangeContext(t.Context(), q, in.Addr().String()); err == nil {
		t.Errorf("from a foreign network over TCP:\n%v", reply)
	} else if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Errorf("a stranger's connection is kept: %v", err)
	}
}

// [I24]: the backends hear that an answer was validated only if it is believed here, and only when they ask for that.
func TestInsidePassesOnWhatIsBelieved(t *testing.T) {
	t.Parallel()
	upstream := xmpptest.ListenDNS(t, "www.a.example. 60 IN A 198.51.100.7", "www.b.example. 60 IN A 198.51.100.8")
	upstream.Vouch("a.example")
	wants := map[string]func(*dns.Msg){
		"AD": func(q *dns.Msg) { q.AuthenticatedData = true },
		"DO": func(q *dns.Msg) { q.SetEdns0(1232, true) },
		"":   func(*dns.Msg) {},
	}
	for _, believed := range []bool{false, true} {
		in := listenInside(t, InsideConfig{Forward: newResolver(t, Config{DNSSEC: believed}, upstream)})
		for flag, set := range wants {
			for name, signed := range map[string]bool{"www.a.example": true, "www.b.example": false} {
				if reply := put(t, in, "udp", name, dns.TypeA, set); reply.AuthenticatedData != (believed && signed && flag != "") {
					t.Errorf("%s, asked with %q, believed %t: AD %t", name, flag, believed, reply.AuthenticatedData)
				}
			}
		}
	}
}

func TestInsideRefusesWhatIsNotItsBusiness(t *testing.T) {
	t.Parallel()
	upstream := xmpptest.ListenDNS(t)
	in := listenInside(t, InsideConfig{Forward: newResolver(t, Config{}, upstream)})
	for name, c := range map[string]struct {
		change func(*dns.Msg)
		want   int
	}{
		"zone transfer":     {func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeAXFR }, dns.RcodeRefused},
		"another class":     {func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		"NOTIFY":            {func(q *dns.Msg) { q.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		"UPDATE":            {func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"EDNS of version 1": {func(q *dns.Msg) { q.SetEdns0(1232, false); q.IsEdns0().SetVersion(1) }, dns.RcodeBadVers},
	} {
		if reply := put(t, in, "udp", "_xmpp-server._tcp.a.example", dns.TypeSRV, c.change); reply.Rcode != c.want {
			t.Errorf("%s: %s, want %s", name, dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.want])
		}
	}
	if asked := upstream.Asked(); len(asked) != 0 {
		t.Errorf("forwarded %q", asked)
	}
}

func TestInsideConfigFaults(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort
	towards := func(servers ...string) *Resolver {
		var c Config
		for _, s := range servers {
			c.Servers = append(c.Servers, Server{Addr: at(s)})
		}
		return newResolver(t, c)
	}
	for name, c := range map[string]struct {
		config InsideConfig
		want   string
	}{
		"itself":              {InsideConfig{Listen: at("127.0.2.1:53"), Gate: at("127.0.2.1:5269"), Forward: towards("9.9.9.9:53", "127.0.2.1:53")}, "forward to itself"},
		"itself, by wildcard": {InsideConfig{Listen: at("0.0.0.0:53"), Gate: at("127.0.2.1:5269"), Forward: towards("127.0.0.1:53")}, "forward to itself"},
		"no gate":             {InsideConfig{Listen: at("127.0.2.1:53")}, "inside.listen"},
		"wildcard gate":       {InsideConfig{Listen: at("127.0.2.1:53"), Gate: at("0.0.0.0:5269")}, "no address that a backend can call"},
		"no address":          {InsideConfig{Gate: at("127.0.2.1:5269")}, "inside.dns is not address:port"},
		"foreign address":     {InsideConfig{Listen: at("192.0.2.1:53"), Gate: at("127.0.2.1:5269")}, "listening on 192.0.2.1:53"},
	} {
		if in, err := ListenInside(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", name, in, err, c.want)
		}
	}
}

// The two halves fit together: what the inside DNS says, our own resolver finds.
func TestResolverFindsTheGate(t *testing.T) {
	t.Parallel()
	in := listenInside(t, InsideConfig{})
	r, err := New(Config{Servers: []Server{{Addr: in.Addr()}}, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	eps, err := r.Endpoints(t.Context(), jid.MustDomain("nowhere.example"))
	if got := places(eps); err != nil || !slices.Equal(got, []string{"127.0.2.1:5269 127.0.2.1"}) {
		t.Errorf("endpoints %q, %v", got, err)
	}
}
