package policy

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// history is a directory with the revisions that were in force, each an archive of its rules and data in one file. Those that were last
// in force are kept, as many as the bounds let.
type history struct {
	dir   string
	count int
	bytes int64
}

// ErrForgotten says that a revision is not among those that are kept.
var ErrForgotten = errors.New("the revision is not among those that are kept")

const (
	historyEnding = ".tar.gz"
	// historyFile bounds what is read of one kept revision, unpacked.
	historyFile = 1 << 30
)

// path is the file of a revision. What the makers of supplies call it is in the revision, and not in the name of its file.
func (h history) path(revision string) string {
	short, _, _ := strings.Cut(revision, "@")
	return filepath.Join(h.dir, filepath.Base(short)+historyEnding)
}

// keep writes a revision that comes into force, or notes that one that is kept has come into force again.
func (h history) keep(m *material) error {
	path, now := h.path(m.revision), time.Now()
	if err := os.Chtimes(path, now, now); err == nil {
		return nil
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	packed, err := pack(m)
	if err != nil {
		return err
	}
	if err := replaceFile(path, packed); err != nil {
		return err
	}
	return h.trim(path)
}

// trim takes away what was in force longest ago until the bounds are kept; never the newest.
func (h history) trim(newest string) error {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	var kept []fs.FileInfo
	for _, e := range entries {
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() && strings.HasSuffix(e.Name(), historyEnding) {
			kept = append(kept, st)
		}
	}
	slices.SortFunc(kept, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	count, size := 0, int64(0)
	var faults []error
	for _, st := range kept {
		count, size = count+1, size+st.Size()
		if at := filepath.Join(h.dir, st.Name()); at != newest && (count > h.count || size > h.bytes) {
			faults = append(faults, os.Remove(at))
		}
	}
	return errors.Join(faults...)
}

// Recall loads a revision that was in force, out of the directory of [Config].History. It decides as it did then, but that c says in
// which mode and how fast; the program's own part in it is today's. [ErrForgotten] says that it is not there.
func Recall(c Config, revision string) (*Snapshot, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	packed, err := os.ReadFile(history{dir: c.History}.path(revision))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrForgotten
	}
	if err != nil {
		return nil, err
	}
	s, m, err := loadFrom(c, func() (*material, error) { return unpack(packed) })
	if err != nil {
		return nil, fmt.Errorf("revision %s: %w", revision, err)
	}
	if short, _, _ := strings.Cut(revision, "@"); short != m.revision && revision != m.revision {
		return nil, fmt.Errorf("the file of revision %s holds revision %s", revision, m.revision)
	}
	s.failures = &failures{log: c.Log}
	return s, nil
}

// The folders of an archive, and the file with what the configuration gave.
const (
	packedBase    = "base"
	packedOwn     = "own"
	packedGiven   = "given.json"
	packedVersion = "version"
	packedFile    = "SALLYPORT.file" // a PAX record: the name that faults give
)

// pack makes an archive of a revision: what ships too, for another program may read it.
func pack(m *material) ([]byte, error) {
	given, err := plainObject(m.given)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w := tar.NewWriter(z)
	add := func(name string, f source) {
		h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(f.text)), Format: tar.FormatPAX}
		if f.file != "" {
			h.PAXRecords = map[string]string{packedFile: f.file}
		}
		err = errors.Join(err, w.WriteHeader(h))
		_, werr := w.Write(f.text)
		err = errors.Join(err, werr)
	}
	add(packedGiven, source{text: text})
	for _, v := range m.files.versions {
		add(packedVersion+"/"+v, source{})
	}
	for _, f := range m.files.base {
		add(packedBase+"/"+f.name, f)
	}
	for _, list := range [][]source{m.files.rego, m.files.data} {
		for _, f := range list {
			add(packedOwn+"/"+f.name, f)
		}
	}
	err = errors.Join(err, w.Close(), z.Close())
	return b.Bytes(), err
}

// unpack is what pack has packed.
func unpack(packed []byte) (*material, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var files sources
	var given map[string]any
	r := tar.NewReader(io.LimitReader(z, historyFile))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		folder, name, _ := strings.Cut(h.Name, "/")
		f := source{name, h.PAXRecords[packedFile], text}
		switch folder {
		case packedGiven:
			value, err := readJSON(text)
			if err != nil {
				return nil, err
			}
			given, _ = value.(map[string]any)
		case packedVersion:
			files.versions = append(files.versions, name)
		case packedBase:
			place(f, &files.base, &files.baseTests, &files.data)
		default:
			place(f, &files.rego, &files.regoTests, &files.data)
		}
	}
	return assemble(files, given)
}

// replaceFile writes a file so that there is the old one or the new one, whatever happens.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
