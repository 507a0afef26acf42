package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Capture is a recording of all packets at one host's leg.
type Capture struct {
	process *Process
	file    string
}

// Capture starts tcpdump on the host's leg and returns once it listens.
func (l *Lab) Capture(host *Host, leg Leg) *Capture {
	l.t.Helper()
	c := &Capture{file: filepath.Join(l.dir, host.name+"-"+leg.String()+".pcap")}
	l.write(c.file, "")
	var err error
	// -U with --immediate-mode: each packet is in the file as soon as it was seen. -Z root: the file is ours.
	if c.process, err = host.Start(Command{Name: "tcpdump", Args: []string{
		"tcpdump", "-i", leg.String(), "-w", c.file, "-s", "0", "-B", "16384", "-U", "--immediate-mode", "-n", "-Z", "root"}}); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), startTime)
	defer cancel()
	if err := until(ctx, c.process.Ended(), func() error {
		if !strings.Contains(c.process.Log(), "listening on") {
			return fmt.Errorf("tcpdump does not listen: %s", c.process.Log())
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	return c
}

// Stop ends the recording and reads it. A packet that tcpdump has missed fails the test: it might have been the one.
func (c *Capture) Stop(t testing.TB) *Trace {
	t.Helper()
	if err := c.process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.process.Ended():
	case <-time.After(startTime):
		t.Fatal("tcpdump does not end")
	}
	if !strings.Contains(c.process.Log(), "\n0 packets dropped by kernel") {
		t.Fatalf("the capture is not complete: %s", c.process.Log())
	}
	f, err := os.Open(c.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	trace, err := ReadTrace(f)
	if err != nil {
		t.Fatalf("reading the capture: %v", err)
	}
	return trace
}
