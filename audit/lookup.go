package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// index is one that is open for questions.
type index struct {
	f    *os.File
	head indexHead
	body int64    // where the buckets begin
	ends []uint64 // of the buckets
	sums [][]byte
	sum  []byte // of the head
	mac  []byte // nil: it was made without a key
}

var errIndex = errors.New("not the index of this segment")

// maxIndex is the largest index that is believed. Others would have it by gigabytes in memory, as a file with holes costs nothing to make.
const maxIndex = 256 << 20

// openIndex reads the head of an index. Close it afterwards.
func openIndex(dir string, number int) (*index, error) {
	f, err := openRegular(indexPath(dir, number))
	if err != nil {
		return nil, err
	}
	x := &index{f: f}
	if err := x.read(); err != nil {
		f.Close()
		return nil, err
	}
	if x.head.segment != uint64(number) {
		f.Close()
		return nil, errIndex
	}
	return x, nil
}

func (x *index) Close() error { return x.f.Close() }

func (x *index) read() error {
	st, err := x.f.Stat()
	if err != nil {
		return err
	}
	if st.Size() > maxIndex {
		return errIndex
	}
	fixed := make([]byte, indexFixed)
	if _, err := x.f.ReadAt(fixed, 0); err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(fixed, []byte(indexMagic))
	if !ok {
		return errIndex
	}
	h := &x.head
	for _, v := range []*uint64{&h.segment, &h.size, &h.lines, &h.first} {
		*v, rest = binary.BigEndian.Uint64(rest), rest[8:]
	}
	rest = rest[copy(h.leaves[:], rest):]
	blocks := int64(binary.BigEndian.Uint32(rest))
	x.body = int64(indexFixed) + blocks*int64(indexBlock) + buckets*int64(indexBucket) + sha256.Size
	if x.body > st.Size() {
		return errIndex
	}
	b := make([]byte, x.body)
	if _, err := x.f.ReadAt(b, 0); err != nil {
		return err
	}
	b, x.sum = b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if is := sha256.Sum256(b); !bytes.Equal(is[:], x.sum) {
		return errIndex
	}
	x.parts(b[indexFixed:], int(blocks))
	last := x.ends[buckets-1]
	if last > uint64(st.Size()) || !x.ordered() {
		return errIndex
	}
	switch end := x.body + int64(last); st.Size() - end {
	case 0:
		return nil
	case sha256.Size:
		x.mac = make([]byte, sha256.Size)
		_, err := x.f.ReadAt(x.mac, end)
		return err
	}
	return errIndex
}

// vouchedFor says whether the gate made the index. Without its key nothing can be said, and nothing is held against it.
func (x *index) vouchedFor(key *Hasher) bool {
	return key == nil || hmac.Equal(x.mac, key.index(x.sum))
}

// parts reads the tables of the head.
func (x *index) parts(b []byte, blocks int) {
	var at extent
	for range blocks {
		k := indexedBlock{extent: at, lines: int(binary.BigEndian.Uint64(b[8:]))}
		k.end = int64(binary.BigEndian.Uint64(b))
		b = b[16:]
		for _, part := range [][]byte{k.minTime[:], k.maxTime[:], k.minID[:], k.maxID[:]} {
			b = b[copy(part, b):]
		}
		x.head.blocks = append(x.head.blocks, k)
		at = extent{start: k.end, before: at.before + k.lines}
	}
	for range buckets {
		x.ends = append(x.ends, binary.BigEndian.Uint64(b))
		x.sums = append(x.sums, b[8:indexBucket])
		b = b[indexBucket:]
	}
}

// ordered says whether the tables can be those of a segment: an index that was made to mislead need not be accurate in its sums only.
func (x *index) ordered() bool {
	for _, k := range x.head.blocks {
		if k.start < 0 || k.end <= k.start || k.lines <= 0 {
			return false
		}
	}
	n := len(x.head.blocks)
	return n > 0 && uint64(x.head.blocks[n-1].end) == x.head.size && slices.IsSorted(x.ends)
}

