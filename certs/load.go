package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxFile bounds a PEM file: large enough for every bundle of anchors there is.
const maxFile = 4 << 20

// pair is one certificate of ours with its key and the domains that it speaks for.
type pair struct {
	file     File
	cert     *tls.Certificate
	ids      []identity
	obtained bool        // from an authority, by ourselves
	key      fs.FileInfo // of the file with the key
}

// covers reports whether the certificate names a domain, which is canonical.
func (p *pair) covers(domain string) bool {
	_, ok := find(p.ids, domain, false)
	return ok
}

// loadPairs reads all certificate files. It goes on after a fault, so that all are told at once.
func loadPairs(files []File) ([]*pair, error) {
	var pairs []*pair
	var faults []error
	for _, f := range files {
		p, err := loadPair(f)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		pairs = append(pairs, p)
	}
	return pairs, errors.Join(faults...)
}

func loadPair(f File) (*pair, error) {
	chain, certErr := readChain(f.Cert)
	if certErr != nil && f.key() == f.Cert {
		return nil, certErr
	}
	key, info, keyErr := readKey(f.key())
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, err
	}
	leaf := chain[0]
	if !matches(leaf, key) {
		return nil, mismatch(f, chain, key)
	}
	if fault := keyFault(leaf.PublicKey); fault != "" {
		return nil, &Fault{File: f.Cert, Reason: fault, Next: "peers refuse it; make a new key and have it certified"}
	}
	ids, err := identities(leaf)
	if err != nil {
		return nil, &Fault{File: f.Cert, Reason: err.Error(), Next: "have the certificate issued anew", Err: err}
	}
	if len(ids) == 0 {
		return nil, &Fault{File: f.Cert, Reason: "its subjectAltName names no host",
			Next: "have it issued with a dNSName for each domain; a common name does not count"}
	}
	cert := &tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return &pair{file: f, cert: cert, ids: ids, key: info}, nil
}

// readChain reads the certificates of a PEM file; there is at least one.
func readChain(path string) ([]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &Fault{File: path, Reason: fmt.Sprintf("certificate %d cannot be read: %v", len(chain)+1, err),
				Next: "see what `openssl x509 -text` makes of it", Err: err}
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, &Fault{File: path, Reason: "no certificate in it", Next: "it must be PEM, with BEGIN CERTIFICATE"}
	}
	return chain, nil
}

// readKey reads the first private key of a PEM file, and says what file it is.
func readKey(path string) (crypto.Signer, fs.FileInfo, error) {
	data, info, err := readFileInfo(path)
	if err != nil {
		return nil, nil, err
	}
	key, err := firstKey(path, data)
	return key, info, err
}

func firstKey(path string, data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, &Fault{File: path, Reason: "the key is encrypted", Next: "decrypt it: openssl pkey -in " + path + " -out FILE"}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return parseKey(path, block.Bytes)
		}
	}
	return nil, &Fault{File: path, Reason: "no private key in it", Next: "it must be PEM, with BEGIN PRIVATE KEY"}
}

// parseKey tries the encodings that certificate tools write: PKCS #8, PKCS #1 and SEC 1.
func parseKey(path string, der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	// The parsers' own words are left out: what they say of a key may hold part of it.
	return nil, &Fault{File: path, Reason: "the private key cannot be read", Next: "see what `openssl pkey -noout -check` makes of it"}
}

func matches(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}

// mismatch tells a wrong order of certificates from a wrong key.
func mismatch(f File, chain []*x509.Certificate, key crypto.Signer) error {
	for _, cert := range chain[1:] {
		if matches(cert, key) {
			return &Fault{File: f.Cert, Reason: "the first certificate is not the key's, a later one is",
				Next: "put the server's own certificate first, its authorities after it"}
		}
	}
	return &Fault{File: f.key(), Reason: "the private key does not match the first certificate of " + f.Cert,
		Next: "give the key that the certificate was requested with"}
}

// loadAnchors reads the trust anchors for peers.
func loadAnchors(c Config) (*anchors, error) {
	pool := x509.NewCertPool()
	var faults []error
	if c.system() {
		system, err := x509.SystemCertPool()
		if err != nil {
			faults = append(faults, fmt.Errorf("reading the system's trust anchors: %w", err))
		} else {
			pool = system
		}
	}
	for _, path := range c.Roots {
		certs, err := readChain(path)
		if err != nil {
			faults = append(faults, err)
		}
		for _, cert := range certs {
			pool.AddCert(cert)
		}
	}
	return &anchors{pool: pool, empty: pool.Equal(x509.NewCertPool())}, errors.Join(faults...)
}

func readFile(path string) ([]byte, error) {
	data, _, err := readFileInfo(path)
	return data, err
}

// readFileInfo is readFile, and says what file it is.
func readFileInfo(path string) ([]byte, fs.FileInfo, error) {
	// Without O_NONBLOCK, opening a pipe waits for somebody who writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, openFault(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, openFault(path, err)
	case info.IsDir():
		return nil, nil, &Fault{File: path, Reason: "it is a folder", Next: "name the file in it"}
	case !info.Mode().IsRegular():
		return nil, nil, &Fault{File: path, Reason: "it is no file but a pipe, a device or a socket", Next: "give a PEM file"}
	}
	var data bytes.Buffer
	n, err := io.Copy(&data, io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, openFault(path, err)
	case n > maxFile:
		return nil, nil, &Fault{File: path, Reason: fmt.Sprintf("it is larger than %d MiB", maxFile>>20), Next: "is it the right file?"}
	}
	return data.Bytes(), info, nil
}

// exposed says whether somebody can read or change a file who need not: others, or its group where the gate is its owner and needs no
// group. The group of somebody else's file is how the gate comes to read it.
func exposed(info fs.FileInfo) bool {
	perm, owned := info.Mode().Perm(), false
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owned = int(st.Uid) == os.Geteuid() && st.Uid != 0
	}
	return perm&0o027 != 0 || owned && perm&0o040 != 0
}

func openFault(path string, err error) error {
	fault := &Fault{File: path, Reason: err.Error(), Next: "is it a PEM file?", Err: err}
	var at *fs.PathError
	if errors.As(err, &at) {
		fault.Reason = at.Err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fault.Next = "put it there, or correct the path in the configuration"
	case errors.Is(err, fs.ErrPermission):
		fault.Next = fmt.Sprintf("let user id %d read it", os.Geteuid())
	}
	return fault
}
