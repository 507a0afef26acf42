package xmpptest

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Fault is what a pretend name server does instead of answering.
type Fault int

// The faults of name servers.
const (
	Answers      Fault = iota // no fault
	NoSuchName                // NXDOMAIN, whatever the zone says
	ServerFails               // SERVFAIL
	Refuses                   // REFUSED
	Silent                    // says nothing, over UDP and TCP
	CutsOff                   // over UDP, only that the answer is too long; over TCP all of it
	KnowsNoEDNS               // FORMERR to questions with EDNS
	LowersCase                // repeats the question in lower case, over UDP and TCP
	ForgedBefore              // sends two forged answers first: one with another id, one to another question
	Bogus                     // SERVFAIL, with the reason that DNSSEC validation failed
)

// DNS is a pretend name server on a free port of 127.0.0.1, over UDP and TCP. It knows the records of one zone file and follows
// CNAMEs among them; all other names do not exist. Negative answers carry a SOA record of 60 seconds.
type DNS struct {
	addr netip.AddrPort

	mu     sync.Mutex
	zone   map[string][]dns.RR // by owner, canonical
	faults map[string]Fault    // by name, canonical, or "" for all names
	secure []string            // names, canonical, that DNSSEC vouches for with all below them
	asked  []string
}

// ListenDNS starts a pretend name server that knows the given records, each a line of a zone file, as
// "a.example. 60 IN A 192.0.2.1". It ends with the test.
func ListenDNS(t testing.TB, records ...string) *DNS {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d := &DNS{addr: tcp.Addr().(*net.TCPAddr).AddrPort(), faults: map[string]Fault{}}
	d.Set(t, records...)
	d.run(t, &dns.Server{PacketConn: udp})
	d.run(t, &dns.Server{Listener: tcp})
	return d
}

// OverTLS lets the server answer over TLS as well, on a port of its own.
func (d *DNS) OverTLS(t testing.TB, config *tls.Config) netip.AddrPort {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.run(t, &dns.Server{Listener: tls.NewListener(tcp, config)})
	return tcp.Addr().(*net.TCPAddr).AddrPort()
}

// run serves until the test ends.
func (d *DNS) run(t testing.TB, server *dns.Server) {
	t.Helper()
	started, ended := make(chan struct{}), make(chan struct{})
	server.Handler = dns.HandlerFunc(d.serve)
	server.UDPSize = dns.DefaultMsgSize
	server.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(ended)
		if err := server.ActivateAndServe(); err != nil {
			t.Errorf("pretend DNS: %v", err)
		}
	}()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Errorf("pretend DNS: %v", err)
		}
		<-ended
	})
}

// Addr is where the server answers.
func (d *DNS) Addr() netip.AddrPort { return d.addr }

// Set replaces all records.
func (d *DNS) Set(t testing.TB, records ...string) {
	t.Helper()
	zone := map[string][]dns.RR{}
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("record %q: %v", line, err)
		}
		owner := dns.CanonicalName(rr.Header().Name)
		zone[owner] = append(zone[owner], rr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zone = zone
}

// Break makes the server misbehave for one name, or for all if name is empty.
func (d *DNS) Break(name string, how Fault) {
	if name != "" {
		name = dns.CanonicalName(name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[name] = how
}

// Vouch makes the server a validating resolver, and the given names, with all below them, signed ones: answers about them carry the
// AD bit for those who ask for it (RFC 6840 §5.7).
func (d *DNS) Vouch(names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secure = nil
	for _, name := range names {
		d.secure = append(d.secure, dns.CanonicalName(name))
	}
}

// vouches reports whether DNSSEC vouches for all that a reply says.
func (d *DNS) vouches(q, reply *dns.Msg) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := []string{q.Question[0].Name}
	for _, rr := range reply.Answer {
		names = append(names, rr.Header().Name)
	}
	opt := q.IsEdns0()
	return (q.AuthenticatedData || opt != nil && opt.Do()) && !slices.ContainsFunc(names, func(name string) bool {
		return !slices.ContainsFunc(d.secure, func(zone string) bool { return dns.IsSubDomain(zone, dns.CanonicalName(name)) })
	})
}

// Asked returns the questions so far, sorted, each as "name. TYPE transport" in lower-case letters of the name.
func (d *DNS) Asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.asked))
}

