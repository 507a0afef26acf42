package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func mustNew(t testing.TB, c Config) *Manager {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	wild, wildCert := f.pair(root, "wild.pem", names(san{dns: []string{"*.corp.example"}}))
	corp, corpCert := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example", "chat.corp.example"}}))
	srv, srvCert := f.pair(root, "srv.pem", names(san{srv: []string{"_xmpp-server.srv.example"}}))
	idn, idnCert := f.pair(root, "idn.pem", names(san{xmpp: []string{"bücher.example"}}))
	m := mustNew(t, Config{Files: []File{wild, corp, srv, idn}, SystemRoots: off()})
	tests := []struct {
		domain string
		want   *x509.Certificate
	}{
		{"corp.example", corpCert},
		{"CORP.example", corpCert},
		{"chat.corp.example", corpCert}, // by name, although the wildcard stands first
		{"conference.corp.example", wildCert},
		{"a.b.corp.example", nil},
		{"srv.example", srvCert},
		{"xn--bcher-kva.example", idnCert},
		{"other.example", nil},
		{"", nil},
	}
	for _, tt := range tests {
		got, ok := m.Certificate(tt.domain)
		if ok != (tt.want != nil) || ok && !leafOf(t, got).Equal(tt.want) {
			t.Errorf("Certificate(%q): %v, found %v", tt.domain, got, ok)
		}
		if err := m.Covers(tt.domain); (err == nil) != (tt.want != nil) || err != nil && !errors.Is(err, ErrNotCovered) {
			t.Errorf("Covers(%q) = %v", tt.domain, err)
		}
	}
	if err := m.Covers("other.example"); !strings.Contains(err.Error(), "other.example") || !strings.Contains(err.Error(), "corp.pem names corp.example") {
		t.Errorf("Covers says too little: %v", err)
	}
}

