package resolve

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/jid"
)

// FuzzAnswer feeds any bytes as the answer to each of our questions, DNSSEC's word included. Whatever they are, nothing panics, what
// comes out is bounded, no address passes that the filter refuses, and no TLSA record without DNSSEC or without a meaning.
func FuzzAnswer(f *testing.F) {
	for _, lines := range [][]string{
		{"_xmpp-server._tcp.a.example. 60 IN SRV 10 5 5269 x.a.example."},
		{"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 0 ."},
		{"_xmpp-server._tcp.a.example. 60 IN CNAME b.example.", "b.example. 60 IN SRV 0 0 5269 127.0.0.1."},
		{"_xmpp-server._tcp.a.example. 60 IN CNAME _xmpp-server._tcp.a.example."},
		{"a.example. 60 IN A 1.1.1.1", "a.example. 60 IN AAAA ::ffff:10.0.0.1"},
		{"_xmpp-server._tcp.a.example. 60 IN SRV 0 0 5269 _xmpp-server._tcp.a.example.", "_xmpp-server._tcp.a.example. 60 IN A 1.1.1.1", "_xmpps-server._tcp.a.example. 60 IN SRV 0 0 5270 y.",
			"_5269._tcp._xmpp-server._tcp.a.example. 60 IN TLSA 3 1 1 " + sum256},
		{`a.example. 60 IN CAA 128 issue "ca.example"`, "_xmpps-server._tcp.a.example. 60 IN TYPE52 \\# 5 0301000000"},
	} {
		m := new(dns.Msg).SetQuestion("_xmpp-server._tcp.a.example.", dns.TypeSRV)
		m.Response = true
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		m.SetEdns0(udpSize, true)
		m.AuthenticatedData = true
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var asked atomic.Int32
		r, err := New(Config{Servers: []Server{{Addr: netip.MustParseAddrPort("127.0.0.53:53")}}, DNSSEC: true, DirectTLS: true})
		if err != nil {
			t.Fatal(err)
		}
		r.asker.exchange = func(_ context.Context, _ Server, q *dns.Msg) (*dns.Msg, error) {
			asked.Add(1)
			return forced(q, wire)
		}
		eps, err := r.Endpoints(t.Context(), jid.MustDomain("a.example"))
		if (err == nil) != (len(eps) > 0) || len(eps) > maxServices {
			t.Fatalf("%d endpoints, %v", len(eps), err)
		}
		if n := asked.Load(); n > rounds*(2+4*maxServices) { // both kinds; of each target two families, and TLSA under two names
			t.Fatalf("%d questions for one domain", n)
		}
		for _, ep := range eps {
			if ep.DANE && !(ep.SecureName && ep.SecureAddrs) || len(ep.TLSA) > maxTLSA || len(ep.TLSA) > 0 && !ep.DANE {
				t.Fatalf("[I23] endpoint %+v", ep)
			}
			for _, record := range ep.TLSA {
				if !record.usable() {
					t.Fatalf("[I23] TLSA %v", record)
				}
			}
			if len(ep.Addrs) == 0 || len(ep.Addrs) > 2*maxAddrs || ep.Port == 0 || ep.Target == "" {
				t.Fatalf("endpoint %+v", ep)
			}
			for _, addr := range ep.Addrs {
				if no := r.filter.refuses(ep.Target, netip.AddrPortFrom(addr, ep.Port)); no != nil {
					t.Fatalf("[D09] %v passed: %s", addr, no.Reason)
				}
			}
		}
		if err != nil && (err.Error() == "" || len(err.Error()) > 8<<10) {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
		if caa, err := r.CAA(t.Context(), aExample); len(caa.Records) > maxCAA || err != nil && caa.Owner != "" {
			t.Fatalf("CAA %+v, %v", caa, err)
		}
		text, err := json.Marshal(r.Survey(t.Context(), aExample))
		if err != nil || len(text) > 4<<20 {
			t.Fatalf("a survey of %d bytes, %v", len(text), err)
		}
	})
}

