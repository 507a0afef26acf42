package integration_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest/lab"
)

// prosodyTwoWays has Prosody's own module for streams that carry both ways, and what the test reads in its log.
const prosodyTwoWays = `modules_enabled = { "disco", "roster", "saslauth", "tls", "dialback", "limits", "smacks", "ping", "posix", "s2s_bidi" }
log = { { levels = { min = "debug" }, to = "file", filename = "/var/log/prosody/prosody.log" } }
`

// TestStreamExtensions: acknowledgements (XEP-0198) and streams that carry both ways (XEP-0288), with Prosody's modules for both:
//
//	inside    corp.example       Prosody
//	outside   partner.example    Prosody as it is shipped: it acknowledges, and opens a stream for each way
//	          twoways.example    Prosody that does both
func TestStreamExtensions(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	backend, gateHost := l.Host("backend", lab.Inside), l.Host("gate", lab.Inside, lab.Outside)
	one, two := l.Host("partner", lab.Outside), l.Host("twoways", lab.Outside)
	dns := l.Bind(l.Host("dns", lab.Outside), lab.Zone(local, outer(gateHost, 5269)), lab.Zone("partner.example", outer(one, 5269)), lab.Zone("twoways.example", outer(two, 5269)))
	here := l.Backend(lab.Prosody, backend, gateHost.Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"pat", "alan"}})
	partner := l.Prosody(one, lab.Config{Domain: "partner.example", Mode: lab.Certified, Users: []string{"bob"}})
	twoways := l.Prosody(two, lab.Config{Domain: "twoways.example", Mode: lab.Certified, Users: []string{"bob"}, Lines: prosodyTwoWays})
	cert := l.CA().Issue(t, lab.Sound, local, rooms)
	gate := l.Gate(gateHost, lab.GateLines(t, lab.Prosody, backend, gateHost.Addr(lab.Inside))+strings.NewReplacer(
		"OUTSIDE", outer(gateHost, 5269).String(), "RESOLVER", dns.Addr.String(), "CERT", cert.Chain, "KEY", cert.Key, "ROOT", l.CA().Root, "DIR", l.GateDir(gateHost),
	).Replace(`
outside: {listen: ["OUTSIDE"], resolver: ["RESOLVER"], allow_private: true, bidi: true}
federation: listed
peers: {default: {proof: pkix}, partner.example: {}, twoways.example: {}}
certs: {store: DIR/certs, files: [{cert: CERT, key: KEY}], roots: [ROOT], system_roots: false}
`)+keeping(l, gateHost))
	l.Ready()
	pat, alan := l.Client(t, here, "pat"), l.Client(t, here, "alan")

	t.Run("acknowledgements", func(t *testing.T) {
		bob := l.Client(t, partner, "bob")
		for range 3 {
			lab.Message(t, pat, bob)
			lab.Message(t, bob, pat)
		}
		lab.InOrder(t, pat, bob, 50)
		lab.InOrder(t, bob, pat, 50)
		awaitSettled(t, gate)
		for dir, outcomes := range deliveries(gate.Audit(t, "--domain", "partner.example")) {
			if want := map[string]string{"out": "acked", "in": "written"}[dir]; outcomes[want] == 0 || len(outcomes) != 1 {
				t.Errorf("%s: %v, want nothing but %s", dir, outcomes, want)
			}
		}
	})
	t.Run("both ways, called by the gate", func(t *testing.T) {
		bob := l.Client(t, twoways, "bob")
		lab.Message(t, pat, bob)
		lab.Message(t, bob, pat)
		lab.InOrder(t, pat, bob, 50)
		lab.InOrder(t, bob, pat, 50)
		oneStream(t, gate, "twoways.example", "in")
	})
	t.Run("both ways, called by the peer", func(t *testing.T) {
		twoways.Restart(t)
		bob := l.Client(t, twoways, "bob")
		lab.Message(t, bob, alan)
		lab.Message(t, alan, bob)
		lab.InOrder(t, bob, alan, 50)
		lab.InOrder(t, alan, bob, 50)
		oneStream(t, gate, "twoways.example", "out")
		awaitSettled(t, gate)
		// What goes out on the peer's stream before it asks for acknowledgements has none.
		if outcomes := deliveries(gate.Audit(t, "--domain", "twoways.example"))["out"]; outcomes["acked"] < 2 || outcomes["bounced"]+outcomes["dropped"] > 0 {
			t.Errorf("out: %v, want some acked and none lost", outcomes)
		}
	})
	t.Run("a peer that dies with what it was sent", func(t *testing.T) {
		// Without acknowledgements the gate would take for delivered what went into the connection of a server that has stopped.
		partner.Freeze(t)
		told := lab.SendDoomed(t, pat, "bob@partner.example")
		awaitQueue(t, gate, 1)
		partner.Kill()
		if got := told(t); got.Condition() != "remote-server-timeout" {
			t.Errorf("its sender is told %q", got.Condition())
		}
	})
	gate.Stop(t)
}

// deliveries counts what became of stanzas, by direction and outcome.
func deliveries(events []map[string]any) map[string]map[string]int {
	found := map[string]map[string]int{"in": {}, "out": {}}
	for _, e := range events {
		dir, _ := e["dir"].(string)
		if outcome, ok := e["outcome"].(string); ok && found[dir] != nil {
			found[dir][outcome]++
		}
	}
	return found
}

// oneStream holds the gate to a single stream with a domain, on which the link of the one direction is a guest of the other's.
func oneStream(t *testing.T, gate *lab.Gate, domain, guest string) {
	t.Helper()
	streams, guests := 0, 0
	for _, l := range outsideLinks(t, gate) {
		pairs, _ := l["pairs"].([]any)
		if len(pairs) != 1 || !strings.Contains(pairs[0].(string), domain) {
			continue
		}
		if over, _ := l["over"].(string); over == "" {
			streams++
		} else if guests++; l["kind"] != guest {
			t.Errorf("the stream is shared by %v, want the way %s", l, guest)
		}
	}
	if streams != 1 || guests != 1 {
		t.Errorf("%d streams and %d guests with %s, want one and one: %v", streams, guests, domain, gate.Status(t))
	}
}

// awaitSettled waits until nothing is under way outside, awaitQueue until so many stanzas are.
func awaitSettled(t *testing.T, gate *lab.Gate) { awaitQueue(t, gate, 0) }

func awaitQueue(t *testing.T, gate *lab.Gate, n int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		waiting := 0
		for _, l := range outsideLinks(t, gate) {
			queue, _ := l["queue"].(float64)
			waiting += int(queue)
		}
		if waiting == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d stanzas are under way, want %d: %v", waiting, n, gate.Status(t))
		}
	}
}

func outsideLinks(t *testing.T, gate *lab.Gate) (found []map[string]any) {
	t.Helper()
	status, _ := gate.Status(t)["gate"].(map[string]any)
	links, _ := status["links"].([]any)
	for _, v := range links {
		if l, ok := v.(map[string]any); ok && l["door"] == "outside" {
			found = append(found, l)
		}
	}
	return found
}
