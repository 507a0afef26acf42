package resolve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/xmpptest"
)

// street is a pretend network: what happens to those who call an address.
type street struct {
	doors map[string]door // by address

	mu     sync.Mutex
	called []string // "address after", in order
	begin  time.Time
	open   int // connections handed out and not closed
}

type door struct {
	after time.Duration
	err   error
}

func (s *street) dial(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	s.mu.Lock()
	s.called = append(s.called, at.Addr().String()+" "+time.Since(s.begin).String())
	s.mu.Unlock()
	d, ok := s.doors[at.Addr().String()]
	if !ok {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(d.after):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.err != nil {
		return nil, d.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	return &openDoor{street: s, at: at}, nil
}

type openDoor struct {
	net.Conn
	street *street
	at     netip.AddrPort
}

func (c *openDoor) Close() error {
	c.street.mu.Lock()
	defer c.street.mu.Unlock()
	c.street.open--
	return nil
}

func endpoint(target string, addrs ...string) Endpoint {
	ep := Endpoint{Target: target, Port: 5269}
	for _, a := range addrs {
		ep.Addrs = append(ep.Addrs, netip.MustParseAddr(a))
	}
	return ep
}

// [D01], RFC 8305: who is called when, who wins, and what is left for later.
func TestDial(t *testing.T) {
	t.Parallel()
	refused := syscall.ECONNREFUSED
	for _, c := range []struct {
		name   string
		eps    []Endpoint
		doors  map[string]door
		called []string
		used   string
		rest   []string
		err    []string
	}{
		{"the first address answers", []Endpoint{endpoint("x", "2a00::1", "1.1.1.1"), endpoint("y", "1.1.1.2")},
			map[string]door{"2a00::1": {after: 10 * time.Millisecond}},
			[]string{"2a00::1 0s"}, "x:5269 2a00::1", []string{"x:5269 1.1.1.1", "y:5269 1.1.1.2"}, nil},
		{"a silent address costs 250 ms", []Endpoint{endpoint("x", "2a00::1", "1.1.1.1")},
			map[string]door{"1.1.1.1": {}},
			[]string{"2a00::1 0s", "1.1.1.1 250ms"}, "x:5269 1.1.1.1", []string{"x:5269 2a00::1"}, nil},
		{"a refusing address costs nothing, and is not called again", []Endpoint{endpoint("x", "2a00::1", "1.1.1.1")},
			map[string]door{"2a00::1": {err: refused}, "1.1.1.1": {}},
			[]string{"2a00::1 0s", "1.1.1.1 0s"}, "x:5269 1.1.1.1", nil, nil},
		{"the slow one may still win", []Endpoint{endpoint("x", "2a00::1", "1.1.1.1")},
			map[string]door{"2a00::1": {after: 300 * time.Millisecond}, "1.1.1.1": {after: 300 * time.Millisecond}},
			[]string{"2a00::1 0s", "1.1.1.1 250ms"}, "x:5269 2a00::1", []string{"x:5269 1.1.1.1"}, nil},
		{"the next target when all of one refuse", []Endpoint{endpoint("x", "1.1.1.1"), endpoint("y", "1.1.1.2"), endpoint("z", "1.1.1.3")},
			map[string]door{"1.1.1.1": {err: refused}, "1.1.1.2": {}},
			[]string{"1.1.1.1 0s", "1.1.1.2 0s"}, "y:5269 1.1.1.2", []string{"z:5269 1.1.1.3"}, nil},
		{"all in vain", []Endpoint{endpoint("x", "1.1.1.1"), endpoint("y", "1.1.1.2")},
			map[string]door{"1.1.1.1": {err: refused}, "1.1.1.2": {after: time.Second, err: errors.New("no route")}},
			[]string{"1.1.1.1 0s", "1.1.1.2 0s"}, "", nil, []string{"1.1.1.1:5269 (x): connection refused", "1.1.1.2:5269 (y): no route"}},
		{"[D09] the filter stands here too", []Endpoint{endpoint("x", "127.0.0.1", "10.0.0.1")}, nil, nil, "", nil,
			[]string{"127.0.0.1:5269 (x): not called: loopback address", "10.0.0.1:5269 (x): not called: private address"}},
		{"[D05] a static route is exempt", []Endpoint{{Target: "10.0.0.1", Port: 5269, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Route: true}},
			map[string]door{"10.0.0.1": {}}, []string{"10.0.0.1 0s"}, "10.0.0.1:5269 10.0.0.1", nil, nil},
		{"ABUSE 39: but not when it leads to ourselves", []Endpoint{{Target: "10.0.0.7", Port: 5269, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}, Route: true}},
			nil, nil, "", nil, []string{"10.0.0.7:5269: not called: this gate itself"}},
		{"nothing to call", nil, nil, nil, "", nil, []string{"no address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &street{doors: c.doors, begin: time.Now()}
				r := (&paper{}).resolver(t, Config{Listeners: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:5269")}})
				r.dial = s.dial
				conn, used, rest, err := r.Dial(t.Context(), c.eps)
				if !slices.Equal(s.called, c.called) {
					t.Errorf("called %q, want %q", s.called, c.called)
				}
				if got := places(rest); !slices.Equal(got, c.rest) {
					t.Errorf("left %q, want %q", got, c.rest)
				}
				if c.used != "" && (err != nil || conn == nil || places([]Endpoint{used})[0] != c.used || s.open != 1) {
					t.Errorf("used %+v with %d open connections, %v; want %s", used, s.open, err, c.used)
				}
				for _, want := range c.err {
					if _, ok := errors.AsType[*DialError](err); !ok || !strings.Contains(err.Error(), want) {
						t.Errorf("error %T %v lacks %q", err, err, want)
					}
				}
			})
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &street{begin: time.Now()}
		r := (&paper{}).resolver(t, Config{})
		r.dial = s.dial
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer cancel()
		_, _, _, err := r.Dial(ctx, []Endpoint{endpoint("x", "1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"), endpoint("y", "1.1.1.5")})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(s.begin) != 600*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(s.begin))
		}
		if want := []string{"1.1.1.1 0s", "1.1.1.2 250ms", "1.1.1.3 500ms"}; !slices.Equal(s.called, want) {
			t.Errorf("called %q, want %q", s.called, want)
		}
	})
}

