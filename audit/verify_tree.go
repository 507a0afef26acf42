package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"math/bits"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// proof holds lines against a tree and its checkpoints while they go by.
type proof struct {
	stored hashFile // the tree as it is kept
	closer io.Closer
	read   *bufio.Reader // of the stored tree, at the leaf that is the next line
	leaf   leafHasher
	limit  int64 // no line is known behind it

	// Two trees grow with the lines: of what they are, and of what the tree's file says they were. They are one until a line differs.
	lines, kept tree
	apart       bool
	odd         []oddLine // lines that differ, since the last checkpoint that holds
	more        uint64    // of them that are not kept
	grown       []byte    // the hashes that the line in hand completes
	have        []byte    // and those in the file

	marks   markReader
	mark    *Checkpoint // the next one to come
	outside []Checkpoint
	good    Fault // where the last checkpoint that holds is
	goodSeq int64
	wrong   bool // a checkpoint did not hold, and since then none did
	turns   bool // the next line begins a segment: the checkpoint before it was made for that
}

// oddLine is a line that is not what the tree's file says it was.
type oddLine struct {
	place Fault
	seq   uint64
}

// begin opens what a record is held against.
func (a Auditor) begin(dir string) (v *verifier, err error) {
	v = &verifier{now: time.Now(), kinds: map[string]*uint64{}, report: Report{Kinds: map[string]uint64{}, Faults: []Fault{}, Pauses: []Pause{}}}
	keys := a.Keys
	if keys.None() {
		v.report.OwnKeys = true
		if keys, err = RecordKeys(dir); err != nil {
			v.fault(publicKeysName, 0, err.Error())
		}
	}
	if v.days, err = openDaysOf(dir, keys); err != nil {
		return v, err
	}
	p := &v.proof
	p.leaf = newLeafHasher()
	p.have = make([]byte, 0, 64*tlog.HashSize)
	for _, signed := range a.Checkpoints {
		c, err := keys.OpenPosted(signed)
		if err != nil {
			v.fault("a checkpoint that was shown", 0, err.Error())
			continue
		}
		p.outside = append(p.outside, c)
		p.limit = max(p.limit, c.Size)
	}
	slices.SortStableFunc(p.outside, func(a, b Checkpoint) int { return int(max(min(a.Size-b.Size, 1), -1)) })
	// A gate that is running writes the tree before a checkpoint, and lines before the tree.
	if err = p.marks.open(filepath.Join(dir, checkpointsName), keys, v); err == nil {
		p.stored, p.closer, err = openHashes(dir)
	}
	if err != nil {
		p.close()
		return v, err
	}
	p.limit = max(p.limit, p.marks.furthest, p.stored.leaves)
	p.seek(0)
	if !a.Keys.None() && p.marks.none() && len(a.Checkpoints) == 0 {
		v.fault(checkpointsName, 0, "there is no checkpoint: nothing says what the record was")
	} else if p.marks.none() && p.stored.leaves > 0 {
		v.fault(checkpointsName, 0, "there is a tree and no checkpoint")
	}
	return v, v.check()
}

func (p *proof) close() {
	if p.closer != nil {
		p.closer.Close()
	}
	p.marks.close()
}

// seek makes the stored hashes go on at a leaf.
func (p *proof) seek(leaf int64) {
	from := tlog.StoredHashCount(leaf) * tlog.HashSize
	var r io.Reader = bytes.NewReader(nil)
	if p.stored.ReaderAt != nil {
		r = io.NewSectionReader(p.stored, from, math.MaxInt64-from)
	}
	if p.read == nil {
		p.read = bufio.NewReaderSize(r, 256<<10)
	} else {
		p.read.Reset(r)
	}
}

