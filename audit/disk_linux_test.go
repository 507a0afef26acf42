package audit

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestRealDiskFull fills a real file system under the record: a tmpfs of 256 KiB. It needs root to mount one.
func TestRealDiskFull(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{Sync, Async} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mount(t, dir, "size=256k")
			fillUpAndRecover(t, filepath.Join(dir, "audit"), durability)
		})
	}
}

// mount puts a tmpfs at dir for the length of the test.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	flags := uintptr(0)
	if options == "ro" {
		flags, options = syscall.MS_RDONLY, ""
	}
	if err := syscall.Mount("audit-test", dir, "tmpfs", flags, options); err != nil {
		if errors.Is(err, syscall.EPERM) {
			t.Skip("this root may not mount (a container without CAP_SYS_ADMIN)")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func fillUpAndRecover(t *testing.T, dir, durability string) {
	c := Config{Dir: dir, Durability: durability, SegmentBytes: 100 << 10, Secrets: t.TempDir()}
	l := open(t, c)
	ballast := filepath.Join(filepath.Dir(dir), "ballast")
	write(t, ballast, make([]byte, 64<<10))
	var passed []string
	try := func(n int) error {
		batch := stanzas(n, 7)
		err := l.Append(context.Background(), batch)
		if err == nil {
			for _, e := range batch {
				passed = append(passed, string(e.Stanza.ID))
			}
		}
		return err
	}
	n := 0
	for ; ; n += 7 {
		if err := try(n); err != nil {
			if !errors.Is(err, ErrUnrecorded) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
		if n > 10_000 {
			t.Fatal("256 KiB are not full yet")
		}
	}
	for range 100 { // on the full disk
		n += 7
		if try(n) == nil {
			t.Error("a batch passed on a full disk")
		}
	}
	closeLog(t, l)
	l = open(t, c) // a gate may be started on a full disk
	n += 7
	if try(n) == nil {
		t.Error("a batch passed on a full disk")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for n += 7; try(n) != nil; n += 7 {
		if time.Now().After(deadline) {
			t.Fatal("the record does not recover when there is space again")
		}
		<-time.After(retryEvery / 5)
	}
	n += 7
	if err := try(n); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
	if got := stanzaIDs(records(t, dir)); !slices.Equal(got, passed) {
		t.Errorf("%d recorded, %d passed", len(got), len(passed))
	}
	if numbers, _ := segments(dir); len(numbers) < 2 {
		t.Errorf("segments %v", numbers)
	}
}

// TestSegmentInOtherHands: a record that nobody can find, or that has a hole, is none. What is put back is gone on with.
func TestSegmentInOtherHands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		mend  func(path string) error // nil: nothing can
		want  error
		late  bool // noticed when the segment is looked after, not with the next commit
	}{
		{"deleted", os.Remove, nil, errMoved, false},
		{"moved", func(p string) error { return os.Rename(p, p+".1") }, func(p string) error { return os.Rename(p+".1", p) }, errMoved, true},
		{"moved and made anew", func(p string) error { return errors.Join(os.Rename(p, p+".1"), os.WriteFile(p, nil, 0o600)) },
			func(p string) error { return os.Rename(p+".1", p) }, errMoved, true},
		{"cut", func(p string) error { return os.Truncate(p, 0) }, nil, errShrunk, false},
		{"written to", func(p string) error { return appendTo(p, "{}\n") }, nil, errGrown, false},
		{"cut and put back", func(p string) error { return os.Truncate(p, 100) }, func(p string) error { return os.Rename(p+".copy", p) }, errShrunk, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				l := open(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&out, nil))})
				appendAll(t, l, stanzas(0, 3))
				path, content := lastSegment(t, dir)
				write(t, path+".copy", content)
				if err := c.spoil(path); err != nil {
					t.Fatal(err)
				}
				if c.late {
					time.Sleep(tendEvery + time.Second)
					synctest.Wait()
				}
				if err := l.Append(context.Background(), stanzas(3, 1)); !errors.Is(err, ErrUnrecorded) {
					t.Errorf("Append: %v", err)
				}
				if first, _, _ := strings.Cut(out.String(), "\n"); !strings.Contains(first, c.want.Error()) {
					t.Errorf("the log says %s", first)
				}
				if c.mend == nil {
					time.Sleep(time.Minute)
					if err := l.Append(context.Background(), stanzas(3, 1)); !errors.Is(err, ErrUnrecorded) {
						t.Errorf("a minute later: %v", err)
					}
					return
				}
				if err := c.mend(path); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				appendAll(t, l, stanzas(4, 1))
				closeLog(t, l)
				if got := stanzaIDs(records(t, dir)); !slices.Equal(got, []string{"purple00000000", "purple00000001", "purple00000002", "purple00000004"}) {
					t.Errorf("recorded %v", got)
				}
			})
		})
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
