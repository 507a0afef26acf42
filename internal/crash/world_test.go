package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/peer"
)

const (
	corp    = "corp.example"    // behind the gate
	partner = "partner.example" // outside
)

// world is a gate between a legacy server and a modern one, both of which note what comes.
type world struct {
	t       *testing.T
	binary  string
	dir     string
	inside  string
	door    string
	metrics string
	gate    *exec.Cmd
	output  *said         // of the gate that was last started
	ended   chan struct{} // closed when that process is gone

	local, remote *peer.Server

	mu      sync.Mutex
	arrived map[string]int    // stanza id → how often
	told    map[string]string // stanza id → what the gate's error said of one that a kill met
	bounced map[string]peer.StanzaError
	changed chan struct{} // closed and renewed at each arrival
}

// newWorld makes one whose gate keeps its record as the configuration's section audit says.
func newWorld(t *testing.T, audit string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), ended: make(chan struct{}), arrived: map[string]int{}, told: map[string]string{}, bounced: map[string]peer.StanzaError{}, changed: make(chan struct{})}
	ports, err := peer.Reserve(4)
	w.must(err)
	w.inside, w.door, w.metrics = ports[0], ports[2], ports[3]
	ca, err := peer.NewAuthority("Crash test")
	w.must(err)
	theirs, err := ca.Issue(partner)
	w.must(err)
	w.remote, err = peer.Modern{Domains: []string{partner}, Certificate: theirs.TLS, Roots: ca.Pool(), External: true,
		Directory: peer.Directory{Routes: map[string]string{corp: w.door}}, Hooks: peer.Hooks{Receive: w.receive}}.Start(t.Context())
	w.must(err)
	w.local, err = peer.Legacy{Domains: []string{corp}, Verify: peer.OverSeparate, Directory: peer.Directory{DNS: ports[1]},
		Hooks: peer.Hooks{Receive: w.receive}}.Start(t.Context())
	w.must(err)
	ours, err := ca.Issue(corp)
	w.must(err)
	w.write("ca.pem", ca.PEM)
	w.write("corp.pem", ours.Cert)
	w.write("corp.key", ours.Key)
	w.write("sallyport.yaml", []byte(strings.NewReplacer("@LOCAL@", w.local.Addr(), "@REMOTE@", w.remote.Addr(), "@INSIDE@", w.inside, "@DNS@", ports[1],
		"@OUTSIDE@", w.door, "@METRICS@", w.metrics, "@AUDIT@", audit).Replace(configYAML)))
	w.must(os.Mkdir(filepath.Join(w.dir, "policy"), 0o755))
	w.build()
	return w
}

const configYAML = `backends:
  - {address: "@LOCAL@", from: [127.0.0.1], domains: [corp.example], tls: off}
inside: {listen: "@INSIDE@", dns: "@DNS@"}
outside: {listen: ["@OUTSIDE@"], allow_private: true}
federation: listed
peers: {partner.example: {proof: pkix, route: "@REMOTE@"}}
certs:
  store: certs
  files: [{cert: corp.pem, key: corp.key}]
  roots: [ca.pem]
  system_roots: false
dialback: {secret_file: dialback.secret}
ratchet: {file: peers.json}
contacts: {file: contacts}
policy: {dir: policy, timeout: 5s}  # the machine may be busy
audit: {@AUDIT@}
telemetry: {metrics: "@METRICS@"}
admin: {socket: admin.sock}
log: {level: warn}
`

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(name string, b []byte) {
	w.must(os.WriteFile(filepath.Join(w.dir, name), b, 0o600))
}

// build makes the program, once for all tests: as it is shipped, without the race detector's instruments.
func (w *world) build() {
	built.Do(func() {
		if built.path = os.Getenv("SALLYPORT_BIN"); built.path != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "sallyport-crash-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "sallyport")
		var out []byte
		if out, built.err = exec.Command("go", "build", "-o", built.path, "sallyport/cmd/sallyport").CombinedOutput(); built.err != nil {
			built.err = fmt.Errorf("building the gate: %w\n%s", built.err, out)
		}
	})
	w.must(built.err)
	w.binary = built.path
}

var built struct {
	sync.Once
	dir, path string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// start runs the gate until both doors are open.
func (w *world) start() {
	w.t.Helper()
	output := new(said)
	w.output = output
	w.gate = exec.CommandContext(w.t.Context(), w.binary, "run", "-c", filepath.Join(w.dir, "sallyport.yaml"))
	w.gate.Stdout, w.gate.Stderr = output, output
	w.must(w.gate.Start())
	ended := make(chan struct{})
	w.ended = ended
	gate := w.gate
	go func() {
		// A killed process ends with an error.
		_ = gate.Wait()
		close(ended)
	}()
	w.await(30*time.Second, "the gate's doors", func() bool {
		select {
		case <-ended:
			w.t.Fatalf("the gate ended: %s", output.String())
		default:
		}
		return listens(w.inside) && listens(w.door)
	})
}

// said is what a process says, while it does.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func listens(place string) bool {
	conn, err := net.Dial("tcp", place)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// kill is the power cut: no handler runs, nothing is flushed.
func (w *world) kill() {
	w.must(w.gate.Process.Kill())
	<-w.ended
}

// stop ends the gate as an operator does.
func (w *world) stop() {
	w.must(w.gate.Process.Signal(syscall.SIGTERM))
	select {
	case <-w.ended:
	case <-time.After(40 * time.Second):
		w.t.Fatal("the gate does not end")
	}
}

// receive notes what reaches either server, be it a message or the answer to one.
func (w *world) receive(st peer.Stanza) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if st.Error != nil {
		w.bounced[st.ID] = *st.Error
	}
	switch {
	case st.Type != "error":
		w.arrived[st.ID]++
	case strings.Contains(st.Error.Text, "gate failed"):
		w.told[st.ID] = st.Error.Condition
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.arrived)
}

// await polls for a condition, sooner when something arrives.
func (w *world) await(patience time.Duration, what string, met func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for !met() {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			w.t.Fatalf("no %s in %v", what, patience)
		}
	}
}

// send has users of both servers write to each other until ctx ends.
func (w *world) send(ctx context.Context) (finish func()) {
	var work sync.WaitGroup
	for i, side := range []struct {
		server *peer.Server
		to     string
	}{{w.local, partner}, {w.remote, corp}, {w.local, partner}, {w.remote, corp}} {
		work.Go(func() {
			user := side.server.User(fmt.Sprintf("user%d", i))
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				for range n % 7 { // bursts of several sizes
					if _, err := user.Send(fmt.Sprintf("friend%d@%s", n%50, side.to), strings.Repeat("Hello. ", n%100)); err != nil {
						w.t.Error(err)
						return
					}
				}
			}
		})
	}
	return work.Wait
}

// moment is a random time up to most.
func moment(most time.Duration) time.Duration {
	var b [8]byte
	// It never fails.
	_, _ = rand.Read(b[:])
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(most))
}
