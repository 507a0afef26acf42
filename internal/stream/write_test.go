package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/stanza"
)

func TestWritesAreWhole(t *testing.T) {
	t.Parallel()
	called, calling := secured(t)
	const writers, each = 8, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := fmt.Fprintf(calling, "<x xmlns='y' w='%d' i='%d'>%s</x>", w, i, strings.Repeat("a", 100*i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := [writers]int{}
	called.scan.SetLimits(stanza.DefaultLimits())
	for range writers * each {
		n := must(t, called, "y", "x").Tree()
		var w, i int
		fmt.Sscan(n.Attr("w"), &w)
		fmt.Sscan(n.Attr("i"), &i)
		if next[w] != i || len(n.Text) != 100*i {
			t.Fatalf("writer %d: element %d of %d bytes, want element %d", w, i, len(n.Text), next[w])
		}
		next[w]++
	}
	all.Wait()
	called.Abort()
	calling.Abort()
}

// Elements of the old stream must not get into the handshake or in front of the new header, whoever writes them when.
func TestWritersDoNotDisturbRestarts(t *testing.T) {
	t.Parallel()
	called, calling := pair(t, strict)
	ctx, cancel := context.WithCancel(t.Context())
	var writers, server sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				called.Write([]byte("<x xmlns='y'/>"))
				called.ID()
				called.TLS()
				called.SetReadDeadline(time.Time{})
			}
		})
	}
	server.Go(func() {
		must(t, called, nsTLS, "starttls")
		if err := called.StartTLS(t.Context(), testTLS().server); err != nil {
			t.Error(err)
		}
	})
	// Our own role as client refuses what comes between; here only the other's discipline is looked at.
	calling.final("<starttls xmlns='"+nsTLS+"'/>", true)
	for {
		el, err := calling.Next()
		if err != nil {
			t.Fatal(err)
		}
		if el.Is(nsTLS, "proceed") {
			break
		}
	}
	if n := calling.scan.Buffered(); n > 0 {
		t.Errorf("%d bytes came behind <proceed/>", n)
	}
	err := calling.step(t.Context(), func() error {
		if err := calling.handshake(tlsClient(calling)); err != nil {
			return err
		}
		return calling.call()
	})
	if err != nil {
		t.Error(err)
	}
	// The writers go on over TLS, so somebody must read until they have stopped.
	var reader sync.WaitGroup
	reader.Go(func() {
		for _, err := calling.Next(); err == nil; {
			_, err = calling.Next()
		}
	})
	server.Wait()
	cancel()
	writers.Wait()
	called.Abort()
	reader.Wait()
}

func TestWriteTimesOut(t *testing.T) {
	t.Parallel()
	inBubble(t, opened, func(t *testing.T, conn net.Conn) {
		s := accepted(t, conn, Config{WriteTimeout: 7 * time.Second})
		begun := time.Now()
		_, err := s.Write([]byte("<x/>"))
		if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took != 7*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if _, err := s.Write([]byte("<y/>")); err == nil || time.Since(begun) != 7*time.Second {
			t.Errorf("behind a half-written element: %v", err)
		}
		// And no closing tag is written into the middle of an element.
		if err := s.Close(); err == nil || time.Since(begun) != 7*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(begun))
		}
	})
}

// bounded notes the deadline that writing is under.
type bounded struct {
	net.Conn
	until atomic.Pointer[time.Time]
}

func (b *bounded) SetWriteDeadline(t time.Time) error {
	b.until.Store(&t)
	return b.Conn.SetWriteDeadline(t)
}

// TLS writes while we read. A deadline that a Write leaves behind would end the stream at the peer's first KeyUpdate.
func TestWriteLiftsItsDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, opened+"P> <x/>", func(t *testing.T, conn net.Conn) {
		b := &bounded{Conn: conn}
		s := accepted(t, b, strict)
		if _, err := s.Write([]byte("<x/>")); err != nil {
			t.Fatal(err)
		}
		if until := b.until.Load(); until == nil || !until.IsZero() {
			t.Errorf("behind a Write, writing is bounded until %v", until)
		}
	})
}

func TestReadDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, opened, func(t *testing.T, conn net.Conn) {
		s := accepted(t, conn, strict)
		begun := time.Now()
		s.SetReadDeadline(begun.Add(time.Minute))
		time.AfterFunc(time.Second, func() { s.SetReadDeadline(begun.Add(3 * time.Second)) })
		if _, err := s.Next(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 3*time.Second {
			t.Errorf("Next: %v after %v", err, time.Since(begun))
		}
	})
}

// A step's context and the caller's deadline hold side by side, and the latter is back in force when the step is over.
func TestStepKeepsTheCallersDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, calledIn+`
		R> <auth xmlns=sasl mechanism='EXTERNAL'/>
		P> <challenge xmlns=sasl/>
		R> <response xmlns=sasl/>`,
		func(t *testing.T, conn net.Conn) {
			s := accepted(t, conn, strict)
			begun := time.Now()
			s.SetReadDeadline(begun.Add(10 * time.Second))
			must(t, s, nsSASL, "auth")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := s.Challenge(ctx); err != nil {
				t.Error(err)
			}
			if _, err := s.Next(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 10*time.Second {
				t.Errorf("Next: %v after %v", err, time.Since(begun))
			}
		})
	inBubble(t, calledIn+`
		R> <auth xmlns=sasl mechanism='EXTERNAL'/>
		P> <challenge xmlns=sasl/>`,
		func(t *testing.T, conn net.Conn) {
			s := accepted(t, conn, strict)
			begun := time.Now()
			s.SetReadDeadline(begun.Add(10 * time.Second))
			must(t, s, nsSASL, "auth")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := s.Challenge(ctx); !isTimeout(err) || time.Since(begun) != 10*time.Second {
				t.Errorf("Challenge: %v after %v", err, time.Since(begun))
			}
		})
}

// Who reads goes on reading while somebody else writes and the peer takes nothing: its elements leave behind those, in their order. It
// waits when there are too many.
func TestPostWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		called, calling := pair(t, strict)
		var all sync.WaitGroup
		all.Go(func() { called.Write([]byte("<x xmlns='y'/>")) })
		synctest.Wait()
		const most = mostPosted / len("<z000 xmlns='y'/>")
		var posted atomic.Int32
		all.Go(func() {
			for i := range most + 1 {
				if err := called.Post(fmt.Appendf(nil, "<z%03d xmlns='y'/>", i)); err != nil {
					t.Error(err)
				}
				posted.Add(1)
			}
		})
		synctest.Wait()
		if n := int(posted.Load()); n != most {
			t.Errorf("%d are posted while somebody writes, want %d", n, most)
		}
		calling.scan.SetLimits(stanza.DefaultLimits())
		must(t, calling, "y", "x")
		for i := range most {
			must(t, calling, "y", fmt.Sprintf("z%03d", i))
		}
		must(t, calling, "y", fmt.Sprintf("z%03d", most))
		all.Wait()
		called.Abort()
		if err := called.Post([]byte("<z/>")); err == nil {
			t.Error("it is posted to a stream that has ended")
		}
		calling.Abort()
	})
}
