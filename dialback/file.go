package dialback

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// LoadOrCreate reads the secret in the file at path, and the one before it if the file has a second line; white space around them
// does not count. If there is no such file it makes one, with 32 bytes from the system's random source in hexadecimal text, readable
// for its owner alone. A file that others may read is refused: what is in it is no secret.
//
// Two processes that start at once end up with the same secret, and a crash leaves either no file or a whole one.
func LoadOrCreate(path string) (Secrets, error) {
	s, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return Secrets{}, fmt.Errorf("making dialback secret %s: %w", path, err)
		}
		s, err = load(path)
	}
	if err != nil {
		return Secrets{}, fmt.Errorf("reading dialback secret %s: %w", path, err)
	}
	return s, nil
}

func load(path string) (Secrets, error) {
	// Without O_NONBLOCK, opening a pipe waits for somebody who writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Secrets{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Secrets{}, err
	case !info.Mode().IsRegular():
		return Secrets{}, errors.New("not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		return Secrets{}, fmt.Errorf("its mode %#o lets others read or change it: chmod 600 %s", info.Mode().Perm(), path)
	}
	const most = 2 * (maxSecret + 2) // two secrets and their line ends
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return Secrets{}, err
	case len(text) > most:
		return Secrets{}, fmt.Errorf("it has more than %d bytes", most)
	}
	return parse(text)
}

// parse reads the lines of a secret file.
func parse(text []byte) (s Secrets, err error) {
	current, previous, rotating := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	if s.Current, err = NewSecret(bytes.TrimSpace(current)); err != nil || !rotating {
		return s, err
	}
	if previous = bytes.TrimSpace(previous); bytes.ContainsRune(previous, '\n') {
		return Secrets{}, errors.New("it has more than two lines: the secret, and the one before it")
	}
	if s.Previous, err = NewSecret(previous); err != nil {
		return Secrets{}, fmt.Errorf("second line: %w", err)
	}
	return s, nil
}

// create writes a new secret beside path and links it into place: a link fails where a rename would replace the secret of
// somebody faster.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".dialback-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	raw := make([]byte, generated)
	rand.Read(raw) // ends the process where there is no random source; it returns no error
	_, err = f.Write(append(hex.AppendEncode(nil, raw), '\n'))
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name survive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
