package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// linked is a conversation in which a backend and remote.example stand on both sides of the gate, proved in both directions: l writes and b
// reads inside, q writes and r reads outside.
func linked(t *testing.T, s *stage) *xmpptest.Conversation {
	t.Helper()
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_gate_proved"))
	c.Play(recast(strings.NewReplacer("{p1}", "{x1}", "{p2}", "{x2}").Replace(include(t, "_remote_proved")), "r", "q"))
	c.Play("q sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>\n" + include(t, "_backend_takes") +
		"b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>")
	return c
}

// stanzas are n messages in one direction, numbered, each with so much text.
func stanzas(from, to string, n, text int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "<message from='%s' to='%s' id='s%d'><body>%s</body></message>", from, to, i, strings.Repeat("x", text))
	}
	return b.Bytes()
}

// taken reads n of them and checks their order.
func taken(conn net.Conn, n int) error {
	r := bufio.NewReaderSize(conn, 1<<16)
	for i := range n {
		want := fmt.Sprintf("id='s%d'", i)
		stanza, err := r.ReadString('>')
		if err != nil {
			return fmt.Errorf("stanza %d: %w", i, err)
		}
		if !strings.Contains(stanza, want) {
			return fmt.Errorf("came %q, want %s", stanza, want)
		}
		for !strings.HasSuffix(stanza, "</message>") {
			if stanza, err = r.ReadString('>'); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	ours   = "romeo@corp.example/pc"
	theirs = "juliet@remote.example/x"
)

// Both directions are full at once, and neither waits for the other: all that both sides send arrives, in order. (A gate that stopped
// reading on one side until the other takes what it was sent would stand still for ever.)
func TestBothDirectionsSaturated(t *testing.T) {
	t.Parallel()
	n := fewer(16000)
	s := newStage(t, options{quiet: true})
	c := linked(t, s)
	errs := make(chan error, 4)
	for _, way := range []struct{ writer, reader, from, to string }{{"l", "r", ours, theirs}, {"q", "b", theirs, ours}} {
		writer, reader := c.Conn(way.writer), c.Conn(way.reader)
		must(t, writer.SetDeadline(time.Now().Add(time.Minute)))
		must(t, reader.SetDeadline(time.Now().Add(time.Minute)))
		go func() {
			_, err := writer.Write(stanzas(way.from, way.to, n, 1000))
			errs <- err
		}()
		go func() { errs <- taken(reader, n) }()
	}
	for range 4 {
		must(t, <-errs)
	}
}

// A burst of one, two, three or ten stanzas is through in less than five milliseconds at the median, both ways: nothing waits for a timer,
// here or in the kernel (Nagle's algorithm with a delayed acknowledgement takes 40). A machine that is busy gets a second and a third try.
func TestBurstsWaitForNoTimer(t *testing.T) {
	s := newStage(t, options{quiet: true})
	c := linked(t, s)
	for _, way := range []struct{ writer, reader, from, to string }{{"l", "r", ours, theirs}, {"q", "b", theirs, ours}} {
		writer, reader := c.Conn(way.writer), c.Conn(way.reader)
		must(t, reader.SetDeadline(time.Now().Add(time.Minute)))
		for _, n := range []int{1, 2, 3, 10} {
			burst := stanzas(way.from, way.to, n, 100)
			median := time.Hour
			for try := 0; try < 3 && median > 5*time.Millisecond; try++ {
				var took [41]time.Duration
				for i := range took {
					begun := time.Now()
					for part := range bytes.SplitAfterSeq(burst, []byte("</message>")) {
						_, err := writer.Write(part) // each on its own, as servers do
						must(t, err)
					}
					must(t, taken(reader, n))
					took[i] = time.Since(begun)
				}
				slices.Sort(took[:])
				median = took[len(took)/2]
			}
			t.Logf("%s to %s, %d stanzas: %v at the median", way.writer, way.reader, n, median)
			if median > 5*time.Millisecond {
				t.Errorf("%s to %s: a burst of %d took %v at the median", way.writer, way.reader, n, median)
			}
		}
	}
}

// Peers may send byte by byte: whole conversations, header, STARTTLS, SASL, dialback and stanzas, go as they do in whole pieces. They are
// those of PROTOCOL 10.
func TestByteByByte(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/conversations/W*.txt")
	must(t, err)
	if len(files) < 10 {
		t.Fatalf("only %d conversations found", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, o := readScript(t, file)
			s := newStage(t, o)
			s.Trickle = true
			xmpptest.Converse(t, s.Stage, script)
		})
	}
}

// ABUSE 40, limits.queue_wait: a peer that stands and does not read holds its senders back for a while, then their stanzas bounce; it does
// not hold up the other directions.
func TestABUSE40TarpitThatStands(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{quiet: true, limits: func(l *proxy.Limits) {
		l.QueueBytes, l.QueueWait, l.QueueAge = 1<<20, 300*time.Millisecond, time.Minute
	}})
	c := linked(t, s)
	l, r := c.Conn("l"), c.Conn("r")
	must(t, tcp(r).SetReadBuffer(4096))
	go l.Write(stanzas(ours, theirs, 150, 100<<10)) // more than both kernels take
	c.Play("b receives <message from='" + theirs + "' to='" + ours + "' id='s{n}' type='error'>…<resource-constraint …</message>")
	if c.Value("{n}") == "0" {
		t.Error("the first one bounced: no stanza waited")
	}
	// Meanwhile the other way is open.
	c.Play("q sends <presence from='juliet@remote.example/x' to='romeo@corp.example' id='p1'/>")
	for !strings.HasPrefix(c.Next("b"), "<presence ") {
		continue // another bounce
	}
}

