package proxy_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// ABUSE 2 (CVE-2016-1232), [C09]: the ids of streams are keys' nonces: 128 bits that never come twice, at either door, and anew behind
// each restart.
func TestABUSE2StreamIDs(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.RatePerAddress = 1e6 }})
	seen := map[string]bool{}
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_tls"))
	ids := []string{c.Value("{p1}"), c.Value("{p2}")}
	for range 150 {
		c := xmpptest.Begin(t, s.Stage)
		c.Play(opened + openedInside)
		ids = append(ids, c.Value("{p}"), c.Value("{q}"))
		c.End()
	}
	for _, id := range ids {
		if b, err := hex.DecodeString(id); err != nil || len(b) < 16 {
			t.Fatalf("stream id %q is not 128 bits in hexadecimal", id)
		}
		if seen[id] {
			t.Fatalf("stream id %s came twice", id)
		}
		seen[id] = true
	}
}

// ABUSE 37: there is no iq of the gate's own whose answer could be forged: none of its packages writes one.
func TestABUSE37NoIQOfOurOwn(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, pattern := range []string{"*.go", "../dialback/*.go", "../internal/stream/*.go", "../internal/stanza/*.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			seen++
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			must(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(l.Value, "<iq") {
					t.Errorf("%s writes an iq: %s. Give it a random id, and match from, id and type of what answers it (ABUSE 37).", path, l.Value)
				}
				return true
			})
		}
	}
	if seen < 40 {
		t.Fatalf("only %d sources were read", seen)
	}
}

// uncalled wants nobody to have called a place.
func uncalled(t *testing.T, ln net.Listener) {
	t.Helper()
	must(t, ln.(*net.TCPListener).SetDeadline(time.Now().Add(100*time.Millisecond)))
	conn, err := ln.Accept()
	if err == nil {
		conn.Close()
		t.Errorf("the gate called %s", ln.Addr())
	} else if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

// ABUSE 39, [D09], [D10], PROTOCOL 11.9 no. 13: DNS of a stranger that leads to this machine, or to the gate itself, is not followed, for
// stanzas or for questions about keys; nor is a route of our own to our own door.
func TestABUSE39NamesThatLeadToUs(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		allowPrivate bool
		port         func(*stage) uint16
		step, why    string
	}{
		"loopback":                      {false, func(s *stage) uint16 { return addrOf(s.Calls["remote"]).Port() }, "dns", "loopback"},
		"our door, outside":             {true, func(s *stage) uint16 { return portOf(s.Doors["outside"]) }, "dns", "itself"},
		"our door, inside":              {true, func(s *stage) uint16 { return portOf(s.Doors["inside"]) }, "dns", "itself"},
		"our backend":                   {true, func(s *stage) uint16 { return addrOf(s.Calls["backend"]).Port() }, "dns", "backend"},
		"our door, outside, by a route": {true, nil, "tcp", "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"evil.example":{"channel":"plaintext","until":"2099-01-01"}}}`),
				resolver: func(c *resolve.Config) { c.AllowPrivate = x.allowPrivate }})
			s.proxy.Resolver.Shun([]netip.AddrPort{addrOf(s.Calls["backend"])})
			if x.port == nil {
				settings := s.settings(options{})
				route, err := resolve.ParseRoute(s.Doors["outside"])
				must(t, err)
				settings.Routes[jid.MustDomain("evil.example")] = route
				s.proxy.Apply(settings)
			} else {
				s.names.Set(t, fmt.Sprintf("_xmpp-server._tcp.evil.example. 60 IN SRV 0 0 %d host.evil.example.", x.port(s)), "host.evil.example. 60 IN A 127.0.0.1")
			}
			evil := strings.NewReplacer(remote, "evil.example")
			c := xmpptest.Begin(t, s.Stage)
			c.Play(evil.Replace(opened + `
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
r receives <db:result from='corp.example' to='remote.example' type='error'><error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>
` + include(t, "_backend_speaks") + `
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>
` + include(t, "_backend_takes") + `
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…</message>
record has link.fail "step":"` + x.step + `" remote.example ` + x.why))
			uncalled(t, s.Calls["remote"])
			for _, l := range s.proxy.Snapshot().Links {
				if l.Door == "outside" && l.Kind == "in" && l.Peer != c.Conn("r").LocalAddr().String() {
					t.Errorf("the gate called itself: %+v", l)
				}
			}
		})
	}
}

func portOf(addr string) uint16 {
	var port uint16
	fmt.Sscanf(addr[strings.LastIndexByte(addr, ':')+1:], "%d", &port)
	return port
}

