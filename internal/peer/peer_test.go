package peer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/peer"
)

const (
	left  = "left.example"
	right = "right.example"
)

// pair is two servers that find each other through a pretend DNS.
type pair struct{ left, right *peer.Server }

// world starts a pretend DNS.
func world(t *testing.T) *peer.Names {
	t.Helper()
	names, err := peer.ListenNames("", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	return names
}

// legacies starts two legacy servers of one kind.
func legacies(t *testing.T, kind peer.Legacy) pair {
	t.Helper()
	names := world(t)
	return pair{startLegacy(t, names, left, kind), startLegacy(t, names, right, kind)}
}

func startLegacy(t *testing.T, names *peer.Names, domain string, l peer.Legacy) *peer.Server {
	t.Helper()
	l.Domains, l.Directory = []string{domain}, peer.Directory{DNS: names.Addr}
	s, err := l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	names.Set(domain, s.Addr())
	return s
}

// moderns starts two modern servers under one authority, with a tap before each.
func moderns(t *testing.T, external bool) (pair, []*peer.Tap) {
	t.Helper()
	ca, names := authority(t), world(t)
	p := pair{
		left:  startModern(t, ca, names, peer.Modern{Domains: []string{left}, External: external}),
		right: startModern(t, ca, names, peer.Modern{Domains: []string{right}, External: external}),
	}
	taps := []*peer.Tap{newTap(t, p.left.Addr()), newTap(t, p.right.Addr())}
	names.Set(left, taps[0].Addr())
	names.Set(right, taps[1].Addr())
	return p, taps
}

func authority(t *testing.T) *peer.Authority {
	t.Helper()
	ca, err := peer.NewAuthority("Test authority")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func startModern(t *testing.T, ca *peer.Authority, names *peer.Names, m peer.Modern) *peer.Server {
	t.Helper()
	id, err := ca.Issue(m.Domains...)
	if err != nil {
		t.Fatal(err)
	}
	m.Certificate, m.Roots, m.Directory.DNS = id.TLS, ca.Pool(), names.Addr
	s, err := m.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	names.Set(m.Domains[0], s.Addr())
	return s
}

func newTap(t *testing.T, target string) *peer.Tap {
	t.Helper()
	tap, err := peer.NewTap("", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tap.Close() })
	return tap
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func receive(t *testing.T, u *peer.User) peer.Stanza {
	t.Helper()
	st, err := u.Receive(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// converse sends a message, presence and an iq each way and wants all of it to arrive.
func converse(t *testing.T, p pair) {
	t.Helper()
	alice, bob := p.left.User("alice"), p.right.User("bob")
	for _, way := range []struct{ from, to *peer.User }{{alice, bob}, {bob, alice}} {
		body := "5 > 4 & it's \"true\" – ünïcode"
		id, err := way.from.Send(way.to.Address, body)
		if err != nil {
			t.Fatal(err)
		}
		if st := receive(t, way.to); st.ID != id || st.Body != body || st.From != way.from.Address {
			t.Errorf("%s received %+v, want message %s", way.to.Address, st, id)
		}
		if _, err := way.from.Presence(way.to.Address, "subscribe"); err != nil {
			t.Fatal(err)
		}
		if st := receive(t, way.to); st.Kind != "presence" || st.Type != "subscribe" {
			t.Errorf("%s received %+v, want a subscription", way.to.Address, st)
		}
		if st, err := way.from.Ping(within(t), way.to.Address); err != nil || st.Type != "result" {
			t.Errorf("ping from %s: %+v, %v", way.from.Address, st, err)
		}
		if st, err := way.from.Version(within(t), way.to.Address); err != nil || !strings.Contains(st.Inner, "<name>") {
			t.Errorf("version for %s: %+v, %v", way.from.Address, st, err)
		}
	}
}

// TestLegacy lets each kind of legacy server find its own kind by SRV and talk to it, over dialback in clear.
func TestLegacy(t *testing.T) {
	t.Parallel()
	for _, kind := range []peer.Legacy{
		{}, {Named: true}, {Version: true}, {Version: true, Named: true},
		{Verify: peer.OverSeparate}, {Version: true, Named: true, Verify: peer.OverSeparate},
	} {
		t.Run(fmt.Sprintf("version=%v named=%v verify=%d", kind.Version, kind.Named, kind.Verify), func(t *testing.T) {
			t.Parallel()
			converse(t, legacies(t, kind))
		})
	}
}

func TestRoutesSkipDNS(t *testing.T) {
	t.Parallel()
	names := world(t)
	other := startLegacy(t, names, right, peer.Legacy{})
	s, err := peer.Legacy{Domains: []string{left}, Directory: peer.Directory{Routes: map[string]string{"*": other.Addr()}}}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names.Set(left, s.Addr())
	converse(t, pair{s, other})
	if n := names.Asked(right); n != 0 {
		t.Errorf("DNS was asked %d times for a domain that has a route", n)
	}
	if n := names.Asked(left); n == 0 {
		t.Error("DNS was not asked for a domain that has none")
	}
}

func TestModern(t *testing.T) {
	t.Parallel()
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("external=%v", external), func(t *testing.T) {
			t.Parallel()
			p, taps := moderns(t, external)
			converse(t, p)
			for _, tap := range taps {
				c := tap.Crossed()
				if c.Exposed != 0 || c.Secured < 1000 || c.Clear == 0 {
					t.Errorf("the wire showed %+v, want nothing exposed", c)
				}
				if external && c.Connections != 1 {
					t.Errorf("%d connections, want one: EXTERNAL asks nobody", c.Connections)
				}
				if !external && c.Connections < 2 {
					t.Errorf("%d connections, want a stream and a question: dialback asks the authoritative server", c.Connections)
				}
			}
		})
	}
}

func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	p := legacies(t, peer.Legacy{})
	bob := p.right.User("bob")
	for i := range 300 {
		if _, err := p.left.User("alice").Send(bob.Address, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		if st := receive(t, bob); st.Body != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, st.Body)
		}
	}
	if got := p.right.Stats(); got.Received != 300 || p.left.Stats().Sent != 300 {
		t.Errorf("sent %d, received %d, want 300", p.left.Stats().Sent, got.Received)
	}
}

