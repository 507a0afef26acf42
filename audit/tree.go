package audit

import (
	"crypto/sha256"
	"hash"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of a Merkle tree (RFC 6962 §2.1): all that is needed to let it grow and to know its root. The zero tree is
// empty.
type tree struct {
	size int64
	edge [63]tlog.Hash // by level: a full subtree of the edge, where size has that bit
}

// add puts a leaf at the end, and appends to stored the hashes that this completes, in the order of tlog.StoredHashIndex.
func (t *tree) add(leaf tlog.Hash, stored []byte) []byte {
	stored = append(stored, leaf[:]...)
	level := 0
	for n := t.size; n&1 == 1; n >>= 1 {
		leaf = tlog.NodeHash(t.edge[level], leaf)
		stored = append(stored, leaf[:]...)
		level++
	}
	t.edge[level] = leaf
	t.size++
	return stored
}

// skip lets the tree grow to a size by leaves that nobody knows any more. Their hashes are zero, which are those of no line.
func (t *tree) skip(to int64) {
	var zero [63]tlog.Hash
	for i := 1; i < len(zero); i++ {
		zero[i] = tlog.NodeHash(zero[i-1], zero[i-1])
	}
	for t.size < to {
		level := t.fits(to)
		t.put(level, zero[level])
	}
}

// graft lets the tree grow to a size by leaves of which a reader has the hashes.
func (t *tree) graft(to int64, r tlog.HashReader) error {
	for t.size < to {
		level := t.fits(to)
		h, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, t.size>>level)})
		if err != nil {
			return err
		}
		t.put(level, h[0])
	}
	return nil
}

// fits is the level of the largest full subtree that can come next in a tree that is to grow to a size.
func (t *tree) fits(to int64) int {
	level := bits.Len64(uint64(to-t.size)) - 1
	if t.size > 0 {
		level = min(level, bits.TrailingZeros64(uint64(t.size)))
	}
	return level
}

// put adds a full subtree.
func (t *tree) put(level int, h tlog.Hash) {
	at := level
	for n := t.size >> level; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(t.edge[at], h)
		at++
	}
	t.edge[at] = h
	t.size += 1 << level
}

// root is the hash of the whole tree.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	level := bits.TrailingZeros64(uint64(t.size))
	h := t.edge[level]
	for level++; t.size>>level > 0; level++ {
		if t.size>>level&1 == 1 {
			h = tlog.NodeHash(t.edge[level], h)
		}
	}
	return h
}

// treeAt is the edge of a tree of which a reader has the hashes.
func treeAt(size int64, r tlog.HashReader) (t tree, err error) {
	t.size = size
	for level := 0; size>>level > 0; level++ {
		n := size >> level
		if n&1 == 0 {
			continue
		}
		h, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, n-1)})
		if err != nil {
			return tree{}, err
		}
		t.edge[level] = h[0]
	}
	return t, nil
}

// leafHasher hashes lines as leaves (RFC 6962 §2.1), without allocating.
type leafHasher struct {
	digest hash.Hash
	sum    tlog.Hash
}

func newLeafHasher() leafHasher { return leafHasher{digest: sha256.New()} }

var leafPrefix = []byte{0}

// of is the hash of a line, given without its end.
func (l *leafHasher) of(line []byte) tlog.Hash {
	l.digest.Reset()
	l.digest.Write(leafPrefix)
	l.digest.Write(line)
	l.digest.Sum(l.sum[:0])
	return l.sum
}
