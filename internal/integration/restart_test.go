package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"sallyport/audit"
	"sallyport/internal/xmpptest/lab"
)

// testBackendRestart: what comes while the backend is away waits for it, and afterwards all is as before ([D15]).
func (w *world) testBackendRestart(t *testing.T) {
	p := w.peers()[0]
	remote := p.user(t)
	w.backend.Stop(t)
	arrives := lab.SendLater(t, remote, "greta@"+local)
	w.backend.Start(t)
	arrives(t, w.Client(t, w.backend, "greta"))
	w.testBothWays(t)
}

// testGateRestart: after a restart in order and after a crash, people go on talking without anybody's help. Who had a
// message under way when the gate crashed is told that it was lost (AUDIT, DESIGN §5, 3).
func (w *world) testGateRestart(t *testing.T) {
	t.Run("in order", func(t *testing.T) {
		w.gate.Restart(t)
		w.testBothWays(t)
	})
	t.Run("after a crash", func(t *testing.T) {
		sender := w.Client(t, w.backend, "greta")
		told := lab.SendDoomed(t, sender, "bob@abyss.example")
		w.pretend["abyss"].AwaitCall(t) // it is recorded and on its way
		w.gate.Kill()
		w.gate.Start(t)
		w.testBothWays(t)
		told(t)
	})
}

// testEnd: when the gate has ended, each stanza that it has ever let pass is accounted for, those of the crash too: delivered,
// bounced or dropped (DESIGN §5, 3), and the record has no fault.
func (w *world) testEnd(t *testing.T) {
	w.gate.Stop(t)
	for _, bad := range []string{"panic:", "DATA RACE"} { // the latter of a gate that was built with -race
		if strings.Contains(w.gate.Log(), bad) {
			t.Errorf("the gate's log has %q", bad)
		}
	}
	dir := filepath.Join(w.GateDir(w.hosts["gate"]), "audit")
	report, err := audit.Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Torn > 0 {
		t.Errorf("the record has %d faults (%v), %d bytes of a torn line", report.Found, report.Faults, report.Torn)
	}
	open, err := audit.Unsettled(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range open {
		t.Errorf("nobody knows what became of seq %d of %d: %+v", r.Seq, report.Last, r)
	}
	if report.Kinds["stanza"] < 400 || report.Kinds["node.start"] != 3 {
		t.Errorf("the record has %v, want all stanzas and three starts", report.Kinds)
	}
}

// testReload: a changed policy holds from the next stanza on, and a configuration with a fault changes nothing (DESIGN §5, 6).
func (w *world) testReload(t *testing.T) {
	client := w.Client(t, w.backend, "olga")
	old := w.pretend["old"].Person("bob@old.example")
	reload := func(t *testing.T, config, verdict string) {
		t.Helper()
		said := len(w.gate.Log())
		w.gate.Reload(t, config)
		w.gate.Says(t, said, verdict)
	}
	t.Run("a peer is taken out", func(t *testing.T) {
		reload(t, strings.Replace(w.config, "  old.example:", "  another.example:", 1), "reloaded")
		got := lab.SendDoomed(t, client, "bob@old.example")(t)
		if c := got.Condition(); c != "forbidden" && c != "not-allowed" {
			t.Errorf("the condition is %q, want that of a policy: %s", c, got.String())
		}
	})
	t.Run("a peer comes back", func(t *testing.T) {
		reload(t, w.config, "reloaded")
		lab.Message(t, client, old)
		lab.Persist(t, old, client)
	})
	t.Run("a fault changes nothing", func(t *testing.T) {
		reload(t, w.config+"\nnonsense: true\n", "nonsense")
		lab.Message(t, client, old)
		lab.Message(t, old, client)
		reload(t, w.config, "reloaded")
	})
}

// testBothWays lets somebody write to every peer and back. A server that does not know yet that a connection has died
// loses what it wrote to it, so each may try again; it is not the gate that has lost it.
func (w *world) testBothWays(t *testing.T) {
	w.each(t, func(t *testing.T, _ peer, local, remote lab.User) {
		lab.Persist(t, local, remote)
		lab.Persist(t, remote, local)
	})
}
