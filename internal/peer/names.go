package peer

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Names is a pretend DNS server: it knows where the XMPP service of some domains is, and of no other name.
type Names struct {
	Addr   string // where it answers, over UDP
	server *dns.Server

	mu    sync.Mutex
	table map[string]string
	asked map[string]int // by domain
}

// ListenNames starts a pretend DNS on listen (ip:port; default: a free port of 127.0.0.1). The table maps a domain, "*.suffix" or
// "*" to ip:port. The SRV answers name the address itself as the target ("127.0.0.1."), which each of the known servers resolves.
func ListenNames(listen string, table map[string]string) (*Names, error) {
	conn, err := net.ListenPacket("udp", cmp.Or(listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("listening for questions: %w", err)
	}
	started := make(chan struct{})
	n := &Names{Addr: conn.LocalAddr().String(), table: make(map[string]string), asked: make(map[string]int)}
	maps.Copy(n.table, table)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		n.note(q)
		n.mu.Lock()
		reply := answerFrom(n.table, q)
		n.mu.Unlock()
		// A lost answer is asked for again.
		_ = w.WriteMsg(reply)
	})
	server := &dns.Server{PacketConn: conn, Handler: handler, NotifyStartedFunc: func() { close(started) }}
	n.server = server
	go func() {
		// It ends with Close, whose error says more.
		_ = server.ActivateAndServe()
	}()
	<-started
	return n, nil
}

// Close stops answering.
func (n *Names) Close() error { return n.server.Shutdown() }

// Set tells where the service of a domain is from now on.
func (n *Names) Set(domain, place string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.table[domain] = place
}

// Asked is how many questions came about a domain, its services included.
func (n *Names) Asked(domain string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[domain]
}

// note counts a question under the name it is about, without the labels of services (_xmpp-server._tcp).
func (n *Names) note(q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, question := range q.Question {
		name := strings.TrimSuffix(strings.ToLower(question.Name), ".")
		for strings.HasPrefix(name, "_") {
			_, name, _ = strings.Cut(name, ".")
		}
		n.asked[name]++
	}
}

func answerFrom(table map[string]string, q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	if len(q.Question) != 1 {
		return reply.SetRcode(q, dns.RcodeFormatError)
	}
	name := strings.TrimSuffix(strings.ToLower(q.Question[0].Name), ".")
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is4() {
		if q.Question[0].Qtype == dns.TypeA {
			reply.Answer = append(reply.Answer, &dns.A{Hdr: heading(q, dns.TypeA), A: addr.AsSlice()})
		}
		return reply
	}
	domain, ok := strings.CutPrefix(name, "_xmpp-server._tcp.")
	if !ok {
		return reply.SetRcode(q, dns.RcodeNameError)
	}
	_, suffix, _ := strings.Cut(domain, ".")
	place := cmp.Or(table[domain], table["*."+suffix], table["*"])
	at, err := netip.ParseAddrPort(place)
	if err != nil {
		return reply.SetRcode(q, dns.RcodeNameError)
	}
	if q.Question[0].Qtype == dns.TypeSRV {
		reply.Answer = append(reply.Answer, &dns.SRV{Hdr: heading(q, dns.TypeSRV), Port: at.Port(), Target: at.Addr().String() + "."})
	}
	return reply
}

func heading(q *dns.Msg, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: q.Question[0].Name, Rrtype: kind, Class: dns.ClassINET, Ttl: 60}
}