func TestUnknownUserBounces(t *testing.T) {
	t.Parallel()
	p := legacies(t, peer.Legacy{})
	alice := p.left.User("alice")
	id, _ := alice.Send("nobody@"+right, "Hello?")
	if st := receive(t, alice); st.ID != id || st.Error == nil || st.Error.Condition != "service-unavailable" || st.Error.By != right {
		t.Errorf("received %+v %+v, want a bounce", st, st.Error)
	}
	if n := p.left.Stats().Errors["service-unavailable"]; n != 1 {
		t.Errorf("%d errors counted, want 1", n)
	}
}

// TestModernHoldsOut sends from a modern server to one that has no TLS, one with a certificate of nobody, and to no address.
func TestModernHoldsOut(t *testing.T) {
	t.Parallel()
	ca, names := authority(t), world(t)
	startLegacy(t, names, "plain.example", peer.Legacy{Version: true, Named: true})
	forged := startModern(t, authority(t), names, peer.Modern{Domains: []string{"forged.example"}})
	names.Set("odd.example", forged.Addr())
	names.Set("dead.example", "127.0.0.1:1")
	s := startModern(t, ca, names, peer.Modern{Domains: []string{"strict.example"}})
	for domain, want := range map[string]string{
		"plain.example":  "offers no TLS",
		"odd.example":    "stream error host-unknown",
		"forged.example": "certificate signed by unknown authority",
		"dead.example":   "connection refused",
		"void.example":   "has no address",
	} {
		t.Run(domain, func(t *testing.T) {
			t.Parallel()
			user := s.User("user-" + domain)
			id, _ := user.Send("bob@"+domain, "secret")
			st := receive(t, user)
			if st.ID != id || st.Error == nil || st.Error.Condition != "remote-server-timeout" || !strings.Contains(st.Error.Text, want) {
				t.Errorf("received %+v %+v, want a bounce that says %q", st, st.Error, want)
			}
		})
	}
}

// script plays a peer by hand: lines that begin with > are sent, others must be found in what comes, in order.
func script(t *testing.T, addr string, lines ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	for _, line := range lines {
		if sent, ok := strings.CutPrefix(line, ">"); ok {
			fmt.Fprint(conn, sent)
			continue
		}
		var seen strings.Builder
		for !strings.Contains(seen.String(), line) {
			b, err := in.ReadByte()
			if err != nil {
				t.Fatalf("waiting for %q after %q: %v", line, seen.String(), err)
			}
			seen.WriteByte(b)
		}
	}
}

const opening = "><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' from='right.example' to='left.example' version='1.0'>"

