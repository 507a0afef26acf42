// Package receivers runs what a gate's record is carried to, for tests: PostgreSQL, rsyslog over TLS, NATS with JetStream, each Debian's own
// program on loopback, and a collector that speaks OTLP. A test starts and stops them as often as it likes; they end with it.
package receivers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a real server that a test starts and stops.
type Server struct {
	URL   string // as a sink's configuration has it
	Roots string // PEM file of who vouches for it; empty: it does not speak TLS
	Dir   string // of its own

	t     testing.TB
	argv  []string
	as    *syscall.Credential
	cmd   *exec.Cmd
	ended chan struct{}
	out   output
}

// output is what a program says while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// needs skips a test where Debian's package is not installed; CI has it (internal/xmpptest/lab/install.sh), and runs as root.
func needs(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, or this is not root", path)
		}
		t.Skipf("%s is not installed, or this is not root", path)
	}
}

// prepare makes a server that a test can start, with a certificate in a directory that the account can work in; t.TempDir's parents keep
// others out. What it said is shown when the test failed.
func prepare(t testing.TB, as *syscall.Credential) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "receiver")
	must(t, err)
	s := &Server{Dir: dir, t: t, as: as}
	t.Cleanup(func() {
		s.Stop(syscall.SIGKILL)
		os.RemoveAll(dir)
		if t.Failed() && s.argv != nil {
			t.Logf("%s said:\n%s", s.argv[0], s.out.text.String())
		}
	})
	s.own(dir)
	s.certificate()
	return s
}

// own gives a file to the account that the server runs under.
func (s *Server) own(path string) {
	s.t.Helper()
	if s.as != nil {
		must(s.t, os.Chown(path, int(s.as.Uid), int(s.as.Gid)))
	}
}

// Start starts it, and does not wait until it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	s.ended = ended
	cmd := s.cmd
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the process dies with the thread that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if started <- err; err == nil {
			cmd.Wait() // that it was killed is no fault
		}
	}()
	must(s.t, <-started)
}

// Stop ends it with a signal.
func (s *Server) Stop(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	<-s.ended
	s.cmd = nil
}

// account is a user of the system.
func account(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	must(t, err)
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// FreePort is a port of 127.0.0.1 that nobody has.
func FreePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// certificate writes ca.pem, cert.pem and key.pem for 127.0.0.1 into the server's directory.
func (s *Server) certificate() {
	s.t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(s.t, err)
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		must(s.t, err)
		return der, key
	}
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: from, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caDER, caKey := issue(ca, ca, nil)
	leafDER, leafKey := issue(leaf, ca, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	must(s.t, err)
	for name, block := range map[string]*pem.Block{"ca.pem": {Type: "CERTIFICATE", Bytes: caDER}, "cert.pem": {Type: "CERTIFICATE", Bytes: leafDER}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		s.write(name, string(pem.EncodeToMemory(block)))
	}
	s.Roots = filepath.Join(s.Dir, "ca.pem")
}

// write makes a file in the server's directory, and gives its path.
func (s *Server) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	s.own(path)
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
