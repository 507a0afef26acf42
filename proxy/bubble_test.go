package proxy_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"sallyport/internal/resolve"
	"sallyport/proxy"
)

// A gate in a bubble of testing/synctest has pipes for doors: a socket would stop the bubble's clock.

// newBubble makes a gate that can be called by pipes alone, and that can call nobody.
func newBubble(t *testing.T, o options) (s *stage, outside, inside *pipes) {
	t.Helper()
	s = newRooms(t, o)
	s.Calls = map[string]net.Listener{"remote": newPipes("127.0.0.1:1"), "backend": newPipes("127.0.0.1:2")}
	outside, inside = newPipes("127.0.0.1:5269"), newPipes("127.0.0.2:5269")
	s.open(t, o, resolve.Config{Servers: []resolve.Server{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}})
	go s.proxy.Serve(outside, proxy.Outside)
	go s.proxy.Serve(inside, proxy.Inside)
	return s, outside, inside
}

// pipes is a listener whose connections are pipes, from whatever address.
type pipes struct {
	addr  net.Addr
	conns chan net.Conn
	close func()
	ended chan struct{}
}

func newPipes(addr string) *pipes {
	p := &pipes{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)), conns: make(chan net.Conn), ended: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.ended) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.close(); return nil }

func (p *pipes) Addr() net.Addr { return p.addr }

// dial connects from an address.
func (p *pipes) dial(from string) net.Conn {
	near, far := net.Pipe()
	p.conns <- addressed{far, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return near
}

// addressed is a pipe's end whose other end has an address.
type addressed struct {
	net.Conn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }
