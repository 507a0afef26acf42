package policy

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A change of the directory is seen, once, in each way in which directories change.
func TestStale(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"data.yaml": "x: 1\n", "notes.txt": "a"})
	e := engine(t, Config{Dir: d}, listed())
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Add(time.Hour)
	for _, step := range []struct {
		name  string
		do    func()
		stale bool
	}{
		{"nothing", func() {}, false},
		{"a file that is none of ours", func() { write("notes.txt", "b") }, false},
		{"another size", func() { write("data.yaml", "x: 12\n") }, true},
		{"nothing more", func() {}, false},
		{"another time", func() { os.Chtimes(filepath.Join(d, "data.yaml"), hour, hour) }, true},
		{"a new file", func() { write("more.csv", "a@corp.example,staff\n") }, true},
		{"a link that turns to another file", func() {
			os.Mkdir(filepath.Join(d, ".v1"), 0o755)
			write(".v1/linked.yaml", "y: 1\n")
			os.Symlink(".v1/linked.yaml", filepath.Join(d, "linked.yaml"))
		}, true},
		{"and turns", func() {
			os.Mkdir(filepath.Join(d, ".v2"), 0o755)
			write(".v2/linked.yaml", "y: 222\n")
			os.Symlink(".v2/linked.yaml", filepath.Join(d, "new"))
			os.Rename(filepath.Join(d, "new"), filepath.Join(d, "linked.yaml"))
		}, true},
		{"a file that is gone", func() { os.Remove(filepath.Join(d, "linked.yaml")) }, true},
		{"the whole directory is gone", func() { os.RemoveAll(d) }, true},
		{"and stays gone", func() {}, false},
	} {
		if step.do(); e.Stale() != step.stale {
			t.Errorf("%s: not %t", step.name, step.stale)
		}
	}
	if engine(t, Config{}, listed()).Stale() {
		t.Error("without a directory there is nothing to be stale")
	}
}

// What a reload has read is not read again.
func TestReloadIsNotStale(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{"data.yaml": "x: 1\n"})
	e := engine(t, Config{Dir: d}, listed())
	if err := os.WriteFile(filepath.Join(d, "data.yaml"), []byte("x: [1, 2]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := e.Reload(listed()); err != nil {
		t.Fatal(err)
	}
	if e.Stale() {
		t.Error("it is stale after a reload")
	}
}
