package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/mod/sumdb/tlog"
)

// An index says of a closed segment in which of its blocks a term occurs. It lies beside the segment as NNNNNNNN.idx, is made from the
// lines alone, the same each time, and can be deleted and made anew whenever somebody likes. What it says is believed in one direction
// only: that a block has nothing. So it carries what ties it to the segment: the name, the size, the lines, and the hashes that the
// record's tree has over them; and SHA-256 sums of itself, one for the head and one for each bucket of terms, so that a search reads a
// head and a few buckets rather than all of it.
//
//	"sallyport index 1\n"
//	segment, bytes, lines, first seq         each 8 bytes, big-endian, as all numbers
//	SHA-256 of the hashes of the tree over these lines
//	blocks                                   4 bytes
//	per block: end, lines, least and greatest time, least and greatest id
//	per bucket: end, SHA-256
//	SHA-256 of all before
//	buckets: terms in order, each with the count and the distances of its blocks (uvarint)
//	HMAC-SHA256 of the head's sum, under the gate's hash.key; not where it was made without
//
// Sums can be made by whoever can write to the directory, and an index that keeps quiet hides events. So who has the gate's key believes
// those indexes alone that were made with it.
//
// A segment with a line that cannot be read, or is missing, has no index, so that each search tells of it.
const (
	indexSuffix = ".idx"
	indexMagic  = "sallyport index 1\n"
	buckets     = 256 // by the highest byte of a term

	indexFixed  = len(indexMagic) + 4*8 + sha256.Size + 4
	indexBlock  = 2*8 + 2*len(timeLayout) + 2*len(ID{})
	indexBucket = 8 + sha256.Size
)

func indexPath(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, indexSuffix))
}

// extent is a part of a segment: whole lines.
type extent struct {
	start, end int64
	before     int // lines
}

// indexedBlock is what an index knows of a block besides its terms.
type indexedBlock struct {
	extent
	lines            int
	minTime, maxTime [len(timeLayout)]byte
	minID, maxID     ID
}

// indexHead is what an index says of its segment.
type indexHead struct {
	segment, size, lines, first uint64
	leaves                      [sha256.Size]byte
	blocks                      []indexedBlock
}

// errNoIndex: the segment is read without.
var errNoIndex = errors.New("it has lines that cannot be read, or lacks some")

// makeIndex reads a segment and makes its index.
func makeIndex(ctx context.Context, dir string, number int) ([]byte, error) {
	r, err := openLines(dir, number, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	n := indexer{leaf: newLeafHasher()}
	n.head.segment = uint64(number)
	for {
		line, torn, err := r.next()
		switch {
		case errors.Is(err, io.EOF) && torn == 0 && n.head.lines > 0:
			n.cut()
			return n.encode(), nil
		case errors.Is(err, io.EOF), errors.Is(err, errPassedOver):
			return nil, errNoIndex
		case err != nil:
			return nil, err
		}
		if n.head.lines&1023 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !n.add(line, r.offset) {
			return nil, errNoIndex
		}
	}
}

// indexer collects what the index of one segment says.
type indexer struct {
	head  indexHead
	leaf  leafHasher
	edge  []subtree // over the lines so far
	block indexedBlock
	terms []termHash     // of the block in hand
	seen  [4096]termHash // some that it has already
	posts []posting
}

type posting struct {
	term  termHash
	block uint32
}

func (n *indexer) add(line []byte, end int64) bool {
	h, ok := parseHead(line)
	if !ok || h.seq == 0 || n.head.lines > 0 && h.seq != n.head.first+n.head.lines {
		return false
	}
	if n.head.lines == 0 {
		n.head.first = h.seq
	}
	if !eachTerm(line, h, n.term) {
		return false
	}
	b := &n.block
	if b.lines == 0 {
		b.minID, b.maxID = h.id, h.id
		copy(b.minTime[:], h.time)
		copy(b.maxTime[:], h.time)
	}
	if bytes.Compare(h.time, b.minTime[:]) < 0 {
		copy(b.minTime[:], h.time)
	}
	if bytes.Compare(h.time, b.maxTime[:]) > 0 {
		copy(b.maxTime[:], h.time)
	}
	if bytes.Compare(h.id[:], b.minID[:]) < 0 {
		b.minID = h.id
	}
	if bytes.Compare(h.id[:], b.maxID[:]) > 0 {
		b.maxID = h.id
	}
	n.edge = grow(n.edge, subtree{at: h.seq - 1, hash: n.leaf.of(line)})
	n.head.lines++
	b.lines++
	b.end = end
	if b.end-b.start >= blockBytes { // as packer cuts them, so that one block is one frame
		n.cut()
	}
	return true
}

func (n *indexer) term(t termHash) {
	if at := &n.seen[t%4096]; *at != t {
		*at = t
		n.terms = append(n.terms, t)
	}
}

// cut ends a block.
func (n *indexer) cut() {
	if n.block.lines == 0 {
		return
	}
	slices.Sort(n.terms)
	for _, t := range slices.Compact(n.terms) {
		n.posts = append(n.posts, posting{t, uint32(len(n.head.blocks))})
	}
	n.head.blocks = append(n.head.blocks, n.block)
	n.head.size = uint64(n.block.end)
	n.block = indexedBlock{extent: extent{start: n.block.end, before: n.block.before + n.block.lines}}
	n.terms, n.seen = n.terms[:0], [4096]termHash{}
}

func (n *indexer) encode() []byte {
	n.head.leaves = sumOf(n.edge)
	slices.SortFunc(n.posts, func(a, b posting) int { return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.block, b.block)) })
	head := n.head.encode()
	var body []byte
	posts := n.posts
	for bucket := range uint64(buckets) {
		start := len(body)
		for len(posts) > 0 && uint64(posts[0].term)>>56 == bucket {
			end := 1
			for end < len(posts) && posts[end].term == posts[0].term {
				end++
			}
			body = binary.BigEndian.AppendUint64(body, uint64(posts[0].term))
			body = binary.AppendUvarint(body, uint64(end))
			at := uint32(0)
			for _, p := range posts[:end] {
				body = binary.AppendUvarint(body, uint64(p.block-at))
				at = p.block
			}
			posts = posts[end:]
		}
		head = binary.BigEndian.AppendUint64(head, uint64(len(body)))
		sum := sha256.Sum256(body[start:])
		head = append(head, sum[:]...)
	}
	sum := sha256.Sum256(head)
	return slices.Concat(head, sum[:], body)
}

