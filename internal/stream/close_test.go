package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/stanza"
)

func TestCloseWhenNobodyReads(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, peer string
		took       time.Duration
	}{
		{"[C17]: the peer closes as well", "R> </>\nP> EOF", 0},
		{"[C17]: the peer has more to say", "R> <x xmlns='y'/><message/>\nR> <message/></>\nP> EOF", 0},
		{"the peer leaves", "R> EOF", 0},
		{"the peer says nothing", "P> EOF", farewell},
		{"the peer does not get to its end", "R> <message>\nP> EOF", farewell},
		{"the peer talks nonsense", "R> <\nR> <\nP> EOF", 0},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, opened+"P> </>\n"+v.peer, func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				begun := time.Now()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took != v.took {
					t.Errorf("it took %v, want %v", took, v.took)
				}
				if _, err := s.Next(); err == nil {
					t.Error("there is still something to read")
				}
			})
		})
	}
}

// [C17], invariant 3: what the peer sends until it has seen our closing tag is not lost while somebody carries it.
func TestCloseLeavesStanzasToTheReader(t *testing.T) {
	t.Parallel()
	inBubble(t, opened+`
		R> <message id='1'/>
		P> </>
		R> <message id='2'/>
		R> <message id='3'/></>
		P> EOF`,
		func(t *testing.T, conn net.Conn) {
			trusted := accepted(t, conn, strict).Trust()
			var closing sync.WaitGroup
			var got []string
			for {
				batch, err := trusted.Batch(nil, 64)
				for i := range batch {
					got = append(got, string(batch[i].ID()))
				}
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					break
				}
				if len(got) == 1 {
					closing.Go(func() { trusted.Stream().Close() })
				}
				<-time.After(time.Second) // carrying takes its time, in which nobody reads
			}
			closing.Wait()
			if strings.Join(got, "") != "123" {
				t.Errorf("the stanzas %v were carried, want 1, 2 and 3", got)
			}
		})
}

func TestCloseWakesTheReader(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		peer string
		want error
		took time.Duration
	}{
		"the peer closes":       {"R> </>\nP> EOF", ErrClosed, 0},
		"the peer does nothing": {"P> EOF", nil, farewell}, // an error of the connection, which is being closed
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, opened+"P> </>\n"+v.peer, func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				begun := time.Now()
				var closing sync.WaitGroup
				closing.Go(func() {
					synctest.Wait() // until the reader waits
					s.Close()
				})
				if _, err := s.Next(); err == nil || v.want != nil && !errors.Is(err, v.want) {
					t.Errorf("the reader gets %v, want %v", err, v.want)
				}
				closing.Wait()
				if took := time.Since(begun); took != v.took {
					t.Errorf("it took %v, want %v", took, v.took)
				}
			})
		})
	}
}

