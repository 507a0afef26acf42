package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/peer"
	"sallyport/internal/xmpptest"
)

// SIGTERM drains: streams end with system-shutdown, the closing tag and close_notify, and the gate with 0, within 30 s ([C28],
// PROTOCOL 11.1). The record says when it began and ended; the admin socket is gone.
func TestTermDrains(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(h.dir, "notify"), Net: "unixgram"})
	must(t, err)
	defer manager.Close()
	h.environment = append(h.environment, "NOTIFY_SOCKET="+filepath.Join(h.dir, "notify"))
	g := h.start()
	begun := time.Now()
	xmpptest.Converse(t, h.stage(map[string]func() error{"term": func() error { return g.cmd.Process.Signal(syscall.SIGTERM) }}), proved+`
do term
r receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
r ends
`)
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		var b [64]byte
		must(t, manager.SetReadDeadline(time.Now().Add(patience)))
		if n, err := manager.Read(b[:]); err != nil || string(b[:n]) != want {
			t.Errorf("the service manager hears %q, %v, want %s", b[:n], err, want)
		}
	}
	g.await("stopped after=")
	if code, said := g.end(); code != 0 || time.Since(begun) > 30*time.Second {
		t.Errorf("exit %d after %s:\n%s", code, time.Since(begun), said)
	}
	if _, err := os.Lstat(filepath.Join(h.dir, "state/admin.sock")); err == nil {
		t.Error("the admin socket is still there")
	}
	_, out, _ := call("audit", "search", "-c", h.config, "--kind", "node.*")
	if got := lines(out); len(got) != 2 || !strings.Contains(got[0], "node.start") || !strings.Contains(got[1], "node.stop") {
		t.Errorf("the record says %q", got)
	}
}

// What is in a queue when its time for draining is over comes back to its sender, and the gate ends with 0 all the same.
func TestDrainHasAnEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("admin:", "limits: {drain: 300ms}\nadmin:")
	g := h.start()
	xmpptest.Converse(t, h.stage(map[string]func() error{"term": func() error { return g.cmd.Process.Signal(syscall.SIGTERM) }}), proved+word+`
do term
r receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
r ends
`)
	if code, said := g.end(); code != 0 {
		t.Errorf("exit %d:\n%s", code, said)
	}
	if _, out, _ := call("audit", "verify", "-c", h.config); !strings.Contains(out, "0 allowed stanzas without a delivery") {
		t.Errorf("a stanza ended without a trace: %s", out)
	}
}

// A second SIGTERM does not wait for a queue.
func TestSecondTermStops(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	xmpptest.Converse(t, h.stage(map[string]func() error{
		"term":  func() error { return g.cmd.Process.Signal(syscall.SIGTERM) },
		"await": func() error { g.await("draining"); return nil },
	}), proved+word+`
do term
do await
r receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
r ends
do term
b closed
`)
	if code, _ := g.end(); code == 0 {
		t.Error("it was drained after all")
	}
	if status := g.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, not by the signal", g.cmd.ProcessState)
	}
}

// A second gate on the same sockets, or the same record, does not start and does no harm.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	second := func(want ...string) {
		t.Helper()
		code, _, stderr := call("run", "-c", h.config)
		got := lines(stderr)
		if code != 1 || len(got) != len(want) {
			t.Fatalf("exit %d:\n%s", code, stderr)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], h.config+":") || !strings.Contains(got[i], want[i]) {
				t.Errorf("line %q, want one that says %q", got[i], want[i])
			}
		}
	}
	second("admin.socket: " + h.dir + "/state/admin.sock: another gate is running with it")
	h.edit("state/admin.sock", "state/second.sock")
	taken := ": address already in use; another process has it"
	second("inside.listen: "+h.doors["inside"]+taken, "inside.dns: "+h.doors["dns"]+taken, "outside.listen[0]: "+h.doors["outside"]+taken, "telemetry.metrics: "+h.doors["metrics"]+taken)
	others, err := peer.Reserve(len(h.doors))
	must(t, err)
	for _, addr := range h.doors {
		h.edit(addr, others[0])
		others = others[1:]
	}
	second("audit.dir: opening the audit record: audit directory " + h.dir + "/state/audit is in use by process ")
	if _, err := os.Lstat(filepath.Join(h.dir, "state/second.sock")); err == nil {
		t.Error("the second gate left its admin socket behind")
	}
	if code, _, stderr := call("status", "--socket", h.dir+"/state/admin.sock"); code != 0 {
		t.Errorf("the first gate does not answer any more: %s", stderr)
	}
	g.signal(syscall.SIGTERM)
	if code, said := g.end(); code != 0 {
		t.Errorf("exit %d:\n%s", code, said)
	}
}

