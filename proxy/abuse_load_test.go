package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// The tests of this file measure the process. They are not parallel: those that are wait until these have ended.

// crowd is a gate that takes as many connections as come.
func crowd(t *testing.T) *stage {
	t.Helper()
	return newStage(t, options{quiet: true, data: policyData(t, inClear), limits: func(l *proxy.Limits) {
		l.PerAddress, l.RatePerAddress, l.Connections = 1e6, 1e6, 1e6
	}})
}

func dial(t *testing.T, s *stage, door string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Doors[door], patience)
	must(t, err)
	return conn.(*net.TCPConn)
}

// settled is what the process holds when nothing is on its way.
func settled() (heap uint64, goroutines int) {
	for range 4 { // stacks shrink by half each time
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
}

// fewer is how many of n are enough when the race detector looks on, which is there for other faults than memory.
func fewer(n int) int {
	if underRace {
		return n / 8
	}
	return n
}

// eventually waits for what other goroutines are about to do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); {
		if time.Now().After(end) {
			t.Fatalf("it did not come to %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// ABUSE 23 (CVE-2021-32918): a thousand streams in which nobody proves anything and a start tag does not end. All that they have said is
// held, and not much more; at the limit each is told so and closed, and nothing is left.
func TestABUSE23EndlessTags(t *testing.T) {
	streams := fewer(1000)
	for name, x := range map[string]struct {
		says string
		most int
	}{
		"a letter":              {strangerSays + "<", 32 << 10},
		"as much as it may say": {strangerSays + "<db:result from='" + strings.Repeat("x", 15<<10), 48 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := crowd(t)
			xmpptest.Converse(t, s.Stage, opened) // what is made once is made
			before, _ := settled()
			conns := make([]*net.TCPConn, streams)
			for i := range conns {
				conns[i] = dial(t, s, "outside")
				defer conns[i].Close()
				_, err := io.WriteString(conns[i], x.says)
				must(t, err)
			}
			eventually(t, "all streams being read", func() bool { return len(s.proxy.Snapshot().Links) == streams && drained(conns) })
			held, _ := settled()
			t.Logf("%d bytes are held for a stream that has said %d", int(held-before)/streams, len(x.says))
			if each := int(held-before) / streams; each > x.most && !underRace {
				t.Errorf("%d bytes are held for a stream that has said %d", each, len(x.says))
			}
			for _, c := range conns {
				c.Write(bytes.Repeat([]byte("x"), 20<<10)) // the gate may have had enough before the end of it
			}
			for _, c := range conns {
				must(t, c.SetReadDeadline(time.Now().Add(patience)))
				if heard, err := io.ReadAll(c); !bytes.Contains(heard, []byte("<policy-violation ")) {
					t.Fatalf("heard %q, %v", heard, err)
				}
				c.Close()
			}
			eventually(t, "no stream", func() bool { return len(s.proxy.Snapshot().Links) == 0 })
			if after, _ := settled(); int64(after-before) > 4<<20 {
				t.Errorf("%d bytes are held when all have gone", after-before)
			}
		})
	}
}

// drained says that the gate has read all that was sent.
func drained(conns []*net.TCPConn) bool {
	for _, c := range conns {
		raw, err := c.SyscallConn()
		if err != nil {
			return false
		}
		left := 0
		if raw.Control(func(fd uintptr) { left = unsent(fd) }) != nil || left > 0 {
			return false
		}
	}
	return true
}

// halves are connections that are dropped in the middle of something.
func halves(t *testing.T) []string {
	t.Helper()
	return []string{
		"",
		strangerSays[:60],
		strangerSays,
		strangerSays + "<db:result from='rem",
		strangerSays + "<db:verify from='remote.example' to='corp.example' id='i'>k</db:verify>",
		strangerSays + "<db:result from='remote.example' to='corp.example'>k</db:result>", // asked about while it goes
		strangerSays + starttls,
		strangerSays + starttls + string(clientHello(t)[:100]),
		strangerSays + "<message from='a@remote.example' to='b@corp.example'/>",
	}
}

// ABUSE 27 (CVE-2026-43506): streams that are begun and dropped leave nothing behind: no goroutine, no connection, no memory. Their number
// is small in each run of the suite; SALLYPORT_ABUSE_STREAMS=100000 makes it that of ABUSE.md.
func TestABUSE27HalfStreams(t *testing.T) {
	streams := fewer(2000)
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_ABUSE_STREAMS")); err == nil {
		streams = n
	}
	s := crowd(t)
	var asked sync.WaitGroup
	asked.Go(func() { // the authoritative server is there, and does not answer what it is asked
		for {
			c, err := s.Calls["remote"].Accept()
			if err != nil {
				return
			}
			io.WriteString(c, strings.ReplaceAll(strangerSays, " version='1.0'", " id='a1'"))
			asked.Go(func() { io.Copy(io.Discard, c); c.Close() })
		}
	})
	begun := halves(t)
	drop := func(n int) {
		for i := range n {
			c := dial(t, s, []string{"outside", "inside"}[i/len(begun)%2])
			io.WriteString(c, begun[i%len(begun)])
			if i%3 == 0 {
				must(t, c.SetLinger(0)) // an end without a farewell
			}
			c.Close()
		}
		eventually(t, "no stream", func() bool { return len(s.proxy.Snapshot().Links) == 0 })
	}
	drop(300) // pools fill, certificates are parsed once
	heap, goroutines := settled()
	drop(streams)
	eventually(t, "the number of goroutines from before", func() bool { _, n := settled(); return n <= goroutines+3 })
	after, n := settled()
	t.Logf("%d half streams: %d goroutines before, %d behind; %d bytes before, %d behind", streams, goroutines, n, heap, after)
	if int64(after-heap) > 2<<20 {
		t.Errorf("%d half streams left %d bytes", streams, after-heap)
	}
	xmpptest.Converse(t, s.Stage, opened)
	s.Calls["remote"].Close()
	asked.Wait()
}

// ABUSE 19, 26 (CVE-2011-1753, CVE-2026-43507): what a stranger says may cost the gate no more than a mebibyte, whatever it is made of.
func TestABUSE26Amplification(t *testing.T) {
	s := crowd(t)
	const room = 14 << 10
	fill := func(piece string) string { return strings.Repeat(piece, room/len(piece)) }
	const question = "<db:verify from='remote.example' to='corp.example' id='i'>k"
	deep := strings.Repeat("<a>", 60) + strings.Repeat("</a>", 60)
	var attributes, namespaces strings.Builder
	for i := range 50 {
		fmt.Fprintf(&attributes, " a%d='%s'", i, strings.Repeat("x", room/60))
	}
	for i := range 25 {
		fmt.Fprintf(&namespaces, " xmlns:n%d='urn:%d'", i, i)
	}
	for name, x := range map[string]struct{ say, hear string }{
		"billion laughs":     {"<?xml version='1.0'?>" + nested() + strangerSays, "<restricted-xml "},
		"many children":      {strangerSays + question + fill("<a/>") + "</db:verify>", "<db:verify "},
		"deep children":      {strangerSays + question + strings.Repeat(deep, room/len(deep)) + "</db:verify>", "<db:verify "},
		"many attributes":    {strangerSays + "<db:verify from='remote.example' to='corp.example' id='i'" + attributes.String() + ">k</db:verify>", "<db:verify "},
		"many namespaces":    {strangerSays + question + fill("<a"+namespaces.String()+"/>") + "</db:verify>", "<db:verify "},
		"many references":    {strangerSays + dbOpen + fill("&#65;") + dbClose, "<bad-format "},
		"many small answers": {strangerSays + strings.Repeat("<db:verify from='remote.example' to='corp.example' id='i'>k</db:verify>", 60), "<db:verify "},
		"an endless name":    {strangerSays + "<" + fill("a"), "<policy-violation "},
	} {
		t.Run(name, func(t *testing.T) {
			const times = 20
			say := func() {
				c := dial(t, s, "outside")
				defer c.Close()
				io.WriteString(c, x.say)
				must(t, c.CloseWrite())
				must(t, c.SetReadDeadline(time.Now().Add(patience)))
				if heard, err := io.ReadAll(c); !bytes.Contains(heard, []byte(x.hear)) {
					t.Fatalf("heard %q, %v", heard, err)
				}
			}
			say()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range times {
				say()
			}
			runtime.ReadMemStats(&after)
			each := (after.TotalAlloc - before.TotalAlloc) / times
			t.Logf("%d bytes said, %d allocated by both sides", len(x.say), each)
			if each > 1<<20 {
				t.Errorf("%d bytes said cost %d", len(x.say), each)
			}
		})
	}
}

// ABUSE 33 (CVE-2023-52425): the time that an attribute takes grows with its length alone, when it comes one byte at a time: by a pipe, each
// byte is read for itself. Quadratic, four times the length would take sixteen times as long.
func TestABUSE33ByteByByte(t *testing.T) {
	s := newStage(t, options{quiet: true, data: policyData(t, inClear)})
	door := newPipes("127.0.0.1:5269")
	go s.proxy.Serve(door, proxy.Outside)
	cpu := func(n int) time.Duration {
		c := xmpptest.Begin(t, s.Stage)
		defer c.End()
		conn := door.dial("127.0.0.1:40000")
		c.Take("r", conn)
		c.Play(strings.ReplaceAll(opened, "r connects outside", "") + `
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header
a sends header id='a1'
a receives <db:verify …</db:verify>
a sends <db:verify from='remote.example' to='corp.example' id='{p}' type='valid'/>
r receives <db:result from='corp.example' to='remote.example' type='valid'/>`)
		must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		io.WriteString(conn, "<message from='juliet@remote.example/x' to='nobody@third.example' id='")
		begun := used(t)
		one := []byte("x")
		for range n {
			if _, err := conn.Write(one); err != nil {
				t.Fatal(err)
			}
		}
		io.WriteString(conn, "'/>")
		c.Play(failed("r", "host-unknown")) // it was read to its end
		return used(t) - begun
	}
	cpu(1 << 10)
	n := 32 << 10
	short, long := cpu(n), cpu(4*n)
	t.Logf("%d bytes took %v of processor time, four times as many %v", n, short, long)
	if long > 10*short {
		t.Errorf("%d bytes took %v of processor time, four times as many %v", n, short, long)
	}
}

// used is the processor time of the process so far.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
