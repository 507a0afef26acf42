package resolve

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel was told: how long to wait for acknowledgements, and to send small writes at once.
func TestSocketOptions(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r, err := New(Config{Servers: []Server{{Addr: netip.MustParseAddrPort("127.0.0.1:53")}}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := r.dialTCP(t.Context(), netip.MustParseAddrPort(ln.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ option, want int }{
		"TCP_USER_TIMEOUT": {unix.TCP_USER_TIMEOUT, 30000},
		"TCP_NODELAY":      {unix.TCP_NODELAY, 1},
		"TCP_KEEPIDLE":     {unix.TCP_KEEPIDLE, 20},
		"TCP_KEEPINTVL":    {unix.TCP_KEEPINTVL, 4},
		"TCP_KEEPCNT":      {unix.TCP_KEEPCNT, 3},
	} {
		var got int
		var failed error
		if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, c.option) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		if got != c.want {
			t.Errorf("%s is %d, want %d", name, got, c.want)
		}
	}
}
