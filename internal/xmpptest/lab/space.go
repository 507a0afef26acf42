package lab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// space is a network namespace without a name. A thread of its own keeps it: it made the namespace, never leaves it, and
// starts every process in it. The kernel removes the namespace with its last thread and process, and sends SIGKILL to
// the processes when the thread ends (PR_SET_PDEATHSIG). So nothing is left behind, not even after a panic, a test
// time-out or kill -9 of the test: there is nothing to clean up that the kernel does not clean up.
type space struct {
	file *os.File // the namespace
	work chan func()
}

// newSpace makes a namespace in which only the loopback interface exists, and is up.
func newSpace() (*space, error) {
	s := &space{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		ready <- s.enterNew()
		for f := range s.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(s.work)
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return s, nil
}

func (s *space) enterNew() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return err
	}
	s.file = f
	// The namespace may have taken over from its parent that it forwards: no host of a laboratory is a router.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0); err != nil {
		return err
	}
	return runIP("link set lo up\n")
}

// path names the namespace for ip(8), from any other namespace of this process.
func (s *space) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.file.Fd())
}

// keep runs f on the keeper thread, which is where processes are to be started.
func (s *space) keep(f func() error) error {
	done := make(chan error)
	s.work <- func() { done <- f() }
	return <-done
}

// enter runs f in the namespace on a thread of its own, so that many can be inside at once. Sockets that f makes stay in
// the namespace; goroutines that f starts are outside of it.
func (s *space) enter(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: this thread cannot be used for anything else
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// close ends the keeper, and with it every process that it started.
func (s *space) close() {
	close(s.work)
	_ = s.file.Close()
}

// runIP gives ip(8) a batch of commands in the calling thread's namespace.
func runIP(batch string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s\n%s", err, out, batch)
	}
	return nil
}
