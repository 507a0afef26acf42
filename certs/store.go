package certs

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// store is a folder of one authority's certificates and our account's key, in the format of autocert.DirCache: a key and its chain
// in one PEM file, named for the first domain. Files have mode 0600, the folder 0700. A certificate is staged beside the one that it
// replaces, synced, proved, and then moved into its place.
type store struct{ autocert.DirCache }

const (
	accountFile = "acme_account+key" // autocert's name for it
	staged      = "+next"            // a certificate that is not proved yet
	attempted   = "+state"           // what became of the attempts so far
	trial       = "+trial"           // shows that a certificate would find room
	trialSize   = 16 << 10
)

func newStore(dir string) store { return store{autocert.DirCache(dir)} }

// path is where the certificate of that name stands.
func (s store) path(name string) string { return filepath.Join(string(s.DirCache), name) }

// ready sees to it that a certificate can be stored, before one is asked for: authorities count those that were thrown away.
func (s store) ready(ctx context.Context) error {
	err := s.Put(ctx, trial, make([]byte, trialSize))
	if err == nil {
		err = s.Delete(ctx, trial)
	}
	if err == nil {
		err = os.Chmod(string(s.DirCache), 0o700) // it may have been made by hand
	}
	if err != nil {
		return s.fault("the store cannot be written", err)
	}
	return nil
}

func (s store) fault(reason string, err error) error {
	f := &Fault{File: string(s.DirCache), Reason: reason + ": " + err.Error(), Next: "free space, or let the gate's user write there; it tries again by itself", Err: err}
	var at *fs.PathError
	if errors.As(err, &at) {
		f.Reason = reason + ": " + at.Err.Error()
	}
	return f
}

// keep writes a file so that it survives a power failure.
func (s store) keep(ctx context.Context, name string, data []byte) error {
	if err := s.Put(ctx, name, data); err != nil {
		return err
	}
	return errors.Join(syncPath(s.path(name)), syncPath(string(s.DirCache)))
}

// replace puts the staged certificate in its place.
func (s store) replace(name string) error {
	if err := os.Rename(s.path(name+staged), s.path(name)); err != nil {
		return err
	}
	return syncPath(string(s.DirCache))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// attempts is what became of the attempts to obtain one certificate since the last that went well. The zero value is none.
type attempts struct {
	Failures int       `json:"failures"`
	Since    time.Time `json:"since"`  // the first failure
	Last     time.Time `json:"last"`   // the last one
	Next     time.Time `json:"next"`   // when to try again
	Asked    bool      `json:"asked"`  // Next was asked for by the authority
	Reason   string    `json:"reason"` // of the last failure
}

// remember writes attempts down, for `sallyport check` and for a restart.
func (s store) remember(ctx context.Context, name string, a attempts) error {
	if a.Failures == 0 {
		return s.Delete(ctx, name+attempted)
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return s.Put(ctx, name+attempted, data)
}

// recall reads attempts. What cannot be read is as if it were not there: the file is a convenience.
func (s store) recall(name string) (a attempts) {
	data, _, err := readFileInfo(s.path(name + attempted))
	if err != nil || json.Unmarshal(data, &a) != nil {
		return attempts{}
	}
	return a
}

// load reads the certificate of that name; nil without an error when there is none.
func (s store) load(name string) (*pair, error) {
	p, err := loadPair(File{Cert: s.path(name)})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.obtained = true
	return p, nil
}

// prove loads what was staged under a name and reports why it must not replace what serves now: it has to parse, to be for its key, to
// name every domain, to be for TLS servers, and to be one chain, each certificate of which is in date.
func (s store) prove(name string, names []string, now time.Time) (*pair, error) {
	p, err := loadPair(File{Cert: s.path(name + staged)})
	if err != nil {
		return nil, err
	}
	chain, err := readChain(p.file.Cert)
	if err != nil {
		return nil, err
	}
	for _, domain := range names {
		if !p.covers(domain) {
			return nil, fmt.Errorf("it does not name %s, only %s", domain, namesOf(p.ids))
		}
	}
	if !forServers(chain[0]) {
		return nil, fmt.Errorf("%w: its extended key usage leaves out serverAuth", ErrPurpose)
	}
	for i, cert := range chain {
		if err := dateFault(cert, now); err != nil {
			return nil, err
		}
		if i+1 < len(chain) {
			if err := cert.CheckSignatureFrom(chain[i+1]); err != nil {
				return nil, fmt.Errorf("certificate %d of its chain did not sign certificate %d: %w", i+2, i+1, err)
			}
		}
	}
	p.file.Cert, p.obtained = s.path(name), true
	return p, nil
}

// forServers reports whether a certificate may be used for TLS servers.
func forServers(cert *x509.Certificate) bool {
	return len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 ||
		slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}