// Two addresses answer in the same instant: one connection is kept, none is leaked.
func TestDialClosesTheLoser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &street{doors: map[string]door{"1.1.1.1": {after: attemptDelay + time.Second}, "1.1.1.2": {after: time.Second}}}
		r := (&paper{}).resolver(t, Config{})
		r.dial = s.dial
		if _, _, _, err := r.Dial(t.Context(), []Endpoint{endpoint("x", "1.1.1.1", "1.1.1.2")}); err != nil || s.open != 1 {
			t.Errorf("%d connections are open, want 1; %v", s.open, err)
		}
	})
}

// [D05]: a static route to a host name is looked up by the address records of that name alone.
func TestRouteToAHostName(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	server := xmpptest.ListenDNS(t, "gw.partner.example. 60 IN A 127.0.0.1", "_xmpp-server._tcp.gw.partner.example. 60 IN SRV 0 0 1 evil.example.")
	r := newResolver(t, Config{}, server)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ep, err := ParseRoute("GW.partner.example:" + port)
	if err != nil {
		t.Fatal(err)
	}
	conn, used, _, err := r.Dial(t.Context(), []Endpoint{ep})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.RemoteAddr().String() != ln.Addr().String() || used.Target != "gw.partner.example" || !used.Route {
		t.Errorf("connected to %v by %+v", conn.RemoteAddr(), used)
	}
	ep.Target = "gone.partner.example"
	if _, _, _, err = r.Dial(t.Context(), []Endpoint{ep}); err == nil || !strings.Contains(err.Error(), "looking up gone.partner.example: no such name") {
		t.Errorf("error %v", err)
	}
}

func TestDialFromSource(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r, err := New(Config{Servers: []Server{{Addr: netip.MustParseAddrPort("127.0.0.1:53")}}, AllowPrivate: true,
		Source: []netip.Addr{netip.MustParseAddr("127.0.9.9"), netip.MustParseAddr("::1")}})
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	conn, _, _, err := r.Dial(t.Context(), []Endpoint{{Target: "x", Port: at.Port(), Addrs: []netip.Addr{at.Addr()}}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if host, _, _ := net.SplitHostPort(conn.LocalAddr().String()); host != "127.0.9.9" {
		t.Errorf("called from %v, want 127.0.9.9", conn.LocalAddr())
	}
	ln.Close()
	if _, _, _, err = r.Dial(t.Context(), []Endpoint{{Target: "x", Port: at.Port(), Addrs: []netip.Addr{at.Addr()}}}); err == nil || !strings.HasSuffix(err.Error(), "(x): connection refused") {
		t.Errorf("error %v", err)
	}
}
