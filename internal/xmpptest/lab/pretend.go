package lab

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Pretend is a server-to-server speaker of a few hundred lines, for what no packaged server does: to be old, to be
// broken, to be everybody. It proves domains by dialback and by nothing else (XEP-0220), and its people are inboxes.
type Pretend struct {
	Domain string
	host   *Host
	config PretendConfig
	addr   netip.AddrPort
	log    *os.File

	mu     sync.Mutex
	people map[string]*inbox      // by bare address
	keys   map[string]string      // that it has sent, by stream id and receiving domain
	out    map[[2]string]*lineOut // proved streams, by sending and receiving domain
	conns  map[net.Conn]struct{}  // all, to close them at the end
	calls  []netip.Addr           // who has connected, once for each connection
}

// PretendConfig says what is special about a Pretend.
type PretendConfig struct {
	Domain  string                               // "": all domains that nobody else has
	TLS     *tls.Config                          // STARTTLS is offered and asked for; nil: a server without version, features and TLS
	Addr    netip.Addr                           // where it listens; the zero value: at its host's address
	Silent  bool                                 // connections are accepted and then nothing happens
	Resolve func(string) (netip.AddrPort, error) // where a domain lives; nil: as DNS says
}

// lineOut is one stream to another server, for one pair of domains.
type lineOut struct {
	sync.Mutex
	*line
}

// GoogleTalkLike starts a server in the manner of the old Google Talk: dialback and nothing else, no STARTTLS, no version
// and no "from" in its stream headers, long opaque keys, one stream for each pair of domains. Only a peer that accepts
// plaintext can federate with it.
func (l *Lab) GoogleTalkLike(host *Host, domain string) *Pretend {
	l.t.Helper()
	return l.Pretend(host, PretendConfig{Domain: domain})
}

// Pretend starts a pretend server on host, on port 5269.
func (l *Lab) Pretend(host *Host, c PretendConfig) *Pretend {
	l.t.Helper()
	p := &Pretend{
		Domain: c.Domain, host: host, config: c, addr: Config{addr: c.Addr}.streams(host),
		people: make(map[string]*inbox), keys: make(map[string]string), out: make(map[[2]string]*lineOut), conns: make(map[net.Conn]struct{}),
	}
	path := filepath.Join(l.logs, host.name+"-pretend.log")
	var err error
	if p.log, err = os.Create(path); err != nil {
		l.t.Fatal(err)
	}
	l.watch(host.name+"/pretend", path, tailBytes)
	if p.config.Resolve == nil {
		p.config.Resolve = host.lookupXMPP
	}
	ln, err := host.Listen(p.addr)
	if err != nil {
		l.t.Fatalf("starting the pretend server on %s: %v", host.name, err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			p.keep(conn)
			serving.Go(func() { p.serve(conn) })
		}
	})
	l.onClose(func() {
		_ = ln.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		serving.Wait()
		_ = p.log.Close()
	})
	return p
}

// Addr is where the server listens.
func (p *Pretend) Addr() netip.AddrPort { return p.addr }

