package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Leg is one of the two wires that a Host can be on.
type Leg uint8

const (
	Inside  Leg = iota // the backends' network, 10.99.1.0/24
	Outside            // the internet, 10.99.2.0/24
)

// String names the leg as its interface is named on every host.
func (g Leg) String() string { return [...]string{"inside", "outside"}[g] }

// Host is a machine of the laboratory: a network namespace with an address on one wire or on both. It has no route
// anywhere else, so nothing can leave the laboratory and nothing can cross from one wire to the other by itself.
type Host struct {
	lab        *Lab
	name       string
	space      *space
	addrs      map[Leg]netip.Addr
	resolvConf string // path of the file that its processes see as /etc/resolv.conf
}

// Name returns the name the host was made with.
func (h *Host) Name() string { return h.name }

// Addr returns the host's address on leg, the zero Addr when it is not on it.
func (h *Host) Addr(leg Leg) netip.Addr { return h.addrs[leg] }

// SetNameserver sets the DNS server of the processes started from now on. Without it none answers.
func (h *Host) SetNameserver(a netip.Addr) {
	h.lab.write(h.resolvConf, fmt.Sprintf("nameserver %s\noptions timeout:2 attempts:2\n", a))
}

// Dial connects from the host. addr has to be an IP address with a port.
func (h *Host) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dialing from %s: %w", h.name, err) // a name would be resolved outside of the namespace
	}
	err = h.space.enter(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen accepts TCP connections on the host.
func (h *Host) Listen(addr netip.AddrPort) (ln net.Listener, err error) {
	err = h.space.enter(func() (err error) {
		ln, err = net.Listen("tcp", addr.String())
		return err
	})
	return ln, err
}

// ListenPacket receives UDP datagrams on the host.
func (h *Host) ListenPacket(addr netip.AddrPort) (pc net.PacketConn, err error) {
	err = h.space.enter(func() (err error) {
		pc, err = net.ListenPacket("udp", addr.String())
		return err
	})
	return pc, err
}

// await returns when something accepts connections on addr.
func (h *Host) await(ctx context.Context, p *Process, addr netip.AddrPort) error {
	err := until(ctx, p.Ended(), func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		conn, err := h.Dial(ctx, "tcp", addr.String())
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to listen on %s: %w", p.name, addr, err)
	}
	return nil
}

// Host adds a machine that is on the given wires.
func (l *Lab) Host(name string, legs ...Leg) *Host {
	l.t.Helper()
	h := &Host{lab: l, name: name, addrs: make(map[Leg]netip.Addr)}
	h.resolvConf = filepath.Join(l.dir, name+".resolv.conf")
	h.SetNameserver(netip.AddrFrom4([4]byte{192, 0, 2, 53})) // nobody's, and no route to it
	space, err := newSpace()
	if err != nil {
		l.t.Fatalf("adding host %s: %v", name, err)
	}
	h.space = space
	l.onClose(space.close)
	var cables, setup strings.Builder
	for _, leg := range legs {
		l.hosts[leg]++
		n := l.hosts[leg]
		h.addrs[leg] = netip.AddrFrom4([4]byte{10, 99, byte(leg) + 1, byte(n)})
		port := fmt.Sprintf("%s%d", leg, n)
		fmt.Fprintf(&cables, "link add %s type veth peer name %s netns %s\n", port, leg, space.path())
		fmt.Fprintf(&cables, "link set %s addrgenmode none master br-%s up\n", port, leg)
		fmt.Fprintf(&setup, "link set %s addrgenmode none up\naddr add %s/24 dev %s\n", leg, h.addrs[leg], leg)
	}
	err = l.wires.keep(func() error { return runIP(cables.String()) })
	if err == nil {
		err = space.keep(func() error { return runIP(setup.String()) })
	}
	if err != nil {
		l.t.Fatalf("connecting host %s: %v", name, err)
	}
	return h
}

// write puts text into a file of the laboratory, making its folder.
func (l *Lab) write(path, text string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}
