package peer

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
)

// character is what tells one kind of server from another.
type character struct {
	domains   []string
	listen    string
	directory Directory
	hooks     Hooks

	version  bool     // speaks XMPP 1.0
	named    bool     // from and to stand in its headers
	separate bool     // verifies on connections of their own
	exact    bool     // takes stanzas of a proved pair only; else of a proved sender to any domain it serves
	silent   bool     // drops what is not proved; else it ends the stream
	external bool     // offers and uses SASL EXTERNAL
	tls      *tlsSide // nil: plaintext only; else TLS only
	key      func(challenge) string
}

// challenge is what a dialback key answers, in the words of XEP-0185 §3.
type challenge struct{ Receiving, Originating, ID string }

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	character
	ln   net.Listener
	ctx  context.Context // of everything it does; ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	links   map[Pair]*Link
	users   map[string]*User // by bare address
	waiting map[string]chan Stanza
	stats   Stats
	serial  int
	prefix  string // of stanza ids
}

// Stats counts the stanzas of a server's users, answers made by the server for them included.
type Stats struct {
	Sent     int            // handed to a stream or queued for one
	Received int            // came over a proved stream; errors are counted in Errors alone
	Errors   map[string]int // errors that came back, by condition: over a stream, or of the server's own making
}

func start(ctx context.Context, c character) (*Server, error) {
	ln, err := net.Listen("tcp", cmp.Or(c.listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("listening for streams: %w", err)
	}
	if c.hooks.Dial == nil {
		c.hooks.Dial = func(ctx context.Context, _ Pair, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if c.hooks.Watch == nil {
		c.hooks.Watch = func(LinkEvent) {}
	}
	if c.hooks.Admit == nil {
		c.hooks.Admit = func(Pair) error { return nil }
	}
	s := &Server{character: c, ln: ln, links: make(map[Pair]*Link), users: make(map[string]*User), waiting: make(map[string]chan Stanza),
		stats: Stats{Errors: make(map[string]int)}, prefix: randomID()[:8]}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.work.Go(s.accept)
	return s, nil
}

// Addr is where the server takes streams, ip:port.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close ends all streams with </stream:stream> and waits until that is done.
func (s *Server) Close() error {
	s.stop()
	s.work.Wait()
	return nil
}

// Stats returns the counts up to now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := s.stats
	copied.Errors = maps.Clone(s.stats.Errors)
	return copied
}

func (s *Server) accept() {
	defer context.AfterFunc(s.ctx, func() { s.ln.Close() })()
	for {
		conn, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // one connection less; the next may be better
		}
		s.work.Go(func() { s.receive(conn) })
	}
}

// hosts says whether a domain is one of the server's.
func (s *Server) hosts(domain string) bool {
	for _, d := range s.domains {
		suffix, wild := strings.CutPrefix(d, "*")
		if d == domain || wild && domain != "" && strings.HasSuffix(domain, suffix) {
			return true
		}
	}
	return false
}

// attend keeps a stream under the server's eye: when the server stops, the stream is told to end.
func (s *Server) attend(w *wire) (release func() bool) {
	return context.AfterFunc(s.ctx, func() { w.end(nil) })
}

// route sends a stanza on its way: to a user here, or over the link of its pair. A link that could not take it any more is
// replaced once.
func (s *Server) route(st Stanza) error {
	p := Pair{Local: domainOf(st.From), Remote: domainOf(st.To)}
	if !s.hosts(p.Local) || p.Remote == "" {
		return fmt.Errorf("sending from %s to %s: not an address of this server", st.From, st.To)
	}
	s.mu.Lock()
	s.stats.Sent++
	s.mu.Unlock()
	if s.hosts(p.Remote) && s.hooks.Receive == nil {
		s.deliver(st)
		return nil
	}
	for range 2 { // a link that has just ended is another one at the second try
		if s.link(p).send(st) {
			return nil
		}
	}
	s.bounce(st, errors.New("the link ended"))
	return nil
}

// link returns the outgoing link of a pair and opens it when there is none.
func (s *Server) link(p Pair) *Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.links[p]; ok {
		return l
	}
	l := &Link{s: s, pair: p, up: make(chan struct{}), down: make(chan struct{}), asked: make(map[question]chan string)}
	s.links[p] = l
	s.work.Go(l.run)
	return l
}

// forget removes a link that has ended, so that the next stanza opens a new one.
func (s *Server) forget(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[l.pair] == l {
		delete(s.links, l.pair)
	}
}

// bounce tells a local sender that a stanza could not be sent, RFC 6120 §10.4.3.
func (s *Server) bounce(st Stanza, why error) {
	e := StanzaError{Type: "wait", Condition: "remote-server-timeout", Text: why.Error()}
	if reply, ok := st.bounce(domainOf(st.From), e); ok {
		s.deliver(reply)
	}
}

// randomID returns 32 hexadecimal digits nobody can guess.
func randomID() string {
	b := make([]byte, 16)
	// crypto/rand does not fail: it ends the program.
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
