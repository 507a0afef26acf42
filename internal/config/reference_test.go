package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/configuration.md anew")

const page = "../../docs/reference/configuration.md"

// TestReference keeps the page of the documentation what the program says.
func TestReference(t *testing.T) {
	t.Parallel()
	want := Reference()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the program says (%v): go test ./internal/config -run Reference -update", page, err)
	}
}

// TestReferenceExample: the complete file of the page is one.
func TestReferenceExample(t *testing.T) {
	t.Parallel()
	text := Example()
	if _, err := Parse("sallyport.yaml", []byte(text)); err != nil {
		t.Fatalf("the example does not load:\n%v\n%s", err, text)
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "\t") || strings.HasSuffix(line, " ") {
			t.Errorf("untidy line: %q", line)
		}
	}
}

// TestReferenceExampleOfACME: what the complete file has as a comment is right too.
func TestReferenceExampleOfACME(t *testing.T) {
	t.Parallel()
	before, rest, found := strings.Cut(Example(), "  # # obtaining certificates")
	section, after, ends := strings.Cut(rest, "\n  # certificates of the local domains")
	if !found || !ends {
		t.Fatal("the example has no section certs.acme")
	}
	text := before + strings.ReplaceAll("  # "+section, "\n  # ", "\n  ") + "\n  #" + after
	c, err := Parse("sallyport.yaml", []byte(text))
	if err != nil || c.Certs.ACME == nil {
		t.Errorf("the example of certs.acme does not load:\n%v\n%s", err, text)
	}
}

// The operators' page says what a reload takes.
func TestReferenceOfReloads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range reloadable() {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("docs/operate.md does not say that a reload takes %s", key)
		}
	}
}