// ABUSE 39: a way back to ourselves that no address shows (a forwarded port, a NAT) is found out by the first header: we are not the domain
// that was called. One call for the question, one for the stanza, no more.
func TestABUSE39PeerIsOurselves(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, inClear)})
	calls := forward(t, s.Doors["outside"])
	settings := s.settings(options{})
	route, err := resolve.ParseRoute(calls.addr)
	must(t, err)
	settings.Routes[jid.MustDomain(remote)] = route
	s.proxy.Apply(settings)
	xmpptest.Converse(t, s.Stage, opened+`
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
r receives <db:result from='corp.example' to='remote.example' type='error'><error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>
`+include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>
`+include(t, "_backend_takes")+bounced("m1", "juliet@remote.example", "504", "remote-server-timeout")+`
b receives nothing
record has link.fail "step":"stream" host-unknown`)
	if n := calls.count(); n != 2 {
		t.Errorf("the gate called itself %d times, want 2", n)
	}
}

// forwarder carries connections to another address and counts them.
type forwarder struct {
	addr string
	n    chan int
}

func (f *forwarder) count() int {
	n := <-f.n
	f.n <- n
	return n
}

func forward(t *testing.T, to string) *forwarder {
	t.Helper()
	ln := listen(t)
	f := &forwarder{addr: ln.Addr().String(), n: make(chan int, 1)}
	f.n <- 0
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			f.n <- <-f.n + 1
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go func() { io.Copy(far, near); far.(*net.TCPConn).CloseWrite() }()
			go func() { io.Copy(near, far); near.(*net.TCPConn).CloseWrite() }()
		}
	}()
	return f
}

// ABUSE 39: two gates face each other, each of them the authoritative server that the other asks, and both are called at once: the
// questions end, and the stanzas of both directions arrive.
func TestABUSE39TwoGates(t *testing.T) {
	t.Parallel()
	here, there := newStage(t, options{}), newStage(t, options{domains: []string{remote}})
	for _, x := range []struct {
		s, at  *stage
		domain string
		o      options
	}{{here, there, remote, options{}}, {there, here, local, options{domains: []string{remote}}}} {
		settings := x.s.settings(x.o)
		route, err := resolve.ParseRoute(x.at.Doors["outside"])
		must(t, err)
		settings.Routes[jid.MustDomain(x.domain)] = route
		x.s.proxy.Apply(settings)
	}
	swap := strings.NewReplacer(local, remote, remote, local, "romeo", "juliet", "juliet", "romeo")
	a, b := xmpptest.Begin(t, here.Stage), xmpptest.Begin(t, there.Stage)
	a.Play(include(t, "_backend_speaks"))
	b.Play(swap.Replace(include(t, "_backend_speaks")))
	const hi = "l sends <message from='romeo@corp.example/pc' to='juliet@remote.example/x' id='m1'><body>hi</body></message>\n"
	a.Play(hi)
	b.Play(swap.Replace(hi))
	took := "\nb receives <message from='juliet@remote.example/pc' to='romeo@corp.example/x' id='m1'><body>hi</body></message>\nrecord has link.open dialback+tls \"dir\":\"in\""
	a.Play(include(t, "_backend_takes") + took)
	b.Play(swap.Replace(include(t, "_backend_takes") + took))
}

// [B10], [B20], PROTOCOL 12 no. 6: a proved peer that asks to be more domains than anyone is gets as many questions under way as the limit
// says, and the rest refused; the gate's own questions to DNS are bounded by that.
func TestPendingFlood(t *testing.T) {
	t.Parallel()
	const flood = 60
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.PairsPerStream = 1000 },
		resolver: func(c *resolve.Config) { c.Timeout = 10 * time.Minute }})
	xmpptest.Converse(t, s.Stage, "do silence")
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_remote_proved"))
	var b strings.Builder
	for i := range flood {
		fmt.Fprintf(&b, "<db:result from='d%d.flood.example' to='corp.example'>k</db:result>", i)
	}
	write(t, c, "r", b.String())
	for refused := 0; refused < flood-8; {
		if strings.Contains(c.Next("r"), "<resource-constraint ") {
			refused++
		}
	}
	domains := map[string]bool{}
	for _, q := range s.names.Asked() {
		name, _, _ := strings.Cut(q, " ")
		for strings.HasPrefix(name, "_") {
			_, name, _ = strings.Cut(name, ".")
		}
		domains[name] = true
	}
	if len(domains) > 8 {
		t.Errorf("%d domains were looked up, want 8 at the most", len(domains))
	}
}
