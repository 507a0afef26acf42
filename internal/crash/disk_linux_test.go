package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/audit"
)

// disk is a file system under the record that fails while the gate runs, and is well again.
type disk struct {
	name  string
	mount func(t *testing.T, at string)
	fail  func(t *testing.T, at string)
	heal  func(t *testing.T, at string)
	cause string // in the gate's words
	check string // what sallyport check says meanwhile
	// again: the gate has to be started again, for nothing else brings this disk back.
	again bool
	// gone: what was recorded before does not come back, and that shows.
	gone bool
}

var disks = []disk{
	{name: "full", mount: tmpfs, fail: fill, heal: unfill, cause: "no space left on device", check: "audit.dir: .* full"},
	{name: "does not answer", mount: ext4, fail: freeze, heal: thaw, cause: "the disk does not answer"},
	{name: "turned read-only", mount: ext4, fail: spoil, heal: repair, cause: "(read-only file system|input/output error|structure needs cleaning)", again: true},
	{name: "record removed", mount: tmpfs, fail: func(t *testing.T, at string) { do(t, os.RemoveAll(filepath.Join(at, "audit"))) },
		heal: func(*testing.T, string) {}, cause: "(the segment was moved or deleted|opening the segment again)", again: true, gone: true},
}

// TestDiskFails: a whole gate whose record's disk fails. With on_failure refuse nothing passes, and each sender hears so; with pass all
// does, and the record says how many it lacks. The operator has a line in the log, the status and a measurement; and when the disk is well,
// the gate goes on (AUDIT "Failure", DESIGN §5, 1 and 3).
func TestDiskFails(t *testing.T) {
	t.Parallel()
	for _, d := range disks {
		for _, onFailure := range []string{audit.Refuse, audit.Pass} {
			t.Run(d.name+"/"+onFailure, func(t *testing.T) {
				t.Parallel()
				failDisk(t, d, onFailure)
			})
		}
	}
}

func failDisk(t *testing.T, d disk, onFailure string) {
	w := newWorld(t, "dir: disk/audit, secrets: secrets, low_space: 65536, patience: 1s, on_failure: "+onFailure)
	at, dir := filepath.Join(w.dir, "disk"), filepath.Join(w.dir, "disk", "audit")
	do(t, os.Mkdir(at, 0o700))
	d.mount(t, at)
	w.start()
	w.pairs(1, "")
	w.measured("sallyport_audit_free_bytes", 1)
	d.fail(t, at)
	w.await(patience, "word of the failure", func() bool {
		w.pairs(1, "?")
		return strings.Contains(w.output.String(), "the audit record takes no events")
	})
	if onFailure == audit.Pass {
		w.pairs(3, "")
		w.says("status", "record: TAKES NO EVENTS for .*, stanzas pass unrecorded; .*"+d.cause)
		w.measured("sallyport_audit_lost_total", 6)
		w.measured("sallyport_unrecorded_total", 0)
	} else {
		w.pairs(3, "resource-constraint")
		w.says("status", "record: TAKES NO EVENTS for .*, stanzas are refused; .*"+d.cause)
		w.measured("sallyport_unrecorded_total", 6)
	}
	w.measured("sallyport_audit_failing", 1)
	if d.check != "" {
		w.says("check", d.check)
	}
	if n := strings.Count(w.output.String(), "the audit record takes no events"); n != 1 {
		t.Errorf("the failure is told %d times", n)
	}
	if d.again {
		w.stop()
	}
	d.heal(t, at)
	if d.again {
		w.start()
	}
	w.await(patience, "the record's recovery", func() bool {
		w.pairs(1, "?")
		return w.measure("sallyport_audit_failing") == 0
	})
	w.pairs(1, "")
	w.says("status", "record: [0-9]+ events in 0")
	w.stop()
	out, err := exec.Command(w.binary, "audit", "verify", dir).CombinedOutput()
	if d.gone {
		if err == nil || !strings.Contains(w.output.String(), "the audit record is not what it was when its last checkpoint was signed") {
			t.Errorf("a record that was removed is not told of by audit verify (%v) and by the gate's start:\n%s", err, out)
		}
		return
	}
	if err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	w.account(dir, onFailure)
}

// account holds the record against what was delivered and what was refused. What a gate had counted that was stopped while the disk failed, the
// next one tells of.
func (w *world) account(dir, onFailure string) {
	w.t.Helper()
	r := w.read(dir)
	if open := r.open(); len(open) > 0 {
		w.t.Errorf("no word of what became of %v", open)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var unrecorded, told uint64
	for id := range w.arrived {
		if _, ok := r.stanzas[id]; !ok {
			unrecorded++
		}
	}
	for id := range w.bounced {
		// What was refused because a sync failed can be on the disk all the same, which takes no truncation either: the next start tells of it as lost.
		if _, ok := r.stanzas[id]; ok && r.outcome[id] != audit.Dropped && w.told[id] == "" {
			w.t.Errorf("%s was refused, and the record says %q of it", id, r.outcome[id])
		}
	}
	do(w.t, audit.Search(w.t.Context(), dir, audit.Query{Kind: "audit.gap"}, func(_ []byte, e audit.Record) error {
		told += e.Count
		return nil
	}))
	switch {
	case onFailure == audit.Refuse && unrecorded+told > 0:
		w.t.Errorf("%d passed unrecorded; the record tells of %d", unrecorded, told)
	case onFailure == audit.Pass && unrecorded < 6:
		w.t.Errorf("%d passed unrecorded", unrecorded)
	case told != unrecorded:
		w.t.Errorf("%d passed unrecorded; the record tells of %d", unrecorded, told)
	}
}

// pairs has users of both servers write to each other, one message after another: each arrives, or is bounced with a condition and the
// advice to wait. "?" takes both.
func (w *world) pairs(n int, condition string) {
	w.t.Helper()
	for range n {
		local, err := w.local.User("romeo").Send("juliet@"+partner, "Hello.")
		w.must(err)
		remote, err := w.remote.User("juliet").Send("romeo@"+corp, "Hello.")
		w.must(err)
		for _, id := range []string{local, remote} {
			var arrived bool
			var was string
			w.await(patience, "end of "+id, func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				bounce, bounced := w.bounced[id]
				if arrived, was = w.arrived[id] > 0, bounce.Condition; bounced && bounce.Type != "wait" {
					w.t.Errorf("%s is bounced with type %q", id, bounce.Type)
				}
				return arrived || bounced
			})
			if condition != "?" && (was != condition || arrived != (condition == "")) {
				w.t.Errorf("a message is bounced with %q, arrived %v; want %q", was, arrived, condition)
			}
		}
	}
}

