package resolve

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxPipelined = 2048             // questions under way on one connection: more than all look-ups and forwards together ask
	tlsIdle      = 10 * time.Second // without any question, until a connection is closed
)

// tlsServer asks one name server over TLS. All questions share one connection, answered in any order, which is made when there is a
// question and closed when there was none for a while (RFC 7858 §3.3, RFC 7766 §6.2).
type tlsServer struct {
	// Set at birth.
	addr    string
	config  *tls.Config
	timeout time.Duration // for connection and handshake
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	line *tlsLine // the newest; nil: none yet
}

func newTLSServer(s Server, roots *x509.CertPool, timeout time.Duration, dial func(context.Context, string, string) (net.Conn, error)) *tlsServer {
	return &tlsServer{addr: s.Addr.String(), timeout: timeout, dial: dial, config: &tls.Config{
		ServerName: s.TLS, RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"dot"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
}

// exchange asks one question. The server may have closed a connection that was idle just when the question went out; then it is asked
// again, once.
func (s *tlsServer) exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	line, isNew := s.current()
	reply, err := line.ask(ctx, q)
	if isNew || !errors.Is(err, errLineGone) {
		return reply, err
	}
	select {
	case <-line.gone: // at once, so that the next one is another
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	line, _ = s.current()
	return line.ask(ctx, q)
}

// current returns the connection in use, or a new one.
func (s *tlsServer) current() (line *tlsLine, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != nil && !s.line.isGone() {
		return s.line, false
	}
	s.line = &tlsLine{timeout: s.timeout, ready: make(chan struct{}), gone: make(chan struct{}), waiting: map[uint16]chan []byte{}}
	go s.line.run(s)
	return s.line, true
}

// errLineGone is what a question gets whose connection ended.
var errLineGone = errors.New("closed the connection without an answer")

// tlsLine is one connection. Its goroutine, run, connects, reads, and ends with the connection, which is soon after the last question.
type tlsLine struct {
	timeout time.Duration
	ready   chan struct{} // closed when conn is there
	gone    chan struct{} // closed when the connection has ended, or could not be made, which is err
	conn    *tls.Conn     // written before ready is closed, read after
	err     error         // written before gone is closed, read after

	writing sync.Mutex // held for one message

	mu      sync.Mutex
	waiting map[uint16]chan []byte // by message id; nil when no more can be asked
	owing   bool                   // there was no answer since a question
}

func (l *tlsLine) isGone() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

func (l *tlsLine) run(s *tlsServer) {
	if l.conn, l.err = s.connect(); l.err != nil {
		close(l.gone)
		return
	}
	l.grant(tlsIdle)
	close(l.ready)
	l.read()
	l.mu.Lock()
	l.waiting = nil
	l.mu.Unlock()
	l.err = errLineGone
	close(l.gone)
	l.conn.Close() // last: it waits for the peer to take the farewell
}

// connect makes the connection, which is for all who wait and so does not end with any of them.
func (s *tlsServer) connect() (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	raw, err := s.dial(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, s.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return conn, nil
}

// read hands out what comes in, until nothing more does. An answer that nobody waits for any longer is dropped.
func (l *tlsLine) read() {
	for {
		wire, err := readMessage(l.conn)
		if err != nil {
			return
		}
		if len(wire) < 2 {
			continue
		}
		l.deliver(binary.BigEndian.Uint16(wire), wire)
	}
}

// deliver hands an answer to the one who waits for it.
func (l *tlsLine) deliver(id uint16, wire []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	answer, ok := l.waiting[id]
	if !ok {
		return
	}
	delete(l.waiting, id)
	answer <- wire // there is room for the one answer
	l.owing = len(l.waiting) > 0
	if l.owing {
		l.grant(2 * l.timeout)
	} else {
		l.grant(tlsIdle)
	}
}

// grant says how long the connection may bring nothing before it ends.
func (l *tlsLine) grant(d time.Duration) {
	// An error means that the connection has ended, which the reader sees.
	_ = l.conn.SetReadDeadline(time.Now().Add(d))
}

// ask puts one question and waits for its answer.
func (l *tlsLine) ask(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	select {
	case <-l.ready:
	case <-l.gone:
		return nil, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer, err := l.enter(q)
	if err != nil {
		return nil, err
	}
	defer l.leave(q.Id)
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing the question: %w", err)
	}
	if err := l.write(wire); err != nil {
		return nil, err
	}
	select {
	case wire := <-answer:
		return fitSurely(q, wire)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.gone:
	}
	select {
	case wire := <-answer: // it was the last thing to come
		return fitSurely(q, wire)
	default:
		return nil, l.err
	}
}

// enter gives q an id that no other question on the connection has. The channel takes its answer.
func (l *tlsLine) enter(q *dns.Msg) (<-chan []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.waiting == nil:
		return nil, errLineGone
	case len(l.waiting) >= maxPipelined:
		return nil, errors.New("has too many of our questions under way")
	case !l.owing:
		// The first unanswered question sets the time, and further ones do not: behind a dead connection they would go on for ever.
		l.grant(2 * l.timeout)
		l.owing = true
	}
	var id [2]byte
	for {
		// crypto/rand.Read never fails: without randomness the program does not run.
		_, _ = rand.Read(id[:])
		q.Id = binary.BigEndian.Uint16(id[:])
		if _, taken := l.waiting[q.Id]; !taken {
			break
		}
	}
	answer := make(chan []byte, 1)
	l.waiting[q.Id] = answer
	return answer, nil
}

func (l *tlsLine) leave(id uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
}

// write sends one message. After a write that failed half-way the connection is of no use.
func (l *tlsLine) write(wire []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.conn.SetWriteDeadline(time.Now().Add(l.timeout))
	if err == nil {
		err = writeMessage(l.conn, wire)
	}
	if err != nil {
		l.conn.NetConn().Close() // without a farewell, for which there is no room
		return errLineGone
	}
	return nil
}
