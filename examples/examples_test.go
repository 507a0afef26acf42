package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"sallyport/internal/config"
)

func TestEachConfigurationLoads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/sallyport.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		if _, err := config.Load(file); err != nil {
			t.Errorf("%v", err)
		}
	}
}

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestEachConfigurationInTheDocsLoads: what a reader copies must work. Fragments name their file's first key only, so only whole
// configurations, which begin with backends, are loaded.
func TestEachConfigurationInTheDocsLoads(t *testing.T) {
	t.Parallel()
	found := 0
	for _, file := range []string{"../README.md", "../docs/operate.md", "../docs/policy.md"} {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fenced.FindAllSubmatch(text, -1) {
			if string(m[1][:min(len(m[1]), 9)]) != "backends:" {
				continue
			}
			found++
			if _, err := config.Parse(file, m[1]); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
	if found == 0 {
		t.Error("no configuration found in the documents")
	}
}
