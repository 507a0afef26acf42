package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// treeName is the file of the tree's hashes, in the order of tlog.StoredHashIndex. It is derived from the lines, and made anew from
// them where it is short or wrong; only of segments that were deleted it is all that is left.
const treeName = "tree"

// farthest is the largest seq that a tree can reach. Only a damaged record has a larger one.
const farthest = 1 << 50

// treeFile is that file, open for appending.
type treeFile struct {
	file    file
	end     int64  // bytes in it
	pending []byte // hashes that are not in it yet
	lost    bool   // it could not be written for so long that it is left alone until the gate's next start
}

// flush writes what is pending, in one write.
func (f *treeFile) flush() error {
	if f.lost {
		f.pending = f.pending[:0]
	}
	if len(f.pending) == 0 {
		return nil
	}
	if _, err := f.file.WriteAt(f.pending, f.end); err != nil {
		if len(f.pending) >= maxTail {
			f.lost, f.pending = true, nil
		}
		return err
	}
	f.end += int64(len(f.pending))
	if f.pending = f.pending[:0]; cap(f.pending) > bigBuffer {
		f.pending = nil
	}
	return nil
}

// hashFile reads stored hashes.
type hashFile struct {
	io.ReaderAt
	leaves int64 // that it has whole
}

// leavesIn is how many leaves a file of so many bytes has, with all that they complete.
func leavesIn(size int64) int64 {
	hashes := size / tlog.HashSize
	n := (hashes + 1) / 2
	for n > 0 && tlog.StoredHashCount(n) > hashes {
		n--
	}
	for tlog.StoredHashCount(n+1) <= hashes {
		n++
	}
	return n
}

// openHashes opens the tree of a record for reading. Without one there are no leaves. Close it afterwards.
func openHashes(dir string) (hashFile, io.Closer, error) {
	f, err := openRegular(filepath.Join(dir, treeName))
	if gone(err) {
		return hashFile{}, io.NopCloser(nil), nil
	}
	if err != nil {
		return hashFile{}, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return hashFile{}, nil, err
	}
	return hashFile{f, leavesIn(st.Size())}, f, nil
}

// ReadHashes implements tlog.HashReader.
func (f hashFile) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if f.ReaderAt == nil {
			return nil, errNoTree
		}
		if _, err := f.ReadAt(hashes[i][:], at*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("reading the tree: %w", err)
		}
	}
	return hashes, nil
}

var errNoTree = errors.New("the record has no tree")

// leaf reads the hash of one leaf.
func (f hashFile) leaf(n int64) (tlog.Hash, error) {
	h, err := f.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		return tlog.Hash{}, err
	}
	return h[0], nil
}

// holds says whether the stored hashes are those that a checkpoint signs.
func (f hashFile) holds(c Checkpoint) bool {
	if c.Size > f.leaves {
		return false
	}
	root, err := tlog.TreeHash(c.Size, f)
	return err == nil && root == c.Root
}

// holdsEdge says whether the tree of so many leaves, as stored, is the beginning of the one that a checkpoint signs.
func (f hashFile) holdsEdge(n int64, c Checkpoint) bool {
	if n == 0 || n == c.Size {
		return n == 0 || f.holds(c)
	}
	root, err := tlog.TreeHash(n, f)
	if err != nil {
		return false
	}
	proof, err := tlog.ProveTree(c.Size, n, f)
	return err == nil && tlog.CheckTree(proof, c.Size, c.Root, n, root) == nil
}

// planting brings a tree and its file up to the lines of a record that is being opened.
type planting struct {
	dir   string
	lines int64      // the seq of the last one
	last  Checkpoint // the newest that we signed; zero: there is none

	old     hashFile
	trusted int64 // leaves of it that stay as they are, because the checkpoint vouches for them
	tree    tree
	to      *treeFile
	leaf    leafHasher
	atLast  tlog.Hash // the root at the size of last
	odd     string    // the first line that is not the one that was recorded
}

// plant gives the tree over a record's lines, and a file that has its hashes. odd says how the record is not what its last checkpoint
// says; "" that it is. The lines of the last segment are hashed in any case, and those behind the last
// checkpoint; all others only if the stored hashes do not fit.
func plant(d disk, dir string, lines int64, last Checkpoint) (t tree, to treeFile, odd string, err error) {
	path := filepath.Join(dir, treeName)
	if to.file, err = openOrCreate(d, path); err != nil {
		return t, to, "", err
	}
	old, closer, err := openHashes(dir)
	if err != nil {
		to.file.Close()
		return t, to, "", err
	}
	defer closer.Close()
	p := planting{dir: dir, lines: lines, last: last, old: old, to: &to, leaf: newLeafHasher()}
	if last.Size > 0 && old.holds(last) {
		p.trusted = last.Size
	}
	if err = p.grow(false); err == nil && !p.fits() {
		p.trusted = 0
		err = p.grow(true)
	}
	if err == nil {
		err = to.file.Truncate(to.end)
	}
	if err != nil {
		to.file.Close()
		return t, to, "", fmt.Errorf("bringing the tree up to the record: %w", err)
	}
	return p.tree, to, p.verdict(), nil
}