func (h *indexHead) encode() []byte {
	b := []byte(indexMagic)
	for _, v := range []uint64{h.segment, h.size, h.lines, h.first} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, h.leaves[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.blocks)))
	for i := range h.blocks {
		k := &h.blocks[i]
		b = binary.BigEndian.AppendUint64(b, uint64(k.end))
		b = binary.BigEndian.AppendUint64(b, uint64(k.lines))
		b = append(append(b, k.minTime[:]...), k.maxTime[:]...)
		b = append(append(b, k.minID[:]...), k.maxID[:]...)
	}
	return b
}

// subtree is one of the full subtrees that a range of leaves consists of.
type subtree struct {
	level int
	at    uint64 // its number among those of its level
	hash  tlog.Hash
}

// grow adds the next one, and joins what has become full.
func grow(edge []subtree, s subtree) []subtree {
	for n := len(edge); n > 0 && s.at&1 == 1 && edge[n-1].level == s.level; n-- {
		s = subtree{s.level + 1, s.at >> 1, tlog.NodeHash(edge[n-1].hash, s.hash)}
		edge = edge[:n-1]
	}
	return append(edge, s)
}

func sumOf(edge []subtree) [sha256.Size]byte {
	var b []byte
	for _, s := range edge {
		b = append(b, s.hash[:]...)
	}
	return sha256.Sum256(b)
}

// leavesOf is what sumOf gives for the leaves of a tree that are stored.
func (f hashFile) leavesOf(first, end int64) ([sha256.Size]byte, error) {
	var edge []subtree
	for at := first; at < end; {
		level := bits.Len64(uint64(end-at)) - 1
		if at > 0 {
			level = min(level, bits.TrailingZeros64(uint64(at)))
		}
		h, err := f.ReadHashes([]int64{tlog.StoredHashIndex(level, at>>level)})
		if err != nil {
			return [sha256.Size]byte{}, err
		}
		edge = append(edge, subtree{hash: h[0]})
		at += 1 << level
	}
	return sumOf(edge), nil
}

// writeIndex puts an index beside its segment. It need not survive a power cut.
func writeIndex(dir string, number int, content []byte) error {
	path := indexPath(dir, number)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err == nil {
		_, err = f.Write(content)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return errors.Join(err, ignoreGone(os.Remove(path+".tmp")))
	}
	return os.Rename(path+".tmp", path)
}