// patience is for a busy machine.
const patience = 60 * time.Second

// says runs a command on the gate's configuration: what it prints has to match.
func (w *world) says(command, pattern string) {
	w.t.Helper()
	out, err := exec.Command(w.binary, command, "-c", filepath.Join(w.dir, "sallyport.yaml")).CombinedOutput()
	if fails := command == "check"; fails != (err != nil) {
		w.t.Errorf("%s: %v", command, err)
	}
	if !regexp.MustCompile(pattern).Match(out) {
		w.t.Errorf("%s does not say %s:\n%s", command, pattern, out)
	}
}

// measured holds a measurement to a value, or more.
func (w *world) measured(name string, least float64) {
	w.t.Helper()
	if got := w.measure(name); got < least || least == 0 && got > 0 {
		w.t.Errorf("%s is %v, want %v", name, got, least)
	}
}

// measure reads a measurement; one that is not there yet is 0.
func (w *world) measure(name string) float64 {
	w.t.Helper()
	return w.measureOf(name, "")
}

// measureOf is measure where it has a label.
func (w *world) measureOf(name, label string) float64 {
	w.t.Helper()
	resp, err := http.Get("http://" + w.metrics + "/metrics")
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	m := regexp.MustCompile(`(?m)^` + name + `(?:\{.*` + label + `.*\})? (\S+)$`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	w.must(err)
	return v
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tmpfs mounts a file system of 2 MiB in memory.
func tmpfs(t *testing.T, at string) {
	t.Helper()
	mounted(t, at, syscall.Mount("audit-test", at, "tmpfs", 0, "size=2m"))
}

// mounted sees to it that what was mounted is unmounted. Where this user may not mount, the test is skipped.
func mounted(t *testing.T, at string, err error) {
	t.Helper()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("mounting needs root, and CAP_SYS_ADMIN in a container")
	}
	do(t, err)
	t.Cleanup(func() { syscall.Unmount(at, syscall.MNT_DETACH) }) // the gate may hold it still
}

// fill leaves no room, and makes the page that the segment ends in the last one.
func fill(t *testing.T, at string) {
	t.Helper()
	f, err := os.Create(filepath.Join(at, "ballast"))
	do(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func unfill(t *testing.T, at string) {
	t.Helper()
	do(t, os.Remove(filepath.Join(at, "ballast")))
}

// ext4 mounts a small file system of the kind that turns itself read-only when it finds a fault.
func ext4(t *testing.T, at string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("mkfs.ext4 is not installed; run internal/xmpptest/lab/install.sh")
		}
		t.Skip("mkfs.ext4 is not installed (make peers)")
	}
	f, err := os.Create(at + ".img")
	do(t, err)
	do(t, errors.Join(f.Truncate(16<<20), f.Close()))
	run(t, "mkfs.ext4", "-q", at+".img")
	remount(t, at)
}

func remount(t *testing.T, at string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", at+".img", at).CombinedOutput(); err != nil {
		t.Skipf("no loop device to be had: %v: %s", err, out)
	}
	mounted(t, at, nil)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// freeze has every write wait until thaw.
func freeze(t *testing.T, at string) {
	t.Helper()
	run(t, "fsfreeze", "-f", at)
	t.Cleanup(func() { exec.Command("fsfreeze", "-u", at).Run() })
}

func thaw(t *testing.T, at string) {
	t.Helper()
	run(t, "fsfreeze", "-u", at)
}

// spoil is what the kernel does when it finds that the file system is damaged.
func spoil(t *testing.T, at string) {
	t.Helper()
	device := filepath.Base(run(t, "findmnt", "-no", "SOURCE", at))
	do(t, os.WriteFile(fmt.Sprintf("/sys/fs/ext4/%s/trigger_fs_error", device), []byte("1"), 0))
}

// repair goes on with a copy: a mount namespace of another test may hold the file system that was unmounted here, and with it what the
// kernel thinks of it.
func repair(t *testing.T, at string) {
	t.Helper()
	do(t, syscall.Unmount(at, 0))
	image, err := os.ReadFile(at + ".img")
	do(t, err)
	do(t, os.Remove(at+".img"))
	do(t, os.WriteFile(at+".img", image, 0o600))
	out, err := exec.Command("e2fsck", "-fp", at+".img").CombinedOutput()
	var code *exec.ExitError
	if err != nil && (!errors.As(err, &code) || code.ExitCode() != 1) { // 1: errors were corrected
		t.Fatalf("e2fsck: %v\n%s", err, bytes.TrimSpace(out))
	}
	remount(t, at)
}
