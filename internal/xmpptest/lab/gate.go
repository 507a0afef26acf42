package lab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Gate is the sallyport program on a host.
type Gate struct {
	Host    *Host
	lab     *Lab
	binary  string
	config  string // path
	process *Process
}

// Gate runs sallyport on host with the configuration, and waits until both its doors are open: port 5269 on both legs.
// What it keeps belongs into GateDir.
func (l *Lab) Gate(host *Host, configYAML string) *Gate {
	l.t.Helper()
	g := &Gate{Host: host, lab: l, binary: gateBinary(l.t), config: filepath.Join(l.GateDir(host), "sallyport.yaml")}
	l.write(g.config, configYAML)
	g.Start(l.t)
	return g
}

// GateDir is a folder for what the gate on host keeps; it survives the gate's restart.
func (l *Lab) GateDir(host *Host) string { return filepath.Join(l.dir, host.name+"-sallyport") }

// gateBinary returns the program to test: $SALLYPORT_BIN, or what cmd/sallyport builds to.
func gateBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("SALLYPORT_BIN"); path != "" {
		return path
	}
	path, err := buildGate(moduleRoot(t))
	if err != nil {
		t.Fatalf("building the gate: %v", err)
	}
	return path
}

// building keeps tests that run at the same time from building at the same time.
var building sync.Mutex

func buildGate(root string) (string, error) {
	building.Lock()
	defer building.Unlock()
	path := filepath.Join(root, "bin/sallyport")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/sallyport") // next to nothing when it is up to date
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// Start runs the gate after Stop or Kill.
func (g *Gate) Start(t testing.TB) {
	t.Helper()
	var err error
	if g.process, err = g.Host.Start(Command{Name: "sallyport", Args: []string{g.binary, "run", "-c", g.config}, Tail: 20000}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for _, leg := range []Leg{Inside, Outside} {
		if err := g.Host.await(ctx, g.process, netip.AddrPortFrom(g.Host.Addr(leg), 5269)); err != nil {
			t.Fatal(err)
		}
	}
}

// Reload gives the gate another configuration and tells it (SIGHUP).
func (g *Gate) Reload(t testing.TB, configYAML string) {
	t.Helper()
	g.lab.write(g.config, configYAML)
	if err := g.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatalf("reloading the gate: %v", err)
	}
}

// Stop lets the gate drain and end (SIGTERM), which has to take less than 35 s and end well.
func (g *Gate) Stop(t testing.TB) {
	t.Helper()
	if err := g.process.Stop(35 * time.Second); err != nil {
		t.Fatal(err)
	}
	if code := g.process.ExitCode(); code != 0 {
		t.Errorf("the gate ended with exit code %d", code)
	}
}

// Kill ends the gate as a crash would.
func (g *Gate) Kill() { g.process.Kill() }

// Restart is Stop and Start.
func (g *Gate) Restart(t testing.TB) {
	t.Helper()
	g.Stop(t)
	g.Start(t)
}

// Log returns all that the gate has said since it was first started.
func (g *Gate) Log() string { return g.process.Log() }

// Says waits until the gate's log has text behind its first bytes, which were there before.
func (g *Gate) Says(t testing.TB, before int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, g.process.Ended(), func() error {
		if !strings.Contains(g.Log()[before:], text) {
			return fmt.Errorf("the gate does not say %q", text)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Status returns what `sallyport status --json` prints.
func (g *Gate) Status(t testing.TB) map[string]any {
	t.Helper()
	status := make(map[string]any)
	if err := json.Unmarshal(g.run(t, "status", "--json", "-c", g.config), &status); err != nil {
		t.Fatalf("reading the gate's status: %v", err)
	}
	return status
}

// Audit returns the lines of the gate's record that `sallyport audit search` finds.
func (g *Gate) Audit(t testing.TB, args ...string) []map[string]any {
	t.Helper()
	var events []map[string]any
	out := g.run(t, append([]string{"audit", "search", "-c", g.config, "--json"}, args...)...)
	for line := range strings.Lines(string(out)) {
		event := make(map[string]any)
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("reading the gate's record: %v: %s", err, line)
		}
		events = append(events, event)
	}
	return events
}

// Command runs another command of the program on the gate's host, and returns what it says and its exit code.
func (g *Gate) Command(t testing.TB, args ...string) (out string, code int) {
	t.Helper()
	p, err := g.Host.Start(Command{Name: "sallyport-" + args[0] + "-" + rand.Text(), Args: append(append([]string{g.binary}, args...), "-c", g.config), Tail: 1})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Ended():
	case <-time.After(patience):
		t.Fatalf("sallyport %s does not end; so far it says %s", strings.Join(args, " "), p.Log())
	}
	return p.Log(), p.ExitCode()
}

// run runs another command of the program. Its socket is a file, so it need not run on the gate's host.
func (g *Gate) run(t testing.TB, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), g.binary, args...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sallyport %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}
