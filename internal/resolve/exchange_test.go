package resolve

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
)

var aExample = jid.MustDomain("a.example")

// One place, however the server behaves.
func TestServersOfAllKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		how  xmpptest.Fault
		tcp  bool // whether the answer has to come over TCP
	}{
		{"usual", xmpptest.Answers, false},
		{"cuts off over UDP", xmpptest.CutsOff, true},
		{"knows no EDNS", xmpptest.KnowsNoEDNS, false},
		{"does not keep the case of letters", xmpptest.LowersCase, true},
		{"forged answers come first: another id, another question", xmpptest.ForgedBefore, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := xmpptest.ListenDNS(t, "_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 x.a.example.", "x.a.example. 60 IN A 1.1.1.1")
			server.Break("", c.how)
			eps, err := newResolver(t, Config{}, server).Endpoints(t.Context(), aExample)
			if got := places(eps); err != nil || !slices.Equal(got, []string{"x.a.example:5269 1.1.1.1"}) {
				t.Errorf("endpoints %q, %v", got, err)
			}
			if asked := server.Asked(); slices.ContainsFunc(asked, func(q string) bool { return strings.HasSuffix(q, " tcp") }) != c.tcp {
				t.Errorf("asked %q, over TCP: want %t", asked, c.tcp)
			}
		})
	}
}

// COMPAT: a forwarder that writes names in lower case and listens on UDP alone.
func TestSmallForwarder(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				return
			}
			reply := new(dns.Msg).SetReply(q)
			reply.Question[0].Name = dns.CanonicalName(q.Question[0].Name)
			if q.Question[0].Qtype == dns.TypeA {
				reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: reply.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(1, 1, 1, 1)}}
			}
			wire, _ := reply.Pack()
			_, _ = conn.WriteTo(wire, from)
		}
	}()
	r, err := New(Config{Servers: []Server{{Addr: netip.MustParseAddrPort(conn.LocalAddr().String())}}})
	if err != nil {
		t.Fatal(err)
	}
	eps, err := r.Endpoints(t.Context(), aExample)
	if got := places(eps); err != nil || !slices.Equal(got, []string{"a.example:5269 1.1.1.1"}) {
		t.Errorf("endpoints %q, %v", got, err)
	}
}

func TestManyRecordsComeOverTCP(t *testing.T) {
	t.Parallel()
	zone := []string{"x.a.example. 60 IN A 1.1.1.1"}
	for range 60 {
		zone = append(zone, "_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 "+strings.Repeat("long.", 10)+"a.example.")
	}
	zone[60] = "_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 x.a.example."
	server := xmpptest.ListenDNS(t, zone...)
	q := new(dns.Msg).SetQuestion("_xmpp-server._tcp.a.example.", dns.TypeSRV)
	q.SetEdns0(udpSize, false)
	reply, err := newTransport(nil, nil, time.Second).exchange(t.Context(), Server{Addr: server.Addr()}, q)
	if err != nil || len(reply.Answer) != 60 {
		t.Errorf("%v with %d records, want all 60 of a cut-off answer", err, len(reply.Answer))
	}
}

