package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"sallyport/internal/peer"
)

// pretendGate is as much of a gate as the demo can see, glued together from two pretend servers. Its fault, if any, is what a
// gate must not do.
type pretendGate struct {
	fault           string
	dir             string
	inside, outside *peer.Server
	names           *peer.Names
	config          string

	mu      sync.Mutex
	ids     map[string]string // ours on the far side, by the sender's
	held    *peer.Stanza
	faulted bool
	links   []Link
	record  *os.File
}

func startPretendGate(ctx context.Context, path, fault string) (*pretendGate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := &pretendGate{fault: fault, dir: filepath.Dir(path), config: string(text), ids: make(map[string]string)}
	if err := os.MkdirAll(filepath.Join(g.dir, "audit"), 0o755); err != nil {
		return nil, err
	}
	if g.record, err = os.Create(filepath.Join(g.dir, "audit", "00000001.jsonl")); err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(g.dir, "corp.pem"), filepath.Join(g.dir, "corp.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	ca, _ := os.ReadFile(filepath.Join(g.dir, "ca.pem"))
	roots.AppendCertsFromPEM(ca)
	if g.names, err = peer.ListenNames(g.value("dns: "), map[string]string{"*": g.value("  listen: ")}); err != nil {
		return nil, err
	}
	if g.inside, err = (peer.Legacy{Domains: []string{"*"}, Listen: g.value("  listen: "), Verify: peer.OverSeparate,
		Directory: peer.Directory{Routes: map[string]string{"*": g.value("address: ")}},
		Hooks:     peer.Hooks{Receive: func(st peer.Stanza) { g.carry("out", st) }, Watch: g.watch("inside", "plaintext", "dialback")}}).Start(ctx); err != nil {
		return nil, err
	}
	proof := "pkix"
	if fault == "proves nothing" {
		proof = "none"
	}
	g.outside, err = (peer.Modern{Domains: []string{corp}, Listen: g.value("listen: ["), Certificate: cert, Roots: roots, External: true,
		Directory: peer.Directory{Routes: map[string]string{partner: g.value("route: \"")}, DNS: g.value("resolver: [")},
		Hooks:     peer.Hooks{Receive: func(st peer.Stanza) { g.carry("in", st) }, Watch: g.watch("outside", "tls", proof), Admit: g.admit}}).Start(ctx)
	return g, err
}

// value finds an address in the configuration behind the first occurrence of a key.
func (g *pretendGate) value(key string) string {
	return regexp.MustCompile(regexp.QuoteMeta(key) + `([\d.:]+)`).FindStringSubmatch(g.config)[1]
}

func (g *pretendGate) watch(door, channel, proof string) func(peer.LinkEvent) {
	return func(e peer.LinkEvent) {
		if !e.Up || e.Pair.Remote == rival || e.Pair.Local == rival {
			return
		}
		l := Link{Door: door, Kind: "out", Pairs: []string{e.Pair.Local + " → " + e.Pair.Remote}, State: "up", Channel: channel, Proof: proof}
		if e.Inbound {
			l.Kind, l.Pairs[0] = "in", e.Pair.Remote+" → "+e.Pair.Local
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.links = append(g.links, l)
	}
}

// admit refuses the whole domain that no policy lists, unless the fault is to pass everything.
func (g *pretendGate) admit(p peer.Pair) error {
	if p.Remote != rival || g.fault == "passes everything" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintf(g.record, "{\"kind\":\"link.deny\",\"remote\":%q}\n", p.Remote)
	return errors.New("federation is not allowed")
}

// carry judges, records, and passes on.
func (g *pretendGate) carry(dir string, st peer.Stanza) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reason := judge(st)
	first := func(fault string, here bool) bool { // the fault, once
		here = here && g.fault == fault && !g.faulted
		g.faulted = g.faulted || here
		return here
	}
	hello := strings.Contains(st.Body, "Hello Bob")
	if first("refuses a message", hello) {
		reason = "a mistake"
	}
	if g.fault == "passes everything" {
		reason = ""
	}
	if g.fault != "records nothing" && !first("forgets one", hello) {
		g.note(st, reason)
	}
	g.misbehave(st)
	switch {
	case first("loses a message", hello):
	case reason != "":
		g.refuse(dir, st, reason)
	case first("reorders", strings.HasPrefix(st.Body, "1 of")):
		g.held = &st
	default:
		g.pass(dir, st)
		if first("repeats", hello) {
			g.pass(dir, st)
		}
		if g.held != nil {
			g.pass(dir, *g.held)
			g.held = nil
		}
	}
}

func judge(st peer.Stanza) string {
	switch {
	case strings.Contains(st.From+st.To, rival):
		return "not listed"
	case strings.Contains(st.From+st.To, "board@"):
		return "internal"
	case strings.Contains(strings.ToLower(st.Body), "confidential"):
		return "What is marked confidential does not leave corp.example."
	}
	return ""
}

// misbehave does what a listener outside, or a rival, would notice.
func (g *pretendGate) misbehave(st peer.Stanza) {
	if g.faulted || !strings.Contains(st.To, rival) {
		return
	}
	say := func(addr, words string) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			fmt.Fprint(conn, words)
			buf := make([]byte, 1)
			conn.Read(buf) // the relay has seen our words when the other side answers
			conn.Close()
		}
	}
	switch g.fault {
	case "speaks in clear":
		g.faulted = true
		say(g.value("route: \""), "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'><message to='bob@partner.example'/>")
	case "calls rival":
		g.faulted = true
		g.outside.Open(context.Background(), peer.Pair{Local: corp, Remote: rival})
	case "asks for rival":
		g.faulted = true
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", g.value("resolver: ["))
		}}
		resolver.LookupSRV(context.Background(), "xmpp-server", "tcp", rival)
	}
}

func (g *pretendGate) pass(dir string, st peer.Stanza) {
	to := map[string]*peer.Server{"in": g.inside, "out": g.outside}[dir]
	to.User(st.From).Submit(st)
}

func (g *pretendGate) refuse(dir string, st peer.Stanza, reason string) {
	if st.Kind == "presence" {
		return
	}
	back := map[string]*peer.Server{"out": g.inside, "in": g.outside}[dir]
	back.User(st.To).Submit(peer.Stanza{Kind: st.Kind, Type: "error", ID: st.ID, From: st.To, To: st.From, Inner: "<error type='cancel'>" +
		"<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>" + reason + "</text></error>"})
}

func (g *pretendGate) note(st peer.Stanza, reason string) {
	var e entry
	e.Kind, e.From, e.Stanza.ID, e.Decision.Effect = "stanza", st.From, st.ID, "allow"
	if reason != "" {
		e.Decision.Effect = "deny"
	}
	line, _ := json.Marshal(e)
	fmt.Fprintf(g.record, "%s\n", line)
}

func (g *pretendGate) Status(context.Context) (StatusView, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return StatusView{Links: append([]Link(nil), g.links...)}, nil
}

func (g *pretendGate) VerifyRecord(context.Context) (RecordView, error) {
	if g.fault == "breaks the record" {
		return RecordView{Problem: "00000001.jsonl:3: seq 4 follows 2"}, nil
	}
	return RecordView{Events: 1}, nil
}

func (g *pretendGate) Stop() error {
	return errors.Join(g.inside.Close(), g.outside.Close(), g.names.Close(), g.record.Close())
}
