package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Formats of an export.
var exportNames = map[string]string{"jsonl": "events.jsonl", "csv": "events.csv", "cef": "events.cef", "ecs": "events.ecs.jsonl", "eml": "events.jsonl"}

// Export takes events out of records, into a directory of their own.
type Export struct {
	Dirs    []string
	Query   Query
	Asked   string // the query in words
	Format  string // jsonl, csv, eml, cef or ecs
	To      string // the directory; it must not be there
	Program string // version that stands in the manifest
	Bare    bool   // without proofs of the events; letters have them in any case
}

// Manifest says what an export holds and what it was taken from, in the file manifest.json.
type Manifest struct {
	Program  string         `json:"program"`
	Made     time.Time      `json:"made"`
	Query    string         `json:"query"`
	Format   string         `json:"format"`
	Events   uint64         `json:"events"`
	Unproved uint64         `json:"unproved,omitempty"` // events that no checkpoint covers yet; of eml: messages
	Damaged  int            `json:"damaged,omitempty"`  // lines of the records that could not be read
	Files    []ExportFile   `json:"files"`
	Records  []ExportSource `json:"records"`
	SHA256   string         `json:"-"` // of the file
}

// ExportFile is one file of an export.
type ExportFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Events uint64 `json:"events"`
	SHA256 string `json:"sha256"`
}

// ExportSource is a record that was exported from.
type ExportSource struct {
	Dir        string          `json:"dir"`
	Checkpoint string          `json:"checkpoint,omitempty"` // the last one, signed
	Segments   []SourceSegment `json:"segments"`
}

// SourceSegment is a segment as it was when it was exported from.
type SourceSegment struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"` // of its plain form
}

// Check says what is wrong with an order before anything is done.
func (x Export) Check() error {
	if exportNames[x.Format] == "" {
		return fmt.Errorf("format %q: must be jsonl, csv, eml, cef or ecs", x.Format)
	}
	if x.To == "" {
		return errors.New("no directory is named for the export")
	}
	for _, path := range []string{x.To, x.partial()} {
		if _, err := os.Lstat(path); !gone(err) {
			return errors.Join(err, fmt.Errorf("%s is there already: an export writes over nothing", path))
		}
	}
	return nil
}

func (x Export) partial() string { return filepath.Clean(x.To) + ".partial" }

// Prepare makes the export beside its place; [Export.Publish] or [Export.Discard] ends it. On an error nothing is left.
func (x Export) Prepare(ctx context.Context) (m Manifest, err error) {
	if err := x.Check(); err != nil {
		return m, err
	}
	if err := os.Mkdir(x.partial(), 0o700); err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.Discard())
		}
	}()
	e := exporter{Export: x, m: Manifest{Program: x.Program, Made: time.Now().UTC(), Query: x.Asked, Format: x.Format}}
	for _, dir := range x.Dirs {
		source, err := sourceOf(dir)
		if err != nil {
			return m, err
		}
		e.m.Records = append(e.m.Records, source)
	}
	if err := e.run(ctx); err != nil {
		return m, err
	}
	b, err := json.MarshalIndent(e.m, "", "\t")
	if err != nil {
		return m, err
	}
	f, err := e.create("manifest.json")
	if err != nil {
		return m, err
	}
	if _, err := f.Write(append(escapeJSON(b), '\n')); err != nil {
		return m, errors.Join(err, f.f.Close())
	}
	manifest, err := f.close()
	e.m.SHA256 = manifest.SHA256
	return e.m, err
}

// Publish gives a prepared export its name.
func (x Export) Publish() error {
	if _, err := os.Lstat(x.To); !gone(err) {
		return errors.Join(err, &fs.PathError{Op: "export", Path: x.To, Err: fs.ErrExist})
	}
	return os.Rename(x.partial(), x.To)
}

// Discard removes a prepared export.
func (x Export) Discard() error { return os.RemoveAll(x.partial()) }

