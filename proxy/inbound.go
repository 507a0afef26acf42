package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
	"sallyport/policy"
)

// inbound is a stream that a peer opened to one of our doors. One goroutine reads it; verifications run beside it.
type inbound struct {
	// Set at birth.
	p       *Proxy
	door    Door
	id      string
	conn    net.Conn
	direct  bool // the stream has to begin with TLS
	peer    netip.AddrPort
	backend *Backend // inside: who calls
	log     *slog.Logger
	opened  time.Time
	setUp   trace.Span    // from the connection to the first proved pair; set when serve begins
	gone    chan struct{} // closed when the link has ended

	// Set by the reading goroutine before anybody else can see it.
	s atomic.Pointer[stream.Stream]

	over *outbound              // the link that opened the stream, where it was not the peer
	back atomic.Pointer[writer] // for our stanzas on the same stream; nil where it carries one way

	// Owned by the reading goroutine.
	addrs     *jid.Cache
	lang      language
	load      *load     // what is to be carried, nil for nothing
	last      *outbound // the link that the last stanza went to
	verdict   linkVerdict
	seen      *sight // that the last stanza had
	saslTries int
	named     bool   // by SASL: what is left to offer is for a peer that has a name
	uncounted uint64 // stanzas carried before acknowledgements were on
	requests  int    // for acknowledgement, in the batch in hand
	strayed   bool   // an answer that nobody asked for was told of

	// Guarded by mu.
	mu      sync.Mutex
	pairs   map[Pair]*proof
	senders map[jid.Domain]*proof // the newest of each proved sender
	order   *answer               // last db:result answer in the queue (L41)
	first   *policy.LinkFacts     // of the first pair that was proved: what the link counts as
	due     time.Time             // when a pair has to be judged again; zero: when the policy changes
	trusted bool                  // no longer held to the limits of a peer that is not proved

	failures  atomic.Int32 // pairs that did not come up and were told of
	acking    atomic.Bool  // the peer is told what we have taken (XEP-0198)
	answered  atomic.Bool  // asked us something as authoritative server, which is reason enough to have come
	verifying sync.WaitGroup
	pending   atomic.Int32
	carried   atomic.Uint64
	active    atomic.Int64                 // where over is set: when something came last, Unix nanoseconds
	ended     atomic.Pointer[stream.Error] // why we end it from outside of its goroutines
}

// direction is the way in which this link's stanzas travel.
func (in *inbound) direction() Direction {
	if in.door == Inside {
		return Out
	}
	return In
}

func newInbound(p *Proxy, d Door, conn net.Conn, peer netip.AddrPort) *inbound {
	id := linkID()
	return &inbound{
		p: p, door: d, id: id, conn: conn, peer: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()),
		log:    p.Log.With("link", id, "door", d.String(), "peer", peer.String()),
		opened: time.Now(), gone: make(chan struct{}), pairs: make(map[Pair]*proof), senders: make(map[jid.Domain]*proof),
	}
}

// linkID is short: it only has to tell apart the lines of one log.
func linkID() string { return stream.NewID()[:12] }

// serve lives as long as the link: header, proof, stanzas, end. It logs the end, once.
func (in *inbound) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(in.traced(ctx))
	err := in.converse(ctx)
	if w := in.back.Load(); w != nil {
		w.ended(err)
	}
	cancel()
	in.verifying.Wait()
	in.withdraw()
	if s := in.s.Load(); s != nil {
		in.lastAck(s)
		finish(s, err)
	} else {
		in.conn.Close()
	}
	in.report(err)
}

// traced begins the span of the link's set-up.
func (in *inbound) traced(ctx context.Context) context.Context {
	ctx, in.setUp = in.p.Telemetry.span(ctx, "link", attribute.String("sallyport.direction", in.direction().String()), attribute.String("network.peer.address", in.peer.Addr().String()))
	return ctx
}

func (in *inbound) converse(ctx context.Context) error {
	trusted, err := in.open(ctx)
	if err != nil {
		return err
	}
	return in.read(ctx, trusted)
}

// open takes the stream up to the first proved pair. What it needs of the stack is given back before the link may idle for days.
func (in *inbound) open(ctx context.Context) (*stream.Trusted, error) {
	limits := in.p.now().Limits
	deadline := time.Now().Add(limits.PreAuthTime[in.door])
	conn, err := in.begin(deadline)
	if err != nil {
		return nil, err
	}
	accept, cancel := context.WithDeadline(ctx, deadline)
	cfg := streamConfig(limits, in.door, in.log)
	if in.door == Outside {
		cfg.Idle = limits.OutsideIdle
		makeRoom()
	}
	s, err := stream.Accept(accept, conn, cfg, in.hosts, in.features)
	cancel()
	if err != nil {
		return nil, err
	}
	in.s.Store(s)
	// The deadline stands until a pair is proved; authenticate lifts it.
	if err := s.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	t, err := in.authenticate(ctx, s)
	if err != nil {
		return nil, err
	}
	in.addrs = jid.NewCache(limits.AddressesPerStream)
	in.lang = languageOf(s.PeerHeader().Lang)
	return t, nil
}

// makeRoom grows the stack of a goroutine that is to shake hands, while next to nothing is on it. It would be copied three times
// else, at last in the depths of the key exchange. The next collections take it back from a link that idles.
//
//go:noinline
func makeRoom() {
	var room [20 << 10]byte
	runtime.KeepAlive(&room)
}

