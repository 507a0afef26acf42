package policy

import (
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
