package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/stream"
)

// gate is one door: it accepts connections, holds strangers to their limits, and knows who is inside.
type gate struct {
	// Set at birth.
	p    *Proxy
	door Door

	// Guarded by mu.
	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	links     map[*inbound]struct{}
	perAddr   map[netip.Addr]*visitor
	swept     time.Time
}

// visitor counts what one remote address holds open and how often it came in the current minute.
type visitor struct {
	open   int
	count  int
	minute time.Time
}

func (g *gate) init(p *Proxy, d Door) {
	g.p, g.door = p, d
	g.listeners = make(map[net.Listener]struct{})
	g.links = make(map[*inbound]struct{})
	g.perAddr = make(map[netip.Addr]*visitor)
}

// Serve accepts connections on ln until ln is closed or the proxy shuts down. It returns nil in the latter case. Outside, streams may
// begin with TLS (XEP-0368) or take STARTTLS: the first byte tells.
func (p *Proxy) Serve(ln net.Listener, d Door) error { return p.serve(ln, d, false) }

// ServeDirect is Serve for an outside listener on which every stream begins with TLS.
func (p *Proxy) ServeDirect(ln net.Listener) error { return p.serve(ln, Outside, true) }

func (p *Proxy) serve(ln net.Listener, d Door, direct bool) error {
	g := &p.doors[d]
	if !g.add(ln) {
		return ln.Close()
	}
	backoff := 5 * time.Millisecond
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			backoff = 5 * time.Millisecond
			g.admit(conn, direct)
		case g.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of file descriptors, or a connection that died in the queue: wait for others to end, never give up.
			p.Log.Error("accepting a connection", "door", d.String(), "error", err, "retry", backoff)
			select {
			case <-p.ctx.Done():
				return nil
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, time.Second)
		}
	}
}

func (g *gate) add(ln net.Listener) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.listeners[ln] = struct{}{}
	return true
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// admit starts a link for a connection, or closes it without a byte when its address has no business here (D1) or holds or
// opens too many ([M13]).
func (g *gate) admit(conn net.Conn, direct bool) {
	addr, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		conn.Close()
		return
	}
	in := newInbound(g.p, g.door, conn, addr)
	in.direct = direct
	if reason := g.enter(in); reason != "" {
		g.p.instruments.refused(g.door, reason)
		conn.Close()
		level := slog.LevelInfo
		if reason == refusedCaller {
			level = slog.LevelWarn
		}
		g.p.Log.Log(g.p.ctx, level, "connection refused", "door", g.door.String(), "peer", addr.String(), "reason", reason)
		return
	}
	g.p.links.Add(1)
	go func() {
		in.serve(g.p.ctx)
		g.leave(in)
		close(in.gone)
		g.p.links.Done()
	}()
}

// enter registers a link; a non-empty answer says why it may not come in.
func (g *gate) enter(in *inbound) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Read in here: whoever comes in under old settings must be there when the reload looks who is.
	s := g.p.now()
	if g.closed {
		return refusedShutdown
	}
	if g.door == Inside {
		backend, ok := s.backendAt(in.peer.Addr())
		if !ok {
			return refusedCaller
		}
		in.backend = backend
	}
	if len(g.links) >= s.Limits.Connections {
		return refusedTotal
	}
	now := time.Now()
	g.sweep(now)
	v := g.perAddr[in.origin()]
	if v == nil {
		v = &visitor{minute: now}
		g.perAddr[in.origin()] = v
	}
	if now.Sub(v.minute) >= time.Minute {
		v.minute, v.count = now, 0
	}
	if g.door == Outside && v.open >= s.Limits.PerAddress {
		return refusedAddress
	}
	if g.door == Outside && v.count >= s.Limits.RatePerAddress {
		return refusedRate
	}
	v.open++
	v.count++
	g.links[in] = struct{}{}
	return ""
}

// sweep forgets addresses that hold nothing open and have not come for a minute.
func (g *gate) sweep(now time.Time) {
	if now.Sub(g.swept) < time.Minute {
		return
	}
	g.swept = now
	for addr, v := range g.perAddr {
		if v.open == 0 && now.Sub(v.minute) >= time.Minute {
			delete(g.perAddr, addr)
		}
	}
}

func (g *gate) leave(in *inbound) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.links, in)
	if v := g.perAddr[in.origin()]; v != nil {
		v.open--
	}
}

// origin is whom the limits by address hold. Whoever has one IPv6 address has the 2^64 around it (RFC 4291 §2.5.1).
func (in *inbound) origin() netip.Addr { return originOf(in.peer.Addr()) }

func originOf(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is4() {
		return addr
	}
	net, _ := addr.WithZone("").Prefix(64)
	return net.Addr()
}

// live gives the links that are in this door now.
func (g *gate) live() []*inbound {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*inbound, 0, len(g.links))
	for in := range g.links {
		all = append(all, in)
	}
	return all
}

// close stops accepting.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for ln := range g.listeners {
		ln.Close()
	}
}

// hangUp ends every link for the shutdown, all at once, and returns when they have carried what they had read, or ctx ends.
func (g *gate) hangUp(ctx context.Context) {
	links := g.live()
	var ends sync.WaitGroup
	for _, in := range links {
		ends.Go(func() { in.hangUp(&stream.Error{Condition: stream.SystemShutdown}) })
	}
	ends.Wait()
	for _, in := range links {
		select {
		case <-in.gone:
		case <-ctx.Done():
			return
		}
	}
}