// A key file that others may read is told, and the start goes on.
func TestOpenKeyFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := filepath.Join(h.dir, "corp.key")
	must(t, os.Chmod(key, 0o644))
	want := h.config + ":14: certs.files[0].key: " + key + ": its mode 0644 lets others at the private key; chmod 600 " + key + "; "
	if code, out, stderr := call("check", "-c", h.config); code != 0 || !strings.HasPrefix(out, want) {
		t.Errorf("check: exit %d, %s%s", code, out, stderr)
	}
	g := h.start()
	g.await(`level=WARN msg="a certificate file wants attention".*chmod 600`)
	g.signal(syscall.SIGTERM)
	if code, said := g.end(); code != 0 {
		t.Errorf("exit %d:\n%s", code, said)
	}
}

// A start tells every fault of all files at once, each with its place, and opens and writes nothing.
func TestFaultsAtStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("[corp.example]", "[corp.example, conference.corp.example]")
	h.edit("[ca.pem]", "[ca.pem, none.pem]")
	h.write("policy/house.rego", "package sallyport.stanza\n\ndeny contains\n")
	h.write("policy/groups.yaml", "groups:\n  staff: [\n")
	must(t, os.Mkdir(filepath.Join(h.dir, "state"), 0o755))
	h.write("state/dialback.secret", "a secret that everybody may read, which is none\n")
	must(t, os.Chmod(filepath.Join(h.dir, "state/dialback.secret"), 0o644))
	for _, command := range []string{"run", "check"} {
		code, stdout, stderr := call(command, "-c", h.config)
		if code != 1 || stdout != "" {
			t.Errorf("%s: exit %d, %q", command, code, stdout)
		}
		for _, want := range []string{
			h.config + ":15: certs.roots[1]: " + h.dir + "/none.pem: no such file or directory",
			h.dir + "/policy/house.rego:4: ",
			h.dir + "/policy/groups.yaml:",
			h.config + ":18: dialback.secret_file: ",
		} {
			if !strings.Contains("\n"+stderr, "\n"+want) {
				t.Errorf("%s: not told: %s\n%s", command, want, stderr)
			}
		}
		h.edit("[ca.pem, none.pem]", "[ca.pem]") // files that do not load hide which domains they do not cover
		_, _, stderr = call(command, "-c", h.config)
		if want := "\n" + h.config + ":3: backends[0].domains[1]: no certificate names conference.corp.example; "; !strings.Contains("\n"+stderr, want) {
			t.Errorf("%s: not told: %s\n%s", command, want, stderr)
		}
		h.edit("[ca.pem]", "[ca.pem, none.pem]")
	}
	if entries, err := os.ReadDir(filepath.Join(h.dir, "state")); err != nil || len(entries) != 1 {
		t.Errorf("a start that failed left %v, %v", entries, err)
	}
}

// Check says so when there is nothing to say, and leaves nothing behind. A certificate out of its dates is a fault for it and a
// warning for run: peers that go by dialback do not look at dates.
func TestCheck(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if code, stdout, stderr := call("check", "-c", h.config); code != 0 || stdout != h.config+": no fault found\n" || stderr != "" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "state")); err == nil {
		t.Error("check left something behind")
	}
	h.edit("rival.example: {deny: true}", "old.example: {channel: plaintext, until: 2020-01-01}")
	if code, stdout, _ := call("check", "-c", h.config); code != 0 || !strings.HasPrefix(stdout, h.config+":12: peers[old.example]: has ended: until \"2020-01-01\", channel \"plaintext\"") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	h.edit("durability: async}", "durability: async, sinks: [{name: bus, type: nats, url: \"nats://bus.corp.example\"}]}")
	if code, stdout, _ := call("check", "-c", h.config); code != 0 || !strings.Contains(stdout, h.config+":20: audit.sinks[0].url: sink bus: the record leaves this machine") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	h.expire()
	code, _, stderr := call("check", "-c", h.config)
	if want := h.config + ":3: backends[0].domains[0]: "; code != 1 || !strings.HasPrefix(stderr, want) || !strings.Contains(stderr, "is valid from") {
		t.Errorf("exit %d, %q, want %s…", code, stderr, want)
	}
	g := h.start()
	g.await(`level=WARN msg="certificate out of date".*is valid from`)
	g.await(`level=WARN msg="a sink is not held to encryption" reason=.*nats://`)
	g.await(`level=WARN msg="an exception has ended and no longer counts".*old.example`)
}