// TestCertificateInDate: of two certificates for a domain the one within its dates is shown, and Covers speaks up when none is.
func TestCertificateInDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root, f := newRoot(t, "Root", dated(-time.Hour, 1000*time.Hour)), newFiles(t)
		short, shortCert := f.pair(root, "short.pem", names(san{dns: []string{"corp.example"}}), dated(-time.Hour, time.Hour))
		long, longCert := f.pair(root, "long.pem", names(san{dns: []string{"corp.example"}}), dated(-time.Hour, 100*time.Hour))
		m := mustNew(t, Config{Files: []File{short, long}, SystemRoots: off()})
		if got, _ := m.Certificate("corp.example"); !leafOf(t, got).Equal(shortCert) {
			t.Error("the first good certificate is not the one shown")
		}
		time.Sleep(2 * time.Hour)
		if got, _ := m.Certificate("corp.example"); !leafOf(t, got).Equal(longCert) {
			t.Error("an expired certificate is shown while a good one is there")
		}
		if err := m.Covers("corp.example"); err != nil {
			t.Errorf("Covers = %v", err)
		}
		time.Sleep(200 * time.Hour)
		if _, ok := m.Certificate("corp.example"); !ok {
			t.Error("an expired certificate is better than none: dialback does not mind")
		}
		if err := m.Covers("corp.example"); !errors.Is(err, ErrNotInDate) || !strings.Contains(err.Error(), "renew") {
			t.Errorf("Covers = %v, want ErrNotInDate", err)
		}
	})
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	sub := root.intermediate(t, "Sub")
	good := names(san{dns: []string{"corp.example"}})
	chain, key := sub.issueFor(t, newKey(t), good)
	pemChain, pemKey := encode(t, nil, chain...), encode(t, key)
	noName, noNameKey := root.issueFor(t, newKey(t))
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := root.issueFor(t, small, good)

	write(t, f.path("chain.pem"), pemChain)
	write(t, f.path("chain.key"), pemKey)
	write(t, f.path("other.key"), encode(t, newKey(t)))
	write(t, f.path("empty.pem"), nil)
	write(t, f.path("text.pem"), []byte("hello\n"))
	write(t, f.path("garbage.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1, 2, 3}}))
	write(t, f.path("garbage.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1, 2, 3}}))
	write(t, f.path("locked.key"), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1, 2, 3}}))
	write(t, f.path("order.pem"), encode(t, nil, chain[1], chain[0]))
	write(t, f.path("huge.pem"), make([]byte, maxFile+1))
	f.put("noname.pem", noNameKey, noName...)
	f.put("weak.pem", small, weak...)
	if err := os.Mkdir(f.path("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Mkfifo(f.path("pipe"), 0o600), os.Symlink("/dev/zero", f.path("device"))); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		cert, key string
		want      string // "file: …; next step", in parts
	}{
		{"no certificate file", "absent.pem", "chain.key", "absent.pem: no such file or directory; put it there"},
		{"no key file", "chain.pem", "absent.key", "absent.key: no such file or directory; put it there"},
		{"a folder", "folder", "chain.key", "folder: it is a folder; name the file in it"},
		{"a folder as key", "chain.pem", "folder", "folder: it is a folder; name the file in it"},
		{"a pipe", "pipe", "chain.key", "pipe: it is no file but a pipe, a device or a socket; "},
		{"a pipe as key", "chain.pem", "pipe", "pipe: it is no file but a pipe, a device or a socket; "},
		{"a device", "device", "chain.key", "device: it is no file but a pipe, a device or a socket; "},
		{"a device as key", "chain.pem", "device", "device: it is no file but a pipe, a device or a socket; "},
		{"empty", "empty.pem", "chain.key", "empty.pem: no certificate in it; it must be PEM"},
		{"not PEM", "text.pem", "chain.key", "text.pem: no certificate in it; it must be PEM"},
		{"garbage certificate", "garbage.pem", "chain.key", "garbage.pem: certificate 1 cannot be read"},
		{"too large", "huge.pem", "chain.key", "huge.pem: it is larger than 4 MiB"},
		{"no key in the file", "chain.pem", "chain.pem", "chain.pem: no private key in it"},
		{"garbage key", "chain.pem", "garbage.key", "garbage.key: the private key cannot be read"},
		{"encrypted key", "chain.pem", "locked.key", "locked.key: the key is encrypted; decrypt it: openssl pkey"},
		{"another key", "chain.pem", "other.key", "other.key: the private key does not match the first certificate of"},
		{"authority first", "order.pem", "chain.key", "order.pem: the first certificate is not the key's, a later one is; put the server's own certificate first"},
		{"no name", "noname.pem", "", "noname.pem: its subjectAltName names no host; have it issued with a dNSName"},
		{"weak key", "weak.pem", "", "weak.pem: elliptic curve of 224 bits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := File{Cert: f.path(tt.cert)}
			if tt.key != "" {
				file.Key = f.path(tt.key)
			}
			_, err := New(Config{Files: []File{file}, SystemRoots: off()})
			var fault *Fault
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, &fault) || fault.Next == "" {
				t.Errorf("New = %v\nwant %q", err, tt.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		_, err := New(Config{Files: []File{{Cert: f.path("absent.pem"), Key: f.path("locked.key")}, {Cert: f.path("chain.pem"), Key: f.path("other.key")}},
			Roots: []string{f.path("text.pem")}, SystemRoots: off()})
		if err == nil || strings.Count(err.Error(), "\n") != 3 {
			t.Errorf("want four faults on four lines, got:\n%v", err)
		}
	})
}

// What a start goes on with is told nevertheless: a private key that others may read, and the names at which ejabberd 23.01 stumbles.
func TestWarnings(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	put := func(name string, names edit, mode os.FileMode) {
		chain, key := root.issueFor(t, newKey(t), names)
		f.put(name, key, chain...)
		if err := os.Chmod(f.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("good.pem", names(san{dns: []string{"a.example"}}), 0o400)
	put("group.pem", names(san{dns: []string{"b.example"}}), 0o640)
	put("addr.pem", names(san{dns: []string{"c.example"}, xmpp: []string{"c.example"}}), 0o600)
	chain, key := root.issueFor(t, newKey(t), names(san{dns: []string{"d.example"}}))
	write(t, f.path("d.pem"), encode(t, nil, chain...))
	write(t, f.path("d.key"), encode(t, key))
	if err := errors.Join(os.Chmod(f.path("d.pem"), 0o644), os.Chmod(f.path("d.key"), 0o604)); err != nil {
		t.Fatal(err)
	}
	m := mustNew(t, Config{Files: []File{{Cert: f.path("good.pem")}, {Cert: f.path("group.pem")}, {Cert: f.path("addr.pem")}, {Cert: f.path("d.pem"), Key: f.path("d.key")}}, SystemRoots: off()})
	open := func(name, mode string) string {
		return name + ": its mode " + mode + " lets others at the private key; chmod 600 " + f.path(name) + "; or 640, where it is not the gate's own and its group is"
	}
	want := []string{"addr.pem: it names c.example as xmppAddr, at which ejabberd 23.01 breaks the connection off; have it issued with a dNSName in its place", open("d.key", "0604")}
	if os.Geteuid() != 0 { // the group of a file of root's is how a gate that is not root comes to read it
		want = slices.Insert(want, 0, open("group.pem", "0640"))
	}
	var got []string
	for _, w := range m.Warnings() {
		got = append(got, strings.TrimPrefix(w.Error(), f.path("")+"/"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("warned of\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestKeyEncodings(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	chain, key := root.issueFor(t, newKey(t), names(san{dns: []string{"corp.example"}}))
	sec1, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	// As `openssl ecparam -genkey` writes it, with the curve in a block of its own.
	data := append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 1, 42}}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	write(t, f.path("a.key"), data)
	write(t, f.path("a.pem"), encode(t, nil, chain...))
	m := mustNew(t, Config{Files: []File{{Cert: f.path("a.pem"), Key: f.path("a.key")}}, SystemRoots: off()})
	if err := m.Covers("corp.example"); err != nil {
		t.Error(err)
	}
}

// TestReload: a good change is taken, a bad one changes nothing, certificates and anchors together (DESIGN §5, 6).
func TestReload(t *testing.T) {
	t.Parallel()
	root, other, f := newRoot(t, "Root"), newRoot(t, "Other"), newFiles(t)
	file, before := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	f.put("roots.pem", nil, root.cert)
	m := mustNew(t, Config{Files: []File{file}, Roots: []string{f.path("roots.pem")}, SystemRoots: off()})
	v := m.Verifier()
	peer := other.issue(t, names(san{dns: []string{"partner.example"}}))

	_, renewed := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	f.put("roots.pem", nil, root.cert, other.cert)
	now := func() *x509.Certificate { c, _ := m.Certificate("corp.example"); return leafOf(t, c) }
	if !now().Equal(before) || v.Verify(peer, "partner.example").Proved {
		t.Fatal("a change counts before Reload")
	}
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if !now().Equal(renewed) || !v.Verify(peer, "partner.example").Proved {
		t.Fatal("Reload did not take the change")
	}

	write(t, f.path("roots.pem"), []byte("torn"))
	f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	if err := m.Reload(); err == nil || !strings.Contains(err.Error(), "roots.pem: no certificate in it") {
		t.Fatalf("Reload of a bad file = %v", err)
	}
	if !now().Equal(renewed) || !v.Verify(peer, "partner.example").Proved {
		t.Error("half of a bad change was taken")
	}
}

func TestPrepareChangesNothing(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	corp, _ := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	org, _ := f.pair(root, "org.pem", names(san{dns: []string{"corp.org"}}))
	m := mustNew(t, Config{Files: []File{corp}, SystemRoots: off()})
	next, err := m.Prepare(Config{Files: []File{org}, SystemRoots: off()})
	if err != nil {
		t.Fatal(err)
	}
	if m.Covers("corp.example") != nil || m.Covers("corp.org") == nil || next.Covers("corp.org") != nil || next.Covers("corp.example") == nil {
		t.Error("Prepare changed the manager, or does not answer for the new files")
	}
	next.Apply()
	if m.Covers("corp.org") != nil || m.Covers("corp.example") == nil {
		t.Error("Apply did not put the new files in use")
	}
	if err := m.Reload(); err != nil || m.Covers("corp.org") != nil {
		t.Errorf("Reload went back to the old configuration: %v", err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	file, cert := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example", "*.corp.example"}, xmpp: []string{"corp.example"}}))
	got := mustNew(t, Config{Files: []File{file}, SystemRoots: off()}).Status()
	if len(got) != 1 || strings.Join(got[0].Names, " ") != "corp.example *.corp.example" || got[0].File != file.Cert || got[0].Source != "file" ||
		!got[0].NotAfter.Equal(cert.NotAfter) || got[0].Issuer != "CN=Root" || got[0].SPKI != SPKI(cert) {
		t.Errorf("Status = %+v", got)
	}
}

// TestSystemRoots: without a word the system's anchors count; with `false` only those that are listed do.
func TestSystemRoots(t *testing.T) {
	t.Parallel()
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if got := mustNew(t, Config{}).verifier.anchors.Load().pool; !got.Equal(system) {
		t.Error("the zero Config does not trust the system's anchors")
	}
	closed := mustNew(t, Config{SystemRoots: off()}).verifier.anchors.Load()
	if closed.pool == nil || !closed.empty {
		t.Error("system_roots: false leaves anchors, or a nil pool, which x509 takes for the system's")
	}
}
