package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// unsent is how many bytes of a TCP connection the other side has not acknowledged.
func unsent(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 1
	}
	return n
}

// limits.backend_dial, outside.dial_timeout: an address that takes no connection is given up in time, inside and outside.
func TestDialTimesOut(t *testing.T) {
	t.Parallel()
	black := blackHole(t)
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.BackendDial = 300 * time.Millisecond },
		resolver: func(c *resolve.Config) { c.DialTimeout = 300 * time.Millisecond }})
	settings := s.settings(options{limits: func(l *proxy.Limits) { l.BackendDial = 300 * time.Millisecond }})
	route, err := resolve.ParseRoute(black)
	must(t, err)
	for d := range settings.Routes {
		settings.Routes[d] = route
	}
	s.proxy.Apply(settings)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>\n" +
		include(t, "_backend_takes") + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout") + "record has link.fail \"step\":\"tcp\"")
	settings.Backends[0].Address = black
	s.proxy.Apply(settings)
	s.Patience = 5 * time.Second
	c = xmpptest.Begin(t, s.Stage)
	c.Play(openedInside + "l sends <db:result from='corp.example' to='remote.example'>k</db:result>\n" + refusedResult("l", "remote.example", "corp.example", "wait", "remote-server-timeout"))
}

// blackHole is an address of this machine at which connections are neither taken nor refused: its queue is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, syscall.Listen(fd, 0))
	at, err := syscall.Getsockname(fd)
	must(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
	for range 8 {
		conn, err := net.DialTimeout("tcp", addr, 500*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the queue does not fill")
	return ""
}

// EMFILE: a gate that runs out of file descriptors loses the connections that it cannot take, and nothing else: it takes others as soon as
// some have gone. The gate is a process of its own, with a limit of its own.
func TestRunsOutOfFiles(t *testing.T) {
	if os.Getenv("SALLYPORT_TEST_CHILD") != "" {
		outOfFiles(t)
		return
	}
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestRunsOutOfFiles$", "-test.timeout=60s")
	child.Env = append(os.Environ(), "SALLYPORT_TEST_CHILD=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	must(t, err)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() { in.Close(); child.Wait() })
	lines := bufio.NewScanner(out)
	said := func(what string) string {
		for lines.Scan() {
			if _, rest, ok := strings.Cut(lines.Text(), what); ok {
				return rest
			}
		}
		t.Fatalf("the gate ended before it said %q", what)
		return ""
	}
	door := said("outside ")
	stage := xmpptest.Stage{Doors: map[string]string{"outside": door}, Patience: patience}
	xmpptest.Converse(t, stage, opened)
	var held []net.Conn
	for range 200 {
		conn, err := net.Dial("tcp", door)
		must(t, err)
		held = append(held, conn)
	}
	said("too many open files")
	for _, conn := range held {
		conn.Close()
	}
	xmpptest.Converse(t, stage, opened)
}

// outOfFiles is the gate of TestRunsOutOfFiles.
func outOfFiles(t *testing.T) {
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.PerAddress = 1e6 }})
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	limit := uint64(len(open) + 40)
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}))
	fmt.Println("outside " + s.Doors["outside"])
	fmt.Println(s.log.await("accepting a connection"))
	io.Copy(io.Discard, os.Stdin)
}
