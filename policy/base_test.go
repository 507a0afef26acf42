package policy

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The shipped policy's own tests pass and reach every line of it.
func TestBase(t *testing.T) {
	t.Parallel()
	report, err := Test(t.Context(), Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Tests) < 40 {
		t.Errorf("only %d tests were found", len(report.Tests))
	}
	for _, r := range report.Tests {
		if !r.Passed {
			t.Errorf("%s:%d: %s\n%s", r.File, r.Line, r.Name, r.Text)
		}
	}
	for _, missed := range report.Missed {
		t.Errorf("%s: no test reaches this", missed)
	}
	if report.Coverage != 100 {
		t.Errorf("coverage is %.1f%%, want 100%%", report.Coverage)
	}
}

// What data may say that a stanza is, is what a stanza can be.
func TestNamesOfClasses(t *testing.T) {
	t.Parallel()
	files, err := readSources("")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile("schema/input.json")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`"[a-z0-9.-]+"`)
	_, rest, _ := strings.Cut(string(schema), `"class": {`)
	_, rest, _ = strings.Cut(rest, `"enum": `)
	list, _, _ := strings.Cut(rest, "]")
	want := strings.ReplaceAll(strings.Join(quoted.FindAllString(list, -1), " "), `"`, "")
	for _, f := range files.base {
		if !strings.HasSuffix(f.name, "names.rego") {
			continue
		}
		if !strings.Contains(string(f.text), `"`+want+`"`) || len(want) < 100 {
			t.Errorf("the schema has other classes than names.rego: %s", want)
		}
		return
	}
	t.Error("there is no names.rego")
}