func (d *DNS) serve(w dns.ResponseWriter, q *dns.Msg) {
	reply, fault := d.reply(w.LocalAddr().Network(), q)
	if fault == Silent {
		return
	}
	if fault == ForgedBefore {
		for _, forged := range forgeries(reply) {
			// A lost forgery harms the forger only.
			_ = w.WriteMsg(forged)
		}
	}
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
	}
	if w.LocalAddr().Network() == "tcp" {
		size = dns.MaxMsgSize
	}
	if opt := q.IsEdns0(); opt != nil && fault != KnowsNoEDNS {
		reply.SetEdns0(1232, opt.Do())
		ours := reply.IsEdns0()
		if fault == Bogus {
			ours.Option = append(ours.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus})
		}
		ours.Option = append(ours.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "70726574656e64"}) // "pretend"
	}
	reply.AuthenticatedData = reply.Rcode != dns.RcodeServerFailure && d.vouches(q, reply)
	reply.Truncate(size)
	reply.Compress = true
	// A lost answer is asked for again.
	_ = w.WriteMsg(reply)
}

func (d *DNS) reply(network string, q *dns.Msg) (*dns.Msg, Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	question := q.Question[0]
	name := dns.CanonicalName(question.Name)
	d.asked = append(d.asked, name+" "+dns.TypeToString[question.Qtype]+" "+network)
	fault, ok := d.faults[name]
	if !ok {
		fault = d.faults[""]
	}
	reply := new(dns.Msg).SetReply(q)
	reply.RecursionAvailable = true
	switch fault {
	case NoSuchName:
		return d.negative(reply, dns.RcodeNameError), fault
	case ServerFails, Bogus:
		return reply.SetRcode(q, dns.RcodeServerFailure), fault
	case Refuses:
		return reply.SetRcode(q, dns.RcodeRefused), fault
	case CutsOff:
		if network == "udp" {
			reply.Truncated = true
			return reply, fault
		}
	case KnowsNoEDNS:
		if q.IsEdns0() != nil {
			return reply.SetRcode(q, dns.RcodeFormatError), fault
		}
	case LowersCase:
		reply.Question[0].Name = name
	}
	return d.lookup(reply, name, question.Qtype), fault
}

// lookup fills reply with what the zone has.
func (d *DNS) lookup(reply *dns.Msg, name string, qtype uint16) *dns.Msg {
	for range 16 {
		records, ok := d.zone[name]
		if !ok {
			return d.negative(reply, dns.RcodeNameError)
		}
		alias := ""
		for _, rr := range records {
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
				alias = dns.CanonicalName(c.Target)
				reply.Answer = append(reply.Answer, rr)
			} else if rr.Header().Rrtype == qtype {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if len(reply.Answer) == 0 {
		return d.negative(reply, dns.RcodeSuccess)
	}
	return reply
}

func (d *DNS) negative(reply *dns.Msg, rcode int) *dns.Msg {
	reply.Rcode = rcode
	reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns: "ns.example.", Mbox: "nobody.example.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60}}
	return reply
}

// forgeries are answers to reply's question that a blind attacker might send: they lead to 6.6.6.6.
func forgeries(reply *dns.Msg) []*dns.Msg {
	lie := func(name string) []dns.RR {
		hdr := dns.RR_Header{Name: name, Rrtype: reply.Question[0].Qtype, Class: dns.ClassINET, Ttl: 86400}
		if hdr.Rrtype == dns.TypeSRV {
			return []dns.RR{&dns.SRV{Hdr: hdr, Port: 666, Target: "6.6.6.6."}}
		}
		hdr.Rrtype = dns.TypeA
		return []dns.RR{&dns.A{Hdr: hdr, A: net.IPv4(6, 6, 6, 6)}}
	}
	otherID := reply.Copy()
	otherID.Id++
	otherID.Answer = lie(reply.Question[0].Name)
	otherName := reply.Copy()
	otherName.Question[0].Name = "other.example."
	otherName.Answer = lie(reply.Question[0].Name)
	return []*dns.Msg{otherID, otherName}
}
