package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a subject has used up to a moment.
type Usage struct {
	CPU    time.Duration // user and system
	Writes int64         // write system calls
	RSS    int64         // resident bytes
}

func (u Usage) sub(v Usage) Usage {
	return Usage{CPU: u.CPU - v.CPU, Writes: u.Writes - v.Writes, RSS: u.RSS - v.RSS}
}

// usage reads the meters of a process.
func usage(pid int) (u Usage, err error) {
	// The CPU clock of another process: its number turned over, with the kind "scheduler" (2); clock_getcpuclockid(3) makes it
	// the same way.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return u, fmt.Errorf("reading the CPU clock of process %d: %w", pid, err)
	}
	u.CPU = time.Duration(ts.Nano())
	if u.Writes, err = field(pid, "io", "syscw:"); err != nil {
		return u, err
	}
	u.RSS, err = field(pid, "status", "VmRSS:")
	u.RSS <<= 10 // it is given in KiB
	return u, err
}

// field finds a number in a file of /proc/PID.
func field(pid int, file, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == name {
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in /proc/%d/%s", name, pid, file)
}

// program is a process that we started, and whose output goes to a file.
type program struct {
	cmd    *exec.Cmd
	output string
	done   chan struct{} // closed when it has ended
}

// command is how a program is started.
type command struct {
	dir  string   // where it runs and its output goes
	env  []string // besides ours
	args []string // the program first
}

// launch starts the subject's program.
func (s *Subject) launch(ctx context.Context, c command) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, c.args[0], c.args[1:]...), output: filepath.Join(c.dir, "output.log"), done: make(chan struct{})}
	out, err := os.Create(p.output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = c.dir, out, out, append(os.Environ(), c.env...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 35 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.args[0], err)
	}
	go func() {
		// How it ended is told by its output.
		_ = p.cmd.Wait()
		close(p.done)
	}()
	s.pids = append(s.pids, p.cmd.Process.Pid)
	s.onClose(p.stop)
	return p, nil
}

// stop ends the program and waits for it.
func (p *program) stop() {
	// It may have ended already.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// until waits for something of a program to become true, and gives up when the program ends.
func (p *program) until(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-p.done:
			return p.fault(errors.New("it ended"))
		case <-ctx.Done():
			return p.fault(errors.New("it did not become ready"))
		}
	}
	return nil
}

// fault adds the end of the program's output to an error.
func (p *program) fault(err error) error {
	text, _ := os.ReadFile(p.output)
	text = bytes.TrimSpace(text[max(0, len(text)-2000):])
	return fmt.Errorf("%s: %w; its last words: %s", filepath.Base(p.cmd.Path), err, text)
}

// selfCPU is the CPU time of this process.
func selfCPU() time.Duration {
	var ts unix.Timespec
	// The clock of the calling process always exists.
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}
