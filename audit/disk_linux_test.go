package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRealDiskFull fills a real file system under the record: a tmpfs of 256 KiB. It needs root to mount one.
func TestRealDiskFull(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	for _, durability := range []string{Sync, Async} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := syscall.Mount("audit-test", dir, "tmpfs", 0, "size=256k"); err != nil {
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
			fillUpAndRecover(t, filepath.Join(dir, "audit"), durability)
		})
	}
}

func fillUpAndRecover(t *testing.T, dir, durability string) {
	l := open(t, Config{Dir: dir, Durability: durability, SegmentBytes: 100 << 10})
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
	l = open(t, Config{Dir: dir, Durability: durability, SegmentBytes: 100 << 10}) // a gate may be started on a full disk
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

// TestDeletedSegment: a record that nobody can find is none.
func TestDeletedSegment(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	appendAll(t, l, stanzas(0, 1))
	path, _ := lastSegment(t, l.cfg.Dir)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(context.Background(), stanzas(1, 1)); !errors.Is(err, errDeleted) {
		t.Errorf("Append into a deleted segment: %v", err)
	}
	if err := l.Append(context.Background(), stanzas(1, 1)); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("Append into a deleted segment: %v", err)
	}
}
