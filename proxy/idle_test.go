//go:build !race

package proxy_test

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
)

// mostIdleStack is what a goroutine may use of its stack for the collector to halve 8 KiB of it: less than a quarter, less 800 bytes that
// the runtime sets aside (runtime/stack.go, shrinkstack).
const mostIdleStack = 8<<10/4 - 800

// waiting are the goroutines of an idle link pair: where they wait, and for what.
var waiting = map[string]string{"proxy.(*inbound).read": "IO wait", "proxy.(*outbound).feed": "select", "proxy.(*writer).listen": "IO wait"}

// Ten thousand idle link pairs have thirty thousand goroutines. Their stacks grow while the links come up, and are halved again only
// where little of them is used. How much that is can be read from a crash, so a child of this test crashes.
func TestIdleLinksUseLittleStack(t *testing.T) {
	t.Parallel()
	const asked = "SALLYPORT_TEST_CRASH"
	if os.Getenv(asked) != "" {
		crashAtRest(t)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), asked+"=1")
	out, _ := child.CombinedOutput() // it crashes
	for where := range waiting {
		used := stackOf(t, string(out), where)
		if used >= mostIdleStack {
			t.Errorf("%s waits with %d bytes on its stack, want less than %d: make the frames above it smaller (go build -gcflags=-S), or wait further up", where, used, mostIdleStack)
		}
		t.Logf("%s: %d bytes", where, used)
	}
}

// crashAtRest brings a pair of links up, and crashes when both idle.
func crashAtRest(t *testing.T) {
	s := newStage(t, options{})
	xmpptest.Begin(t, s.Stage).Play(include(t, "_gate_proved"))
	all := make([]byte, 4<<20)
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		traces := string(all[:runtime.Stack(all, true)])
		idle := 0
		for where, state := range waiting {
			if head, _, _ := strings.Cut(goroutineIn(traces, where), "\n"); strings.Contains(head, "["+state) {
				idle++
			}
		}
		if idle == len(waiting) {
			debug.SetTraceback("system")
			go panic("as it was asked to") // in a test's own goroutine it would clean up first
			select {}
		}
	}
}

// goroutineIn gives the trace of a goroutine that is in a function; empty if there is none.
func goroutineIn(traces, where string) string {
	for trace := range strings.SplitSeq(traces, "\n\n") {
		if strings.Contains(trace, where+"(") {
			return trace
		}
	}
	return ""
}

var frame = regexp.MustCompile(`fp=0x([0-9a-f]+) sp=0x([0-9a-f]+)`)

// stackOf is the distance from the innermost to the outermost frame of the goroutine that is in a function.
func stackOf(t *testing.T, traces, where string) int {
	t.Helper()
	frames := frame.FindAllStringSubmatch(goroutineIn(traces, where), -1)
	if len(frames) < 3 {
		t.Fatalf("no goroutine in %s in\n%s", where, traces)
	}
	bottom, err := strconv.ParseUint(frames[len(frames)-1][1], 16, 64)
	must(t, err)
	top, err := strconv.ParseUint(frames[0][2], 16, 64)
	must(t, err)
	return int(bottom - top)
}
