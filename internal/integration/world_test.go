// Package integration_test lets real servers talk to each other through the gate.
//
// One world for each backend that docs/backends has a page for, all with the same internet outside:
//
//	inside    corp.example, conference.corp.example    jabberd2, Prosody or ejabberd, as its page says
//	gate      the sallyport program, between the two wires
//	outside   partner.example     Prosody, wants TLS and a certificate
//	          ally.example        ejabberd, wants TLS, takes dialback
//	          old.example         in the manner of the old Google Talk; policy admits its plaintext
//	          stubborn.example    as old, but policy does not admit it
//	          liar.example        offers TLS and shows a certificate for somebody else
//	          tarpit.example      accepts connections and says nothing
//	          abyss.example       the same, for another test
//	          closed.example      has DNS records, and nobody listens
//	          nowhere.example     has no DNS records
//	          rival.example       a good server that no policy mentions
//	          mallory             no domain of its own: says that it is partner.example
//
// A capture on the gate's outer leg runs all the time, and is judged at the end.
package integration_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

const (
	local = "corp.example"
	rooms = "conference.corp.example"
)

// outsiders are the hosts on the outer wire, each with the domain of its name.
var outsiders = []string{"partner", "ally", "old", "stubborn", "liar", "tarpit", "abyss", "closed", "rival", "mallory"}

// employees are the accounts at corp.example: one for each peer and purpose, since ejabberd limits presence per user.
var employees = []string{"pat", "alan", "olga", "bounced", "rita", "greta"}

// world is one laboratory with a gate in it.
type world struct {
	*lab.Lab
	kind    lab.Kind
	hosts   map[string]*lab.Host
	dns     *lab.Bind
	backend *lab.Server
	gate    *lab.Gate
	partner *lab.Server
	ally    *lab.Server
	pretend map[string]*lab.Pretend // by host
	config  string                  // the gate's
	wire    *lab.Capture            // the gate's outer leg
	inner   *lab.Capture            // its inner leg
}

// newWorld starts everything, in the background where it takes time, and waits until all of it is there.
func newWorld(t *testing.T, kind lab.Kind) *world {
	t.Helper()
	w := &world{Lab: lab.New(t), kind: kind, hosts: make(map[string]*lab.Host), pretend: make(map[string]*lab.Pretend)}
	w.hosts["backend"] = w.Host("backend", lab.Inside)
	w.hosts["gate"] = w.Host("gate", lab.Inside, lab.Outside)
	zones := []map[string][]string{lab.Zone(local, w.outside("gate"), "conference")}
	for _, name := range outsiders {
		w.hosts[name] = w.Host(name, lab.Outside)
		if name != "mallory" {
			zones = append(zones, lab.Zone(name+".example", w.outside(name)))
		}
	}
	w.dns = w.Bind(w.Host("dns", lab.Outside), zones...)
	w.backend = w.Backend(kind, w.hosts["backend"], w.hosts["gate"].Addr(lab.Inside), lab.Config{Domain: local, Users: employees})
	w.partner = w.Prosody(w.hosts["partner"], lab.Config{Domain: "partner.example", Mode: lab.Certified, Users: []string{"bob"}})
	w.ally = w.Ejabberd(w.hosts["ally"], lab.Config{Domain: "ally.example", Mode: lab.RequiredTLS, Users: []string{"bob"}})
	w.pretend["old"] = w.GoogleTalkLike(w.hosts["old"], "old.example")
	w.pretend["stubborn"] = w.GoogleTalkLike(w.hosts["stubborn"], "stubborn.example")
	for name, c := range map[string]lab.PretendConfig{
		"liar":    {Domain: "liar.example", TLS: w.identity(t, lab.WrongName, "liar.example")},
		"tarpit":  {Domain: "tarpit.example", Silent: true},
		"abyss":   {Domain: "abyss.example", Silent: true},
		"rival":   {Domain: "rival.example", TLS: w.identity(t, lab.Sound, "rival.example")},
		"mallory": {TLS: w.identity(t, lab.SelfSigned, "partner.example")},
	} {
		w.pretend[name] = w.Pretend(w.hosts[name], c)
	}
	w.wire, w.inner = w.Capture(w.hosts["gate"], lab.Outside), w.Capture(w.hosts["gate"], lab.Inside)
	w.config = w.gateConfig(t)
	w.gate = w.Gate(w.hosts["gate"], w.config)
	w.Ready()
	return w
}

func (w *world) identity(t *testing.T, flaw lab.Flaw, domain string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{w.CA().Issue(t, flaw, domain).TLS}}
}

// outside is where the host of that name takes streams.
func (w *world) outside(name string) netip.AddrPort {
	return netip.AddrPortFrom(w.hosts[name].Addr(lab.Outside), 5269)
}

// gateConfig is the gate's configuration: what the backend's page says, and the world outside. Policy has more time than the
// usual 100 ms: three worlds on two cores can keep the gate waiting for a core that long, and late means no.
func (w *world) gateConfig(t *testing.T) string {
	t.Helper()
	gate, dir := w.hosts["gate"], w.GateDir(w.hosts["gate"])
	cert := w.CA().Issue(t, lab.ServerAuthOnly, local, rooms)
	return lab.GateLines(t, w.kind, w.hosts["backend"], gate.Addr(lab.Inside)) + strings.NewReplacer(
		"OUTSIDE", w.outside("gate").String(),
		"RESOLVER", w.dns.Addr.String(),
		"CERT", cert.Chain, "KEY", cert.Key, "ROOT", w.CA().Root,
		"DIR", dir, "SOCKET", filepath.Join(dir, "admin.sock"),
	).Replace(`
outside:
  listen: ["OUTSIDE"]
  resolver: ["RESOLVER"]
  allow_private: true
federation: listed
peers:
  default: {channel: tls, proof: dialback}
  partner.example: {proof: pkix}
  ally.example: {}
  old.example: {channel: plaintext, until: 2099-12-31}
  stubborn.example: {}
  liar.example: {proof: pkix}
  tarpit.example: {}
  abyss.example: {}
  closed.example: {}
  nowhere.example: {}
certs:
  store: DIR/certs
  files: [{cert: CERT, key: KEY}]
  roots: [ROOT]
  system_roots: false
dialback: {secret_file: DIR/dialback.secret}
ratchet: {file: DIR/peers.json}
audit: {dir: DIR/audit, durability: sync, on_failure: refuse}
admin: {socket: SOCKET}
limits: {queue_age: 30s}
policy: {timeout: 5s}
`)
}

// peer is somebody outside with whom corp.example may talk.
type peer struct {
	name, domain string
	local        string // who talks at corp.example
	user         func(t *testing.T) lab.User
	plaintext    bool
}

func (w *world) peers() []peer {
	at := func(s *lab.Server) func(*testing.T) lab.User {
		return func(t *testing.T) lab.User { return w.Client(t, s, "bob") }
	}
	return []peer{
		{name: "prosody", domain: "partner.example", local: "pat", user: at(w.partner)},
		{name: "ejabberd", domain: "ally.example", local: "alan", user: at(w.ally)},
		{name: "google", domain: "old.example", local: "olga", plaintext: true,
			user: func(*testing.T) lab.User { return w.pretend["old"].Person("bob@old.example") }},
	}
}

// each runs a subtest for every peer, with both people logged in.
func (w *world) each(t *testing.T, f func(t *testing.T, p peer, local, remote lab.User)) {
	for _, p := range w.peers() {
		t.Run(fmt.Sprintf("%s as %s", p.domain, p.name), func(t *testing.T) {
			f(t, p, w.Client(t, w.backend, p.local), p.user(t))
		})
	}
}
