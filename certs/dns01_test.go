package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/xmpptest"
)

// primary is a pretend name server that takes updates and may lie about them.
type primary struct {
	at netip.AddrPort

	mu     sync.Mutex
	txt    map[string][]string
	signed bool             // its answers to updates are
	late   int              // so many questions are answered as if no update had come
	reply  func(m *dns.Msg) // changes an answer to an update
}

func startPrimary(t *testing.T) *primary {
	t.Helper()
	p := &primary{at: reserve(t), txt: map[string][]string{}, signed: true}
	udp, err := net.ListenPacket("udp", p.at.String())
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", p.at.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{PacketConn: udp}, {Listener: tcp}} {
		started, ended := make(chan struct{}), make(chan struct{})
		srv.Handler, srv.TsigSecret = p, map[string]string{"sallyport.": tsigKey}
		srv.NotifyStartedFunc = func() { close(started) }
		srv.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		go func() {
			defer close(ended)
			_ = srv.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			_ = srv.Shutdown()
			<-ended
		})
	}
	return p
}

func (p *primary) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(r)
	m.Authoritative = true
	if r.Opcode != dns.OpcodeUpdate {
		name := dns.CanonicalName(r.Question[0].Name)
		if p.late > 0 {
			p.late--
		} else {
			for _, text := range p.txt[name] {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5}, Txt: []string{text}})
			}
		}
		_ = w.WriteMsg(m)
		return
	}
	if r.IsTsig() == nil || w.TsigStatus() != nil {
		m.Rcode = dns.RcodeNotAuth
		_ = w.WriteMsg(m)
		return
	}
	for _, rr := range r.Ns {
		if txt, ok := rr.(*dns.TXT); ok && rr.Header().Class == dns.ClassINET {
			name := dns.CanonicalName(rr.Header().Name)
			p.txt[name] = append(p.txt[name], txt.Txt...)
		} else if ok && rr.Header().Class == dns.ClassNONE {
			name := dns.CanonicalName(rr.Header().Name)
			for i, have := range p.txt[name] {
				if have == txt.Txt[0] {
					p.txt[name] = append(p.txt[name][:i], p.txt[name][i+1:]...)
					break
				}
			}
		}
	}
	if p.reply != nil {
		p.reply(m)
	}
	if p.signed {
		m.SetTsig("sallyport.", dns.HmacSHA256, 300, time.Now().Unix())
	}
	_ = w.WriteMsg(m)
}

// left is what stands at a name.
func (p *primary) left(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.txt[name])
}

// updaterOf puts records into acme.op.example at p, whose name servers are those that the records name.
func updaterOf(t *testing.T, p *primary, wait time.Duration, records ...string) *updater {
	names := xmpptest.ListenDNS(t, append([]string{"_acme-challenge.corp.example. 5 IN CNAME corp.acme.op.example."}, records...)...)
	return &updater{config: DNSUpdate{Server: p.at, Zone: "acme.op.example", Wait: wait, TSIG: TSIG{Name: "sallyport", Algorithm: "hmac-sha256"}},
		secrets: map[string]string{"sallyport.": tsigKey}, resolvers: []Resolver{{Addr: names.Addr()}}, port: p.at.Port()}
}

// present runs the solver for corp.example.
func presentCorp(t *testing.T, u *updater) error {
	t.Helper()
	authority := newPretend(t, 90*day)
	m, _ := gateOf(t, authority, acmeConfig(t, HTTP01))
	c, err := m.issuer.client(t.Context(), authority)
	if err != nil {
		t.Fatal(err)
	}
	cleanup, err := u.present(t.Context(), c, []proofOfControl{{domain: "corp.example", token: "token"}})
	cleanup()
	return err
}

