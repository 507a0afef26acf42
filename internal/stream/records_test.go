package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/stanza"
)

// gatherer holds back what is written until it is told how much of it may go.
type gatherer struct {
	net.Conn
	mu      sync.Mutex
	waiting *bytes.Buffer // nil: nothing is held back
}

func (g *gatherer) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting != nil {
		return g.waiting.Write(b)
	}
	return g.Conn.Write(b)
}

// hold begins to hold back.
func (g *gatherer) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = new(bytes.Buffer)
}

// send lets go of all but so many bytes.
func (g *gatherer) send(t *testing.T, but int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Conn.SetWriteDeadline(time.Time{}) // crypto/tls leaves one that has passed behind close_notify
	if _, err := g.Conn.Write(g.waiting.Next(g.waiting.Len() - but)); err != nil {
		t.Error(err)
	}
}

// loopback is two ends of a TCP connection.
func loopback(t *testing.T) (near, away net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if away, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); away.Close() })
	return near, away
}

// trusted is a stream over TLS and TCP, with what the other end writes under control.
func trusted(t *testing.T) (*Trusted, *Stream, *gatherer) {
	t.Helper()
	near, away := loopback(t)
	held := &gatherer{Conn: away}
	var called *Stream
	var server sync.WaitGroup
	server.Go(func() {
		var err error
		if called, err = Accept(t.Context(), near, strict, hostsCorp, offers); err != nil {
			t.Error(err)
			return
		}
		must(t, called, nsTLS, "starttls")
		if err := called.StartTLS(t.Context(), testTLS().server); err != nil {
			t.Error(err)
		}
	})
	calling, err := Initiate(t.Context(), held, strict, remote, corp)
	if err != nil {
		t.Fatal(err)
	}
	if err := calling.ClientTLS(t.Context(), testTLS().client); err != nil {
		t.Fatal(err)
	}
	server.Wait()
	return called.Trust(), calling, held
}

// What a peer has sent stanza by stanza is one batch, as far as it is there; what is not is not waited for.
func TestBatchTakesAllRecordsAtHand(t *testing.T) {
	t.Parallel()
	tr, calling, held := trusted(t)
	held.hold()
	for n := range 10 {
		if _, err := fmt.Fprintf(calling, "<message id='%d'/>", n); err != nil {
			t.Fatal(err)
		}
	}
	held.send(t, 7) // the tenth record lacks its end
	batch, err := tr.Batch(nil, 64)
	if err != nil || len(batch) != 9 || string(batch[8].ID()) != "8" {
		t.Fatalf("%d elements, %v; want the 9 that are whole, at once", len(batch), err)
	}
	if tr.stream.wire.below.buf == nil {
		t.Error("the beginning of the tenth record is lost")
	}
	held.send(t, 0)
	if batch, err = tr.Batch(batch, 64); err != nil || len(batch) != 1 || string(batch[0].ID()) != "9" {
		t.Fatalf("%d elements, %v; want the tenth", len(batch), err)
	}
	if r := tr.stream.wire.below; r.buf != nil || r.due != 0 {
		t.Errorf("a connection that is read empty holds a buffer of %d bytes", len(*r.buf))
	}
}

// Records of every size come through whole, whatever pieces the network makes of them.
func TestRecordsInPieces(t *testing.T) {
	t.Parallel()
	tr, calling, held := trusted(t)
	held.hold()
	const n = 40
	for i := range n {
		if _, err := fmt.Fprintf(calling, "<message id='%d'><body>%s</body></message>", i, strings.Repeat("x", i*1000)); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for piece := 1; held.waiting.Len() > 0; piece = piece*3%7919 + 1 {
			held.send(t, max(0, held.waiting.Len()-piece))
		}
	}()
	var batch []stanza.Element
	for seen := 0; seen < n; {
		var err error
		if batch, err = tr.Batch(batch, 64); err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			if string(batch[i].ID()) != fmt.Sprint(seen) || len(batch[i].Raw()) < seen*1000 {
				t.Fatalf("element %d has the id %s and %d bytes", seen, batch[i].ID(), len(batch[i].Raw()))
			}
			seen++
		}
	}
}

