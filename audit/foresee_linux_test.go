package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForesee: what would keep a record from being opened shows before, and nothing is made on the way.
func TestForesee(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	file := filepath.Join(top, "file")
	write(t, file, nil)
	full, closed := filepath.Join(top, "full"), filepath.Join(top, "closed")
	for _, c := range []struct {
		what, dir, options string
		low                int64
		note, fault        string
	}{
		{what: "there", dir: top},
		{what: "still to be made", dir: filepath.Join(top, "a/b")},
		{what: "little space", dir: top, low: 1 << 60, note: "less than audit.low_space"},
		{what: "a file", dir: file, fault: "not a directory"},
		{what: "full", dir: full, options: "size=256k", fault: "is full"},
		{what: "full above", dir: full + "/audit", options: "size=256k", fault: "is full"},
		{what: "read-only", dir: closed, options: "ro", fault: "mounted read-only"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.options != "" {
				mount(t, strings.TrimSuffix(c.dir, "/audit"), c.options)
			}
			note, err := Foresee(Config{Dir: c.dir, LowSpace: c.low})
			if (note != "") != (c.note != "") || !strings.Contains(note, c.note) {
				t.Errorf("note %q, want %q", note, c.note)
			}
			if (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("fault %v, want %q", err, c.fault)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(top, "a")); err == nil {
		t.Error("a directory was made")
	}
}
