package audit

import (
	"os"
	"runtime"
	"syscall"
)

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
		return nil
	}
}

func (f *osFile) intact(least, most int64) error {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Nlink == 0 {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: errMoved}
	}
	return f.sized(st.Size, least, most)
}

func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// readOnly says whether the file system that dir is on takes no writes.
func readOnly(dir string) (bool, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	const flag = 1 // ST_RDONLY
	return st.Flags&flag != 0, nil
}

// giveWay lets the goroutine run, for the rest of its life, only where no other thread wants to. Where that is not allowed it competes.
func giveWay() {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), 19)
}