func sourceOf(dir string) (s ExportSource, err error) {
	s = ExportSource{Dir: dir, Segments: []SourceSegment{}}
	numbers, err := segments(dir)
	if err != nil {
		return s, err
	}
	for _, n := range numbers {
		src, err := openSegment(dir, n)
		if gone(err) {
			continue
		}
		if err != nil {
			return s, err
		}
		size, err := src.size()
		if err := errors.Join(err, src.Close()); err != nil {
			return s, err
		}
		s.Segments = append(s.Segments, SourceSegment{segmentName(n), size})
	}
	// A record without a checkpoint can be exported too; nothing then vouches for it.
	if c, err := LastCheckpoint(dir); err == nil {
		s.Checkpoint = string(c.Note)
	}
	return s, nil
}

type exporter struct {
	Export
	m Manifest
}

// exportFile is a file that is being written.
type exportFile struct {
	*bufio.Writer
	f     *os.File
	sum   hash.Hash
	name  string
	bytes int64
}

func (e *exporter) create(name string) (*exportFile, error) {
	f, err := os.OpenFile(filepath.Join(e.partial(), name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	x := &exportFile{f: f, sum: sha256.New(), name: name}
	x.Writer = bufio.NewWriterSize(io.MultiWriter(f, x.sum), 64<<10)
	return x, nil
}

// close ends a file when all of it is on the disk.
func (x *exportFile) close() (ExportFile, error) {
	err := errors.Join(x.Flush(), x.f.Sync())
	st, statErr := x.f.Stat()
	if err := errors.Join(err, statErr, x.f.Close()); err != nil {
		return ExportFile{}, err
	}
	return ExportFile{Name: x.name, Bytes: st.Size(), SHA256: hex.EncodeToString(x.sum.Sum(nil))}, nil
}

func (e *exporter) run(ctx context.Context) error {
	f, err := e.create(exportNames[e.Format])
	if err != nil {
		return err
	}
	write, end := e.writer(f)
	proofs, err := e.proofs()
	if err != nil {
		return errors.Join(err, f.f.Close())
	}
	defer proofs.close()
	err = SearchAll(ctx, e.Dirs, e.Query, func(h Hit) error {
		e.m.Events++
		return errors.Join(write(h), proofs.add(h))
	})
	var damage *DamageError
	if errors.As(err, &damage) {
		e.m.Damaged, err = damage.Lines, nil
	}
	if err == nil {
		err = errors.Join(end(), proofs.end())
	}
	if err != nil {
		return errors.Join(err, f.f.Close())
	}
	made, err := f.close()
	made.Events = e.m.Events
	e.m.Files = slices.Insert(e.m.Files, 0, made)
	return err
}

// proofsName is the file of the proofs of all events of an export, one behind another.
const proofsName = "events.tlog-proofs"

// proving writes that file.
type proving struct {
	e       *exporter
	f       *exportFile // nil: there is none
	provers []*prover   // by directory
	made    uint64
}

func (e *exporter) proofs() (p *proving, err error) {
	p = &proving{e: e}
	if e.Bare || e.Format == "eml" {
		return p, nil
	}
	for _, dir := range e.Dirs {
		p.provers = append(p.provers, newProver(dir))
	}
	p.f, err = e.create(proofsName)
	return p, err
}

func (p *proving) add(h Hit) error {
	if p.f == nil {
		return nil
	}
	proof, _, err := p.provers[slices.Index(p.e.Dirs, h.Dir)].prove(h.Line)
	if err != nil {
		p.e.m.Unproved++
		return nil
	}
	p.made++
	_, err = p.f.Write(proof)
	return err
}

func (p *proving) end() error {
	if p.f == nil {
		return nil
	}
	made, err := p.f.close()
	p.f, made.Events = nil, p.made
	p.e.m.Files = append(p.e.m.Files, made)
	return err
}

func (p *proving) close() {
	for _, r := range p.provers {
		r.Close()
	}
	if p.f != nil {
		p.f.f.Close()
	}
}

// writer gives what takes the events, and what is to be done behind the last.
func (e *exporter) writer(f *exportFile) (write func(Hit) error, end func() error) {
	end = func() error { return nil }
	switch e.Format {
	case "csv":
		return CSV(f), end
	case "cef":
		return CEF(f, e.Program), end
	case "ecs":
		return ECS(f), end
	case "eml":
		l := letters{e: e, f: f}
		return l.add, l.flush
	}
	return f.line, end
}

func (x *exportFile) line(h Hit) error {
	_, err := x.Write(append(bytes.Clone(h.Line), '\n'))
	x.bytes += int64(len(h.Line)) + 1
	return err
}
