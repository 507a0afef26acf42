package integration_test

import (
	"crypto/rand"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest/lab"
)

// interop is a laboratory in which real servers show the gate every certificate of the table, and the gate shows them two of its own:
//
//	inside    corp.example                  Prosody; the gate's certificate for it is marked for servers and clients
//	          conference.corp.example       the same; the gate's certificate for it is marked for servers only, as public authorities issue them
//	outside   *.any.prosody.example         Prosody, a virtual host with a certificate of its own for each case; TLS and dialback suffice
//	          *.strict.prosody.example      the same, of whom the gate asks a certificate that a trust anchor vouches for
//	          *.any.ejabberd.example, *.strict.ejabberd.example    ejabberd in the same way
//	          chain.any.pretend.example, …  what no real server can be brought to do
//	          list.lab.example              the authority's list of what it took back
type interop struct {
	*lab.Lab
	backend, gateHost *lab.Host
	dns               *lab.Bind
	here              *lab.Server
	peers             map[string]*lab.Server
	pretend           *lab.Pretend
	gate              *lab.Gate
	bobs              map[string]*lab.Client // by domain
}

// meetingTime is how long a message may take to arrive or to come back.
const meetingTime = 60 * time.Second

// ladder are what the gate asks of a peer, by the label in its domain.
var ladder = []string{"any", "strict"}

// meeting is one exchange of a row: somebody here and bob there, in one direction.
type meeting struct {
	row
	asked    string // of ladder
	domain   string // of the peer
	arrived  bool
	answered string // what the sender was told instead
}

// TestInterop: each row of docs/interop.md, with the servers that it names ([I01]–[I11], [S01]–[S08], W8).
func TestInterop(t *testing.T) {
	t.Parallel()
	w := newInterop(t)
	pat := w.Client(t, w.here, "pat")
	w.learnRevocation(t, pat)
	var met []*meeting
	for _, r := range interopTable() {
		for _, asked := range ladder {
			met = append(met, &meeting{row: r, asked: asked, domain: r.domain(asked)})
		}
	}
	w.meet(t, pat, met)
	events := w.gate.Audit(t)
	for _, m := range met {
		t.Run(strings.Join([]string{m.peer, m.show.name, m.direction, m.local, m.asked}, "/"), func(t *testing.T) { w.judge(t, m, events) })
	}
	w.gate.Stop(t)
	for _, bad := range []string{"panic:", "DATA RACE"} {
		if strings.Contains(w.gate.Log(), bad) {
			t.Errorf("the gate's log has %q", bad)
		}
	}
}

func newInterop(t *testing.T) *interop {
	t.Helper()
	w := &interop{Lab: lab.New(t), peers: make(map[string]*lab.Server), bobs: make(map[string]*lab.Client)}
	w.backend, w.gateHost = w.Host("backend", lab.Inside), w.Host("gate", lab.Inside, lab.Outside)
	hosts := map[string]*lab.Host{"list": w.Host("list", lab.Outside)}
	zones := []map[string][]string{lab.Zone(local, outer(w.gateHost, 5269), "conference"),
		{"lab.example": {lab.ListName + ". 5 IN A " + hosts["list"].Addr(lab.Outside).String()}}}
	sites := make(map[string][]lab.Site)
	for _, peer := range []string{"prosody", "ejabberd", "pretend"} {
		hosts[peer] = w.Host(peer, lab.Outside)
		for _, asked := range ladder {
			var labels []string
			for _, c := range shownBy(peer) {
				domain := c.domain(peer, asked)
				sites[peer] = append(sites[peer], lab.Site{Domain: domain, Cert: c.issue(t, w.CA(), domain)})
				label, _, _ := strings.Cut(ascii(t, domain), ".")
				labels = append(labels, label)
			}
			zones = append(zones, lab.Zone(asked+"."+peer+".example", outer(hosts[peer], 5269), labels...))
		}
	}
	w.dns = w.Bind(w.Host("dns", lab.Outside), zones...)
	w.RevocationList(hosts["list"])
	w.here = w.Backend(lab.Prosody, w.backend, w.gateHost.Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"pat"}})
	bobs := func(peer string) (users []string) {
		for _, s := range sites[peer] {
			users = append(users, "bob@"+s.Domain)
		}
		return users
	}
	w.peers["prosody"] = w.Prosody(hosts["prosody"], lab.Config{Domain: "prosody.example", Mode: lab.RequiredTLS, Users: bobs("prosody"), Sites: sites["prosody"],
		Lines: "log = { { levels = { min = \"debug\" }, to = \"file\", filename = \"/var/log/prosody/prosody.log\" } }\n"})
	w.peers["ejabberd"] = w.Ejabberd(hosts["ejabberd"], lab.Config{Domain: "ejabberd.example", Mode: lab.RequiredTLS, Users: bobs("ejabberd"), Sites: sites["ejabberd"]})
	chain := w.CA().Issue(t, lab.VictimInChain, sites["pretend"][0].Domain, sites["pretend"][1].Domain)
	w.pretend = w.Pretend(hosts["pretend"], lab.PretendConfig{TLS: &tls.Config{Certificates: []tls.Certificate{chain.TLS}}})
	w.gate = w.Gate(w.gateHost, w.config(t))
	w.Ready()
	return w
}

