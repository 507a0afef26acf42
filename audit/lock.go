package audit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError says that another process writes to the record.
type LockedError struct {
	Dir string
	PID int // 0 when it did not say
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("audit directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("audit directory %s is in use by process %d", e.Dir, e.PID)
}

// lockDir takes the directory for this process until the file is closed, be it by the process's end. Two writers would number
// their events alike.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	// A program that this process starts has a copy of a lock that was given up, for the moment between fork and exec.
	for try := 0; err == syscall.EWOULDBLOCK && try < ownTries && readPID(f) == os.Getpid(); try++ {
		time.Sleep(10 * time.Millisecond)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		defer f.Close()
		if err == syscall.EWOULDBLOCK {
			return nil, &LockedError{Dir: dir, PID: readPID(f)}
		}
		return nil, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	writePID(f)
	return f, nil
}

// InUse says whether some process writes to a record.
func InUse(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}

// Owned says whether a record is a gate's own, and not a copy: the secrets of the gate lie beside it, where they are by default, by
// whichever name the directory is called.
func Owned(dir string) bool {
	whole, err := filepath.Abs(dir)
	if err != nil {
		whole = dir
	}
	real, err := filepath.EvalSymlinks(whole)
	if err != nil {
		real = whole
	}
	for _, at := range []string{whole, real} {
		if _, err := os.Stat(filepath.Join(Config{Dir: at}.SecretsDir(), signingKeyName)); err == nil {
			return true
		}
	}
	return false
}

// ownTries is how often a lock that seems to be held by this very process is asked for.
const ownTries = 50

func readPID(f *os.File) int {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 20))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// writePID says who is here, for the message that the next one gets. On a full disk that message does without.
func writePID(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
}
