package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// provedHolds is Holds for who is about to destroy something. All lines of the record are read and hashed: none may be missing, but by
// order, and none be another than the last checkpoint covers, in the record and beside the gate's secrets. Else a hold could have been
// taken out, and the error says so.
func provedHolds(ctx context.Context, c Config) ([]Hold, error) {
	p, err := newHoldProof(c)
	if err != nil {
		return nil, err
	}
	defer p.closer.Close()
	var holds []Hold
	if err = p.check(); err == nil { // the first checkpoint may be of no line
		holds, err = holdsIn(ctx, c.Dir, p.line)
	}
	if err == nil {
		err = p.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("which holds are in force cannot be told: %w", err)
	}
	return holds, nil
}

// holdProof grows the tree of a record over its lines while they go by.
type holdProof struct {
	tree   tree
	leaf   leafHasher
	stored hashFile
	closer interface{ Close() error }
	gone   ranges       // seqs that were deleted by order
	marks  []Checkpoint // that the tree has still to come by, in order of size
}

func newHoldProof(c Config) (p *holdProof, err error) {
	p = &holdProof{leaf: newLeafHasher()}
	last, err := LastCheckpoint(c.Dir) // before the lines: a gate that is running writes on
	if err != nil {
		return nil, fmt.Errorf("no checkpoint says what the record was: %w", err)
	}
	p.marks = []Checkpoint{last}
	switch kept, err := keptCheckpoint(c.SecretsDir()); {
	case err == nil:
		p.marks = append(p.marks, kept)
	case !gone(err):
		return nil, err
	}
	slices.SortFunc(p.marks, func(a, b Checkpoint) int { return int(max(min(a.Size-b.Size, 1), -1)) })
	if p.gone, _, err = deletedSeqs(c.Dir); err != nil {
		return nil, err
	}
	p.stored, p.closer, err = openHashes(c.Dir)
	return p, err
}

// keptCheckpoint reads the copy of the last checkpoint that is with the secrets. Who lies there could sign: it is taken as it is.
func keptCheckpoint(secrets string) (kept Checkpoint, err error) {
	signed, err := os.ReadFile(filepath.Join(secrets, lastName))
	if err != nil {
		return kept, err
	}
	text, _ := noteText(signed)
	if kept, err = parseCheckpoint(text); err != nil {
		return kept, err
	}
	kept.Note = signed
	return kept, nil
}

func (p *holdProof) line(line []byte, h head) error {
	n := int64(min(h.seq, farthest)) - 1
	switch missing := (SeqRange{uint64(p.tree.size) + 1, h.seq - 1}); {
	case n < p.tree.size:
		return fmt.Errorf("seq %d is where seq %d should be; sallyport audit verify says more", h.seq, p.tree.size+1)
	case n == p.tree.size:
	case !p.gone.covers(missing):
		return fmt.Errorf("seq %d to %d are missing, and no order says so; put their segments back", missing.First, missing.Last)
	default:
		if err := p.graft(n); err != nil {
			return err
		}
	}
	p.tree.add(p.leaf.of(line), nil)
	return p.check()
}

// graft lets stored hashes stand for lines that were deleted.
func (p *holdProof) graft(to int64) error {
	if len(p.marks) > 0 && p.marks[0].Size < to {
		to = p.marks[0].Size
		if err := errors.Join(p.tree.graft(to, p.stored), p.check()); err != nil {
			return err
		}
	}
	return p.tree.graft(to, p.stored)
}

// check holds the tree against the checkpoints of its size.
func (p *holdProof) check() error {
	for len(p.marks) > 0 && p.marks[0].Size == p.tree.size {
		if m := p.marks[0]; p.tree.root() != m.Root {
			return fmt.Errorf("the lines are not those of checkpoint %s; sallyport audit verify says which, put their segment back from a copy", m.name())
		}
		p.marks = p.marks[1:]
	}
	return nil
}

func (p *holdProof) finish() error {
	if len(p.marks) > 0 {
		m := p.marks[len(p.marks)-1]
		return fmt.Errorf("the record ends with seq %d, and had %d lines by checkpoint %s", p.tree.size, m.Size, m.name())
	}
	return nil
}

// holdsIn reads which holds are in force from all lines, and from the file of holds. No index is asked: one that was made to mislead would
// hide them. each gets every line.
func holdsIn(ctx context.Context, dir string, each func(line []byte, h head) error) ([]Hold, error) {
	numbers, err := segments(dir)
	if err != nil {
		return nil, err
	}
	held := map[string]Hold{}
	err = eachLine(ctx, dir, numbers, func(line []byte, h head) error {
		if err := each(line, h); err != nil {
			return err
		}
		kind := string(h.kind)
		if kind != kinds[AuditHold].name && kind != kinds[AuditRelease].name {
			return nil
		}
		r, err := ParseRecord(line)
		if err != nil {
			return errBadLine
		}
		if kind == kinds[AuditHold].name {
			h := holdOf(r)
			held[h.Name] = h
		} else if h, err := parseHold(r.Query); err == nil {
			delete(held, h.Name)
		}
		return nil
	})
	kept, fileErr := keptHolds(dir)
	for _, h := range kept {
		if _, ok := held[h.Name]; !ok {
			held[h.Name] = h
		}
	}
	return sortedHolds(held), errors.Join(err, fileErr)
}
