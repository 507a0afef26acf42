package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Each ready-made policy has a page, and what the page shows loads and switches it on.
func TestPagesOfReadyMadePolicies(t *testing.T) {
	t.Parallel()
	files, err := readSources("")
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile("../docs/policies/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files.base {
		name, ready := readyFor(f.name)
		if !ready {
			continue
		}
		page, err := os.ReadFile(filepath.Join("../docs/policies", name+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(index), "["+name+"]("+name+".md)") || !strings.Contains(string(page), "## What it cannot see") {
			t.Errorf("%s: not in the index, or its page does not say what it cannot see", name)
		}
		if !strings.Contains(string(page), "## What it costs\n") {
			t.Errorf("%s: its page does not say what it costs", name)
		}
		blocks := yamlBlock.FindAllStringSubmatch(string(page), -1)
		if len(blocks) == 0 || !strings.Contains(blocks[0][1], name+":") {
			t.Errorf("%s: the page has no example of its document", name)
		}
		for _, b := range blocks {
			if _, err := New(Config{Dir: dir(t, map[string]string{"data.yaml": b[1]})}, nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
