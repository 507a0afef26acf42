package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"sallyport/internal/peer"
)

// The domains of the measurement.
const (
	remoteDomain = "load.example"   // the remote end, and anything below it
	gateDomain   = "corp.example"   // behind the gate
	directHost   = "direct.example" // of Prosody and ejabberd
	directDomain = "sink." + directHost
)

// Subject is a program under measurement with the two ends around it.
type Subject struct {
	Name   string
	pids   []int
	writes bool   // its writes are counted in /proc; send(2), which others use, is not
	admin  string // the admin socket of a gate
	remote *end
	local  *end
	server *peer.Server // of the remote end
	came   atomic.Int64 // domains that Proofs has let come

	authority *peer.Authority // whom the subject and both ends believe
	place     string          // where the subject takes streams from outside
	closers   []func()
}

// end is one side of a subject: bytes go into the subject through w, and stanzas that come out of it are counted.
type end struct {
	domain string
	in     *Counter
	w      io.Writer
}

// newSubject has nothing around it yet but an authority. The context ends with the subject.
func newSubject(ctx context.Context, name, local string) (*Subject, context.Context, error) {
	ca, err := peer.NewAuthority("Load generator")
	s := &Subject{Name: name, authority: ca, remote: &end{domain: remoteDomain, in: newCounter()}, local: &end{domain: local, in: newCounter()}}
	ctx, cancel := context.WithCancel(ctx)
	s.closers = append(s.closers, cancel)
	return s, ctx, err
}

// onClose has something stopped with the subject, before what was started earlier.
func (s *Subject) onClose(f func()) { s.closers = append(s.closers, f) }

// Close stops the subject and both ends.
func (s *Subject) Close() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
	s.closers = nil
}

func (s *Subject) usage() (sum Usage, err error) {
	for _, pid := range s.pids {
		u, e := usage(pid)
		sum.CPU, sum.Writes, sum.RSS = sum.CPU+u.CPU, sum.Writes+u.Writes, sum.RSS+u.RSS
		err = errors.Join(err, e)
	}
	return sum, err
}

// remoteEnd starts the server on the internet, which reaches every domain through the subject, and a DNS that leads to it.
func (s *Subject) remoteEnd(ctx context.Context) (server *peer.Server, dns string, err error) {
	id, err := s.authority.Issue(remoteDomain, "*."+remoteDomain)
	if err != nil {
		return nil, "", err
	}
	server, err = peer.Modern{Domains: []string{remoteDomain, "*." + remoteDomain}, Certificate: id.TLS, Roots: s.authority.Pool(),
		External: true, Secret: dialbackSecret, Directory: peer.Directory{Routes: map[string]string{"*": s.place}},
		Hooks: peer.Hooks{Take: s.remote.take, Dial: spread}}.Start(ctx)
	if err != nil {
		return nil, "", err
	}
	s.server = server
	s.onClose(func() { server.Close() })
	names, err := peer.ListenNames("", map[string]string{"*": server.Addr()})
	if err != nil {
		return nil, "", err
	}
	s.onClose(func() { names.Close() })
	return server, names.Addr, nil
}

// take counts what a proved stream carries.
func (e *end) take(_ peer.Pair, c net.Conn) { e.in.Read(c) }

// perSource is how many connections come from one address: fewer than limits per address allow.
const perSource = 50

// spread dials numbered domains (n12.load.example) from addresses of their own in 127.7/16, as if they were many servers.
func spread(ctx context.Context, p peer.Pair, address string) (net.Conn, error) {
	var d net.Dialer
	var n int
	if _, err := fmt.Sscanf(p.Local, "n%d.", &n); err == nil {
		n /= perSource
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 7, byte(n/250), byte(n%250+1))}
	}
	return d.DialContext(ctx, "tcp", address)
}

// connect opens the link of an end and sends one stanza through to the other, so that all links of that direction stand.
func connect(ctx context.Context, from *peer.Server, f, t *end) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	link, err := from.Open(ctx, peer.Pair{Local: f.domain, Remote: t.domain})
	if err != nil {
		return err
	}
	f.w = link
	return f.greet(ctx, t)
}

// greet sends one stanza to the other end and waits for it.
func (f *end) greet(ctx context.Context, t *end) error {
	arrived, _ := t.in.now()
	if _, err := f.w.Write(Stanza(Route{f.domain, t.domain}, 0, 300)); err != nil {
		return err
	}
	return t.in.Await(ctx, arrived+1)
}
