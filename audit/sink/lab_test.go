package sink_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/audit/sink"
)

// server is a real server that a test starts and stops.
type server struct {
	t    *testing.T
	argv []string
	as   *syscall.Credential
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// needs skips a test where Debian's package is not installed; CI has it (internal/xmpptest/lab/install.sh), and runs as root.
func needs(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, or this is not root", path)
		}
		t.Skipf("%s is not installed, or this is not root", path)
	}
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	s.cmd.Wait()
	s.cmd = nil
}

// serverOf prepares a server and stops it at the end of the test, showing what it said when the test failed.
func serverOf(t *testing.T, as *syscall.Credential, argv ...string) *server {
	s := &server{t: t, argv: argv, as: as}
	t.Cleanup(func() {
		s.stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], s.out.String())
		}
	})
	return s
}

// account is a user of the system.
func account(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// folderOf is a directory that another account can work in; t.TempDir's parents keep others out.
func folderOf(t *testing.T, as *syscall.Credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sink")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// certificate writes ca.pem, cert.pem and key.pem for 127.0.0.1 into dir, for as to read.
func certificate(t *testing.T, dir string, as *syscall.Credential) {
	t.Helper()
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: from, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caDER, caKey := make(ca, ca, nil)
	leafDER, leafKey := make(leaf, ca, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"ca.pem": {Type: "CERTIFICATE", Bytes: caDER}, "cert.pem": {Type: "CERTIFICATE", Bytes: leafDER}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if as != nil {
			if err := os.Chown(path, int(as.Uid), int(as.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// gate is a record that grows, and its sink.
type gate struct {
	t    *testing.T
	dir  string
	log  *audit.Log
	cfg  sink.Config
	set  *sink.Set
	all  atomic.Pointer[sink.Set] // for checkpoints, which come from another goroutine
	end  func()
	ids  map[string]bool // of all stanza events
	said *bytes.Buffer   // the log, when no sink runs
}

func openGate(t *testing.T, cfg sink.Config) *gate {
	t.Helper()
	g := &gate{t: t, dir: t.TempDir(), cfg: cfg, ids: map[string]bool{}, said: new(bytes.Buffer)}
	log, err := audit.Open(audit.Config{Dir: g.dir, Secrets: t.TempDir(), Node: "gate-1", Durability: audit.Async, SegmentBytes: 20 << 10,
		OnCheckpoint: func(signed []byte) {
			if set := g.all.Load(); set != nil {
				set.Checkpoint(signed)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	g.log = log
	g.start()
	t.Cleanup(func() {
		g.stop()
		log.Close()
	})
	return g
}

func (g *gate) start() {
	g.t.Helper()
	set, err := sink.Open(sink.Record{Dir: g.dir, Node: "gate-1", Committed: func() uint64 { return g.log.Stats().Seq }}, []sink.Config{g.cfg},
		slog.New(slog.NewTextHandler(g.said, nil)))
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx) }()
	g.all.Store(set)
	g.set, g.end = set, func() { cancel(); <-done }
}

func (g *gate) stop() {
	if g.end != nil {
		g.end()
		g.end = nil
	}
}

// cross records n stanzas, with what strangers like to put into them.
func (g *gate) cross(n int) {
	g.t.Helper()
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = audit.Event{Kind: audit.Stanza, Level: audit.LevelMetadata, Dir: "in", Local: "corp.example", Remote: "partner.example",
			From: fmt.Sprintf("maria%d@partner.example", i), To: "tom@corp.example", Text: "a\x00b\"]\\\n\t\u202e" + strings.Repeat("é", 200)}
	}
	if err := g.log.Append(context.Background(), events); err != nil {
		g.t.Fatal(err)
	}
	for i := range events {
		g.ids[events[i].ID.String()] = true
	}
}

// arrive waits until the sink says that it is through.
func (g *gate) arrive() {
	g.t.Helper()
	g.until("the sink is through", func() bool { s := g.set.Status()[0]; return s.Records == 0 && s.Error == "" && s.Sent > 0 })
}

func (g *gate) until(what string, ok func() bool) {
	g.t.Helper()
	deadline := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			g.t.Fatalf("%s: not within 15 s; status %+v", what, g.set.Status())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
