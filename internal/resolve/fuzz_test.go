package resolve

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync/atomic"
	"testing"

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