func outer(h *lab.Host, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(h.Addr(lab.Outside), port)
}

func ascii(t *testing.T, domain string) string {
	t.Helper()
	d, err := jid.ParseDomain(domain)
	if err != nil {
		t.Fatal(err)
	}
	return d.ASCII()
}

func (w *interop) config(t *testing.T) string {
	t.Helper()
	both, servers := w.CA().Issue(t, lab.Sound, local), w.CA().Issue(t, lab.ServerAuthOnly, rooms)
	return lab.GateLines(t, lab.Prosody, w.backend, w.gateHost.Addr(lab.Inside)) + strings.NewReplacer(
		"OUTSIDE", outer(w.gateHost, 5269).String(), "RESOLVER", w.dns.Addr.String(), "ROOT", w.CA().Root, "DIR", w.GateDir(w.gateHost),
		"BOTH", both.Chain, "SERVERS", servers.Chain, "KEY1", both.Key, "KEY2", servers.Key,
	).Replace(`
outside: {listen: ["OUTSIDE"], resolver: ["RESOLVER"], allow_private: true, posh: false}
federation: listed
peers:
  default: {channel: tls, proof: dialback}
  "*.any.prosody.example": {}
  "*.any.ejabberd.example": {}
  "*.any.pretend.example": {}
  "*.strict.prosody.example": {proof: pkix}
  "*.strict.ejabberd.example": {proof: pkix}
  "*.strict.pretend.example": {proof: pkix}
certs:
  store: DIR/certs
  files: [{cert: BOTH, key: KEY1}, {cert: SERVERS, key: KEY2}]
  roots: [ROOT]
  system_roots: false
`) + keeping(w.Lab, w.gateHost)
}

// keeping is what a gate's configuration says of its own folder.
func keeping(l *lab.Lab, gate *lab.Host) string {
	return strings.ReplaceAll(`
dialback: {secret_file: DIR/dialback.secret}
ratchet: {file: DIR/peers.json}
audit: {dir: DIR/audit}
admin: {socket: DIR/admin.sock}
policy: {timeout: 5s}
`, "DIR", l.GateDir(gate))
}

// learnRevocation lets the gate hear of the authority's list: it is fetched beside the path, so the first who shows a certificate that
// is in it is let through, and the second is not.
func (w *interop) learnRevocation(t *testing.T, pat *lab.Client) {
	t.Helper()
	first := shownBy("prosody")[0]
	if first.flaw != lab.Revoked {
		t.Fatal("the first case has to be the certificate that teaches the gate about the list")
	}
	to := "bob@" + first.domain("prosody", "any")
	for started := time.Now(); ; {
		pat.Send(t, "<message type='chat' id='%s' to='%s'><body>%s</body></message>", rand.Text(), to, rand.Text())
		if pat.Arrives(t, 500*time.Millisecond, func(s *lab.Stanza) bool { return s.Is("message", "error") && s.Attr("from") == to }) {
			return
		}
		if time.Since(started) > 10*time.Second {
			t.Fatal("the gate does not hear of the revocation")
		}
	}
}

// meet lets everybody talk, six with each peer at a time.
func (w *interop) meet(t *testing.T, pat *lab.Client, met []*meeting) {
	t.Helper()
	var all sync.WaitGroup
	turns := make(map[string]chan struct{})
	for _, m := range met {
		if turns[m.peer] == nil {
			turns[m.peer] = make(chan struct{}, 6)
		}
		bob := w.bob(t, m)
		all.Go(func() {
			turns[m.peer] <- struct{}{}
			defer func() { <-turns[m.peer] }()
			m.run(t, pat, bob)
		})
	}
	all.Wait()
}

// bob is who talks for the peer of a meeting.
func (w *interop) bob(t *testing.T, m *meeting) lab.User {
	t.Helper()
	if m.peer == "pretend" {
		return w.pretend.Person("bob@" + m.domain)
	}
	if w.bobs[m.domain] == nil {
		w.bobs[m.domain] = w.Client(t, w.peers[m.peer], "bob@"+m.domain)
	}
	return w.bobs[m.domain]
}