// prove takes a line into the trees. proved says that it is the one that was recorded, as far as the tree's file says.
func (v *verifier) prove(line []byte, h head) (proved bool, err error) {
	p := &v.proof
	n := int64(min(h.seq, farthest)) - 1
	switch {
	case n < p.lines.size || n > p.lines.size && n >= p.limit:
		return false, nil // doubled, moved, or of no number that was given: its seq tells
	case n > p.lines.size:
		if err := v.bridge(n); err != nil {
			return false, err
		}
	}
	if p.turns && v.place.Line != 1 {
		v.here("a segment was to begin with this line, and does not")
	}
	p.turns = false
	leaf := p.leaf.of(line)
	if n >= p.stored.leaves {
		p.lines.add(leaf, nil)
		if p.apart {
			p.kept.add(leaf, nil)
		}
		return false, v.check()
	}
	p.have = p.have[:tlog.HashSize*(1+bits.TrailingZeros64(^uint64(n)))]
	if _, err := io.ReadFull(p.read, p.have); err != nil {
		return false, fmt.Errorf("reading the tree: %w", err)
	}
	stored := tlog.Hash(p.have)
	if stored != leaf {
		v.differs(h.seq)
	}
	p.grown = p.lines.add(leaf, p.grown[:0])
	if p.apart {
		p.kept.add(stored, nil)
	} else if !bytes.Equal(p.have, p.grown) {
		v.fault(treeName, 0, fmt.Sprintf("a hash over the lines up to seq %d is wrong%s", h.seq, remake))
	}
	return stored == leaf, v.check()
}

// remake is what to do about a tree that is wrong where the lines are right.
const remake = "; the file is derived: stop the gate, delete it, and it is made anew"

// differs notes a line that is not what the tree's file says it was. Which of them lies, the next checkpoint tells.
func (v *verifier) differs(seq uint64) {
	p := &v.proof
	if !p.apart {
		p.apart, p.kept = true, p.lines
	}
	if len(p.odd) < maxFaults {
		p.odd = append(p.odd, oddLine{v.place, seq})
	} else {
		p.more++
	}
}

// accuse reports the lines that differ, in the words that what came to light allows.
func (v *verifier) accuse(say func(o oddLine)) {
	p := &v.proof
	for _, o := range p.odd {
		say(o)
	}
	v.report.Found += p.more
	p.odd, p.more = p.odd[:0], 0
}

// unsure is what is said of a line that differs when nothing signed tells which is wrong.
func (v *verifier) unsure(o oddLine) {
	v.fault(o.place.Segment, o.place.Line, fmt.Sprintf("seq %d is not the line whose hash is in the tree", o.seq))
}

// bridge passes over lines that are not there: their hashes stand for them, as far as the tree's file has them.
func (v *verifier) bridge(to int64) error {
	p := &v.proof
	for p.peek() != nil && p.mark.Size < to {
		v.apart(*p.take())
	}
	v.accuse(v.unsure)
	p.apart = false
	if to > p.stored.leaves {
		p.lines.skip(to)
		return nil
	}
	t, err := treeAt(to, p.stored)
	if err != nil {
		return err
	}
	p.lines = t
	p.seek(to)
	return v.check()
}

// peek is the next checkpoint to come, of the record's own and those that were shown.
func (p *proof) peek() *Checkpoint {
	if p.mark != nil {
		return p.mark
	}
	own := p.marks.peek()
	switch {
	case len(p.outside) > 0 && (own == nil || p.outside[0].Size < own.Size):
		p.mark = &p.outside[0]
		p.outside = p.outside[1:]
	case own != nil:
		p.mark = own
		p.marks.take()
	}
	return p.mark
}

func (p *proof) take() *Checkpoint {
	m := p.peek()
	p.mark = nil
	return m
}

// check holds the trees against the checkpoints that say what they must be now.
func (v *verifier) check() error {
	p := &v.proof
	for p.peek() != nil && p.mark.Size <= p.lines.size {
		if m := p.take(); m.Size < p.lines.size {
			v.apart(*m)
		} else if err := v.atSize(*m); err != nil {
			return err
		}
	}
	return nil
}

