package certs

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func inner(t *testing.T, dir string) *Inner {
	t.Helper()
	i, err := OpenInner(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// What the authority mints proves the domain to who trusts its root, in both roles, and to nobody else.
func TestInnerMints(t *testing.T) {
	t.Parallel()
	i := inner(t, filepath.Join(t.TempDir(), "inner"))
	c, err := i.Certificate("Bücher.example.")
	if err != nil {
		t.Fatal(err)
	}
	dns, _, xmpp, err := ParseSAN(c.Leaf)
	if err != nil || !slices.Equal(dns, []string{"xn--bcher-kva.example"}) || len(xmpp) > 0 { // COMPAT(ejabberd 23.01)
		t.Errorf("it names %q, %q, %v", dns, xmpp, err)
	}
	roots, err := readChain(i.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(roots[0])
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "xn--bcher-kva.example", KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %d: %v", usage, err)
		}
	}
	if r := i.Verify([]*x509.Certificate{c.Leaf}, "bücher.example"); !r.Proved {
		t.Error(r.Err)
	}
	if r := trusting(newRoot(t, "Public")).Verify([]*x509.Certificate{c.Leaf, roots[0]}, "bücher.example"); r.Proved {
		t.Error("the outside trusts the inner authority")
	}
	again, _ := i.Certificate("bücher.example")
	if again != c {
		t.Error("the certificate was minted twice")
	}
	for _, bad := range []string{"", "127.0.0.1", "a b.example", "*.example"} {
		if _, err := i.Certificate(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Another authority's certificate, even one of the same name, is worth nothing inside.
func TestInnerVerifiesItsOwnOnly(t *testing.T) {
	t.Parallel()
	a, b := inner(t, t.TempDir()), inner(t, t.TempDir())
	c, err := b.Certificate("corp.example")
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Verify([]*x509.Certificate{c.Leaf, b.root}, "corp.example"); r.Proved || !errors.Is(r.Err, ErrUntrusted) {
		t.Errorf("proved %t, %v", r.Proved, r.Err)
	}
	if r := b.Verify([]*x509.Certificate{c.Leaf}, "other.example"); r.Proved || !errors.Is(r.Err, ErrName) {
		t.Errorf("proved %t, %v", r.Proved, r.Err)
	}
}

func TestInnerRenewsWhatItMinted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		i := inner(t, dir)
		c, _ := i.Certificate("a.example")
		time.Sleep(innerLeafLife - innerRenewal - time.Hour)
		if same, _ := i.Certificate("a.example"); same != c {
			t.Error("renewed too early")
		}
		time.Sleep(2 * time.Hour)
		if next, _ := i.Certificate("a.example"); next == c || time.Until(next.Leaf.NotAfter) < innerLeafLife-time.Minute {
			t.Error("not renewed")
		}
	})
}

// The authority outlives the process, and one that is damaged is not replaced: the backend trusts it.
func TestInnerStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := inner(t, dir)
	if again := inner(t, dir); !again.root.Equal(first.root) {
		t.Error("the authority changed")
	}
	for name, mode := range map[string]os.FileMode{innerKeyFile: 0o600, innerRootFile: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	other := t.TempDir()
	inner(t, other)
	for _, damage := range []func() error{
		func() error { return os.Rename(filepath.Join(other, innerKeyFile), filepath.Join(dir, innerKeyFile)) },
		func() error { return os.WriteFile(filepath.Join(dir, innerRootFile), []byte("x"), 0o644) },
		func() error { return os.Remove(filepath.Join(dir, innerRootFile)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenInner(dir); err == nil {
			t.Error("a damaged authority was taken, or made anew")
		}
	}
}

func TestInnerEquipsTheBackend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		i := inner(t, dir)
		cert, key, err := i.Equip([]string{"corp.example", "conference.corp.example"})
		if err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		p, err := loadPair(File{Cert: cert, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		for _, domain := range []string{"corp.example", "conference.corp.example"} {
			if r := i.Verify([]*x509.Certificate{p.cert.Leaf}, domain); !r.Proved {
				t.Error(r.Err)
			}
		}
		if info, _ := os.Stat(key); info.Mode().Perm() != 0o600 {
			t.Errorf("the key has mode %v", info.Mode())
		}
		if _, _, err := i.Equip([]string{"corp.example"}); err != nil {
			t.Error(err)
		}
		if same, _ := os.ReadFile(cert); string(same) != string(before) {
			t.Error("a good certificate was replaced")
		}
		if _, _, err := i.Equip([]string{"corp.example", "new.corp.example"}); err != nil {
			t.Error(err)
		}
		if same, _ := os.ReadFile(cert); string(same) == string(before) {
			t.Error("a certificate that lacks a domain stayed")
		}
		if _, _, err := i.Equip([]string{"../etc/passwd"}); !errors.Is(err, ErrName) {
			t.Errorf("a domain that is a path: %v", err)
		}
	})
}
