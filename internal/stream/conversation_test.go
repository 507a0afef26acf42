package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// Conversations are written as PROTOCOL §10 writes them. Lines that begin with "R>" are sent by the far side, those with "P>" are
// what our stream must answer, to the byte. H(…) is a stream header with its namespaces, F[…] the features; tls, sasl, streams and
// stanzas stand for their namespaces. {x} is an id of ours, which must be new at each letter and the same wherever the letter comes
// again. "R> TLS client" and "R> TLS server" begin TLS, "P> EOF" is the end of the connection, "R> EOF" ends it.
var shorthand = strings.NewReplacer(
	"H()", "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>",
	"H(", "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' ",
	")", ">", "F[", "<stream:features>", "]", "</stream:features>",
	"xmlns=tls", "xmlns='urn:ietf:params:xml:ns:xmpp-tls'",
	"xmlns=sasl", "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'",
	"xmlns=streams", "xmlns='urn:ietf:params:xml:ns:xmpp-streams'",
	"</>", "</stream:stream>",
)

// far is the far side of a scripted conversation.
type far struct {
	conn net.Conn
	ids  map[string]string
}

// scripted returns a connection whose far side plays a script. finished waits for its end and reports where it went astray.
func scripted(t testing.TB, script string) (conn net.Conn, finished func()) {
	t.Helper()
	near, farSide := net.Pipe()
	f := &far{conn: farSide, ids: map[string]string{}}
	fault := make(chan error, 1)
	go func() {
		err := f.play(script)
		if err != nil {
			f.conn.Close()
		}
		fault <- err
	}()
	return near, func() {
		t.Helper()
		if err := <-fault; err != nil {
			t.Errorf("%v\nin the conversation\n%s", err, script)
		}
		f.conn.Close()
	}
}

func (f *far) play(script string) error {
	for _, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		who, what, _ := strings.Cut(line, " ")
		what = strings.NewReplacer("&white;", " ", "&lf;", "\n").Replace(shorthand.Replace(strings.TrimSpace(what)))
		var err error
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case who == "R>" && what == "EOF":
			err = f.conn.Close()
		case who == "P>" && what == "EOF":
			err = f.end()
		case who == "R>" && strings.HasPrefix(what, "TLS "):
			err = f.secure(what == "TLS client")
		case who == "R>":
			_, err = io.WriteString(f.conn, f.known(what))
		case who == "P>":
			err = f.hear(what)
		default:
			err = errors.New("nobody says this")
		}
		if err != nil {
			return fmt.Errorf("at %q: %w", line, err)
		}
	}
	return nil
}

func (f *far) end() error {
	rest, err := io.ReadAll(f.conn)
	if len(rest) > 0 {
		return fmt.Errorf("got %q instead of the end", rest)
	}
	// The end of TLS without close_notify is an end, too: T05 wants it so.
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

func (f *far) secure(client bool) error {
	conn := tls.Server(f.conn, testTLS().server)
	if client {
		conn = tls.Client(f.conn, testTLS().client)
	}
	f.conn = conn
	return conn.Handshake()
}

// known puts ids that were heard before into what is said.
func (f *far) known(what string) string {
	for letter, id := range f.ids {
		what = strings.ReplaceAll(what, letter, id)
	}
	return what
}

const idLength = 32

// hear reads as many bytes as want has and compares them.
func (f *far) hear(want string) error {
	got := make([]byte, len(want)+strings.Count(want, "{")*(idLength-len("{x}")))
	f.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := io.ReadFull(f.conn, got)
	rest := string(got[:n])
	for want != "" {
		before, letter, after := cutID(want)
		if !strings.HasPrefix(rest, before) || letter != "" && len(rest) < len(before)+idLength {
			return errors.Join(fmt.Errorf("\n got %s\nwant %s (from %q on)", got[:n], want, rest), err)
		}
		rest = rest[len(before):]
		if letter != "" {
			if err := f.learn(letter, rest[:idLength]); err != nil {
				return err
			}
			rest = rest[idLength:]
		}
		want = after
	}
	return err
}

func cutID(s string) (before, letter, after string) {
	i := strings.IndexByte(s, '{')
	if i < 0 {
		return s, "", ""
	}
	return s[:i], s[i : i+3], s[i+3:]
}

func (f *far) learn(letter, id string) error {
	if known, ok := f.ids[letter]; ok && known != id {
		return fmt.Errorf("the id %s was %s and is %s", letter, known, id)
	}
	for other, known := range f.ids {
		if other != letter && known == id {
			return fmt.Errorf("[C10] the id %s is that of %s again", letter, other)
		}
	}
	if strings.Trim(id, "0123456789abcdef") != "" {
		return fmt.Errorf("[C09] the id %q is not made of hexadecimal digits", id)
	}
	f.ids[letter] = id
	return nil
}

var (
	corp   = jid.MustDomain("corp.example")
	remote = jid.MustDomain("remote.example")
	strict = Config{Strict: true}
)

// hostsCorp answers for corp.example and nobody else, as an outside door does.
func hostsCorp(to, from jid.Domain) (jid.Domain, error) {
	if !to.IsZero() && to != corp {
		return corp, &Error{Condition: HostUnknown, Err: errors.New("not ours")}
	}
	return corp, nil
}

// offers is what a receiving server of the tests has to offer: TLS first, then dialback.
func offers(s *Stream) []byte {
	if s.TLS() == nil {
		return AppendStartTLSFeature(nil, true)
	}
	return AppendDialbackFeature(nil, true)
}

func nothing(*Stream) []byte { return nil }

// condition is the stream error condition of err, for tables; "" if there is none.
func condition(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return string(e.Condition)
	}
	return ""
}

// must takes the next element of a stream.
func must(t testing.TB, s *Stream, space, local string) *stanza.Element {
	t.Helper()
	el, err := s.Next()
	if err != nil {
		t.Fatalf("waiting for <%s xmlns='%s'/>: %v", local, space, err)
	}
	if !el.Is(space, local) {
		t.Fatalf("got %s instead of <%s xmlns='%s'/>", el.Raw(), local, space)
	}
	return el
}

// pair is a stream with both its ends in our hands.
func pair(t testing.TB, c Config) (called, calling *Stream) {
	t.Helper()
	near, away := net.Pipe()
	var answered sync.WaitGroup
	var acceptErr error
	answered.Go(func() { called, acceptErr = Accept(context.Background(), near, c, hostsCorp, offers) })
	calling, err := Initiate(context.Background(), away, c, remote, corp)
	answered.Wait()
	if err := errors.Join(err, acceptErr); err != nil {
		t.Fatal(err)
	}
	return called, calling
}

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	sent bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.sent.Write(b)
	r.mu.Unlock()
	return r.Conn.Write(b)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent.String()
}

// pipe is a connection with both ends, closed at the end of the test.
func pipe(t testing.TB) (near, away net.Conn) {
	near, away = net.Pipe()
	t.Cleanup(func() {
		near.Close()
		away.Close()
	})
	return near, away
}
