package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/console"
	"sallyport/internal/resolve"
)

// sockets are the gate's listeners. They are opened before anything is written, so that a second gate does no harm.
type sockets struct {
	admin   net.Listener
	inside  net.Listener
	outside []net.Listener
	direct  []net.Listener
	names   *resolve.Inside // nil without one
	acme    net.Listener    // nil where an authority's validators need none
	posh    net.Listener    // nil where our certificates are published by nobody or somebody else
	metrics net.Listener    // nil without one
}

// openSockets opens all of them or none, and tells all that cannot be opened. Where another gate answers on the admin socket, that
// is the one thing to be told: it has the other sockets too.
func openSockets(c *config.Config, forward *resolve.Resolver, log *slog.Logger) (s sockets, err error) {
	if s.admin, err = console.Listen(c.Admin.Socket); err != nil {
		return s, c.At("admin.socket", err)
	}
	var faults []error
	listen := func(path, addr string) net.Listener {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			faults = append(faults, c.At(path, unopened(addr, err)))
			return nil
		}
		return ln
	}
	s.inside = listen("inside.listen", c.Inside.Gate.String())
	if in := c.Inside; in.Listen.IsValid() {
		in.Forward, in.Log = forward, log
		if s.names, err = resolve.ListenInside(in); err != nil {
			faults = append(faults, c.At("inside.dns", unopened(in.Listen.String(), err)))
		}
	}
	for i, addr := range c.Outside.Listen {
		s.outside = append(s.outside, listen(fmt.Sprintf("outside.listen[%d]", i), addr.String()))
	}
	for i, addr := range c.Outside.DirectTLS {
		s.direct = append(s.direct, listen(fmt.Sprintf("outside.direct_tls[%d]", i), addr.String()))
	}
	if path, addr := c.ChallengeListen(); addr != "" {
		s.acme = listen(path, addr)
	}
	if addr := c.Certs.POSHListen; addr.IsValid() {
		s.posh = listen("certs.posh_listen", addr.String())
	}
	if addr := c.Telemetry.Metrics; addr != "" {
		s.metrics = listen("telemetry.metrics", addr)
	}
	if len(faults) > 0 {
		s.close()
		return sockets{}, errors.Join(faults...)
	}
	return s, nil
}

// unopened says why a socket cannot be had and what to do. The system's own words repeat the address.
func unopened(addr string, err error) error {
	advice := map[syscall.Errno]string{
		syscall.EADDRINUSE:    "; another process has it: `ss -lntup` shows which",
		syscall.EADDRNOTAVAIL: "; no interface of this machine has that address",
		syscall.EACCES:        "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE",
	}
	var code syscall.Errno
	if !errors.As(err, &code) {
		return err
	}
	return fmt.Errorf("%s: %w%s", addr, code, advice[code])
}

func (s sockets) close() {
	for _, ln := range slices.Concat(s.outside, s.direct, []net.Listener{s.inside, s.admin, s.acme, s.posh, s.metrics}) {
		if ln != nil {
			ln.Close()
		}
	}
	if s.names != nil {
		s.names.Close()
	}
}
