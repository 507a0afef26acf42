package audit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// disk is the part of a file system that the record writes through. Tests put one in its place that fills up and fails.
type disk interface {
	// create makes a new, empty file whose name survives a power cut.
	create(path string) (file, error)
	// open opens an existing file for writing.
	open(path string) (file, error)
	// free is the space left for us, in bytes, on the file system that dir is on.
	free(dir string) (uint64, error)
}

// file is one segment, open for writing.
type file interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// sync returns when all that was written can be read after a power cut. It fails when the file has no name any more: what
	// is kept in a deleted file is not kept.
	sync() error
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (osDisk) open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (osDisk) free(dir string) (uint64, error) { return freeSpace(dir) }

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
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

type osFile struct{ *os.File }
