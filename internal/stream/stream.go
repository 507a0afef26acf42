package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Limits bound what an unproved peer may send. A trusted one is held to Stanza alone.
type Limits struct {
	Stanza          stanza.Limits
	PreAuthBytes    int // on one document; a restart begins a new one. 0: 16 KiB
	PreAuthElements int // first-level elements, the same. 0: 64
}

// Config is how a stream is held. Its zero value is a tolerant receiving or initiating server with the default limits.
type Config struct {
	Limits       Limits
	Lang         string        // our xml:lang; "": en
	Side         string        // which side of the gate, for logs
	Log          *slog.Logger  // nil: none
	Strict       bool          // towards strangers: what only old servers need is refused
	WriteTimeout time.Duration // one write; 0: 30 s
}

func (c Config) withDefaults() Config {
	if c.Lang == "" {
		c.Lang = "en"
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 30 * time.Second
	}
	if c.Limits.Stanza == (stanza.Limits{}) {
		c.Limits.Stanza = stanza.DefaultLimits()
	}
	if c.Limits.PreAuthBytes == 0 {
		c.Limits.PreAuthBytes = 16 << 10
	}
	if c.Limits.PreAuthElements == 0 {
		c.Limits.PreAuthElements = 64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Stream is one XML stream with a peer about which nothing is proved.
type Stream struct {
	// Set at birth.
	cfg      Config
	features func(*Stream) []byte // receiving: what is offered
	hosts    Hosts                // receiving: whom we serve
	addr     netip.AddrPort

	// Owned by the reading goroutine.
	sc      *stanza.Scanner
	offered *stanza.Node // initiating: the peer's features
	from    jid.Domain   // initiating: who we say we are,
	to      jid.Domain   // and whom we call
	said    *Error       // the peer's error, once it has come

	reading atomic.Bool // the reading goroutine waits for the peer

	// Guarded by state; written by the reading goroutine.
	state  sync.Mutex
	conn   net.Conn
	local  jid.Domain
	peer   Header
	id     string
	secure *tls.ConnectionState

	// Guarded by write.
	write     sync.Mutex
	greeted   bool // our header is out
	ended     bool // our closing tag is out, or the connection is gone
	peerEnded chan struct{}
	endOnce   sync.Once
}

func newStream(conn net.Conn, c Config) *Stream {
	s := &Stream{cfg: c.withDefaults(), conn: conn, peerEnded: make(chan struct{})}
	// A pipe has no such address, and needs none.
	s.addr, _ = netip.ParseAddrPort(conn.RemoteAddr().String())
	s.begin(conn)
	return s
}

// begin starts a new pair of documents on conn, with the limits of the unproved.
func (s *Stream) begin(conn net.Conn) {
	l := s.cfg.Limits.Stanza
	l.Total, l.Elements = s.cfg.Limits.PreAuthBytes, s.cfg.Limits.PreAuthElements
	s.sc = stanza.NewScanner(conn, l)
	s.state.Lock()
	s.conn, s.peer, s.id = conn, Header{}, ""
	s.state.Unlock()
	s.write.Lock()
	s.greeted = false
	s.write.Unlock()
}

// ID is the stream id in force: ours when we are the receiving server, the peer's newest when we are the initiating one; empty
// if the peer sent none.
func (s *Stream) ID() string {
	s.state.Lock()
	defer s.state.Unlock()
	return s.id
}

// Local is the domain that we answer as, or call as.
func (s *Stream) Local() jid.Domain {
	s.state.Lock()
	defer s.state.Unlock()
	return s.local
}

// Remote is the domain that the peer's newest header names as its own. Nothing proves it.
func (s *Stream) Remote() jid.Domain { return s.PeerHeader().From }

// PeerHeader is the peer's newest header.
func (s *Stream) PeerHeader() Header {
	s.state.Lock()
	defer s.state.Unlock()
	return s.peer
}

// TLS is the state of the encrypted channel, nil on a plaintext stream.
func (s *Stream) TLS() *tls.ConnectionState {
	s.state.Lock()
	defer s.state.Unlock()
	return s.secure
}

// RemoteAddr is the peer's address; the zero value where the transport has none.
func (s *Stream) RemoteAddr() netip.AddrPort { return s.addr }

func (s *Stream) transport() net.Conn {
	s.state.Lock()
	defer s.state.Unlock()
	return s.conn
}

// SetReadDeadline bounds reading; the zero time lifts the bound. It may be called while another goroutine reads.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.transport().SetReadDeadline(t) }

// Next returns the next first-level element that is not a stanza. It is valid until the next call. Errors: ErrStanza, in front of
// a stanza; ErrClosed; *Error, ours to send (what came is not XMPP) or received; io.EOF and the transport's own.
func (s *Stream) Next() (*stanza.Element, error) {
	s.reading.Store(true)
	el, err := s.sc.Next()
	s.reading.Store(false)
	switch {
	case err != nil:
		return nil, s.ending(scanned(err))
	case el.Kind() != stanza.Other:
		s.sc.Unread()
		return nil, ErrStanza
	case el.Is(nsStream, "error"):
		return nil, s.ending(received(el.Tree()))
	}
	return el, nil
}

// ending notes that the peer will send nothing more, for Close.
func (s *Stream) ending(err error) error {
	if errors.Is(err, ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		s.endOnce.Do(func() { close(s.peerEnded) })
	}
	return err
}

// Trust makes a Trusted of a stream whose peer was proved, and lifts the limits of the unproved.
func (s *Stream) Trust() *Trusted {
	s.sc.SetLimits(s.cfg.Limits.Stanza)
	return &Trusted{stream: s}
}

// Trusted is a stream that may send stanzas. Only Trust makes one.
type Trusted struct{ stream *Stream }

// Batch waits for at least one first-level element, stanza or not, and returns all whole ones that are there, in dst's room. They
// are valid until the next call. Errors are those of Stream.Next, but for ErrStanza; they come after the elements before them.
func (t *Trusted) Batch(dst []stanza.Element) ([]stanza.Element, error) {
	s := t.stream
	if s.said != nil {
		return nil, s.ending(s.said)
	}
	s.reading.Store(true)
	batch, err := s.sc.Batch(dst)
	s.reading.Store(false)
	if err != nil {
		return nil, s.ending(scanned(err))
	}
	for i := range batch {
		if batch[i].Kind() == stanza.Other && batch[i].Is(nsStream, "error") {
			// What came before it counts, and comes first.
			s.said = received(batch[i].Tree())
			if i == 0 {
				return nil, s.ending(s.said)
			}
			return batch[:i], nil
		}
	}
	return batch, nil
}

// Stream gives the stream, for what it knows and for writing.
func (t *Trusted) Stream() *Stream { return t.stream }

// Write sends whole elements in one piece; n says how many bytes the transport took. It is safe for concurrent use.
func (s *Stream) Write(b []byte) (n int, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	if s.ended {
		return 0, net.ErrClosed
	}
	return s.put(b)
}

// put writes with the lock held.
func (s *Stream) put(b []byte) (int, error) {
	conn := s.transport()
	if err := conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
		return 0, err
	}
	return conn.Write(b)
}

// under makes blocking calls on the connection end with ctx. Call the returned function when they are done: its error is
// ctx's, if that ended first.
func (s *Stream) under(ctx context.Context) (done func() error) {
	conn := s.transport()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetReadDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return func() error {
		if !stop() {
			return context.Cause(ctx)
		}
		if _, ok := ctx.Deadline(); ok {
			conn.SetReadDeadline(time.Time{})
		}
		return nil
	}
}