// A peer's own end is answered at once, without waiting for another ([C17]).
func TestCloseAfterThePeer(t *testing.T) {
	t.Parallel()
	for i := range 20 { // if Close looked for more to read it would not do so every time
		said := []string{"</>", "<stream:error><reset xmlns=streams/></stream:error>"}[i%2]
		inBubble(t, opened+"R> "+said+"\nP> </>\nP> EOF", func(t *testing.T, conn net.Conn) {
			s := accepted(t, conn, strict)
			begun := time.Now()
			if _, err := s.Next(); err == nil {
				t.Error("the stream goes on")
			}
			s.Close()
			if took := time.Since(begun); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestFail(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name string
		e    Error
		want string
	}{
		{"W9", Error{Condition: InvalidFrom, Err: errors.New("for us")}, "<stream:error><invalid-from xmlns=streams/></stream:error></>"},
		{"in words", Error{Condition: PolicyViolation, Text: "a<b"}, "<stream:error><policy-violation xmlns=streams/><text xmlns=streams xml:lang='en'>a&lt;b</text></stream:error></>"},
		{"[X08]", Error{Condition: PolicyViolation, App: "stanza-too-big"}, "<stream:error><policy-violation xmlns=streams/><stanza-too-big xmlns='urn:xmpp:errors'/></stream:error></>"},
		{"no condition", Error{}, "<stream:error><undefined-condition xmlns=streams/></stream:error></>"},
	} {
		inBubble(t, opened+"P> "+v.want+"\nR> EOF", func(t *testing.T, conn net.Conn) {
			s := accepted(t, conn, strict)
			if err := s.Fail(&v.e); err != nil {
				t.Errorf("%s: %v", v.name, err)
			}
			if n, err := s.Write([]byte("<x/>")); err == nil || n != 0 {
				t.Errorf("%s: something was written behind the closing tag: %v", v.name, err)
			}
		})
	}
}

// None of them may hang, whoever else does what, and whatever the peer does not do.
func TestEndsAreBounded(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*Stream) error{
		"Fail":  func(s *Stream) error { return s.Fail(&Error{Condition: SystemShutdown}) },
		"Close": (*Stream).Close,
		"Abort": func(s *Stream) error { s.Abort(); return nil },
	}
	bound := map[string]time.Duration{"Fail": patience, "Close": 2*patience + farewell, "Abort": 0}
	busy := map[string]func(*Stream){
		"nobody":                 func(*Stream) {},
		"a reader":               func(s *Stream) { s.Next() },
		"a stuck writer":         func(s *Stream) { s.Write([]byte(strings.Repeat("x", 1<<20))) },
		"a trusted reader, away": func(s *Stream) { s.Trust() },
	}
	for end, do := range ends {
		for other, works := range busy {
			t.Run(end+" beside "+other, func(t *testing.T) {
				t.Parallel()
				// The peer reads nothing any more.
				inBubble(t, opened, func(t *testing.T, conn net.Conn) {
					s := accepted(t, conn, strict)
					var beside sync.WaitGroup
					beside.Go(func() { works(s) })
					synctest.Wait()
					begun := time.Now()
					do(s)
					if took := time.Since(begun); took > bound[end] {
						t.Errorf("it took %v, may take %v", took, bound[end])
					}
					begun = time.Now()
					for _, again := range ends {
						if err := again(s); err != nil {
							t.Errorf("the second time: %v", err)
						}
					}
					if took := time.Since(begun); took != 0 {
						t.Errorf("the second time it took %v", took)
					}
					beside.Wait()
				})
			})
		}
	}
}

// Whoever comes second does not wait for the first, or a reader that closes would wait for a closer that waits for the reader.
func TestSecondEndReturnsAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, opened+"P> </>\nP> EOF", func(t *testing.T, conn net.Conn) {
		s := accepted(t, conn, strict)
		var first sync.WaitGroup
		first.Go(func() { s.Close() })
		synctest.Wait()
		begun := time.Now()
		s.Close()
		s.Fail(&Error{Condition: Reset})
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
		first.Wait()
	})
}

// Between the peer's header and ours somebody may end the stream: then there is one header, an error, and nothing behind it.
func TestFailAheadOfOurHeader(t *testing.T) {
	t.Parallel()
	inBubble(t, `
		R> H(from='remote.example' to='corp.example' version='1.0')
		P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en' version='1.0')<stream:error><system-shutdown xmlns=streams/></stream:error></>
		P> EOF`,
		func(t *testing.T, conn net.Conn) {
			var failing sync.WaitGroup
			_, err := Accept(t.Context(), conn, strict, hostsCorp, func(s *Stream) []byte {
				failing.Go(func() { s.Fail(&Error{Condition: SystemShutdown}) })
				synctest.Wait() // until the error is out, and the peer has time to read it
				return nil
			})
			if err == nil {
				t.Error("the stream stands")
			}
			failing.Wait()
		})
}

func TestAbortFreesEverybody(t *testing.T) {
	t.Parallel()
	inBubble(t, opened, func(t *testing.T, conn net.Conn) {
		s := accepted(t, conn, strict)
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Next(); err == nil {
				t.Error("the reader read something")
			}
		})
		all.Go(func() {
			if _, err := s.Write([]byte("<x/>")); err == nil {
				t.Error("the writer wrote something")
			}
		})
		synctest.Wait()
		s.Abort()
		all.Wait()
	})
}