// run lets one of the two send a message to the other, or bob ask the rooms, and waits for what becomes of it.
func (m *meeting) run(t *testing.T, pat *lab.Client, bob lab.User) {
	id := rand.Text()
	var sender, receiver lab.User = pat, bob
	if m.direction == "in" {
		sender, receiver = bob, pat
	}
	if m.local == rooms {
		sender, receiver = bob, bob
	}
	come, back := make(chan bool, 1), make(chan string, 1)
	go func() {
		if receiver.Arrives(t, meetingTime, func(s *lab.Stanza) bool { return s.Body() == id || s.Is("iq", "result") && s.Attr("id") == id }) {
			come <- true
		}
	}()
	go func() {
		sender.Arrives(t, meetingTime, func(s *lab.Stanza) bool {
			if s.Attr("type") != "error" || s.Attr("id") != id {
				return false
			}
			back <- s.String()
			return true
		})
	}()
	person, pretend := sender.(*lab.Person)
	switch {
	case pretend:
		if err := person.Try(t, lab.Bare(receiver), id); err != nil {
			m.answered = err.Error()
			return
		}
	case m.local == rooms:
		sender.Send(t, "<iq type='get' id='%s' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", id, rooms)
	default:
		sender.Send(t, "<message type='chat' id='%s' to='%s'><body>%s</body></message>", id, lab.Bare(receiver), id)
	}
	select {
	case m.arrived = <-come:
	case m.answered = <-back:
	case <-time.After(meetingTime):
	}
}

// judge holds what became of a meeting against the table.
func (w *interop) judge(t *testing.T, m *meeting, events []map[string]any) {
	want, got := m.want(m.asked), outcome{}
	if m.arrived {
		got.proof, got.took = linkProof(events, m), w.took(m)
	} else if proof := linkProof(events, m); proof != "" {
		t.Errorf("a link stood, proved by %s, and nothing arrived", proof)
	} else if m.answered == "" {
		t.Errorf("%s: the sender was not told within %v", m.domain, meetingTime)
	} else if want == got && !refusedFor(events, m) {
		t.Errorf("%s: the record does not have why: %q, %q", m.domain, m.show.why, m.show.rule())
	}
	if got != want {
		t.Errorf("%s: got %+v, want %+v; what came back: %s", m.domain, got, want, m.answered)
	}
}

// refusedFor reports whether the record has the reason of a refusal: when we call, what is wrong with the certificate and the rule, and
// when we are called, the rule.
func refusedFor(events []map[string]any, m *meeting) bool {
	return slices.ContainsFunc(events, func(e map[string]any) bool {
		text, _ := e["error"].(string)
		if m.direction == "out" {
			return e["kind"] == "link.fail" && e["remote"] == m.domain && strings.Contains(text, m.show.why) && strings.Contains(text, m.show.rule())
		}
		return e["kind"] == "dialback.error" && e["from"] == m.domain && strings.Contains(text, m.show.rule())
	})
}

// linkProof is by what the peer proved itself on the link of the meeting's direction, as the record has it; "" without a link.
func linkProof(events []map[string]any, m *meeting) string {
	for _, e := range events {
		if link, ok := e["link"].(map[string]any); ok && e["kind"] == "link.open" && e["remote"] == m.domain && e["local"] == m.local && e["dir"] == m.direction && link["channel"] == "tls" { // the inner leg has none
			proof, _ := link["proof"].(string)
			return proof
		}
	}
	return ""
}

// took is how the peer's own log says that the two authenticated, for the initiating side.
func (w *interop) took(m *meeting) string {
	text := map[string]map[string]string{
		"prosody":  {"out": "PEER:saslauth\tinfo\tAccepting SASL EXTERNAL identity from LOCAL\n", "in": "PEER:saslauth\tdebug\tSASL EXTERNAL with LOCAL succeeded\n"},
		"ejabberd": {"out": "Accepted inbound s2s EXTERNAL authentication LOCAL -> PEER ", "in": "Accepted outbound s2s EXTERNAL authentication PEER -> LOCAL "},
	}[m.peer][m.direction]
	domain := m.domain
	if m.peer == "ejabberd" {
		domain = latin1(domain) // as it logs
	}
	if text != "" && strings.Contains(w.peers[m.peer].Log(), strings.NewReplacer("PEER", domain, "LOCAL", m.local).Replace(text)) {
		return "EXTERNAL"
	}
	return "dialback"
}

func latin1(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteByte(byte(r))
	}
	return b.String()
}
