package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// One port serves both kinds of stream: the first byte tells, and stays where it is ([M08]).
func TestBeginsWithTLS(t *testing.T) {
	t.Parallel()
	for first, want := range map[string]bool{"\x16\x03\x01": true, "<?xml": false, " <": false, "\x15": false, "\x80": false} {
		here, there := loopback(t)
		io.WriteString(there, first)
		if got, err := BeginsWithTLS(here); got != want || err != nil {
			t.Errorf("%q: %t, %v", first, got, err)
		}
		b := make([]byte, len(first))
		if _, err := io.ReadFull(here, b); err != nil || string(b) != first {
			t.Errorf("%q: then %q is read, %v", first, b, err)
		}
	}
}

func TestBeginsWithTLSWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	here, there := loopback(t)
	here.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if got, err := BeginsWithTLS(here); got || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent peer: %t, %v", got, err)
	}
	here.SetReadDeadline(time.Time{})
	there.Close()
	if got, err := BeginsWithTLS(here); got || err != nil {
		t.Errorf("a peer that went: %t, %v", got, err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got, err := BeginsWithTLS(a); got || err != nil {
		t.Errorf("no socket: %t, %v", got, err)
	}
}

// A stream that begins with TLS takes what has come together, and ends with close_notify, as one after STARTTLS.
func TestDirectTLSStream(t *testing.T) {
	t.Parallel()
	here, there := loopback(t)
	done := make(chan error, 1)
	go func() {
		s, err := Accept(t.Context(), DirectServer(here, testTLS().server), strict, hostsCorp, nothing)
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	s, err := Initiate(t.Context(), DirectClient(there, testTLS().client), strict, remote, corp)
	if err != nil {
		t.Fatal(err)
	}
	if s.wire.below == nil || s.raw != there {
		t.Error("what is below TLS is not ours")
	}
	if _, err := s.Next(); !errors.Is(err, ErrClosed) {
		t.Errorf("the stream ends with %v", err)
	}
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if state := s.TLS(); state == nil || state.Version != tls.VersionTLS13 {
		t.Errorf("TLS is %v", state)
	}
}

// A connection that negotiated another protocol ends with its handshake: not a byte of XML crosses it (RFC 8737 §3).
func TestAnotherProtocolIsNoStream(t *testing.T) {
	t.Parallel()
	here, there := loopback(t)
	server, client := testTLS().server.Clone(), testTLS().client.Clone()
	server.NextProtos, client.NextProtos = []string{"xmpp-server", "acme-tls/1"}, []string{"acme-tls/1"}
	done := make(chan error, 1)
	go func() {
		_, err := Accept(t.Context(), DirectServer(here, server), strict, hostsCorp, nothing)
		here.Close()
		done <- err
	}()
	conn := tls.Client(there, client)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='corp.example' version='1.0'>")
	if n, err := conn.Read(make([]byte, 100)); n > 0 || err == nil {
		t.Errorf("%d bytes come back", n)
	}
	if err := <-done; !errors.Is(err, ErrProtocol) {
		t.Errorf("Accept = %v", err)
	}
}