// An error is of no use if the peer cannot read it: closing a socket with unread bytes would make the system take it back.
func TestFailIsReadByAPeerThatTalks(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var gate sync.WaitGroup
	gate.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		s, err := Accept(t.Context(), conn, Config{Strict: true, Limits: Limits{PreAuthBytes: 4096}}, hostsCorp, nothing)
		if err != nil {
			t.Error(err)
			return
		}
		_, err = s.Next()
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("got %v", err)
			return
		}
		s.Fail(e)
	})
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, shorthand.Replace("H(from='remote.example' to='corp.example')")+"<x>"+strings.Repeat("a", 16<<20)); err != nil {
		t.Errorf("the peer cannot say what it has to say: %v", err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(all), "</stream:error></stream:stream>") || !strings.Contains(string(all), "<policy-violation") {
		t.Errorf("the peer reads %q, %v", all, err)
	}
	gate.Wait()
}

// [C17], DESIGN 4.1: TLS ends with close_notify, behind the closing tags.
func TestCloseNotify(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Stream) error{
		"Close": (*Stream).Close,
		"Fail":  func(s *Stream) error { return s.Fail(&Error{Condition: SystemShutdown}) },
	} {
		called, calling := secured(t)
		var other sync.WaitGroup
		other.Go(func() {
			_, err := calling.Next()
			if name == "Close" && !errors.Is(err, ErrClosed) || name == "Fail" && !errors.Is(err, SystemShutdown) {
				t.Errorf("%s: the peer reads %v", name, err)
			}
			if name == "Fail" {
				if _, err := calling.scan.Next(); !errors.Is(err, stanza.ErrClosed) {
					t.Errorf("[C18]: behind the error comes %v", err)
				}
			}
			if name == "Close" {
				calling.lastWords(nil)
			}
			// io.EOF is what crypto/tls makes of close_notify; without one it is io.ErrUnexpectedEOF.
			if _, err := calling.wire.conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: behind the closing tag comes %v, want close_notify", name, err)
			}
			calling.Abort()
		})
		if err := end(called); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		other.Wait()
	}
}

// A peer that has ended its stream gets our closing tag and close_notify in one piece.
func TestLastWordsInOnePiece(t *testing.T) {
	t.Parallel()
	called, calling := secured(t)
	below := &counted{Conn: called.raw}
	called.raw, called.conn.(*tls.Conn).NetConn().(*records).Conn = below, below
	var other sync.WaitGroup
	other.Go(func() {
		if err := calling.lastWords(nil); err != nil {
			t.Error(err)
		}
		if _, err := calling.Next(); !errors.Is(err, ErrClosed) {
			t.Errorf("the peer reads %v, want the closing tag", err)
		}
		if _, err := calling.wire.conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("behind the closing tag comes %v, want close_notify", err)
		}
		calling.Abort()
	})
	if _, err := called.Next(); !errors.Is(err, ErrClosed) {
		t.Errorf("reading ends with %v", err)
	}
	if err := called.Close(); err != nil {
		t.Error(err)
	}
	other.Wait()
	if n := below.writes.Load(); n != 1 {
		t.Errorf("%d writes, want one", n)
	}
}

// counted counts what is written to a connection.
type counted struct {
	net.Conn
	writes atomic.Int32
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// secured is a pair of streams over TLS.
func secured(t *testing.T) (called, calling *Stream) {
	t.Helper()
	called, calling = pair(t, strict)
	var server sync.WaitGroup
	server.Go(func() {
		must(t, called, nsTLS, "starttls")
		if err := called.StartTLS(t.Context(), testTLS().server); err != nil {
			t.Error(err)
		}
	})
	if err := calling.ClientTLS(t.Context(), testTLS().client); err != nil {
		t.Error(err)
	}
	server.Wait()
	return called, calling
}