// fits says whether the index is of the segment as it is, and as the tree has it. A tree that does not reach so far has no say.
func (x *index) fits(src source, tree hashFile) bool {
	h := &x.head
	size, err := src.size()
	if err != nil || uint64(size) != h.size || h.first == 0 || h.first > farthest || h.lines > farthest {
		return false
	}
	end := int64(h.first-1) + int64(h.lines)
	if end > tree.leaves {
		return true
	}
	sum, err := tree.leavesOf(int64(h.first-1), end)
	return err == nil && sum == h.leaves
}

// has lists the blocks that have one of several terms.
func (x *index) has(terms []termHash) (set []bool, err error) {
	set = make([]bool, len(x.head.blocks))
	for _, t := range terms {
		if err := x.mark(t, set); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (x *index) mark(t termHash, set []bool) error {
	bucket := int(t >> 56)
	start := uint64(0)
	if bucket > 0 {
		start = x.ends[bucket-1]
	}
	b := make([]byte, x.ends[bucket]-start)
	if _, err := x.f.ReadAt(b, x.body+int64(start)); err != nil {
		return err
	}
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], x.sums[bucket]) {
		return errIndex
	}
	for len(b) > 0 {
		if len(b) < 8 {
			return errIndex
		}
		is := termHash(binary.BigEndian.Uint64(b))
		count, n := binary.Uvarint(b[8:])
		if b = b[8+max(n, 0):]; n <= 0 || is > t {
			return nil
		}
		at := uint64(0)
		for range count {
			distance, n := binary.Uvarint(b)
			if n <= 0 || distance > uint64(len(set)) {
				return errIndex
			}
			b = b[n:]
			if at += distance; at >= uint64(len(set)) {
				return errIndex
			}
			if is == t {
				set[at] = true
			}
		}
	}
	return nil
}

// plan says which parts of a closed segment may hold what is asked for; not ok when no index can tell.
func (m *matcher) plan(dir string, number int, tree hashFile, key *Hasher) (parts []extent, ok bool) {
	x, err := openIndex(dir, number)
	if err != nil {
		return nil, false
	}
	defer x.Close()
	src, err := openSegment(dir, number)
	if err != nil {
		return nil, false
	}
	defer src.Close()
	if !x.vouchedFor(key) || !x.fits(src, tree) {
		return nil, false
	}
	wanted, err := m.ask(x)
	if err != nil {
		return nil, false
	}
	for i, k := range x.head.blocks {
		if !wanted[i] || m.since != "" && string(k.maxTime[:]) < m.since || m.until != "" && string(k.minTime[:]) >= m.until {
			continue
		}
		if n := len(parts); n > 0 && parts[n-1].end == k.start {
			parts[n-1].end = k.end
			continue
		}
		parts = append(parts, k.extent)
	}
	return parts, true
}

// ask puts the query's questions to an index.
func (m *matcher) ask(x *index) (wanted []bool, err error) {
	wanted = slices.Repeat([]bool{true}, len(x.head.blocks))
	for _, group := range m.terms() {
		set, err := x.has(group)
		if err != nil {
			return nil, err
		}
		for i := range wanted {
			wanted[i] = wanted[i] && set[i]
		}
	}
	if m.id == "" {
		return wanted, nil
	}
	set, err := x.has([]termHash{termOf(ofStanza, m.q.ID)})
	if err != nil {
		return nil, err
	}
	for i, k := range x.head.blocks {
		within := string(k.minID[:]) <= m.id && m.id <= string(k.maxID[:])
		wanted[i] = wanted[i] && (set[i] || within)
	}
	return wanted, nil
}

// Indexing is what MakeIndexes did.
type Indexing struct {
	Made  int      // indexes that were missing, or right and not vouched for
	Wrong []string // names of those that were not as their segment asks, and were made anew
	Kept  int      // that were right, or not looked at
	None  []string // names of segments that cannot have one: lines of theirs are damaged
}

