package policy

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Stale tells whether the operator's directory looks otherwise than when it was last read or last found to be stale: by names, sizes and
// times, following links, so that an editor's saving and a ConfigMap's turn are seen. So a change is told once, whether or not it loads.
func (e *Engine) Stale() bool {
	e.loading.Lock()
	defer e.loading.Unlock()
	look := e.config.look()
	stale := look != e.look
	e.look = look
	return stale
}

// look is what the directories look like.
func (c *Config) look() [sha256.Size]byte {
	h := sha256.New()
	for _, dir := range []string{c.Dir, c.Candidate} {
		if dir != "" {
			sum := lookOf(dir)
			h.Write(sum[:])
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// lookOf is what the directory looks like from outside. What cannot be looked at has a look of its own.
func lookOf(dir string) [sha256.Size]byte {
	h := sha256.New()
	files := os.DirFS(dir)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", name, err)
			return nil
		}
		if name != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !known(strings.ToLower(path.Base(name))) {
			return nil
		}
		st, err := fs.Stat(files, name)
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", name, err)
			return nil
		}
		fmt.Fprintf(h, "%q %d %d\n", name, st.Size(), st.ModTime().UnixNano())
		return nil
	})
	fmt.Fprint(h, err)
	return [sha256.Size]byte(h.Sum(nil))
}