// Calls returns who has connected to it, once for each connection.
func (p *Pretend) Calls() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// AwaitCall waits until somebody has connected to it.
func (p *Pretend) AwaitCall(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, nil, func() error {
		if len(p.Calls()) == 0 {
			return fmt.Errorf("nobody has called %s", p.Domain)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func (p *Pretend) keep(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
	p.conns[conn] = struct{}{}
}

func (p *Pretend) logf(format string, args ...any) {
	fmt.Fprintf(p.log, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}

// hosts reports whether the domain is served here.
func (p *Pretend) hosts(domain string) bool { return p.Domain == "" || domain == p.Domain }

// serve is the receiving server and the authoritative server of one connection (XEP-0220 §2.1.2, §2.2).
func (p *Pretend) serve(conn net.Conn) {
	defer conn.Close()
	if p.config.Silent {
		_, _ = conn.Read(make([]byte, 1)) // the peer's header, perhaps
		_, _ = conn.Read(make([]byte, 1<<16))
		for {
			if _, err := conn.Read(make([]byte, 1<<12)); err != nil {
				return
			}
		}
	}
	s := &line{conn: conn, log: p.logf, name: "from " + conn.RemoteAddr().String()}
	if err := s.accept(p.config.TLS); err != nil {
		p.logf("%s: %v", s.name, err)
		return
	}
	proved := make(map[[2]string]bool) // pairs, sender first: callers may put several on one stream
	for {
		e, err := s.next()
		if err != nil {
			p.logf("%s: %v", s.name, err)
			return
		}
		from, to := e.Attr("from"), e.Attr("to")
		switch {
		case e.XMLName == xml.Name{Space: nsDialback, Local: "verify"} && e.Attr("type") == "":
			s.write("<db:verify from='%s' to='%s' id='%s' type='%s'/>", to, from, e.Attr("id"), p.verdict(from, e.Attr("id"), e.Text))
		case e.XMLName == xml.Name{Space: nsDialback, Local: "result"} && e.Attr("type") == "":
			if !p.hosts(to) {
				s.write("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
				return
			}
			if err := p.askAbout(from, to, s.id, e.Text); err != nil {
				p.logf("%s: %s is not proved: %v", s.name, from, err)
				s.write("<db:result from='%s' to='%s' type='invalid'/></stream:stream>", to, from)
				return
			}
			proved[[2]string{from, to}] = true
			s.write("<db:result from='%s' to='%s' type='valid'/>", to, from)
		case proved[[2]string{domainOf(from), domainOf(to)}]:
			p.deliver(*e)
		default:
			p.logf("%s: ignored", s.name)
		}
	}
}

// deliver gives a stanza to whom it is for, or answers for the server.
func (p *Pretend) deliver(s Stanza) {
	to := s.Attr("to")
	if strings.Contains(to, "@") {
		bare, _, _ := strings.Cut(to, "/")
		p.inbox(bare).put(s)
		return
	}
	if s.Is("iq", "get") {
		if err := p.send(context.Background(), to, s.Attr("from"), serverAnswer(&s)); err != nil {
			p.logf("answering %s: %v", s.String(), err)
		}
	}
}

// serverAnswer is what a server says about itself: XEP-0199, XEP-0092, XEP-0030.
func serverAnswer(s *Stanza) string {
	payload, typ := "", "result"
	switch {
	case s.Child("urn:xmpp:ping", "ping") != nil:
	case s.Child("jabber:iq:version", "query") != nil:
		payload = "<query xmlns='jabber:iq:version'><name>Pretend</name><version>1</version></query>"
	case s.Child("http://jabber.org/protocol/disco#info", "query") != nil:
		payload = "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='Pretend'/></query>"
	default:
		typ, payload = "error", "<error type='cancel'><service-unavailable xmlns='"+nsStanzas+"'/></error>"
	}
	return fmt.Sprintf("<iq type='%s' id='%s' from='%s' to='%s'>%s</iq>", typ, escape(s.Attr("id")), escape(s.Attr("to")), escape(s.Attr("from")), payload)
}

func (p *Pretend) inbox(bare string) *inbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.people[bare] == nil {
		p.people[bare] = newInbox()
	}
	return p.people[bare]
}

// newKey makes the key for a stream id of the receiving domain: text without a meaning, to be remembered.
func (p *Pretend) newKey(receiving, id string) string {
	b := make([]byte, 96)
	_, _ = rand.Read(b)
	key := "CAES" + base64.StdEncoding.EncodeToString(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[id+" "+receiving] = key
	return key
}

// verdict answers a db:verify.
func (p *Pretend) verdict(receiving, id, key string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.keys[id+" "+receiving]; known != "" && known == strings.TrimSpace(key) {
		return "valid"
	}
	return "invalid"
}

// askAbout asks the server of domain whether key is its own, over a connection for that alone.
func (p *Pretend) askAbout(domain, local, id, key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := p.dial(ctx, local, domain)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	s.write("<db:verify from='%s' to='%s' id='%s'>%s</db:verify>", local, domain, id, escape(key))
	for {
		e, err := s.next()
		if err != nil {
			return err
		}
		if e.XMLName.Local == "verify" && e.Attr("id") == id && e.Attr("from") == domain && e.Attr("to") == local {
			if verdict := e.Attr("type"); verdict != "valid" {
				return errors.New("the key is " + verdict)
			}
			return nil
		}
	}
}

// send writes a whole stanza on the stream for its pair of domains, which is opened and proved first if need be.
func (p *Pretend) send(ctx context.Context, from, to, raw string) error {
	pair := [2]string{domainOf(from), domainOf(to)}
	p.mu.Lock()
	out := p.out[pair]
	if out == nil {
		out = new(lineOut)
		p.out[pair] = out
	}
	p.mu.Unlock()
	out.Lock()
	defer out.Unlock()
	if out.line != nil && out.write("%s", raw) == nil {
		return nil
	}
	s, err := p.dial(ctx, pair[0], pair[1])
	if err != nil {
		return fmt.Errorf("reaching %s: %w", pair[1], err)
	}
	s.write("<db:result from='%s' to='%s'>%s</db:result>", pair[0], pair[1], p.newKey(pair[1], s.id))
	for {
		e, err := s.next()
		if err != nil {
			return fmt.Errorf("waiting for %s to accept our key: %w", pair[1], err)
		}
		if e.XMLName == (xml.Name{Space: nsDialback, Local: "result"}) {
			if e.Attr("type") != "valid" {
				return fmt.Errorf("%s did not accept our key: %s", pair[1], e)
			}
			break
		}
	}
	out.line = s
	go s.drain()
	return s.write("%s", raw)
}

// dial opens a stream from a domain of ours to another.
func (p *Pretend) dial(ctx context.Context, from, to string) (*line, error) {
	addr, err := p.config.Resolve(to)
	if err != nil {
		return nil, err
	}
	conn, err := p.host.Dial(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.conns[conn] = struct{}{}
	p.mu.Unlock()
	s := &line{conn: conn, log: p.logf, name: "to " + to}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := s.initiate(p.config.TLS, from, to); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// Person is somebody with an account at a Pretend.
type Person struct {
	server *Pretend
	jid    string
	in     *inbox
}

// Person returns the account of that bare address.
func (p *Pretend) Person(bare string) *Person {
	return &Person{server: p, jid: bare + "/lab", in: p.inbox(bare)}
}

// JID returns the full address.
func (p *Person) JID() string { return p.jid }

// Send sends a stanza; its "from" is added to it.
func (p *Person) Send(t testing.TB, format string, args ...any) {
	t.Helper()
	raw := fmt.Sprintf(format, args...)
	var s Stanza
	if err := xml.Unmarshal([]byte(raw), &s); err != nil {
		t.Fatalf("%s sends %s: %v", p.jid, raw, err)
	}
	from := p.jid
	if strings.Contains(s.Attr("type"), "subscribe") {
		from = Bare(p) // RFC 6121 §3.1.2
	}
	name := "<" + s.XMLName.Local
	raw = name + " from='" + from + "'" + strings.TrimPrefix(raw, name)
	if err := p.try(t, s.Attr("to"), raw); err != nil {
		t.Fatalf("%s sends: %v", p.jid, err)
	}
}

// Try sends a message with the body to somebody, and returns why it could not: the other side did not take the proof of
// the domain, or did not talk at all.
func (p *Person) Try(t testing.TB, to, body string) error {
	t.Helper()
	return p.try(t, to, fmt.Sprintf("<message type='chat' id='%s' from='%s' to='%s'><body>%s</body></message>", rand.Text(), p.jid, to, body))
}

func (p *Person) try(t testing.TB, to, raw string) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.server.send(ctx, p.jid, to, raw)
}

// Expect is as that of Client.
func (p *Person) Expect(t testing.TB, what string, match func(*Stanza) bool) Stanza {
	t.Helper()
	return p.in.expect(t, p.jid, what, patience, match)
}

// Arrives is as that of Client.
func (p *Person) Arrives(t testing.TB, wait time.Duration, match func(*Stanza) bool) bool {
	return p.in.arrives(t, wait, match)
}