// FuzzInside feeds any question and any answer of a forward server to the inside DNS. Whatever they are, nothing panics, a question
// gets one reply at the most, which belongs to it and fits into what its way carries, and no domain is said to live elsewhere.
func FuzzInside(f *testing.F) {
	answer := new(dns.Msg).SetQuestion("www.a.example.", dns.TypeA)
	answer.Response = true
	answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.a.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(1, 1, 1, 1)}}
	answer.SetEdns0(udpSize, true)
	reply, err := answer.Pack()
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"_xmpp-server._tcp.a.example.", "_xmpps-server._tcp.a.example.", "127.0.2.1.", "www.a.example.", "."} {
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeA, dns.TypeANY, dns.TypeAXFR} {
			q := new(dns.Msg).SetQuestion(name, qtype)
			q.SetEdns0(1232, qtype == dns.TypeA)
			wire, err := q.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(wire, reply, qtype == dns.TypeSRV)
		}
	}
	f.Fuzz(func(t *testing.T, question, answer []byte, overTCP bool) {
		q := new(dns.Msg)
		if q.Unpack(question) != nil || len(q.Question) != 1 || q.Response {
			return // the library answers or drops it
		}
		in := &Inside{
			config: InsideConfig{Gate: netip.MustParseAddrPort("127.0.2.1:5269"), TTL: 60, Log: slog.New(slog.DiscardHandler)}, target: "127.0.2.1.", believed: true,
			slots: make(chan struct{}, 1), asker: &asker{servers: []Server{{Addr: netip.MustParseAddrPort("127.0.0.53:53")}}, timeout: time.Minute,
				exchange: func(_ context.Context, _ Server, q *dns.Msg) (*dns.Msg, error) { return forced(q, answer) }},
		}
		w := &page{from: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5353}, limit: insideAnswer}
		if overTCP {
			w.from, w.limit = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5353}, dns.MaxMsgSize
		}
		in.serve(t.Context(), w, q)
		if len(w.sent) != 1 {
			t.Fatalf("%d replies", len(w.sent))
		}
		got := new(dns.Msg)
		if err := got.Unpack(w.sent[0]); err != nil || got.Id != q.Id || !got.Response || len(w.sent[0]) > w.limit {
			t.Fatalf("%d bytes, %v\n%v", len(w.sent[0]), err, got)
		}
		if name := dns.CanonicalName(q.Question[0].Name); serves(name, srvPrefix) && got.Rcode == dns.RcodeSuccess {
			for _, rr := range got.Answer {
				if srv, ok := rr.(*dns.SRV); !ok || srv.Target != in.target || srv.Port != 5269 {
					t.Fatalf("%s leads elsewhere: %v", name, rr)
				}
			}
		}
	})
}

// page is a client that keeps what it is sent.
type page struct {
	dns.ResponseWriter
	from  net.Addr
	limit int
	sent  [][]byte
}

// RemoteAddr is where the client is.
func (p *page) RemoteAddr() net.Addr { return p.from }

// WriteMsg keeps a reply as it would go out.
func (p *page) WriteMsg(m *dns.Msg) error {
	wire, err := m.Pack()
	if err == nil {
		p.sent = append(p.sent, wire)
	}
	return err
}

// forced makes wire an answer to q, if it is a message at all: the fuzzer need not guess the id.
func forced(q *dns.Msg, wire []byte) (*dns.Msg, error) {
	reply := new(dns.Msg)
	if err := reply.Unpack(wire); err != nil {
		return fit(q, wire)
	}
	reply.Id, reply.Response, reply.Opcode, reply.Question = q.Id, true, dns.OpcodeQuery, q.Question
	again, err := reply.Pack()
	if err != nil {
		return nil, err
	}
	return fit(q, again)
}
