package lab

import (
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Lab is one laboratory: two wires, the hosts on them, and what runs there. It belongs to one test and ends with it.
type Lab struct {
	t     testing.TB
	dir   string // all files
	logs  string // output of the processes
	wires *space // where the two bridges are
	hosts map[Leg]int
	dns   *Bind
	ca    *CA
	seen  logs

	mu      sync.Mutex
	closers []func()
	servers []*Server
}

//go:embed install.sh
var installScript string

// New makes an empty laboratory. It takes root: on a developer's machine the test is skipped without it, but never in CI.
func New(t testing.TB) *Lab {
	t.Helper()
	require(t)
	dir := t.TempDir()
	l := &Lab{t: t, dir: dir, logs: filepath.Join(dir, "logs"), hosts: make(map[Leg]int)}
	t.Cleanup(l.close)
	if err := os.Mkdir(l.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	wires, err := newSpace()
	if err != nil {
		t.Fatal(err)
	}
	l.wires = wires
	l.onClose(wires.close)
	if err := wires.keep(func() error {
		return runIP("link add br-inside type bridge\nlink add br-outside type bridge\n" +
			"link set br-inside addrgenmode none up\nlink set br-outside addrgenmode none up\n")
	}); err != nil {
		t.Fatal(err)
	}
	if l.ca, err = newCA(filepath.Join(dir, "certs"), "Laboratory CA"); err != nil {
		t.Fatal(err)
	}
	return l
}

// require ends the test that cannot have a laboratory.
func require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("the laboratory needs root: it makes network namespaces")
		}
		t.Skip("laboratory: needs root for network namespaces (CI runs it)")
	}
	out, err := exec.Command("/bin/sh", "-c", installScript, "install.sh", "--check").CombinedOutput()
	if err != nil {
		t.Fatalf("the laboratory is not installed (%s); run internal/xmpptest/lab/install.sh: %v", strings.TrimSpace(string(out)), err)
	}
}

// Dir is where the laboratory keeps its files; it is removed with the test.
func (l *Lab) Dir() string { return l.dir }

// CA is the authority that everybody outside trusts.
func (l *Lab) CA() *CA { return l.ca }

// Ready waits for all servers that were started, and stops the test if one does not come up.
func (l *Lab) Ready() {
	l.t.Helper()
	l.mu.Lock()
	servers := l.servers
	l.mu.Unlock()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.wait())
	}
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
}

// onClose registers f for the end of the laboratory; the last one registered runs first.
func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

func (l *Lab) close() {
	if l.t.Failed() {
		l.showLogs()
	}
	for _, s := range l.servers {
		_ = s.wait() // so that no start is under way
	}
	for i := len(l.closers) - 1; i >= 0; i-- {
		l.closers[i]()
	}
}