// TestForgedKey shows a key that the authoritative server does not know: the result is invalid and the stream ends, XEP-0220
// §2.2.1.
func TestForgedKey(t *testing.T) {
	t.Parallel()
	p := legacies(t, peer.Legacy{Version: true, Named: true})
	alice := p.left.User("alice")
	script(t, p.left.Addr(), opening, "</stream:features>",
		"><message from='bob@right.example' to='alice@left.example'><body>unproved</body></message>",
		"><db:result from='right.example' to='left.example'>forged</db:result>",
		"type='invalid'", "not-authorized", "</stream:stream>")
	if n := p.left.Stats().Received; n != 0 {
		t.Errorf("%d stanzas of an unproved pair were taken", n)
	}
	// The server goes on serving others.
	if _, err := p.right.User("bob").Send(alice.Address, "real"); err != nil {
		t.Fatal(err)
	}
	if st := receive(t, alice); st.Body != "real" {
		t.Errorf("received %+v", st)
	}
}

// TestUnaskedAnswers are answers of dialback that nobody asked for, ABUSE 1: they prove nothing.
func TestUnaskedAnswers(t *testing.T) {
	t.Parallel()
	p := legacies(t, peer.Legacy{Version: true, Named: true})
	script(t, p.left.Addr(), opening, "</stream:features>",
		"><db:result from='right.example' to='left.example' type='valid'/>",
		"><db:verify from='right.example' to='left.example' id='x' type='valid'/>",
		"><message from='bob@right.example' to='alice@left.example'/>",
		"><db:verify from='right.example' to='elsewhere.example' id='x'>k</db:verify>", "type='error'", "item-not-found",
		"></stream:stream>", "</stream:stream>")
	if n := p.left.Stats().Received; n != 0 {
		t.Errorf("%d stanzas of an unproved pair were taken", n)
	}
}

// TestModernTakesNothingInClear offers a key, a question and a stanza before TLS, ABUSE 13.
func TestModernTakesNothingInClear(t *testing.T) {
	t.Parallel()
	p, _ := moderns(t, true)
	for _, early := range []string{
		"<db:result from='right.example' to='left.example'>k</db:result>",
		"<db:verify from='right.example' to='left.example' id='x'>k</db:verify>",
		"<message from='bob@right.example' to='alice@left.example'/>",
		"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
	} {
		script(t, p.left.Addr(), opening, "<required/>", ">"+early, "policy-violation", "</stream:stream>")
	}
	script(t, p.left.Addr(), opening, "<required/>", "><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message/>", "<proceed")
}

func TestTakeHandsOverFromTheFirstStanza(t *testing.T) {
	t.Parallel()
	first := make(chan string, 2)
	p := legacies(t, peer.Legacy{Hooks: peer.Hooks{Take: func(p peer.Pair, c net.Conn) {
		buf := make([]byte, len("<message id='0'"))
		io.ReadFull(c, buf)
		first <- string(buf)
	}}})
	p.left.User("alice").Submit(peer.Stanza{Kind: "message", ID: "0", To: "bob@" + right})
	if got := <-first; got != "<message id='0'" {
		t.Errorf("the connection begins with %q", got)
	}
}

func TestAdmitRefusesAPair(t *testing.T) {
	t.Parallel()
	p := legacies(t, peer.Legacy{Hooks: peer.Hooks{Admit: func(p peer.Pair) error {
		if p.Local == right {
			return errors.New("not today")
		}
		return nil
	}}})
	alice := p.left.User("alice")
	alice.Send("bob@"+right, "Hello")
	if st := receive(t, alice); st.Error == nil || !strings.Contains(st.Error.Text, "stream error policy-violation: not today") {
		t.Errorf("received %+v %+v, want a bounce with the stream error", st, st.Error)
	}
}

func TestWatchTellsHowALinkEnded(t *testing.T) {
	t.Parallel()
	events := make(chan peer.LinkEvent, 8)
	p := legacies(t, peer.Legacy{Hooks: peer.Hooks{Watch: func(e peer.LinkEvent) {
		if !e.Inbound && e.Pair.Local == left {
			events <- e
		}
	}}})
	link, err := p.left.Open(within(t), peer.Pair{Local: left, Remote: right})
	if err != nil {
		t.Fatal(err)
	}
	if up := <-events; !up.Up || up.Pair.Remote != right {
		t.Errorf("first event %+v, want the link up", up)
	}
	if n, err := link.Write([]byte("<message from='a@left.example' to='nobody@elsewhere.example'/>")); n == 0 || err != nil {
		t.Errorf("writing: %d, %v", n, err)
	}
	link.Close()
	if down := <-events; down.Up || down.Err == nil {
		t.Errorf("last event %+v, want the end", down)
	}
}
