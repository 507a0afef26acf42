package integration_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// TestThroughTheGate is a day in the life of each backend behind the gate. The parts share one world and follow each
// other, so that starting servers does not cost more than talking; each can fail by itself.
func TestThroughTheGate(t *testing.T) {
	for _, kind := range lab.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			pending := w.sendDoomed(t) // the gate tries for half a minute, and meanwhile the rest goes on
			t.Run("talk", w.testTalk)
			t.Run("probe", w.testProbe)
			t.Run("check", w.testCheck)
			t.Run("intruders", w.testIntruders)
			t.Run("record", w.testRecord)
			t.Run("status", w.testStatus)
			t.Run("reload", w.testReload)
			t.Run("bounces", func(t *testing.T) { w.testBounces(t, pending) })
			t.Run("backend restarts", w.testBackendRestart)
			t.Run("gate restarts", w.testGateRestart)
			t.Run("end", w.testEnd)
			t.Run("wire", w.testWire)
		})
	}
}

// testTalk: every backend with every peer, both ways: message, presence, iq, group chat.
func (w *world) testTalk(t *testing.T) {
	w.each(t, func(t *testing.T, p peer, local, remote lab.User) {
		t.Run("message", func(t *testing.T) {
			lab.Message(t, local, remote)
			lab.Message(t, remote, local)
		})
		t.Run("order", func(t *testing.T) {
			lab.InOrder(t, local, remote, 50)
			lab.InOrder(t, remote, local, 50)
		})
		t.Run("presence", func(t *testing.T) {
			lab.Subscribe(t, local, remote)
			lab.Subscribe(t, remote, local)
		})
		for _, q := range lab.Queries() {
			t.Run(q.Name, func(t *testing.T) {
				lab.Ask(t, local, p.domain, q)
				lab.Ask(t, remote, "corp.example", q)
			})
		}
		t.Run("group chat", func(t *testing.T) {
			lab.GroupChat(t, rooms, local, remote)
		})
	})
}

// testRecord: what crossed and what was refused is in the record (DESIGN §4.4).
func (w *world) testRecord(t *testing.T) {
	for _, p := range w.peers() {
		t.Run(p.domain, func(t *testing.T) {
			passed := map[any]int{}
			for _, e := range w.gate.Audit(t, "--domain", p.domain) {
				if effect(e) == "allow" {
					passed[e["dir"]]++
				}
			}
			if passed["in"] == 0 || passed["out"] == 0 {
				t.Errorf("the record has %v stanzas with %s, want some both ways", passed, p.domain)
			}
		})
	}
	t.Run("rival.example", func(t *testing.T) {
		denied := 0
		for _, e := range w.gate.Audit(t, "--domain", "rival.example") {
			switch effect(e) {
			case "deny":
				denied++
			case "allow":
				t.Errorf("the record lets pass: %v", e)
			}
		}
		if denied == 0 {
			t.Error("the record does not have what was refused")
		}
	})
}

// testStatus: the live links are shown, with whom they are.
func (w *world) testStatus(t *testing.T) {
	status, err := json.Marshal(w.gate.Status(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range w.peers() {
		if !strings.Contains(string(status), p.domain) {
			t.Errorf("the status does not show a link with %s: %s", p.domain, status)
		}
	}
}

// effect is the decision of an event, "" when it has none.
func effect(event map[string]any) any {
	decision, _ := event["decision"].(map[string]any)
	return decision["effect"]
}
