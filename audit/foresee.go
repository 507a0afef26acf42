package audit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// least is the space with which a record can begin at all: a segment, its proof, some lines.
const least = 1 << 20

// Foresee says why Open would not be able to keep a record where a configuration wants it, as far as that shows without writing. The note
// is for what works and yet wants somebody.
func Foresee(c Config) (note string, err error) {
	c = c.withDefaults()
	dir := filepath.Clean(c.Dir)
	st, err := os.Stat(dir)
	for gone(err) && dir != filepath.Dir(dir) { // the first start makes what is missing
		dir = filepath.Dir(dir)
		st, err = os.Stat(dir)
	}
	switch {
	case err != nil:
		return "", err
	case !st.IsDir():
		return "", &fs.PathError{Op: "opening the audit record", Path: dir, Err: syscall.ENOTDIR}
	}
	if ro, err := readOnly(dir); err != nil || ro {
		if err == nil {
			err = fmt.Errorf("%s is on a file system that is mounted read-only; mount it for writing, after a check of its health", dir)
		}
		return "", err
	}
	free, err := freeSpace(dir)
	switch {
	case err != nil:
		return "", err
	case free < least:
		return "", fmt.Errorf("%s is on a file system that is full (%d bytes left); make room", dir, free)
	case free < uint64(c.LowSpace):
		note = fmt.Sprintf("%s has %d MiB left, less than audit.low_space (%d MiB)", dir, free>>20, c.LowSpace>>20)
	}
	if dir == filepath.Clean(c.Dir) {
		if err := syscall.Access(dir, 2|1); err != nil { // W_OK|X_OK
			return note, &fs.PathError{Op: "writing to", Path: dir, Err: err}
		}
	}
	return note, nil
}