// apart checks a checkpoint of which not all lines are there, or which comes late: by the tree's file alone.
func (v *verifier) apart(m Checkpoint) {
	if !v.proof.stored.holds(m) {
		v.fault(checkpointsName, 0, fmt.Sprintf("checkpoint %s does not fit the tree", m.name()))
	}
}

// atSize checks a checkpoint of just the lines that have gone by.
func (v *verifier) atSize(m Checkpoint) error {
	p := &v.proof
	switch {
	case p.lines.root() == m.Root:
		v.accuse(func(o oddLine) {
			v.fault(treeName, 0, fmt.Sprintf("the hash of seq %d (%s:%d) is wrong, the line is right%s", o.seq, o.place.Segment, o.place.Line, remake))
		})
	case p.apart && p.kept.root() == m.Root:
		v.accuse(func(o oddLine) {
			v.fault(o.place.Segment, o.place.Line, fmt.Sprintf("not the line that was recorded as seq %d: checkpoint %s covers another", o.seq, m.name()))
		})
		p.lines = p.kept
	default:
		return v.doubt(m)
	}
	p.apart, p.wrong = false, false
	v.report.Covered, v.report.CoveredAt = uint64(m.Size), m.Time
	p.good, p.goodSeq, p.turns = v.place, m.Size, p.turns || m.Event == CheckpointRotate
	return nil
}

// doubt reports a checkpoint that neither the lines nor the tree's file fit: where the fault is, it is not known nearer than between two
// checkpoints. Those that follow cannot hold either, unless the tree's file has their hashes.
func (v *verifier) doubt(m Checkpoint) (err error) {
	p := &v.proof
	if !p.wrong {
		v.here("of the lines from seq %d to %d, from %s on, one or more are not those that checkpoint %s covers", p.goodSeq+1, m.Size, p.since(), m.name())
		v.accuse(v.unsure)
	}
	p.wrong = true
	if !p.stored.holds(m) {
		return nil
	}
	p.apart, p.wrong = false, false
	p.lines, err = treeAt(m.Size, p.stored)
	return err
}

// since is the place behind the last checkpoint that held.
func (p *proof) since() string {
	if p.good.Segment == "" {
		return "the beginning"
	}
	return fmt.Sprintf("behind %s:%d", p.good.Segment, p.good.Line)
}

// finish looks at what should have come yet.
func (v *verifier) finish() error {
	p := &v.proof
	v.accuse(v.unsure)
	var cut *Checkpoint
	for p.peek() != nil {
		if m := p.take(); cut == nil || m.Size > cut.Size {
			cut = m
		}
	}
	v.report.Checkpoints, v.report.Gate = p.marks.count, p.marks.last.Origin
	switch {
	case cut != nil:
		v.cut(fmt.Sprintf("checkpoint %s has %d lines", cut.name(), cut.Size), cut.Size)
	case p.stored.leaves > p.lines.size:
		v.cut(fmt.Sprintf("the tree has the hashes of %d lines", p.stored.leaves), p.stored.leaves)
	case p.stored.ReaderAt != nil && p.stored.leaves < int64(v.report.Covered):
		v.fault(treeName, 0, fmt.Sprintf("it has %d lines of %d%s", p.stored.leaves, v.report.Covered, remake))
	}
	if v.excuse > v.report.Covered {
		v.here("the deletion of lines is told by seq %d, which no checkpoint covers: anybody can have written it, unless it is newer than the last checkpoint", v.excuse)
	}
	p.marks.finish()
	return nil
}

func (v *verifier) cut(who string, lines int64) {
	where := v.place
	if where.Segment == "" {
		where.Segment = segmentName(1)
	}
	v.fault(where.Segment, where.Line, fmt.Sprintf("the record ends here with seq %d, and %s: its end is cut off", v.report.Last, who))
}
