package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	signingKeyName = "signing.key" // in Config.Secrets
	publicKeysName = "record.pub"  // in Config.Dir: the keys that have signed this record, the present one last
)

// signer signs for the record. Who has its key can make a record that verifies; it is kept beside the record, not in it, so that a
// copy of the record does not carry it.
type signer struct {
	note.Signer
	public string // the key that verifies, as text
}

// openSigner reads the key, or makes one where there is none. A record keeps the name under which it was first signed.
func openSigner(c Config) (s signer, err error) {
	secret, err := secretFile(c.Secrets, signingKeyName, func() ([]byte, error) {
		name := originOf(c.Node)
		if keys, err := RecordKeys(c.Dir); err == nil && !keys.None() {
			name = keys.list[len(keys.list)-1].Name()
		}
		secret, _, err := note.GenerateKey(rand.Reader, name)
		return []byte(secret + "\n"), err
	})
	if err != nil {
		return s, err
	}
	text := strings.TrimSpace(string(secret))
	if s.Signer, err = note.NewSigner(text); err == nil {
		s.public, err = publicOf(s.Signer, text)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w; it is not the key that a gate made", filepath.Join(c.Secrets, signingKeyName), err)
	}
	return s, nil
}

// PublicKey is the key that verifies what this gate signs.
func (l *Log) PublicKey() string { return l.w.notary.signer.public }

// RecordKeys are the keys that a record's directory itself says have signed it. They serve to find accidents: who can change the
// record can change them too.
func RecordKeys(dir string) (Keys, error) {
	b, err := readRegular(filepath.Join(dir, publicKeysName))
	if gone(err) {
		return Keys{}, nil
	}
	if err != nil {
		return Keys{}, err
	}
	return ParseKeys(string(b))
}

// publish puts the public key beside the record, behind those that signed it before: whole, or not at all.
func (s *signer) publish(d disk, dir string) error {
	path := filepath.Join(dir, publicKeysName)
	b, last, err := publicKeys(path)
	if err != nil || last == s.public {
		return err
	}
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\n")) {
		b = append(b, '\n')
	}
	beside := path + ".tmp"
	if err := d.remove(beside); err != nil && !gone(err) { // left by a crash
		return err
	}
	f, err := d.create(beside)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(append(b, s.public+"\n"...), 0); err != nil {
		return err
	}
	if err := f.sync(); err != nil {
		return err
	}
	if err := d.rename(beside, path); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// publicKeys reads a file of keys; the last is the one that signs.
func publicKeys(path string) (all []byte, last string, err error) {
	all, err = readRegular(path)
	if err != nil && !gone(err) {
		return nil, "", err
	}
	if known := strings.Fields(string(all)); len(known) > 0 {
		last = known[len(known)-1]
	}
	return all, last, nil
}

func openOrCreate(d disk, path string) (file, error) {
	f, err := d.open(path)
	if gone(err) {
		return d.create(path)
	}
	return f, err
}

// publicOf derives the key that verifies from the text of the one that signs.
func publicOf(s note.Signer, secret string) (string, error) {
	parts := strings.SplitN(secret, "+", 5) // PRIVATE, KEY, name, hash; the last may hold a plus itself
	if len(parts) < 5 {
		return "", errors.New("malformed key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return "", errors.New("malformed key")
	}
	public := ed25519.NewKeyFromSeed(key[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(s.Name(), public)
}

// secretFile reads a file of secrets that must be readable by nobody else, and makes file and directory where they are missing.
func secretFile(dir, name string, generate func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(dir, name)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, failed := generate()
		if failed == nil {
			failed = makeSecret(dir, path, secret)
		}
		if failed == nil {
			return secret, nil
		}
		if !errors.Is(failed, fs.ErrExist) {
			return nil, failed
		}
		st, err = os.Stat(path) // somebody made it meanwhile
	}
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it, and consider whether it is still secret", path, st.Mode().Perm())
	}
	return os.ReadFile(path)
}

// makeSecret writes a file whole or not at all.
func makeSecret(dir, path string, secret []byte) error {
	if err := makeDir(osDisk{}, dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(secret)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link, not a rename: of two that make it at a time, the second does not take the first one's place.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return osDisk{}.syncDir(dir)
}
