package integration_test

import (
	"testing"

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

// testGateRestart: after a restart in order and after a crash, people go on talking without anybody's help.
func (w *world) testGateRestart(t *testing.T) {
	t.Run("in order", func(t *testing.T) {
		w.gate.Restart(t)
		w.testBothWays(t)
	})
	t.Run("after a crash", func(t *testing.T) {
		w.gate.Kill()
		w.gate.Start(t)
		w.testBothWays(t)
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
