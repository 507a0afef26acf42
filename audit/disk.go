package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// disk is the part of a file system that the record writes through. Tests put one in its place that fills up, fails and loses
// power.
type disk interface {
	mkdir(dir string) error
	// create makes a file, or takes an empty one that is there; one with something in it is an error.
	create(path string) (file, error)
	remove(path string) error
	rename(from, to string) error
	// open opens an existing file for writing.
	open(path string) (file, error)
	// syncDir returns when the names in a directory survive a power cut.
	syncDir(dir string) error
	// free is the space left for us, in bytes, on the file system that dir is on.
	free(dir string) (uint64, error)
}

// file is one segment, open for writing.
type file interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// sync returns when all that was written can be read after a power cut.
	sync() error
	// intact fails when the file has no name any more, or is shorter or longer than it can be by what was written to it.
	intact(least, most int64) error
	// named fails when the file is not found under its name.
	named() error
}

// What others do to a segment. What is kept in a file that nobody finds, or behind a hole, is not kept; and two writers would
// write over each other's lines.
var (
	errMoved  = errors.New("the segment was moved or deleted under the gate; move it back, or restart the gate to begin a new one")
	errShrunk = errors.New("the segment was cut under the gate; put it back, or restart the gate to go on behind what is left")
	errGrown  = errors.New("somebody else writes to the segment; find out who, then restart the gate")
)

// makeDir makes a directory and those above it that are missing, so that their names survive a power cut.
func makeDir(d disk, dir string) error {
	var missing []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !gone(err) {
			break
		}
		missing = append(missing, at)
	}
	for _, at := range slices.Backward(missing) {
		if err := d.mkdir(at); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := d.syncDir(filepath.Dir(at)); err != nil {
			return err
		}
	}
	return nil
}

// newSegment makes a file whose name survives a power cut.
func newSegment(d disk, path string) (file, error) {
	f, err := d.create(path)
	if err != nil {
		return nil, err
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		f.Close()
		// Should that fail too, the empty file is taken the next time.
		_ = d.remove(path)
		return nil, err
	}
	return f, nil
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) mkdir(dir string) error { return os.Mkdir(dir, 0o700) }

func (osDisk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.Size() > 0 {
		err = &os.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &osFile{f}, nil
}

func (osDisk) remove(path string) error { return os.Remove(path) }

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	return nil
}

func (osDisk) free(dir string) (uint64, error) { return freeSpace(dir) }

type osFile struct{ *os.File }

func (f *osFile) named() error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.Name())
	if gone(err) || err == nil && !os.SameFile(there, ours) {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: errMoved}
	}
	return err
}

func (f *osFile) sized(size, least, most int64) error {
	switch {
	case size < least:
		return &os.PathError{Op: "stat", Path: f.Name(), Err: errShrunk}
	case size > most:
		return &os.PathError{Op: "stat", Path: f.Name(), Err: errGrown}
	}
	return nil
}