// Ends are told behind the stanzas that came with them.
func TestEndBehindRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(calling *Stream, held *gatherer)
		want error
	}{
		{"the closing tag", func(calling *Stream, _ *gatherer) { calling.Write([]byte("</stream:stream>")) }, ErrClosed},
		{"close_notify", func(calling *Stream, _ *gatherer) { calling.closeWrite() }, io.EOF},
		{"half a record", func(_ *Stream, held *gatherer) { held.Write([]byte("\x17\x03\x03\x01\x00 and no more")) }, io.ErrUnexpectedEOF},
		{"half a header", func(_ *Stream, held *gatherer) { held.Write([]byte("\x17\x03")) }, io.EOF},
	} {
		tr, calling, held := trusted(t)
		held.hold()
		if _, err := io.WriteString(calling, "<message id='1'/>"); err != nil {
			t.Fatal(err)
		}
		c.end(calling, held)
		held.send(t, 0)
		held.Conn.Close()
		batch, err := tr.Batch(nil, 64)
		if err != nil || len(batch) != 1 {
			t.Fatalf("%s: %d elements, %v", c.name, len(batch), err)
		}
		if _, err := tr.Batch(batch, 64); !errors.Is(err, c.want) {
			t.Errorf("%s: then %v, want %v", c.name, err, c.want)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	near, away := loopback(t)
	r := readinessOf(near)
	near.SetReadDeadline(past)
	if err := r.wait(); !errors.Is(err, os.ErrDeadlineExceeded) || !isTimeout(err) {
		t.Errorf("past the deadline: %v", err)
	}
	near.SetReadDeadline(time.Time{})
	waited := make(chan error, 1)
	go func() { waited <- r.wait() }()
	if _, err := away.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("with a byte there: %v", err)
	}
	var b [2]byte
	if n, err := near.Read(b[:]); n != 1 || err != nil || b[0] != 'x' {
		t.Errorf("waiting took the byte: %d, %v", n, err)
	}
	away.Close()
	if err := r.wait(); err != nil {
		t.Errorf("at the end: %v; reading is what tells", err)
	}
	if _, err := near.Read(b[:]); err != io.EOF {
		t.Errorf("reading at the end: %v", err)
	}
	near.Close()
	if err := r.wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed by us: %v", err)
	}
	pipe, _ := pipe(t)
	if err := readinessOf(pipe).wait(); err != nil {
		t.Errorf("a connection without a descriptor: %v", err)
	}
}

// A connection that breaks while nobody reads says so once, to the one who waits: whoever reads then must hear it too.
func TestRecordsRememberWhatBrokeThem(t *testing.T) {
	t.Parallel()
	near, away := loopback(t)
	r := newRecords(near)
	if err := away.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	away.Close()
	if err := r.wait(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("waiting: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("then reading: %v", err)
	}
	if r.buf != nil {
		t.Error("a buffer is held")
	}
}

func TestRecordsHoldNoBufferUntilSomethingComes(t *testing.T) {
	t.Parallel()
	near, away := loopback(t)
	r := newRecords(near)
	near.SetReadDeadline(past)
	if err := r.wait(); !isTimeout(err) || r.buf != nil {
		t.Errorf("past the deadline: %v, buffer %v", err, r.buf != nil)
	}
	near.SetReadDeadline(time.Time{})
	if _, err := away.Write([]byte{22, 3, 3, 0, 1, 'x'}); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(); err != nil || r.buf == nil {
		t.Errorf("with a record there: %v, buffer %v", err, r.buf != nil)
	}
	if n, err := r.Read(make([]byte, 10)); n != 6 || err != nil || r.buf != nil {
		t.Errorf("read %d, %v, buffer held afterwards: %v", n, err, r.buf != nil)
	}
}
