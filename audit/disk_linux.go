package audit

import (
	"errors"
	"os"
	"syscall"
)

// errDeleted: the segment was removed while it was written to.
var errDeleted = errors.New("the segment was deleted under the gate; restart it to begin a new one")

// sync uses fdatasync, which leaves out the file's times and so often spares one write.
func (f *osFile) sync() error {
	fd := int(f.Fd())
	for {
		err := syscall.Fdatasync(fd)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
		break
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Nlink == 0 {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: errDeleted}
	}
	return nil
}

func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}