// fits says whether the tree is the one that the last checkpoint signs, as far as it goes.
func (p *planting) fits() bool { return p.last.Size > p.lines || p.atLast == p.last.Root }

func (p *planting) verdict() string {
	switch {
	case p.last.Size > p.lines:
		return fmt.Sprintf("it ends with line %d, and had %d at %s", p.lines, p.last.Size, appendTime(nil, p.last.Time))
	case p.odd != "":
		return p.odd
	case !p.fits():
		return fmt.Sprintf("its first %d lines are not those of %s", p.last.Size, appendTime(nil, p.last.Time))
	}
	return ""
}

// grow hashes lines: those of the last segment and behind what is stored, or all that are there.
func (p *planting) grow(all bool) error {
	numbers, err := segments(p.dir)
	if err != nil {
		return err
	}
	from, base, err := p.start(numbers, all)
	if err != nil {
		return err
	}
	if p.tree, err = treeAt(base, p.old); err != nil {
		return err
	}
	p.to.end, p.to.pending, p.odd = tlog.StoredHashCount(base)*tlog.HashSize, nil, ""
	p.atLast = tlog.Hash{}
	if p.tree.size >= p.last.Size { // the tree before base was checked by start
		p.atLast = p.last.Root
	}
	err = eachLine(context.Background(), p.dir, numbers[from:], p.line)
	if err != nil && !errors.As(err, new(*DamageError)) {
		return err
	}
	p.flush()
	return nil
}

// start is the segment to begin with, and the leaf that its first line is.
func (p *planting) start(numbers []int, all bool) (from int, base int64, err error) {
	if len(numbers) == 0 {
		return 0, 0, nil
	}
	// What was written behind the last checkpoint may not have been synced: a power cut can have left anything in its place.
	known := min(p.old.leaves, p.lines, p.last.Size)
	if !all {
		if from, err = segmentOf(p.dir, numbers, uint64(max(known, 1))); err != nil {
			return 0, 0, err
		}
	}
	for ; from >= 0; from-- {
		h, ok, err := firstHead(p.dir, numbers[from])
		if err != nil {
			return 0, 0, err
		}
		if base = int64(h.seq) - 1; ok && 0 <= base && base <= known && (from == 0 || p.old.holdsEdge(base, p.last)) {
			return from, base, nil
		}
	}
	if h, ok, err := firstHead(p.dir, numbers[0]); err != nil || ok && h.seq > uint64(known) {
		return 0, known, err // segments before it were deleted, and the tree does not reach to it
	}
	return 0, 0, nil
}

func (p *planting) line(line []byte, h head) error {
	n := int64(h.seq) - 1
	if n < p.tree.size || n >= min(p.lines, farthest) {
		return nil // doubled or out of place: Verify tells of it
	}
	if err := p.bridge(n); err != nil {
		return err
	}
	hash := p.leaf.of(line)
	if n < p.trusted {
		stored, err := p.old.leaf(n)
		if err != nil {
			return err
		}
		if hash != stored && p.odd == "" {
			p.odd = fmt.Sprintf("line %d is not the one that was recorded", h.seq)
		}
		hash = stored
	}
	return p.add(hash)
}

// bridge passes over lines that are not there, by their stored hashes as far as there are any.
func (p *planting) bridge(to int64) error {
	for p.tree.size < min(to, p.old.leaves) {
		stored, err := p.old.leaf(p.tree.size)
		if err != nil {
			return err
		}
		if err := p.add(stored); err != nil {
			return err
		}
	}
	if p.tree.size == to {
		return nil
	}
	if p.to.flush() != nil {
		p.to.lost = true // what is pending has its place before what is skipped
	}
	p.tree.skip(to)
	p.to.end = tlog.StoredHashCount(to) * tlog.HashSize
	return nil
}

func (p *planting) add(leaf tlog.Hash) error {
	p.to.pending = p.tree.add(leaf, p.to.pending)
	if p.tree.size == p.last.Size {
		p.atLast = p.tree.root()
	}
	if len(p.to.pending) >= bigBuffer {
		p.flush()
	}
	return nil
}

// flush writes what it can. The file can be made anew at any time, so that a full disk is no reason not to start: the notary tries again.
func (p *planting) flush() { _ = p.to.flush() }