// begin puts TLS under a stream that begins with it ([M08]). Inside nothing does. A peer that has said nothing in time is left to the
// stream, which tells it so.
func (in *inbound) begin(deadline time.Time) (net.Conn, error) {
	if in.door == Inside {
		return in.conn, nil
	}
	in.conn.SetReadDeadline(deadline)
	withTLS, err := stream.BeginsWithTLS(in.conn)
	in.conn.SetReadDeadline(time.Time{})
	switch {
	case err != nil && (in.direct || !isTimeout(err)):
		return nil, err
	case withTLS:
		if cfg := in.p.Certs.ServerConfig("", true); cfg != nil {
			return stream.DirectServer(in.conn, cfg), nil
		}
		return nil, errors.New("the stream begins with TLS, and there is no certificate")
	case in.direct:
		return nil, errors.New("the stream begins in clear at a door for direct TLS")
	}
	return in.conn, nil
}

// streamConfig is how streams are held at a door.
func streamConfig(l Limits, d Door, log *slog.Logger) stream.Config {
	return stream.Config{Strict: d == Outside, Side: d.String(), Lang: ourLang, Log: log, WriteTimeout: l.Write, Farewell: l.Close,
		Limits: stream.Limits{Stanza: l.Stanza, PreAuthBytes: l.PreAuthBytes[d], PreAuthElements: l.PreAuthElements}}
}

// hosts answers the header's question whether we serve a domain ([C19]). Inside, we are every domain but the backend's own (D7).
func (in *inbound) hosts(to, from jid.Domain) (jid.Domain, error) {
	settings := in.p.now()
	if in.door == Inside {
		if settings.hosts(to) {
			return to, &stream.Error{Condition: stream.HostUnknown, Err: errors.New("a backend called the inside gate for a domain of our own")}
		}
		return to, nil
	}
	if to.IsZero() {
		// jabberd-like callers name nobody in the header; their db: elements will ([C08]).
		return settings.Backends[0].Domains[0], nil
	}
	if !settings.hosts(to) {
		return settings.Backends[0].Domains[0], &stream.Error{Condition: stream.HostUnknown, Err: errors.New(to.String() + " is not in backends[].domains")}
	}
	return to, nil
}

// The room for one read's elements follows the traffic: an idle link holds little.
const (
	leastBatch = 4
	mostBatch  = 256
)

// read carries what a proved stream brings, batch by batch, until it ends.
func (in *inbound) read(ctx context.Context, t *stream.Trusted) error {
	s := t.Stream()
	var room []stanza.Element
	var silent error
	for {
		clear(room) // a link that waits keeps no buffer alive
		s.Wait()
		batch, err := t.Batch(room, mostBatch)
		switch {
		case errors.Is(err, stream.ErrSilent):
			silent = err
			in.p.links.Go(func() { in.rest(s) })
			continue
		case isTimeout(err):
			return cmp.Or(in.told(), silent, err)
		case err != nil:
			return err
		}
		room = batch
		for i := range batch {
			if err := in.take(ctx, &batch[i]); err != nil {
				in.p.carry(ctx, in)
				return err
			}
		}
		in.p.carry(ctx, in)
		if in.over != nil {
			in.active.Store(time.Now().UnixNano())
		}
		if err := in.answerRequests(s); err != nil {
			return err
		}
		if len(batch) < cap(room)/8 && cap(room) > leastBatch {
			room = nil
		}
	}
}

// rest ends a stream on which nothing has come for long. What the peer still sends before it hears of the end is carried, unless it
// counts what we have taken.
func (in *inbound) rest(s *stream.Stream) {
	if in.clear(); in.acking.Load() {
		s.SetReadDeadline(past)
		return
	}
	s.Close()
}

// take adds a stanza to what is to be carried; anything else is negotiation, and comes after the stanzas before it.
func (in *inbound) take(ctx context.Context, el *stanza.Element) error {
	if el.Kind() == stanza.Other {
		in.p.carry(ctx, in)
		return in.negotiate(ctx, el)
	}
	c, ok, err := in.address(ctx, el)
	if !ok {
		return err
	}
	if in.load == nil {
		in.load = loads.Get().(*load)
	}
	in.load.cross = append(in.load.cross, c)
	return nil
}

// past is a deadline that ends a call which is already waiting.
var past = time.Unix(1, 0)

// hangUp ends the link from outside of its goroutines. Of a peer that counts what we have taken nothing more is taken, and the goroutine
// that reads tells it how much that was.
func (in *inbound) hangUp(e *stream.Error) {
	in.ended.CompareAndSwap(nil, e)
	in.clear()
	switch s := in.s.Load(); {
	case in.over != nil:
		in.over.renew(errTurned(e))
	case s == nil:
		in.conn.Close()
	case in.acking.Load():
		s.SetReadDeadline(past)
	default:
		s.Fail(e)
	}
}

// told is why the link was told to end; nil if it was not.
func (in *inbound) told() error {
	if e := in.ended.Load(); e != nil {
		return e
	}
	return nil
}

// finish ends a stream as its reading ended: with the condition of our own error, or with the closing tag.
func finish(s *stream.Stream, err error) {
	if e := ours(err); e != nil {
		s.Fail(e)
		return
	}
	s.Close()
}

// ours is what err has for the peer: the stream error that we found, nil if there is none.
func ours(err error) *stream.Error {
	var e *stream.Error
	if errors.As(err, &e) && !e.Received {
		return e
	}
	return nil
}

// note records an event of this link.
func (in *inbound) note(e audit.Event) {
	e.Link, e.Address = in.id, in.peer.String()
	e.Dir = in.direction().String()
	in.p.Record.Note(e)
}
