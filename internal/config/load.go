package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"sallyport/audit/sink"
	"sallyport/internal/config/document"
)

// Fault is one thing that is wrong in the file, and where; Faults are all that is wrong, in the order of lines, one a line.
type (
	Fault  = document.Fault
	Faults = document.Faults
)

// report collects what is wrong with one file.
type report struct{ *document.Report }

// Load reads and checks a configuration file. Its error is always of type Faults.
func Load(path string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, Faults{{File: path, Text: err.Error()}}
	}
	return Parse(path, text)
}

// Parse is Load for text that was read already. The file need not exist: its name stands in faults, and relative paths are
// taken from its folder.
func Parse(file string, text []byte) (*Config, error) {
	c := new(Config)
	r := report{document.Read(file, text, c, nouns())}
	if !r.Unreadable {
		r.check(c)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, Faults{{File: file, Text: fmt.Sprintf("finding its folder: %v", err)}}
	}
	c.finish(folder)
	c.file, c.lines = file, r.Lines()
	maps.DeleteFunc(c.lines, func(path string, _ int) bool {
		return strings.HasPrefix(path, "peers[") && strings.Contains(path, "].")
	})
	return c, nil
}

// At makes a fault of what a room found wrong with the value at a path, such as "outside.listen[0]": the line at which it stands
// goes before it.
func (c *Config) At(path string, err error) Fault {
	return Fault{File: c.file, Line: c.lines.Of(path), Text: path + ": " + err.Error()}
}

// finish fills in what follows from other values, and takes relative paths from the file's folder.
func (c *Config) finish(folder string) {
	for i := range c.Backends {
		b := &c.Backends[i]
		if at, ok := b.Address.Addr(); ok && len(b.From) == 0 {
			b.From = append(b.From, at.Addr())
		}
		for j := range b.From {
			b.From[j] = b.From[j].Unmap()
		}
	}
	if c.Policy.History == "" {
		c.Policy.History = filepath.Join(c.Audit.Dir, "policy")
	}
	paths := []*string{&c.Policy.History, &c.Certs.Store, &c.Ratchet.File, &c.Contacts.File, &c.Dialback.SecretFile, &c.Policy.Dir, &c.Policy.Candidate, &c.Audit.Dir, &c.Audit.Sealing.RecipientsFile, &c.Audit.CheckpointTo, &c.Audit.Secrets, &c.Admin.Socket, &c.Outside.ServerRoots}
	for i := range c.Certs.Files {
		paths = append(paths, &c.Certs.Files[i].Cert, &c.Certs.Files[i].Key)
	}
	for i := range c.Certs.Roots {
		paths = append(paths, &c.Certs.Roots[i])
	}
	for i := range c.Audit.Sinks {
		s := &c.Audit.Sinks[i]
		paths = append(paths, &s.Secret, &s.Roots, &s.Cert, &s.Key)
	}
	if a := c.Certs.ACME; a != nil {
		paths = append(paths, c.finishACME(a)...)
	}
	if b := c.Policy.Bundle; b != nil {
		paths = append(paths, &b.Key, &b.Roots, &b.TokenFile, &b.File)
	}
	if d := c.Directory; d != nil {
		paths = append(paths, &d.Roots, &d.SecretFile, &d.File)
	}
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	dir := c.Audit.Dir
	c.Audit.Needed = func() (int, bool, error) { return sink.Lowest(dir) } // whoever deletes: the gate or a command
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, document.MaxFile+1))
	if err != nil {
		return nil, cause(err)
	}
	return text, nil
}

// cause leaves out the path, which stands before each fault anyway.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
