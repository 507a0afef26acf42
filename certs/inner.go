package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	innerRootLife  = 10 * 365 * 24 * time.Hour
	innerLeafLife  = 30 * 24 * time.Hour
	innerRenewal   = innerLeafLife / 3 // a minted certificate with less life left is minted anew
	innerBackdated = 24 * time.Hour    // for backends whose clock is late
	maxMinted      = 4096
)

// Inner is the authority of the leg between gate and backend, for backends that take certificates only (PROTOCOL D10b): it vouches
// for the gate in the name of remote domains, and for the backend. Its root is to be trusted by that one backend and by nobody
// else: it would vouch for any domain. It is safe for concurrent use.
type Inner struct {
	dir  string
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // of all minted certificates

	mu     sync.Mutex
	minted map[string]*tls.Certificate
}

// Names of the files in the authority's folder.
const (
	innerRootFile = "root.pem"
	innerKeyFile  = "root.key"
)

// OpenInner reads the authority of a folder, or makes one there. Errors: files that cannot be read or written, and those that do
// not belong together; an authority is never made anew in place of a damaged one, because the backend trusts the old one.
func OpenInner(dir string) (*Inner, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the inner authority: %w", err)
	}
	rootPath, keyPath := filepath.Join(dir, innerRootFile), filepath.Join(dir, innerKeyFile)
	_, rootErr := os.Stat(rootPath)
	_, keyErr := os.Stat(keyPath)
	if errors.Is(rootErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		if err := makeInner(rootPath, keyPath); err != nil {
			return nil, fmt.Errorf("making the inner authority: %w", err)
		}
	}
	p, err := loadAuthority(File{Cert: rootPath, Key: keyPath})
	if err != nil {
		return nil, err
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Inner{dir: dir, root: p.root, key: p.key, leaf: leaf, minted: make(map[string]*tls.Certificate)}, nil
}

type innerPair struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func loadAuthority(f File) (innerPair, error) {
	chain, certErr := readChain(f.Cert)
	key, _, keyErr := readKey(f.Key)
	if err := errors.Join(certErr, keyErr); err != nil {
		return innerPair{}, err
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok || !matches(chain[0], key) || !chain[0].IsCA {
		return innerPair{}, &Fault{File: f.Cert, Reason: "it is no authority of the key in " + f.Key,
			Next: "put the two files back that the gate made, or move both away to make new ones, which the backend must then be told of"}
	}
	return innerPair{root: chain[0], key: own}, nil
}

// makeInner writes the key before the root: a root without its key would be an authority that can do nothing.
func makeInner(rootPath, keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl, err := innerTemplate("Sallyport inner authority", innerRootLife)
	if err != nil {
		return err
	}
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.MaxPathLenZero = true, true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeNew(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	return writeNew(rootPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644)
}

// writeNew writes a file that must not be there, whole or not at all.
func writeNew(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

func innerTemplate(name string, life time.Duration) (*x509.Certificate, error) {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: number, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-innerBackdated), NotAfter: now.Add(life)}, nil
}

// RootFile is the PEM file that the backend has to trust.
func (i *Inner) RootFile() string { return filepath.Join(i.dir, innerRootFile) }

// Certificate mints a certificate for a remote domain, in whose name the gate speaks to the backend; one that was minted before
// serves while a third of its life is left. It is for both roles of TLS and names the domain as dNSName. The domain may
// be in A-labels or U-labels.
func (i *Inner) Certificate(domain string) (*tls.Certificate, error) {
	name, ok := reference(domain)
	if !ok {
		return nil, fmt.Errorf("%w: %q is not a host name", ErrName, printable(domain))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if c := i.minted[name]; c != nil && time.Until(c.Leaf.NotAfter) > innerRenewal {
		return c, nil
	}
	c, err := i.mint([]string{name}, i.leaf, innerLeafLife)
	if err != nil {
		return nil, err
	}
	if len(i.minted) >= maxMinted {
		clear(i.minted)
	}
	i.minted[name] = c
	return c, nil
}

func (i *Inner) mint(names []string, key *ecdsa.PrivateKey, life time.Duration) (*tls.Certificate, error) {
	tmpl, err := innerTemplate("Sallyport inner leg", life)
	if err != nil {
		return nil, err
	}
	if tmpl.NotAfter.After(i.root.NotAfter) {
		tmpl.NotAfter = i.root.NotAfter
	}
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	// COMPAT(ejabberd 23.01): an xmppAddr in a server's certificate crashes its stream, so there is none.
	tmpl.DNSNames = names
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, i.root, key.Public(), i.key)
	if err != nil {
		return nil, fmt.Errorf("minting a certificate for %v: %w", names, err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{raw, i.root.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Equip leaves a certificate with its key for the backend that serves domains, in two files of the authority's folder named after
// the first domain, and returns their paths. Files that are there, name the domains and have life left stay as they are: the
// backend uses them.
func (i *Inner) Equip(domains []string) (cert, key string, err error) {
	if len(domains) == 0 {
		return "", "", errors.New("a backend without domains")
	}
	var names []string
	for _, d := range domains {
		name, ok := reference(d)
		if !ok {
			return "", "", fmt.Errorf("%w: %q is not a host name", ErrName, printable(d))
		}
		names = append(names, name)
	}
	base := filepath.Join(i.dir, "backend-"+names[0])
	cert, key = base+".pem", base+".key"
	if i.stillGood(File{Cert: cert, Key: key}, names) {
		return cert, key, nil
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	c, err := i.mint(names, own, innerRootLife)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return "", "", err
	}
	var chain bytes.Buffer
	for _, raw := range c.Certificate {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: raw}); err != nil {
			return "", "", err
		}
	}
	for path, text := range map[string][]byte{cert: chain.Bytes(), key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
		if err := writeNew(path, text, 0o600); err != nil {
			return "", "", err
		}
	}
	return cert, key, nil
}

func (i *Inner) stillGood(f File, names []string) bool {
	p, err := loadPair(f)
	if err != nil || time.Until(p.cert.Leaf.NotAfter) < innerRenewal || p.cert.Leaf.CheckSignatureFrom(i.root) != nil {
		return false
	}
	for _, name := range names {
		if _, ok := find(p.ids, name, false); !ok {
			return false
		}
	}
	return true
}

// Verify judges the certificate that a backend shows: only what this authority issued counts.
func (i *Inner) Verify(chain []*x509.Certificate, domain string) Result {
	a := &anchors{pool: x509.NewCertPool()}
	a.pool.AddCert(i.root)
	v := &Verifier{identities: identities}
	v.anchors.Store(a)
	return v.Verify(chain, domain)
}
