package resolve

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestConfigFaultsComeTogether(t *testing.T) {
	t.Parallel()
	inside := netip.MustParseAddrPort("127.0.2.1:53")
	_, err := New(Config{
		Servers:   []Server{{Addr: inside}, {Addr: netip.MustParseAddrPort("9.9.9.9:0")}, {Addr: netip.MustParseAddrPort("9.9.9.9:53")}},
		Source:    []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")},
		Listeners: []netip.AddrPort{inside},
	})
	if err == nil {
		t.Fatal("three faults are none")
	}
	for _, want := range []string{"127.0.2.1:53 is this gate's own inside DNS", "9.9.9.9:0 is not address:port", "192.0.2.2: one IPv4"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults lack %q:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d faults, want 3:\n%v", n, err)
	}
}

func TestWildcardListenerOwnsEveryLocalAddress(t *testing.T) {
	t.Parallel()
	own := ownAddresses{netip.MustParseAddrPort("0.0.0.0:53")}
	for at, want := range map[string]bool{"127.0.0.1:53": true, "127.8.9.1:53": true, "[::1]:53": true, "0.0.0.0:53": true, "127.0.0.1:54": false, "192.0.2.99:53": false} {
		if got := own.has(netip.MustParseAddrPort(at)); got != want {
			t.Errorf("own %v: %t, want %t", at, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	server := Server{Addr: netip.MustParseAddrPort("9.9.9.9:53")}
	r, err := New(Config{Servers: []Server{server}})
	if err != nil {
		t.Fatal(err)
	}
	if r.config.Timeout.String() != "2s" || r.config.DialTimeout.String() != "10s" || r.config.CacheEntries != 10000 {
		t.Errorf("the zero Config became %+v", r.config)
	}
	if got := r.config.Servers; !slices.Equal(got, []Server{server}) {
		t.Errorf("servers %v", got)
	}
	system, err := SystemServers()
	if text, _ := os.ReadFile(resolvConf); strings.Contains(string(text), "nameserver") != (err == nil && len(system) > 0) {
		t.Errorf("system servers %v, %v of\n%s", system, err, text)
	}
}
