package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/peer"
	"sallyport/internal/xmpptest"
)

// asCommand makes this test binary the program itself: what the tests start is what is built, race detector included.
const asCommand = "SALLYPORT_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// patience is for a busy machine; no test waits for it to pass.
const patience = 40 * time.Second

// call runs a command line in this process.
func call(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(args, &out, &err)
	return code, out.String(), err.String()
}

// house is a folder with a configuration that works: corp.example behind a gate on loopback.
type house struct {
	t       *testing.T
	dir     string
	config  string
	ca      *peer.Authority
	doors   map[string]string
	backend net.Listener

	environment []string // of the programs that are started
}

// nobody runs the gates when the tests are root's: a gate needs no root.
const nobody = 65534

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &house{t: t, dir: dir, config: filepath.Join(dir, "sallyport.yaml")}
	h.ca, err = peer.NewAuthority("Test Authority")
	must(t, err)
	id, err := h.ca.Issue("corp.example")
	must(t, err)
	h.write("corp.pem", string(id.Cert))
	h.write("corp.key", string(id.Key))
	h.write("ca.pem", string(h.ca.PEM))
	must(t, os.Mkdir(filepath.Join(dir, "policy"), 0o755))
	ports, err := peer.Reserve(4)
	must(t, err)
	h.doors = map[string]string{"inside": ports[0], "dns": ports[1], "outside": ports[2], "metrics": ports[3]}
	h.backend, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { h.backend.Close() })
	h.write("sallyport.yaml", h.yaml())
	return h
}

func (h *house) yaml() string {
	return strings.NewReplacer("BACKEND", h.backend.Addr().String(), "INSIDE", h.doors["inside"], "DNS", h.doors["dns"],
		"OUTSIDE", h.doors["outside"], "METRICS", h.doors["metrics"]).Replace(`backends:
  - address: BACKEND
    domains: [corp.example]
inside:
  listen: INSIDE
  dns: DNS
outside:
  listen: [OUTSIDE]
  resolver: ["127.0.0.1:9"]
federation: open
peers:
  rival.example: {deny: true}
certs:
  files: [{cert: corp.pem, key: corp.key}]
  roots: [ca.pem]
  system_roots: false
ratchet: {file: state/peers.json}
dialback: {secret_file: state/dialback.secret}
policy: {dir: policy, timeout: 10s}
audit: {dir: state/audit, durability: async}
telemetry: {metrics: "METRICS"}
admin: {socket: state/admin.sock}
`)
}

func (h *house) write(name, text string) {
	h.t.Helper()
	must(h.t, os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600))
}

// edit replaces a piece of the configuration, which must be there.
func (h *house) edit(old, now string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	must(h.t, err)
	if !strings.Contains(string(text), old) {
		h.t.Fatalf("no %q in the configuration", old)
	}
	h.write("sallyport.yaml", strings.Replace(string(text), old, now, 1))
}

// own gives the whole folder to the user that the gate runs as.
func (h *house) own() {
	h.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	must(h.t, filepath.WalkDir(h.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	}))
}

// program is a copy of this test binary in a place where everybody may run it.
func (h *house) program() string {
	h.t.Helper()
	self, err := os.Executable()
	must(h.t, err)
	path := filepath.Join(h.dir, "sallyport")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Link(self, path) == nil {
		return path
	}
	from, err := os.Open(self)
	must(h.t, err)
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	must(h.t, err)
	_, err = io.Copy(to, from)
	must(h.t, errors.Join(err, to.Close()))
	return path
}

// running is a gate in a process of its own.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when a line came
}

// start runs the gate and waits until it stands.
func (h *house) start() *running {
	h.t.Helper()
	r := h.launch("run", "-c", h.config)
	r.await("the gate stands")
	return r
}

// launch starts the program, without root if the tests are root's.
func (h *house) launch(args ...string) *running {
	h.t.Helper()
	r := &running{t: h.t, cmd: exec.Command(h.program(), args...), ended: make(chan struct{}), more: make(chan struct{})}
	h.own()
	r.cmd.Env = append(append(os.Environ(), asCommand+"=1"), h.environment...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		r.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	said, err := r.cmd.StderrPipe()
	must(h.t, err)
	started := make(chan error)
	go func() {
		defer close(r.ended)
		runtime.LockOSThread() // the process dies with the thread that started it, and threads end (audit)
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		if started <- err; err != nil {
			return
		}
		for in := bufio.NewScanner(said); in.Scan(); {
			r.mu.Lock()
			r.lines = append(r.lines, in.Text())
			close(r.more)
			r.more = make(chan struct{})
			r.mu.Unlock()
		}
		r.cmd.Wait()
	}()
	must(h.t, <-started)
	h.t.Cleanup(func() { r.cmd.Process.Kill(); <-r.ended })
	return r
}

// await returns the first line that matches, of those that were not returned before. Lines above it can still be awaited: what a gate
// does side by side it tells in any order.
func (r *running) await(pattern string) string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		r.mu.Lock()
		for i, line := range r.lines {
			if re.MatchString(line) {
				r.lines = slices.Delete(r.lines, i, i+1)
				r.mu.Unlock()
				return line
			}
		}
		more, all := r.more, strings.Join(r.lines, "\n")
		r.mu.Unlock()
		select {
		case <-more:
		case <-r.ended:
			r.t.Fatalf("the program ended (%v) without a line %q:\n%s", r.cmd.ProcessState, pattern, all)
		case <-late:
			r.t.Fatalf("no line %q:\n%s", pattern, all)
		}
	}
}

func (r *running) signal(s os.Signal) {
	r.t.Helper()
	must(r.t, r.cmd.Process.Signal(s))
}

// end waits for the process and returns its exit code, -1 if a signal ended it, and what it said last.
func (r *running) end() (code int, said string) {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("the program does not end")
	}
	return r.cmd.ProcessState.ExitCode(), strings.Join(r.lines, "\n")
}

// stage is the world around the gate for conversations.
func (h *house) stage(do map[string]func() error) xmpptest.Stage {
	h.t.Helper()
	id, err := h.ca.Issue("remote.example")
	must(h.t, err)
	return xmpptest.Stage{Doors: h.doors, Calls: map[string]net.Listener{"backend": h.backend}, Patience: patience, Do: do,
		Client: map[string]*tls.Config{"good": {RootCAs: h.ca.Pool(), ServerName: "corp.example", Certificates: []tls.Certificate{id.TLS}}}}
}

// proved is the beginning of conversations with a remote server that has proved itself.
const proved = `
r connects outside
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header
r receives <stream:features>…</stream:features>
r sends <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r receives <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r tls client good
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header
r receives <stream:features>…</stream:features>
r sends <db:result from='remote.example' to='corp.example'>anything</db:result>
r receives <db:result from='corp.example' to='remote.example' type='valid'/>
`

// word is a delivery to the backend that cannot end, for the backend never answers.
const word = `
r sends <message from='juliet@remote.example' to='romeo@corp.example' id='m1'><body>hi</body></message>
b accepts backend
b receives header
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

// expire puts a certificate in place whose time is over.
func (h *house) expire() {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(h.t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"corp.example"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(0, 0, -1)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	must(h.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(h.t, err)
	h.write("corp.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	h.write("corp.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}
