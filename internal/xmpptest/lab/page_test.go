package lab

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestBackendPages proves what docs/backends tells users, without the gate: a server as Debian ships it, changed by the
// lines of its page and nothing else, takes a stand-in at the gate's address for every other domain, both ways. Once on
// two machines, and once on one with the very addresses of the page.
func TestBackendPages(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := New(t)
			backend, gate := l.Host("backend", Inside), l.Host("gate", Inside)
			testPage(t, l, kind, backend, gate, backend.Addr(Inside), gate.Addr(Inside))
		})
		t.Run(string(kind)+" on one machine", func(t *testing.T) {
			t.Parallel()
			l := New(t)
			machine := l.Host("machine", Inside)
			testPage(t, l, kind, machine, machine, netip.MustParseAddr(pageBackend), netip.MustParseAddr(pageGate))
		})
	}
}

func testPage(t *testing.T, l *Lab, kind Kind, backend, gate *Host, backendAddr, gateAddr netip.Addr) {
	t.Helper()
	lines := gateLines(t, kind, "", backendAddr, gateAddr)
	home := Config{addr: backendAddr}.streams(backend)
	everybody := l.Pretend(gate, PretendConfig{
		Addr: gateAddr, TLS: innerTLS(t, l, lines),
		Resolve: func(string) (netip.AddrPort, error) { return home, nil },
	})
	standInDNS(t, l, gate, gateAddr)
	s := l.Backend(kind, backend, gateAddr, Config{Domain: "corp.example", Users: []string{"alice", "adam"}, addr: backendAddr})
	l.Ready()
	for user, domain := range map[string]string{"alice": "partner.example", "adam": "stranger.example"} {
		local, remote := l.Client(t, s, user), everybody.Person("bob@"+domain)
		Message(t, local, remote)
		Message(t, remote, local)
		Subscribe(t, local, remote)
		Subscribe(t, remote, local)
		for _, q := range Queries() {
			Ask(t, local, domain, q)
			Ask(t, remote, "corp.example", q)
		}
		GroupChat(t, "conference.corp.example", local, remote)
	}
	// What the page says that the log will have.
	line := map[Kind]string{
		Prosody:  "Outgoing s2s connection corp.example->partner.example complete",
		Ejabberd: "Accepted outbound s2s dialback authentication corp.example -> partner.example",
		Jabberd2: "outgoing route 'corp.example/partner.example' is now valid",
	}[kind]
	if text := readLog(pagePath(t, kind)); !strings.Contains(text, line) || !strings.Contains(s.Log(), line) {
		t.Errorf("the page or the log of %s does not have %q", kind, line)
	}
	from := "from: [" + backendAddr.String() + "]"
	if match := regexp.MustCompile(`from: \[.*\]`).FindString(lines); match != "" {
		from = match
	}
	for _, caller := range everybody.Calls() {
		if !regexp.MustCompile(`[\[ ]` + regexp.QuoteMeta(caller.String()) + `[,\]]`).MatchString(from) {
			t.Errorf("%s calls from %s, but the page's lines for the gate have %s", kind, caller, from)
		}
	}
}

// innerTLS is what the page's lines for the gate say about the inner leg.
func innerTLS(t *testing.T, l *Lab, lines string) *tls.Config {
	t.Helper()
	if strings.Contains(lines, "tls: off") {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{l.CA().Issue(t, SelfSigned, "gate.invalid").TLS}}
}

// standInDNS answers as the gate's inside DNS server does: every XMPP domain is at the gate, whose name is its address,
// since ejabberd has the C library resolve it.
func standInDNS(t *testing.T, l *Lab, gate *Host, addr netip.Addr) {
	t.Helper()
	pc, err := gate.ListenPacket(netip.AddrPortFrom(addr, 53))
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply, name := new(dns.Msg).SetReply(q), q.Question[0].Name
		reply.RecursionAvailable = true
		record := ""
		switch {
		case q.Question[0].Qtype == dns.TypeSRV && strings.HasPrefix(name, "_xmpp-server._tcp."):
			record = fmt.Sprintf("%s 5 IN SRV 0 0 5269 %s.", name, addr)
		case q.Question[0].Qtype == dns.TypeA && name == addr.String()+".":
			record = fmt.Sprintf("%s 5 IN A %s", name, addr)
		default:
			reply.Rcode = dns.RcodeNameError
		}
		if rr, err := dns.NewRR(record); err == nil && rr != nil {
			reply.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = server.ActivateAndServe() }()
	l.onClose(func() { _ = server.Shutdown() })
}

// TestPagesAreUsed: every block of the pages goes where the laboratory takes it from, so that none is only for show.
func TestPagesAreUsed(t *testing.T) {
	t.Parallel()
	want := map[Kind][]string{
		Prosody:  {"/etc/prosody/conf.d/sallyport.cfg.lua", "/etc/sallyport/sallyport.yaml"},
		Ejabberd: {"/etc/ejabberd/ejabberd.yml", "/etc/ejabberd/inetrc", "/etc/sallyport/sallyport.yaml"},
		Jabberd2: {"/etc/jabberd2/s2s.xml", "/etc/sallyport/sallyport.yaml", "/etc/systemd/system/jabberd-s2s.service.d/sallyport.conf"},
	}
	backend, gate := netip.MustParseAddr("10.99.1.1"), netip.MustParseAddr("10.99.1.2")
	for _, kind := range Kinds() {
		for _, variant := range []string{"", Certificate} {
			p := readPage(t, kind, variant, backend, gate)
			files := append(slices.Collect(maps.Keys(p.files)), slices.Collect(maps.Keys(p.patches))...)
			slices.Sort(files)
			if !slices.Equal(files, want[kind]) {
				t.Errorf("docs/backends/%s.md has lines for %q in variant %q, the laboratory uses %q", kind, files, variant, want[kind])
			}
			for file, text := range p.files {
				if strings.Contains(text, pageBackend) || strings.Contains(text, pageGate) || strings.Contains(text, "{127,0,2,1}") {
					t.Errorf("docs/backends/%s.md: an address of the page is left in %s:\n%s", kind, file, text)
				}
			}
		}
	}
}
