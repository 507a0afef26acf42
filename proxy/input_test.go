package proxy

import "testing"

func TestClientsNamespaceIsServers(t *testing.T) {
	t.Parallel()
	for space, want := range map[string]string{"jabber:client": "jabber:server", "jabber:server": "jabber:server", "urn:x": "urn:x", "": ""} {
		if got := servers(space); got != want {
			t.Errorf("[C03] a payload in %q is one in %q to policy, want %q", space, got, want)
		}
	}
}
