package lab

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"
)

// TestLabSelf proves the laboratory without the gate: the three servers and an old-style one federate directly through
// BIND, people talk, and a capture sees who was in clear and who was not.
func TestLabSelf(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := New(t)
	names := l.Host("dns", Outside)
	p, e, j, g := l.Host("prosody", Outside), l.Host("ejabberd", Outside), l.Host("jabberd2", Outside), l.Host("google", Outside)
	at := func(h *Host) netip.AddrPort { return netip.AddrPortFrom(h.Addr(Outside), 5269) }
	zone := l.Bind(names,
		Zone("p.example", at(p), "conference"), Zone("e.example", at(e), "conference"),
		Zone("j.example", at(j), "conference"), Zone("g.example", at(g)))
	four := []string{"zero", "one", "two", "three"} // one account for each partner
	ps := l.Prosody(p, Config{Domain: "p.example", Mode: OptionalTLS, Users: four})
	es := l.Ejabberd(e, Config{Domain: "e.example", Mode: OptionalTLS, Users: four})
	js := l.Jabberd2(j, Config{Domain: "j.example", Users: four})
	gs := l.GoogleTalkLike(g, "g.example")
	captures := map[*Host]*Capture{p: l.Capture(p, Outside), j: l.Capture(j, Outside)}
	l.Ready()
	t.Logf("the laboratory is up after %v", time.Since(began).Round(10*time.Millisecond))

	user := func(site, partner int) User {
		if site == 3 {
			return gs.Person(four[partner] + "@g.example")
		}
		return l.Client(t, []*Server{ps, es, js}[site], four[partner])
	}
	domains := []string{"p.example", "e.example", "j.example", "g.example"}
	for i := range domains {
		for j := i + 1; j < len(domains); j++ {
			a, b := user(i, j), user(j, i)
			Message(t, a, b)
			Message(t, b, a)
			Subscribe(t, a, b)
			Subscribe(t, b, a)
			for _, q := range Queries() {
				Ask(t, a, domains[j], q)
				Ask(t, b, domains[i], q)
			}
			GroupChat(t, "conference."+domains[i], a, b)
			if j < 3 {
				GroupChat(t, "conference."+domains[j], b, a)
			}
		}
	}
	t.Logf("everybody has talked after %v", time.Since(began).Round(10*time.Millisecond))

	secret, open := captures[p].Stop(t), captures[j].Stop(t)
	records := 0
	for _, f := range secret.With(e.Addr(Outside)) {
		if exposed := f.Exposed(); exposed != "" {
			t.Errorf("Prosody and ejabberd were in clear on %s: %.300s", f, exposed)
		}
		records += len(f.Data) - len(f.Clear())
	}
	if records == 0 {
		t.Error("the capture has no TLS between Prosody and ejabberd")
	}
	canaries := 0
	for _, f := range open.With(g.Addr(Outside)) {
		canaries += bytes.Count(f.Data, []byte(Canary))
		if len(f.Data) > 0 && f.Exposed() == "" {
			t.Errorf("jabberd2 and the old server were not in clear on %s: %.300s", f, f.Data)
		}
	}
	if canaries == 0 {
		t.Error("the capture has none of the messages between jabberd2 and the old server")
	}
	if len(secret.Asked("e.example")) == 0 || len(secret.Asked("nobody.example")) != 0 || !zone.Asked("e.example") {
		t.Errorf("the DNS questions are wrong: %v", secret.Questions)
	}
}

// TestGateway: somebody with Jabber and somebody with IRC alone talk in a room of the IRC network.
func TestGateway(t *testing.T) {
	t.Parallel()
	l := New(t)
	h := l.Host("backend", Outside)
	server := l.Prosody(h, Config{Domain: "p.example", Users: []string{"romeo"}, Gateway: "irc.p.example"})
	irc := l.Biboumi(server, "irc.p.example")
	l.Ready()
	romeo, mercutio := l.Client(t, server, "romeo"), l.IRCUser(t, irc, "mercutio", "#verona")
	room := "#verona%" + IRCServer + "@irc.p.example"
	romeo.Send(t, "<presence to='%s/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room)
	mercutio.Expect(t, "romeo")
	romeo.Send(t, "<message type='groupchat' to='%s'><body>%s</body></message>", room, Canary)
	mercutio.Expect(t, Canary)
	mercutio.Say(t, "#verona", "a plague o' both your houses")
	romeo.Expect(t, "mercutio's word", func(s *Stanza) bool {
		return s.Is("message", "groupchat") && s.Attr("from") == room+"/mercutio" && s.Body() == "a plague o' both your houses"
	})
}

// TestNoWayOut: a host of the laboratory reaches its own wire and nothing else.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	l := New(t)
	backend, peer, gate := l.Host("backend", Inside), l.Host("peer", Outside), l.Host("gate", Inside, Outside)
	for _, h := range []*Host{peer, gate} {
		ln, err := h.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), 5269))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
	tests := map[string]struct {
		from    *Host
		to      netip.Addr
		reaches bool
	}{
		"backend to gate":           {backend, gate.Addr(Inside), true},
		"peer to gate":              {peer, gate.Addr(Outside), true},
		"gate to peer":              {gate, peer.Addr(Outside), true},
		"backend to peer":           {backend, peer.Addr(Outside), false},
		"backend to gate's outside": {backend, gate.Addr(Outside), false},
		"peer to backend":           {peer, backend.Addr(Inside), false},
		"peer to the world":         {peer, netip.MustParseAddr("198.51.100.1"), false},
	}
	for name, test := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		conn, err := test.from.Dial(ctx, "tcp", netip.AddrPortFrom(test.to, 5269).String())
		cancel()
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != test.reaches {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestModes: Prosody and ejabberd, both in each mode, reach each other, in clear only where the mode says so.
func TestModes(t *testing.T) {
	t.Parallel()
	for mode, clear := range map[Mode]bool{Plain: true, RequiredTLS: false, Certified: false} {
		t.Run([]string{"plain", "optional TLS", "required TLS", "certified"}[mode], func(t *testing.T) {
			t.Parallel()
			l := New(t)
			p, e := l.Host("prosody", Outside), l.Host("ejabberd", Outside)
			l.Bind(l.Host("dns", Outside),
				Zone("p.example", netip.AddrPortFrom(p.Addr(Outside), 5269)), Zone("e.example", netip.AddrPortFrom(e.Addr(Outside), 5269)))
			ps := l.Prosody(p, Config{Domain: "p.example", Mode: mode})
			es := l.Ejabberd(e, Config{Domain: "e.example", Mode: mode})
			capture := l.Capture(p, Outside)
			l.Ready()
			ps.AddUser(t, "alice")
			es.AddUser(t, "bob")
			alice, bob := l.Client(t, ps, "alice"), l.Client(t, es, "bob")
			Message(t, alice, bob)
			Message(t, bob, alice)
			seen := false
			for _, f := range capture.Stop(t).With(e.Addr(Outside)) {
				seen = seen || bytes.Contains(f.Data, []byte(Canary))
			}
			if seen != clear {
				t.Errorf("the messages were in clear: %t, want %t", seen, clear)
			}
		})
	}
}