// tcp is the TCP connection below.
func tcp(c net.Conn) *net.TCPConn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	return c.(*net.TCPConn)
}

// ABUSE 40, limits.write: a peer that takes nothing for as long as one write may take loses its stream.
func TestABUSE40WriteTimesOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{quiet: true, limits: func(l *proxy.Limits) { l.Write, l.QueueAge = 500*time.Millisecond, time.Minute }})
	c := linked(t, s)
	must(t, tcp(c.Conn("r")).SetReadBuffer(4096))
	go c.Conn("l").Write(stanzas(ours, theirs, 150, 100<<10))
	c.Play("record has \"kind\":\"link.close\" \"dir\":\"out\" timeout")
}

// limits.keepalive: white space, and nothing else, on an idle link of ours.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.Keepalive = 50 * time.Millisecond }})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_gate_proved"))
	conn := c.Conn("r")
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	var b [3]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil || string(b[:]) != "   " {
		t.Errorf("came %q, %v", b, err)
	}
}

// A backend that goes away and comes back: what was on its way waits, and arrives in order, once; the remote side notices nothing.
func TestBackendFlaps(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	c := linked(t, s)
	for round := range 2 {
		ln := s.Calls["backend"]
		addr := ln.Addr().String()
		must(t, ln.Close())
		c.Play("b closes")
		eventually(t, "no stream to the backend", func() bool {
			return !slices.ContainsFunc(s.proxy.Snapshot().Links, func(l proxy.LinkSnapshot) bool { return l.Door == "inside" && l.Kind == "out" })
		})
		for i := range 3 {
			c.Play(fmt.Sprintf("q sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='r%d-%d'/>", round, i))
		}
		s.log.await("is the backend running")
		again, err := net.Listen("tcp", addr)
		must(t, err)
		s.Calls["backend"] = again
		t.Cleanup(func() { again.Close() })
		c.Play(include(t, "_backend_takes"))
		for i := range 3 {
			c.Play(fmt.Sprintf("b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='r%d-%d'/>", round, i))
		}
	}
	c.Play("q sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='last'/>\nb receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='last'/>")
}

// A reload that forbids the peer reaches the links that stand, in both directions: they end and say so, the backend's own streams stand, and
// what it still writes is answered by policy. A reload that forbids nothing touches no link.
func TestReloadAgainstLiveLinks(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	c := linked(t, s)
	s.proxy.Apply(s.settings(options{}))
	c.Play("q sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2'/>\nb receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2'/>\n" +
		"l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3'/>\nr receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3'/>")
	must(t, s.engine.Reload(policyData(t, `{"federation":"listed"}`)))
	s.proxy.Apply(s.settings(options{}))
	c.Play(failed("q", "policy-violation") + "q receives </stream:stream>\nq closed\n" +
		"r receives </stream:stream>\nr sends </stream:stream>\nr closed\n" +
		"l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m4'/>\n" +
		"b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m4' type='error'>…<not-allowed …</message>")
	uncalled(t, s.Calls["remote"])
}

// PROTOCOL 11.1, [C28]: at the end each kind of stream gets its closing tag, those that peers opened behind a system-shutdown, those that we
// opened without.
func TestDrainClosesEveryStream(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	c := linked(t, s)
	c.Play("do drain\n" +
		"q receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\nq receives </stream:stream>\nq closed\n" +
		"r receives </stream:stream>\nr sends </stream:stream>\nr closed\n" +
		"b receives </stream:stream>\nb sends </stream:stream>\nb closed\n" +
		"l receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\nl receives </stream:stream>\nl closed")
}