// MakeIndexes makes the indexes of a record's closed segments: those that are missing or do not fit, or with check all, comparing what
// is there. The record itself is only read. Those of segments that are gone are removed. Where the key of the gate's hashes is among the
// secrets, the indexes are made with it, and one that was made without does not fit.
func MakeIndexes(ctx context.Context, c Config, check bool) (did Indexing, err error) {
	dir := c.Dir
	key, err := presentHasher(c.SecretsDir())
	if err != nil {
		return did, err
	}
	numbers, err := segments(dir)
	if err != nil {
		return did, err
	}
	if err := forget(dir, numbers); err != nil {
		return did, err
	}
	tree, closer, err := openHashes(dir)
	if err != nil {
		return did, err
	}
	defer closer.Close()
	for _, n := range numbers[:max(len(numbers)-1, 0)] {
		if err := did.one(ctx, indexing{dir, n, check, key}, tree); err != nil && !gone(err) {
			return did, fmt.Errorf("indexing %s: %w", segmentName(n), err)
		}
	}
	return did, nil
}

// indexing is the index to be made.
type indexing struct {
	dir    string
	number int
	check  bool
	key    *Hasher // nil: there is none
}

func (did *Indexing) one(ctx context.Context, i indexing, tree hashFile) error {
	if !i.check && i.fits(tree) {
		did.Kept++
		return nil
	}
	name := filepath.Base(indexPath(i.dir, i.number))
	before, err := readIndex(i.dir, i.number)
	if err != nil && !gone(err) {
		return err
	}
	content, err := makeIndex(ctx, i.dir, i.number)
	switch {
	case errors.Is(err, errNoIndex):
		did.None = append(did.None, segmentName(i.number))
		return ignoreGone(os.Remove(indexPath(i.dir, i.number)))
	case err != nil:
		return err
	}
	whole := content
	if i.key != nil {
		whole = append(content, i.key.index(headSum(content))...)
	}
	switch {
	case bytes.Equal(before, whole), i.key == nil && len(before) == len(content)+sha256.Size && bytes.HasPrefix(before, content):
		did.Kept++
		return nil
	case before == nil, bytes.Equal(before, content):
		did.Made++
	default:
		did.Wrong = append(did.Wrong, name)
	}
	return writeIndex(i.dir, i.number, whole)
}

// readIndex reads an index; nothing of what stands in its place and is larger than any of ours.
func readIndex(dir string, number int) ([]byte, error) {
	f, err := openRegular(indexPath(dir, number))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() > maxIndex {
		return []byte{}, err
	}
	return io.ReadAll(io.LimitReader(f, maxIndex+1))
}

func (i indexing) fits(tree hashFile) bool {
	x, err := openIndex(i.dir, i.number)
	if err != nil {
		return false
	}
	defer x.Close()
	src, err := openSegment(i.dir, i.number)
	if err != nil {
		return false
	}
	defer src.Close()
	return x.vouchedFor(i.key) && x.fits(src, tree)
}

// forget removes the indexes of segments that are gone, and of the one that is being written: it may have had one in another life.
func forget(dir string, numbers []int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("listing the record: %w", err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), indexSuffix))
		at, there := slices.BinarySearch(numbers, n)
		if err != nil || e.Name() != filepath.Base(indexPath(dir, n)) || there && at < len(numbers)-1 {
			continue
		}
		if err := ignoreGone(os.Remove(indexPath(dir, n))); err != nil {
			return err
		}
	}
	return nil
}

// headSum is the sum that the head of an index ends in.
func headSum(content []byte) []byte {
	blocks := int(binary.BigEndian.Uint32(content[indexFixed-4:]))
	at := indexFixed + blocks*indexBlock + buckets*indexBucket
	return content[at : at+sha256.Size]
}

// Unvouched lists the indexes of a record that the gate did not make, as far as the key of its hashes tells: searches with that key read
// their segments whole. Without the key, which checked says, those are listed that searches have to take as they are.
func Unvouched(c Config) (names []string, checked bool, err error) {
	key, err := presentHasher(c.SecretsDir())
	if err != nil {
		return nil, false, err
	}
	numbers, err := segments(c.Dir)
	if err != nil {
		return nil, false, err
	}
	for _, n := range numbers[:max(len(numbers)-1, 0)] {
		x, err := openIndex(c.Dir, n)
		if gone(err) {
			continue
		}
		if err == nil {
			if key == nil || !x.vouchedFor(key) {
				names = append(names, filepath.Base(indexPath(c.Dir, n)))
			}
			x.Close()
		} else if key != nil {
			names = append(names, filepath.Base(indexPath(c.Dir, n)))
		}
	}
	return names, key != nil, nil
}