// TestUpdates: which name servers are waited for, and whose answers are believed.
func TestUpdates(t *testing.T) {
	t.Parallel()
	const ns = "acme.op.example. 5 IN NS ns.op.example."
	for _, tt := range []struct {
		name    string
		change  func(*primary)
		records []string
		want    string // "" for success
	}{
		{"plain", func(*primary) {}, []string{ns, "ns.op.example. 5 IN A 127.0.0.1"}, ""},
		{"a name server that is late", func(p *primary) { p.late = 3 }, []string{ns, "ns.op.example. 5 IN A 127.0.0.1"}, ""},
		{"a name server that never follows", func(p *primary) { p.late = 1 << 30 }, []string{ns, "ns.op.example. 5 IN A 127.0.0.1"}, "still has no new record after 1s; does it follow"},
		{"one of two is dead", func(*primary) {}, []string{ns, "ns.op.example. 5 IN A 127.0.0.1", "ns.op.example. 5 IN A 127.0.0.77"}, ""},
		{"all are dead", func(*primary) {}, []string{ns, "ns.op.example. 5 IN A 127.0.0.77"}, "no name server of acme.op.example. answers: 127.0.0.77"},
		{"no address", func(*primary) {}, []string{ns}, "the name servers of acme.op.example. have no address"},
		{"an answer that is not signed", func(p *primary) { p.signed = false }, []string{ns, "ns.op.example. 5 IN A 127.0.0.1"}, "the answer is not signed, so it may be anybody's"},
		{"a clock that is wrong", func(p *primary) {
			p.signed = false
			p.reply = func(m *dns.Msg) {
				m.Rcode = dns.RcodeNotAuth
				m.SetTsig("sallyport.", dns.HmacSHA256, 300, time.Now().Unix())
				m.IsTsig().Error = dns.RcodeBadTime
			}
		}, nil, "(BADTIME); set them right"},
		{"not the primary", func(p *primary) { p.reply = func(m *dns.Msg) { m.Rcode = dns.RcodeNotAuth } }, nil, "NOTAUTH; is it the primary server of this zone?"},
		{"a code from the future", func(p *primary) { p.reply = func(m *dns.Msg) { m.Rcode = 14 } }, nil, "updating the zone acme.op.example. at "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPrimary(t)
			tt.change(p)
			err := presentCorp(t, updaterOf(t, p, time.Second, tt.records...))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("present = %v, want %q", err, tt.want)
			}
			if n := p.left("corp.acme.op.example."); n != 0 {
				t.Errorf("%d records were left behind", n)
			}
		})
	}
}

// TestPlaceOverTLS: a delegation is followed over TLS, by a resolver that proves itself, and by no other (RFC 7858 §4.2).
func TestPlaceOverTLS(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Resolver Root")
	chain, key := root.issueFor(t, newKey(t), names(san{dns: []string{"dns.example"}}))
	zone := xmpptest.ListenDNS(t, "_acme-challenge.corp.example. 5 IN CNAME one.op.example.", "one.op.example. 5 IN CNAME corp.acme.op.example.")
	at := zone.OverTLS(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{chain[0].Raw}, PrivateKey: key}}})
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	for _, tt := range []struct {
		name  string
		roots *x509.CertPool
		want  string
	}{
		{"dns.example", roots, ""},
		{"other.example", roots, "not other.example"},
		{"dns.example", x509.NewCertPool(), "unknown authority"},
	} {
		u := &updater{config: DNSUpdate{Zone: "acme.op.example"}, resolvers: []Resolver{{Addr: at, TLS: tt.name}}, roots: tt.roots}
		name, _, err := u.place(t.Context(), "corp.example")
		if tt.want == "" && (err != nil || name != "corp.acme.op.example.") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %q, %v; want %q", tt.name, name, err, tt.want)
		}
	}
	for _, q := range zone.Asked() {
		if strings.HasSuffix(q, " udp") {
			t.Errorf("asked in clear: %s", q)
		}
	}
}

// TestPlace: where a challenge's record belongs, and the ways in which nobody can tell.
func TestPlace(t *testing.T) {
	t.Parallel()
	var long []string
	for i := range 12 {
		long = append(long, cname(i)+" 5 IN CNAME "+cname(i+1))
	}
	names := xmpptest.ListenDNS(t, append(long,
		"_acme-challenge.corp.example. 5 IN CNAME Corp.ACME.op.example.",
		"_acme-challenge.two.example. 5 IN CNAME one.two.example.", "one.two.example. 5 IN CNAME two.acme.op.example.",
		"_acme-challenge.loop.example. 5 IN CNAME _acme-challenge.loop.example.")...)
	for _, tt := range []struct{ domain, name, want string }{
		{"corp.example", "corp.acme.op.example.", ""},
		{"two.example", "two.acme.op.example.", ""},
		{"plain.acme.op.example", "_acme-challenge.plain.acme.op.example.", ""},
		{"other.example", "", "is not in the zone acme.op.example."},
		{"loop.example", "", "go in a circle"},
		{"long.example", "", "or are more than 8"},
		{"broken.example", "", "looking where _acme-challenge.broken.example. leads: "},
	} {
		names.Break("_acme-challenge.broken.example.", xmpptest.ServerFails)
		u := &updater{config: DNSUpdate{Zone: "acme.op.example"}, resolvers: []Resolver{{Addr: names.Addr()}}}
		name, zone, err := u.place(t.Context(), tt.domain)
		if tt.want == "" && (err != nil || name != tt.name || zone != "acme.op.example.") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %q in %q, %v", tt.domain, name, zone, err)
		}
	}
	u := &updater{}
	if _, err := u.resolve(t.Context(), "a.example.", dns.TypeA); err == nil || !strings.Contains(err.Error(), "there is no resolver") {
		t.Errorf("without a resolver: %v", err)
	}
}

func cname(i int) string {
	if i == 0 {
		return "_acme-challenge.long.example."
	}
	return strings.Repeat("x", i) + ".long.example."
}
