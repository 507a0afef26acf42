package main

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/xmpptest"
)

// `sallyport peers` speaks with the running gate: what is pinned by hand holds for the links that stand, and who was pinned away may come
// back when the pins are gone. Each order is in the record.
func TestPeersByHand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	peers := func(args ...string) func() error {
		return func() error {
			if code, _, stderr := call(append(append([]string{"peers"}, args...), "-c", h.config)...); code != 0 {
				return fmt.Errorf("exit %d: %s", code, stderr)
			}
			return nil
		}
	}
	xmpptest.Converse(t, h.stage(map[string]func() error{
		"pin":     peers("pin", "remote.example"),
		"another": peers("pin", "REMOTE.example", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		"any":     peers("pin", "remote.example", "--any"),
		"forgive": peers("forgive", "remote.example"),
	}), proved+`
do pin
r receives nothing
do another
r receives <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>…</stream:error>
do any
do forgive
`+proved)
	code, out, stderr := call("audit", "search", "-c", h.config, "--kind", "config.peer")
	if got := lines(out); code != 0 || len(got) != 4 {
		t.Errorf("exit %d, the record says %q, %s", code, got, stderr)
	}
	code, out, _ = call("peers", "show", "remote.example", "-c", h.config)
	if code != 0 || !strings.Contains(out, "from them  tls since") || strings.Contains(out, "pinned") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
