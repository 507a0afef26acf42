package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport/audit"
)

const (
	folder = "sinks" // in the record's directory
	suffix = ".cursor"
)

// cursor is what is kept of a sink between runs.
type cursor struct {
	Required bool        `json:"required"`
	Place    audit.Place `json:"place"` // all before it has arrived
}

func cursorFile(dir, name string) string { return filepath.Join(dir, folder, name+suffix) }

// readCursor reads a sink's cursor. That there is none is no error.
func readCursor(dir, name string) (c cursor, err error) {
	text, err := os.ReadFile(cursorFile(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, fmt.Errorf("reading the cursor of sink %s: %w", name, err)
	}
	return c, nil
}

// write replaces a sink's cursor in one step: a crash leaves the old one or the new one.
func (c cursor) write(dir, name string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	path := cursorFile(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the cursor of sink %s: %w", name, err)
	}
	return os.Rename(path+".new", path)
}

// Lowest is the number of the oldest segment of the record in dir that a required sink still needs: no segment from it on may be deleted.
// ok is false when no sink is required. An error means that it is not known, and nothing may be deleted.
func Lowest(dir string) (segment int, ok bool, err error) {
	names, err := cursors(dir)
	if err != nil {
		return 0, false, err
	}
	for _, name := range names {
		c, err := readCursor(dir, name)
		if err != nil {
			return 0, false, err
		}
		if c.Required && (!ok || c.Place.Segment < segment) {
			segment, ok = c.Place.Segment, true
		}
	}
	return segment, ok, nil
}

// cursors names the sinks that have a cursor.
func cursors(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			names = append(names, name)
		}
	}
	return names, err
}
