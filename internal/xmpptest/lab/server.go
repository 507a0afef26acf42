package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// Password is every account's.
const Password = "secret"

// Mode is how a server treats the encryption of its server-to-server streams.
type Mode uint8

const (
	Plain       Mode = iota // no TLS at all, dialback
	OptionalTLS             // TLS where the other side can, dialback
	RequiredTLS             // TLS or nothing; dialback or a valid certificate
	Certified               // TLS and a certificate from the CA with the right name, or nothing
)

// Config says which server to start. The server hosts Domain and a group-chat service on conference.Domain.
type Config struct {
	Domain    string
	Mode      Mode
	Users     []string          // accounts: localparts at Domain, or addresses at one of Sites
	Cert      *Cert             // nil: a sound one is made
	Sites     []Site            // further domains
	Variant   string            // of a backend's page
	Files     map[string]string // further files of its own, by the path that it sees: path to copy
	Listeners string            // further listeners of an ejabberd peer
	Lines     string            // what a peer's configuration has besides, at its first level
	Gateway   string            // domain of a component that Prosody takes at port 5347 (XEP-0114), see Lab.Biboumi
	page      *page             // a backend: Mode does not count, these lines do
	addr      netip.Addr        // where it takes streams, if not at its host's address
}

// Site is a further domain of a server, with a certificate of its own.
type Site struct {
	Domain string
	Cert   *Cert
}

func (c Config) conference() string { return "conference." + c.Domain }

// Server is a real server from Debian's packages. It starts in the background: see Ready.
type Server struct {
	Domain string
	Host   *Host

	lab     *Lab
	name    string
	start   func(ctx context.Context) error                       // runs the processes and waits until they serve
	addUser func(ctx context.Context, local, domain string) error // the server runs
	users   []string
	files   []string // its own log files

	up    sync.WaitGroup // start
	err   error          // of start
	procs []*Process
}

// startTime is how long a server may take to come up, on a busy machine.
const startTime = 120 * time.Second

// launch starts s in the background.
func (l *Lab) launch(s *Server) {
	for _, f := range s.files {
		l.watch(s.name+" "+s.Domain+" "+f[strings.LastIndexByte(f, '/')+1:], f, tailBytes)
	}
	l.mu.Lock()
	l.servers = append(l.servers, s)
	l.mu.Unlock()
	s.background(func(ctx context.Context) error {
		if err := s.start(ctx); err != nil {
			return err
		}
		for _, u := range s.users {
			if err := s.add(ctx, u); err != nil {
				return fmt.Errorf("adding user %s: %w", u, err)
			}
		}
		return nil
	})
}

func (s *Server) background(start func(context.Context) error) {
	s.up.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		if err := start(ctx); err != nil {
			s.err = fmt.Errorf("%s for %s: %w", s.name, s.Domain, err)
		}
	})
}

func (s *Server) wait() error {
	s.up.Wait()
	return s.err
}

// run starts a process of the server and waits until it listens on all of addrs.
func (s *Server) run(ctx context.Context, c Command, addrs ...netip.AddrPort) error {
	p, err := s.Host.Start(c)
	if err != nil {
		return err
	}
	s.procs = append(s.procs, p)
	for _, a := range addrs {
		if err := s.Host.await(ctx, p, a); err != nil {
			return err
		}
	}
	return nil
}

// logged waits until one of the server's log files has text.
func (s *Server) logged(ctx context.Context, text string) error {
	return until(ctx, nil, func() error {
		if !strings.Contains(s.Log(), text) {
			return fmt.Errorf("no log of the server says %q", text)
		}
		return nil
	})
}

// add makes the account of a localpart at the server's first domain, or of an address.
func (s *Server) add(ctx context.Context, user string) error {
	local, domain := s.address(user)
	return s.addUser(ctx, local, domain)
}

// address splits an account's address; that of a localpart is at the first domain.
func (s *Server) address(user string) (local, domain string) {
	local, domain, found := strings.Cut(user, "@")
	if !found {
		domain = s.Domain
	}
	return local, domain
}

// AddUser adds an account with the one Password.
func (s *Server) AddUser(t testing.TB, local string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	if err := s.add(ctx, local); err != nil {
		t.Fatalf("adding user %s to %s: %v", local, s.Domain, err)
	}
}

// Stop ends the server as its unit file would, with SIGTERM, and waits.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	for i := len(s.procs) - 1; i >= 0; i-- {
		if err := s.procs[i].Stop(15 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	s.procs = nil
}

// Kill ends the server without warning, as a power cut would.
func (s *Server) Kill() {
	for _, p := range s.procs {
		p.Kill()
	}
	s.procs = nil
}

// Freeze has the server take nothing and say nothing any more, while its connections stand. Kill ends it.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	for _, p := range s.procs {
		if err := p.Freeze(); err != nil {
			t.Fatalf("freezing %s: %v", s.Domain, err)
		}
	}
}

// Start starts the server again after Stop or Kill, and waits until it serves.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.background(s.start)
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
}

// Restart is Stop and Start.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Log returns all that the server has logged.
func (s *Server) Log() string {
	var b strings.Builder
	for _, p := range s.procs {
		b.WriteString(p.Log())
	}
	for _, f := range s.files {
		b.WriteString(readLog(f))
	}
	return b.String()
}

// loopback is a TCP port of the server's host, on the loopback interface.
func (s *Server) loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// streams is where the server on h takes streams of other servers.
func (c Config) streams(h *Host) netip.AddrPort {
	if c.addr.IsValid() {
		return netip.AddrPortFrom(c.addr, 5269)
	}
	return netip.AddrPortFrom(h.addr(), 5269)
}

// addr is the host's address on the wire that it is on; the inside wins.
func (h *Host) addr() netip.Addr {
	if a := h.Addr(Inside); a.IsValid() {
		return a
	}
	return h.Addr(Outside)
}
