package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows to somebody who has only the gate's public key that one line is in its record, and where. It is written as a C2SP
// tlog-proof whose extra data is the line.
type Proof struct {
	Line       []byte           // as it stands in the record, without its end
	Index      int64            // its seq less one
	Path       tlog.RecordProof // from the line to the root
	Checkpoint Checkpoint       // that has the root
}

const proofHead = "c2sp.org/tlog-proof@v1"

// Format writes a proof.
func (p Proof) Format() []byte {
	b := fmt.Appendf(nil, "%s\nextra %s\nindex %d\n", proofHead, base64.StdEncoding.EncodeToString(p.Line), p.Index)
	for _, h := range p.Path {
		b = fmt.Appendf(b, "%s\n", h)
	}
	return append(append(b, '\n'), p.Checkpoint.Note...)
}

var errNoProof = errors.New("not a proof as sallyport audit prove writes it")

// SplitProofs takes proofs apart that stand one after another in a file. What is none comes as one that cannot be opened.
func SplitProofs(b []byte) (proofs [][]byte) {
	for len(b) > 0 {
		end := len(b)
		if at := bytes.Index(b[1:], []byte("\n"+proofHead+"\n")); at >= 0 {
			end = at + 2
		}
		proofs = append(proofs, b[:end:end])
		b = b[end:]
	}
	return proofs
}

// OpenProof reads a proof and checks it: the checkpoint is signed by one of the keys, and the line is in its tree at the index.
func (k Keys) OpenProof(b []byte) (p Proof, err error) {
	text, signed, ok := bytes.Cut(b, noteBreak)
	lines := strings.Split(string(text), "\n")
	if !ok || len(lines) < 3 || lines[0] != proofHead {
		return p, errNoProof
	}
	extra, ok := strings.CutPrefix(lines[1], "extra ")
	index, ok2 := strings.CutPrefix(lines[2], "index ")
	if !ok || !ok2 {
		return p, errNoProof
	}
	if p.Line, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil {
		return p, fmt.Errorf("%w: its line: %w", errNoProof, err)
	}
	if p.Index, err = strconv.ParseInt(index, 10, 64); err != nil || p.Index < 0 {
		return p, fmt.Errorf("%w: its index is %q", errNoProof, clip(index))
	}
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return p, fmt.Errorf("%w: its path: %w", errNoProof, err)
		}
		p.Path = append(p.Path, h)
	}
	if p.Checkpoint, err = k.OpenCheckpoint(signed); err != nil {
		return p, fmt.Errorf("the proof's checkpoint: %w", err)
	}
	return p, p.check()
}

// check holds the line against the checkpoint, and its seq against the index.
func (p Proof) check() error {
	if err := tlog.CheckRecord(p.Path, p.Checkpoint.Size, p.Checkpoint.Root, p.Index, tlog.RecordHash(p.Line)); err != nil {
		return fmt.Errorf("the line is not the one that checkpoint %s has at seq %d: %w", p.Checkpoint.name(), p.Index+1, err)
	}
	if h, ok := parseHead(p.Line); !ok || int64(h.seq) != p.Index+1 {
		return fmt.Errorf("what the record has at seq %d is not an event", p.Index+1)
	}
	return nil
}

// Prove makes the proof of one event, by the newest checkpoint of the record. It reads the record, its tree and its checkpoints, and
// needs no key.
func Prove(ctx context.Context, dir string, id ID) (p Proof, err error) {
	if id.IsZero() {
		return p, errors.New("no event is named")
	}
	err = Search(ctx, dir, Query{ID: id.String(), Limit: 1}, func(line []byte, r Record) error {
		p.Line, p.Index = bytes.Clone(line), int64(r.Seq)-1
		return nil
	})
	switch {
	case err != nil && !errors.As(err, new(*DamageError)):
		return p, err
	case p.Line == nil:
		return p, fmt.Errorf("no event %s is in the record", id)
	}
	keys, err := RecordKeys(dir)
	if err != nil {
		return p, err
	}
	if p.Checkpoint, err = lastCheckpoint(dir, keys); err != nil {
		return p, err
	}
	if p.Checkpoint.Size <= p.Index {
		return p, fmt.Errorf("no checkpoint covers seq %d yet: the newest, %s, has %d lines; try again after the next", p.Index+1, p.Checkpoint.name(), p.Checkpoint.Size)
	}
	stored, closer, err := openHashes(dir)
	if err != nil {
		return p, err
	}
	defer closer.Close()
	if p.Path, err = tlog.ProveRecord(p.Checkpoint.Size, p.Index, stored); err != nil {
		return p, treeless(err)
	}
	if err := p.check(); err != nil {
		return p, fmt.Errorf("%w; sallyport audit verify says what is wrong", err)
	}
	return p, nil
}

func treeless(err error) error {
	return fmt.Errorf("%w; the gate makes the file tree anew when it starts", err)
}

// LastCheckpoint is the newest checkpoint of a record that one of its keys has signed.
func LastCheckpoint(dir string) (Checkpoint, error) {
	keys, err := RecordKeys(dir)
	if err != nil {
		return Checkpoint{}, err
	}
	return lastCheckpoint(dir, keys)
}

func lastCheckpoint(dir string, keys Keys) (Checkpoint, error) {
	f, err := openRegular(filepath.Join(dir, checkpointsName))
	if err != nil {
		return Checkpoint{}, err
	}
	defer f.Close()
	c, _, err := newestOf(f, keys)
	if err == nil && c.Note == nil {
		err = fmt.Errorf("%s has no checkpoint that a key of the record has signed", f.Name())
	}
	return c, err
}

// newestOf is the newest checkpoint among the last few of a file that one of the keys has signed, and where the last whole note ends.
func newestOf(f io.ReaderAt, keys Keys) (newest Checkpoint, end int64, err error) {
	var last [][]byte
	at := int64(0)
	scan := noteScanner(io.NewSectionReader(f, 0, math.MaxInt64))
	for scan.Scan() {
		signed := scan.Bytes()
		at += int64(len(signed))
		if endOfNote(signed) == len(signed) {
			end = at
			last = append(last[max(len(last)-7, 0):], bytes.Clone(signed))
		}
	}
	for _, signed := range last {
		if c, err := keys.OpenCheckpoint(signed); err == nil && c.Number >= newest.Number {
			newest = c
		}
	}
	return newest, end, scan.Err()
}

// Consistent says whether a record went on from one of its checkpoints to another without changing what the first one covers. It reads
// nothing but the tree. nil: it did.
func Consistent(dir string, older, newer Checkpoint) error {
	if older.Origin != newer.Origin {
		return fmt.Errorf("one is of %s, the other of %s", older.Origin, newer.Origin)
	}
	if older.Size > newer.Size {
		older, newer = newer, older
	}
	var err error
	switch {
	case older.Size == newer.Size:
		if older.Root != newer.Root {
			err = errors.New("both have as many lines, and they are not the same lines")
		}
	case older.Size > 0:
		err = consistent(dir, older, newer)
	}
	if err != nil {
		return fmt.Errorf("checkpoints %s and %s: %w", older.name(), newer.name(), err)
	}
	return nil
}

func consistent(dir string, older, newer Checkpoint) error {
	stored, closer, err := openHashes(dir)
	if err != nil {
		return err
	}
	defer closer.Close()
	path, err := tlog.ProveTree(newer.Size, older.Size, stored)
	if err != nil {
		return treeless(err)
	}
	if err := tlog.CheckTree(path, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("the tree of this record does not lead from one to the other: %w", err)
	}
	return nil
}