// Several servers are asked in their order; the first definite answer counts, a negative one too.
func TestServersInOrder(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, first, second xmpptest.Fault) ([]string, *xmpptest.DNS, *xmpptest.DNS, error) {
		one, two := xmpptest.ListenDNS(t, "a.example. 60 IN A 1.1.1.1"), xmpptest.ListenDNS(t, "a.example. 60 IN A 2.2.2.2")
		one.Break("", first)
		two.Break("", second)
		eps, err := newResolver(t, Config{Timeout: 100 * time.Millisecond}, one, two).Endpoints(t.Context(), aExample)
		return places(eps), one, two, err
	}
	for _, c := range []struct {
		name          string
		first, second xmpptest.Fault
		want          string
	}{
		{"the first answers", xmpptest.Answers, xmpptest.Answers, "a.example:5269 1.1.1.1"},
		{"the first fails", xmpptest.ServerFails, xmpptest.Answers, "a.example:5269 2.2.2.2"},
		{"the first refuses", xmpptest.Refuses, xmpptest.Answers, "a.example:5269 2.2.2.2"},
		{"the first is silent", xmpptest.Silent, xmpptest.Answers, "a.example:5269 2.2.2.2"},
		{"the first knows no such name", xmpptest.NoSuchName, xmpptest.Answers, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, _, err := ask(t, c.first, c.second)
			if strings.Join(got, " ") != c.want {
				t.Errorf("endpoints %q, %v; want %q", got, err, c.want)
			}
		})
	}
	t.Run("none helps", func(t *testing.T) {
		t.Parallel()
		_, one, two, err := ask(t, xmpptest.ServerFails, xmpptest.Silent)
		for _, want := range []string{one.Addr().String() + " answered SERVFAIL", two.Addr().String() + " gave no answer within 100ms", "outside.resolver"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v lacks %q", err, want)
			}
		}
		if n, m := len(one.Asked()), len(two.Asked()); n != 1 || m != rounds {
			t.Errorf("the failing server was asked %d times, the silent one %d; want 1 and %d", n, m, rounds)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		closed, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := netip.MustParseAddrPort(closed.LocalAddr().String())
		closed.Close()
		r, err := New(Config{Servers: []Server{{Addr: addr}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.Endpoints(t.Context(), aExample); err == nil || !strings.Contains(err.Error(), "runs no name server") {
			t.Errorf("error %v", err)
		}
	})
}

// Each question has its own id, port and case of letters.
func TestQuestionsCannotBeGuessed(t *testing.T) {
	t.Parallel()
	ids, names := map[uint16]bool{}, map[string]bool{}
	for range 200 {
		q := new(dns.Msg).SetQuestion("_xmpp-server._tcp.partner.example.", dns.TypeSRV)
		disguise(q)
		ids[q.Id] = true
		names[q.Question[0].Name] = true
		if !sameName(q.Question[0].Name, "_xmpp-server._tcp.partner.example.") {
			t.Fatalf("the name became %q", q.Question[0].Name)
		}
	}
	if len(ids) < 190 || len(names) < 190 {
		t.Errorf("%d ids and %d spellings among 200 questions", len(ids), len(names))
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	q := new(dns.Msg).SetQuestion("A.eXample.", dns.TypeSRV)
	q.Id = 7
	for _, c := range []struct {
		name   string
		change func(*dns.Msg)
		want   error
	}{
		{"the answer", func(*dns.Msg) {}, nil},
		{"another id", func(m *dns.Msg) { m.Id = 8 }, errStray},
		{"a question", func(m *dns.Msg) { m.Response = false }, errStray},
		{"another operation", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, errStray},
		{"another name", func(m *dns.Msg) { m.Question[0].Name = "b.example." }, errStray},
		{"another type", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, errStray},
		{"another class", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, errStray},
		{"another case of letters", func(m *dns.Msg) { m.Question[0].Name = "a.example." }, errUncertain},
		{"no question", func(m *dns.Msg) { m.Question = nil }, errUncertain},
	} {
		reply := new(dns.Msg).SetReply(q)
		c.change(reply)
		wire, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fit(q, wire); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	reply, _ := new(dns.Msg).SetReply(q).Pack()
	if _, err := fit(q, reply[:14]); err != errUncertain {
		t.Errorf("cut off in the question: %v", err)
	}
	if _, err := fit(q, reply[:5]); err != errStray {
		t.Errorf("cut off in the header: %v", err)
	}
}

// Failures come with the reasons that the server gave (RFC 8914), quoted: they are a stranger's words.
func TestExtendedErrorsAreTold(t *testing.T) {
	t.Parallel()
	q := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	q.SetEdns0(udpSize, false)
	reply := explained(q, dns.RcodeServerFailure, dns.ExtendedErrorCodeDNSBogus, "forged\nline "+strings.Repeat("x", 500))
	got := explain(reply)
	if !strings.Contains(got, "DNSSEC Bogus") || !strings.Contains(got, `forged\nline`) || strings.Contains(got, "\n") || len(got) > 200 {
		t.Errorf("explained as %q", got)
	}
}
