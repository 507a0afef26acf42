package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Limits bound what a peer may send.
type Limits struct {
	// Stanza holds at all times; its Total and Elements do not count. Zero: stanza.DefaultLimits.
	Stanza stanza.Limits
	// PreAuthBytes and PreAuthElements bound all that a peer sends before Trust, from each header on: bytes, and first-level
	// elements. Zero: 16 KiB and 64. On a stream that we initiated they bound the negotiation, and PreAuthBytes each later
	// element: nothing big is ever said there.
	PreAuthBytes    int
	PreAuthElements int
}

// Config is how we hold our end of a stream. The zero Config has the default limits and says nothing to a log.
type Config struct {
	Limits       Limits
	Lang         string        // our xml:lang; default "en"
	Side         string        // of the gate, for the log
	Log          *slog.Logger  // headers, at debug level; what fails is returned, not logged
	Strict       bool          // the peer is a stranger: no tolerance for what only old servers do
	WriteTimeout time.Duration // for one Write; default 30 s
	Farewell     time.Duration // how long Close waits for the peer's closing tag ([C17], RFC 6120 §4.4); default 5 s
	Idle         time.Duration // how long a trusted peer may send nothing, not even white space, before Batch says ErrSilent; 0: for ever
}

func (c Config) withDefaults() Config {
	if c.Limits.Stanza == (stanza.Limits{}) {
		c.Limits.Stanza = stanza.DefaultLimits()
	}
	if c.Limits.PreAuthBytes == 0 {
		c.Limits.PreAuthBytes = 16 << 10
	}
	if c.Limits.PreAuthElements == 0 {
		c.Limits.PreAuthElements = 64
	}
	if c.Lang == "" {
		c.Lang = "en"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 30 * time.Second
	}
	if c.Farewell == 0 {
		c.Farewell = farewell
	}
	return c
}

// unproved are the limits of a peer before Trust.
func (l Limits) unproved() stanza.Limits {
	limits := l.Stanza
	limits.Total, limits.Elements = l.PreAuthBytes, l.PreAuthElements
	return limits
}

// answering are the limits of a peer that we called, once it has answered.
func (l Limits) answering() stanza.Limits {
	limits := l.proved()
	limits.Stanza = min(limits.Stanza, l.PreAuthBytes)
	return limits
}

func (l Limits) proved() stanza.Limits {
	limits := l.Stanza
	limits.Total, limits.Elements = 0, 0
	return limits
}

// Stream is one XML stream with a peer that is not trusted. Accept and Initiate make one.
type Stream struct {
	// Set at birth.
	cfg      Config
	addr     netip.AddrPort
	raw      net.Conn             // below TLS
	calls    bool                 // we are the initiating server,
	from, to jid.Domain           // and these are who we say we are and whom we call
	hosts    Hosts                // we are the receiving server: whom we answer for,
	offer    func(*Stream) []byte // and what is inside our features
	clock    clock

	// Owned by the reading goroutine.
	wire *wire
	scan *stanza.Scanner
	said *Error // the peer's error, for all calls after the one that met it
	dead bool   // a step failed: what is still in the buffer must not be read

	// Replaced as a whole by the reading goroutine.
	now atomic.Pointer[facts]

	// Held while a call reads: by the reading goroutine, or by the end of the stream when nobody reads.
	reading chan struct{}
	// Set while the reading goroutine is expected to come back for stanzas.
	carries atomic.Bool
	// Closed when the peer has ended the stream, or the connection has gone.
	ended   chan struct{}
	endOnce sync.Once

	// Owned by whoever holds turn.
	turn     chan struct{}
	conn     net.Conn // raw, or TLS over it
	open     bool     // our header is out: elements may be written
	securing bool     // XML would run into a TLS handshake
	sealed   bool     // our closing tag is out
	broken   bool     // a write failed: what the peer has of us may end anywhere

	// What Post has kept, guarded by postbox.
	postbox sync.Mutex
	posted  []byte

	// The first Close, Fail or Abort sets it.
	ending atomic.Bool
	// What goes in front of the last words.
	parting atomic.Pointer[[]byte]
}

