package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// fenced finds the blocks of a page, with the space before them where they stand in a list.
var fenced = regexp.MustCompile("(?s)\n( *)```yaml\n(.*?)```")

// gateFile is how those of docs/policy.md begin that are the gate's.
var gateFile = regexp.MustCompile(`^\n(backends|directory|policy):`)

// required are the sections without which there is no configuration; a fragment in a document leaves out those that it is not about.
var required = map[string]string{
	"backends": "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\n",
	"inside":   "inside: {listen: 127.0.2.1:5269}\n",
	"outside":  "outside: {listen: [127.0.3.1:5269]}\n",
}

// missing are the two keys that a fragment about a required section may leave out in it.
var missing = regexp.MustCompile(`(?m)^.*:\d+: (inside|outside)\.listen is missing;.*\n?`)

// TestEachConfigurationInTheDocsLoads: what a reader copies must work.
func TestEachConfigurationInTheDocsLoads(t *testing.T) {
	t.Parallel()
	files := []string{"../README.md"}
	for _, pattern := range []string{"../docs/*.md", "../docs/backends/*.md", "*/*/README.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fenced.FindAllSubmatch(text, -1) {
			whole := strings.ReplaceAll("\n"+string(m[2]), "\n"+string(m[1]), "\n")
			if file == "../docs/policy.md" && !gateFile.MatchString(whole) {
				continue // most of that page's are the policy's data, not the file
			}
			found++
			for key, lines := range required {
				if !regexp.MustCompile("(?m)^" + key + ":").MatchString(whole) {
					whole += lines
				}
			}
			if _, err := config.Parse(file, []byte(whole)); err != nil && missing.ReplaceAllString(err.Error(), "") != "" {
				t.Errorf("%v\nin\n%s", err, m[2])
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d configurations found in the documents", found)
	}
}

// TestEachExampleHasATest: what lies here without one would rot. The policies' own tests are run by package policy.
func TestEachExampleHasATest(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		folder := entry.Name()
		if !entry.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, "sallyport.yaml")); err != nil && folder != "policies" && folder != "systemd" {
			t.Errorf("%s: nothing loads it", folder)
		}
	}
}
