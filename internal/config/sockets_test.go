package config

import (
	"net/netip"
	"slices"
	"testing"
)

// Where the backends take streams: by their address, and, where that is a name, by the addresses that they call from ([D09]).
func TestBackendSockets(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr
	c := &Config{Backends: []Backend{
		{Address: "10.0.0.5:5269", From: []netip.Addr{addr("10.0.0.5"), addr("10.0.0.6")}},
		{Address: "xmpp.inside:5280", From: []netip.Addr{addr("fd00::7")}},
	}}
	var got []string
	for _, at := range c.BackendSockets() {
		got = append(got, at.String())
	}
	if want := []string{"10.0.0.5:5269", "10.0.0.6:5269", "[fd00::7]:5280"}; !slices.Equal(got, want) {
		t.Errorf("sockets %q, want %q", got, want)
	}
}
