package load

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
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
	writes bool // its writes are counted in /proc; send(2), which others use, is not
	remote *end
	local  *end
	close  func()

	// Of the subjects that take many remote domains.
	authority *peer.Authority
	place     string // where the subject takes streams from outside
}

// end is one side of a subject: bytes go into the subject through w, and stanzas that come out of it are counted.
type end struct {
	domain string
	in     *Counter
	w      io.Writer
}

// Close stops the subject and both ends.
func (s *Subject) Close() { s.close() }

func (s *Subject) usage() (sum Usage, err error) {
	for _, pid := range s.pids {
		u, e := usage(pid)
		sum.CPU, sum.Writes, sum.RSS = sum.CPU+u.CPU, sum.Writes+u.Writes, sum.RSS+u.RSS
		err = errors.Join(err, e)
	}
	return sum, err
}

// remoteEnd starts the server on the internet. It reaches every domain through the subject.
func remoteEnd(ctx context.Context, ca *peer.Authority, place string, in *Counter) (*peer.Server, error) {
	id, err := ca.Issue(remoteDomain, "*."+remoteDomain)
	if err != nil {
		return nil, err
	}
	return peer.Modern{Domains: []string{remoteDomain, "*." + remoteDomain}, Certificate: id.TLS, Roots: ca.Pool(), External: true, Secret: dialbackSecret,
		Directory: peer.Directory{Routes: map[string]string{"*": place}},
		Hooks:     peer.Hooks{Take: func(_ peer.Pair, c net.Conn) { in.Read(c) }, Dial: spread}}.Start(ctx)
}

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

// Alone starts no subject at all: the two ends talk to each other. What it costs is what the generator costs; plaintext makes
// both of them legacy servers, else both are modern.
func Alone(ctx context.Context, plaintext bool) (*Subject, error) {
	s := &Subject{Name: "none (TLS)", remote: &end{domain: remoteDomain, in: newCounter()}, local: &end{domain: gateDomain, in: newCounter()}}
	names, err := peer.ListenNames("", nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var servers []*peer.Server
	s.close = func() {
		cancel()
		for _, server := range servers {
			server.Close()
		}
		names.Close()
	}
	ca, err := peer.NewAuthority("Load generator")
	if err != nil {
		s.close()
		return nil, err
	}
	for _, e := range []*end{s.remote, s.local} {
		server, err := aloneEnd(ctx, ca.Pool(), ca, e, names, plaintext)
		if err != nil {
			s.close()
			return nil, err
		}
		names.Set(e.domain, server.Addr())
		s.authority, s.place = ca, server.Addr() // of the local end, which comes last
		servers = append(servers, server)
	}
	if plaintext {
		s.Name = "none (plaintext)"
	}
	if err := errors.Join(connect(ctx, servers[0], s.remote, s.local), connect(ctx, servers[1], s.local, s.remote)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func aloneEnd(ctx context.Context, roots *x509.CertPool, ca *peer.Authority, e *end, names *peer.Names, plaintext bool) (*peer.Server, error) {
	hooks := peer.Hooks{Take: func(_ peer.Pair, c net.Conn) { e.in.Read(c) }}
	where := peer.Directory{DNS: names.Addr}
	if plaintext {
		return peer.Legacy{Domains: []string{e.domain}, Directory: where, Verify: peer.OverSeparate, Hooks: hooks}.Start(ctx)
	}
	id, err := ca.Issue(e.domain)
	if err != nil {
		return nil, err
	}
	return peer.Modern{Domains: []string{e.domain}, Directory: where, Certificate: id.TLS, Roots: roots, External: true, Hooks: hooks}.Start(ctx)
}