// facts are what the newest headers and the channel below them say.
type facts struct {
	local    jid.Domain // whom we answer or call as
	id       string
	peer     Header
	tls      *tls.ConnectionState
	features *stanza.Node
}

func newStream(conn net.Conn, c Config) *Stream {
	s := &Stream{cfg: c.withDefaults(), raw: conn, conn: conn, reading: make(chan struct{}, 1), ended: make(chan struct{}), turn: make(chan struct{}, 1)}
	if c, ok := conn.(*tls.Conn); ok {
		s.raw = c.NetConn()
		if r, ok := s.raw.(*records); ok {
			s.raw = r.Conn
		}
	}
	s.clock.conn = s.raw
	if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		s.addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
	s.begin(conn, nil)
	return s
}

// begin starts new documents on a channel. Nothing that was learnt on the old ones holds any longer ([C11], RFC 6120 §5.4.3.3).
func (s *Stream) begin(conn net.Conn, state *tls.ConnectionState) {
	if s.scan != nil {
		s.scan.Release(errRestarting)
	}
	s.wire = newWire(conn)
	s.scan = stanza.NewScanner(s.wire, s.cfg.Limits.unproved())
	s.now.Store(&facts{tls: state})
}

// learn changes facts; readers see all of a change or nothing.
func (s *Stream) learn(change func(*facts)) {
	f := *s.now.Load()
	change(&f)
	s.now.Store(&f)
}

// ID returns the stream id in force, over which keys are made: ours on a stream that we accepted, the peer's newest on one that we
// initiated, and then empty if it sent none.
func (s *Stream) ID() string { return s.now.Load().id }

// Local returns the domain that we answer as, or call as.
func (s *Stream) Local() jid.Domain { return s.now.Load().local }

// Remote returns the domain that the peer's newest header says it is; zero if it says none.
func (s *Stream) Remote() jid.Domain { return s.now.Load().peer.From }

// PeerHeader returns the peer's newest header.
func (s *Stream) PeerHeader() Header { return s.now.Load().peer }

// TLS returns the state of the encrypted channel; nil on a plaintext stream.
func (s *Stream) TLS() *tls.ConnectionState { return s.now.Load().tls }

// RemoteAddr returns the peer's address, the zero value if the connection has no IP address.
func (s *Stream) RemoteAddr() netip.AddrPort { return s.addr }

// opening is the header that is due from us.
func (s *Stream) opening() opening {
	f := s.now.Load()
	switch {
	case s.calls:
		return opening{from: s.from, to: s.to, lang: s.cfg.Lang, modern: true}
	case f.id == "": // the peer's header has not come: it is taken for a server of today
		return opening{from: f.local, id: NewID(), lang: s.cfg.Lang, modern: true}
	}
	return opening{from: f.local, to: f.peer.From, id: f.id, lang: s.cfg.Lang, modern: f.peer.Version.modern()}
}

// step takes one step of the negotiation on behalf of the reading goroutine, within ctx. If it fails, the stream ends.
func (s *Stream) step(ctx context.Context, take func() error) error {
	if err := s.enter(); err != nil {
		return err
	}
	done := s.clock.during(ctx)
	err := overdue(ctx, take())
	done()
	if err != nil {
		s.scan.Release(err)
	}
	s.leave(err)
	if err != nil {
		s.dead = true
		s.giveUp(err)
	}
	return err
}

// SetReadDeadline bounds the waiting of Next and Batch, those under way as well; zero lifts the bound. The deadline of a step's
// context counts besides.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.clock.set(&s.clock.caller, t) }

// errEnded is what is read from and written to a stream that we have ended.
var errEnded = fmt.Errorf("the stream was ended on this side: %w", net.ErrClosed)

// errRestarting is for writers that meet a stream between its old documents and its new ones.
var errRestarting = errors.New("the stream is being restarted")
