package resolve

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// [D05]: static routes as operators write them.
func TestParseRoute(t *testing.T) {
	t.Parallel()
	addr := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	for in, want := range map[string]Endpoint{
		"198.51.100.7:5269":         {Target: "198.51.100.7", Port: 5269, Addrs: addr("198.51.100.7"), Route: true},
		"[2001:db8::1]:5269":        {Target: "2001:db8::1", Port: 5269, Addrs: addr("2001:db8::1"), Route: true},
		"[::ffff:198.51.100.7]:1":   {Target: "198.51.100.7", Port: 1, Addrs: addr("198.51.100.7"), Route: true},
		"Server.partner.example:99": {Target: "server.partner.example", Port: 99, Route: true},
		"localhost:5269":            {Target: "localhost", Port: 5269, Route: true},
		"bücher.example:5269":       {Target: "xn--bcher-kva.example", Port: 5269, Route: true},
	} {
		if got, err := ParseRoute(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseRoute(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "host", "host:", "host:0", "host:65536", "host:x", ":5269", "::1:5269", "a b:5269", "[::1:5269", "host:+1"} {
		if got, err := ParseRoute(in); err == nil || !strings.Contains(err.Error(), "route") {
			t.Errorf("ParseRoute(%q) = %+v, %v; want an error", in, got, err)
		}
	}
}
