package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// memoryTree keeps stored hashes in memory, as golang.org/x/mod counts them.
type memoryTree []byte

func (m memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if copy(hashes[i][:], m[at*tlog.HashSize:]) != tlog.HashSize {
			return nil, fmt.Errorf("no hash %d", at)
		}
	}
	return hashes, nil
}

// TestTreeIsTlogs holds our tree, which does not allocate, against the library's, at every size.
func TestTreeIsTlogs(t *testing.T) {
	t.Parallel()
	var ours tree
	var stored memoryTree
	leaf := newLeafHasher()
	for n := range int64(300) {
		line := fmt.Appendf(nil, "line %d", n)
		want, err := tlog.StoredHashes(n, line, stored)
		if err != nil {
			t.Fatal(err)
		}
		before := len(stored)
		stored = ours.add(leaf.of(line), stored)
		if got := len(stored) - before; got != len(want)*tlog.HashSize {
			t.Fatalf("leaf %d stores %d bytes, want %d hashes", n, got, len(want))
		}
		for i, h := range want {
			if [tlog.HashSize]byte(stored[before+i*tlog.HashSize:]) != h {
				t.Fatalf("leaf %d: hash %d differs", n, i)
			}
		}
		root, err := tlog.TreeHash(n+1, stored)
		if err != nil || ours.root() != root {
			t.Fatalf("size %d: root %s, want %s, %v", n+1, ours.root(), root, err)
		}
		again, err := treeAt(n+1, stored)
		if err != nil || again.root() != root {
			t.Fatalf("size %d: taken up again, root %s, %v", n+1, again.root(), err)
		}
	}
	if empty, err := tlog.TreeHash(0, stored); err != nil || new(tree).root() != empty {
		t.Errorf("the empty tree: %s, want %s, %v", new(tree).root(), empty, err)
	}
}

// TestTreeSkips: leaves that nobody knows count as zero hashes, however many.
func TestTreeSkips(t *testing.T) {
	t.Parallel()
	for _, from := range []int64{0, 1, 5, 8} {
		for _, to := range []int64{from, from + 1, 13, 64, 100} {
			var skipped, added tree
			for range from {
				skipped.add(tlog.Hash{1}, nil)
				added.add(tlog.Hash{1}, nil)
			}
			skipped.skip(to)
			for added.size < to {
				added.add(tlog.Hash{}, nil)
			}
			if skipped.size != to || skipped.root() != added.root() {
				t.Errorf("from %d to %d: %d, %s, want %s", from, to, skipped.size, skipped.root(), added.root())
			}
		}
	}
	var far tree
	far.skip(1 << 50)
	if far.size != 1<<50 {
		t.Errorf("size %d", far.size)
	}
}

// TestNoRoomForTheTree: that the tree has to be made anew on a full disk is no reason not to start. It is made when there is room.
func TestNoRoomForTheTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	appendAll(t, l, stanzas(0, 20))
	closeLog(t, l)
	if err := os.Truncate(filepath.Join(dir, treeName), 0); err != nil {
		t.Fatal(err)
	}
	d := newTestDisk()
	d.noProof = syscall.ENOSPC
	l = openWith(t, Config{Dir: dir, Checkpoint: time.Second}, d, time.Now)
	appendAll(t, l, stanzas(20, 5))
	d.set(func(d *testDisk) { d.noProof = nil })
	appendAll(t, l, stanzas(25, 5))
	closeLog(t, l)
	records(t, dir)
	f, closer, err := openHashes(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if f.leaves < 30 {
		t.Errorf("the tree has %d leaves", f.leaves)
	}
}
