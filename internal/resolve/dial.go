package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	// attemptDelay is how long one address of a host may be silent before the next is called as well (RFC 8305 §5).
	attemptDelay = 250 * time.Millisecond
	// unheard is how long sent data may go unacknowledged before the connection is given up. It bounds how much can be written into the
	// void before anyone knows.
	unheard = 30 * time.Second
)

// Dial calls the endpoints in order, the addresses of one endpoint by Happy Eyeballs (RFC 8305), and returns the first connection that
// comes about. used is the endpoint it belongs to, with the one address; rest are the endpoints and addresses not yet tried, for when
// the peer fails above TCP. The time of one address is bounded by the configuration, that of all by ctx.
//
// The error is a *DialError that lists every attempt, or the end of ctx.
func (r *Resolver) Dial(ctx context.Context, eps []Endpoint) (conn net.Conn, used Endpoint, rest []Endpoint, err error) {
	var failed []Attempt
	for i, ep := range eps {
		addrs, refused := r.callable(ctx, ep)
		failed = append(failed, refused...)
		conn, at, vain := r.race(ctx, ep.Target, ep.Port, addrs)
		failed = append(failed, vain...)
		if conn != nil {
			left := slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a == at || tried(vain, a) })
			if len(left) > 0 {
				rest = append(rest, ep.narrow(left))
			}
			return conn, ep.narrow([]netip.Addr{at}), append(rest, eps[i+1:]...), nil
		}
		if ctx.Err() != nil {
			return nil, Endpoint{}, nil, fmt.Errorf("%w (%w)", &DialError{failed}, context.Cause(ctx))
		}
	}
	return nil, Endpoint{}, nil, &DialError{failed}
}

func tried(attempts []Attempt, addr netip.Addr) bool {
	return slices.ContainsFunc(attempts, func(a Attempt) bool { return a.At.Addr() == addr })
}

// callable returns the addresses of ep that may be called: those of a static route to a host name are looked up first. Dial does not
// trust its caller to have passed the filter ([D09]).
func (r *Resolver) callable(ctx context.Context, ep Endpoint) (addrs []netip.Addr, refused []Attempt) {
	all := ep.Addrs
	if len(all) == 0 {
		h := r.addresses(ctx, ep.Target)
		if h.err != nil {
			return nil, []Attempt{{Target: ep.Target, Err: fmt.Errorf("looking up %s: %w", ep.Target, h.err)}}
		}
		all = h.addrs
	}
	for _, addr := range all {
		at := netip.AddrPortFrom(addr, ep.Port)
		no := r.filter.refuses(ep.Target, at)
		if no == nil || ep.Route && !r.filter.own.has(at) {
			addrs = append(addrs, addr)
			continue
		}
		refused = append(refused, Attempt{Target: ep.Target, At: at, Err: fmt.Errorf("not called: %s", no.Reason)})
	}
	return addrs, refused
}

// race calls the addresses one after the other, each as soon as the one before has failed or been silent for attemptDelay, and
// returns the first connection. All calls have ended when it returns.
func (r *Resolver) race(ctx context.Context, target string, port uint16, addrs []netip.Addr) (won net.Conn, at netip.Addr, vain []Attempt) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		addr netip.Addr
		conn net.Conn
		err  error
	}
	results := make(chan result)
	patience := time.NewTimer(0)
	defer patience.Stop()
	for next, pending := 0, 0; pending > 0 || next < len(addrs) && won == nil && ctx.Err() == nil; {
		var late <-chan time.Time
		if next < len(addrs) && won == nil && ctx.Err() == nil {
			late = patience.C
		}
		select {
		case <-late:
			addr := addrs[next]
			next++
			pending++
			go func() {
				conn, err := r.dial(ctx, netip.AddrPortFrom(addr, port))
				results <- result{addr, conn, err}
			}()
			patience.Reset(attemptDelay)
		case res := <-results:
			pending--
			switch {
			case res.err != nil && won == nil:
				vain = append(vain, Attempt{Target: target, At: netip.AddrPortFrom(res.addr, port), Err: res.err})
				patience.Reset(0)
			case res.err != nil:
			case won == nil:
				won, at = res.conn, res.addr
				cancel()
			default:
				res.conn.Close() // it was a moment too late
			}
		}
	}
	return won, at, vain
}

// dialTCP calls one address. Go sets TCP_NODELAY by itself.
func (r *Resolver) dialTCP(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: r.config.DialTimeout,
		Control: func(_, _ string, c syscall.RawConn) error { return setUserTimeout(c, unheard) },
		// Three probes have to be lost before the user time-out ends an idle connection, not one.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 4 * time.Second, Count: 3},
	}
	for _, source := range r.config.Source {
		if source.Is4() == at.Addr().Is4() {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, r.plainDial(ctx, err)
	}
	return conn, nil
}

// plainDial says in an operator's words why an address could not be reached; the address stands before it.
func (r *Resolver) plainDial(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("given up: %w", context.Cause(ctx))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return &timeoutError{text: fmt.Sprintf("no answer within %v", r.config.DialTimeout)}
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// timeoutError keeps what a caller asks a net.Error.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string   { return e.text }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }
