package lab

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Command is a program to run on a Host, in the foreground.
type Command struct {
	Name string // for messages and the log file
	Args []string
	Env  []string          // added to the test's own
	Bind map[string]string // path that the program sees: path that is there instead; see enter.sh
	Tail int               // bytes of its output to show when the test fails; 0: tailBytes
}

// Process is a Command that was started. It dies with the Host, with the test, and at the latest with the test program.
type Process struct {
	name string
	log  string // path of its standard output and error
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

//go:embed enter.sh
var enterScript string

// Start runs c on the host. Its output goes to a file, whose tail is shown when the test fails.
func (h *Host) Start(c Command) (*Process, error) {
	p := &Process{name: h.name + "/" + c.Name, log: filepath.Join(h.lab.logs, h.name+"-"+c.Name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	args := []string{"-c", enterScript, "enter", h.resolvConf}
	for to, from := range c.Bind {
		args = append(args, from, to)
	}
	args = append(append(args, "--"), c.Args...)
	p.cmd = exec.Command("/bin/sh", args...)
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Dir = h.lab.dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS,
		Setpgid:      true,
		Pdeathsig:    syscall.SIGKILL,
	}
	if err := h.space.keep(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	h.lab.watch(p.name, p.log, cmp.Or(c.Tail, tailBytes))
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log and in p.cmd.ProcessState
		close(p.done)
	}()
	h.lab.onClose(p.Kill)
	return p, nil
}

// Signal sends sig to the process.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.done }

// ExitCode returns the exit status of a process that has ended, -1 when a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Log returns all output so far.
func (p *Process) Log() string { return readLog(p.log) }

// Stop asks the process to end (SIGTERM) and returns once it has; after grace it is killed, which is an error.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		p.sweep()
		return nil
	case <-time.After(grace):
		p.Kill()
		return fmt.Errorf("stopping %s: still there %v after SIGTERM", p.name, grace)
	}
}

// Kill ends the process at once, with all that it started.
func (p *Process) Kill() {
	select {
	case <-p.done:
	default:
		_ = p.Signal(os.Kill)
		<-p.done
	}
	p.sweep()
}

// Freeze stops the process and all that it started where they are; their connections stand. Kill ends them.
func (p *Process) Freeze() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }

// sweep ends what the process has started and left behind: it leads a process group of its own.
func (p *Process) sweep() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// until calls try every 20 ms until it returns nil, and returns its last error when ctx ends or stop closes before.
// Programs from elsewhere tell nobody when they are ready, so they are asked.
func until(ctx context.Context, stop <-chan struct{}, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-stop:
			return fmt.Errorf("the process has ended: %w", err)
		case <-ctx.Done():
			return err
		}
	}
}
