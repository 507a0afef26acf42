package policy

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTestReports(t *testing.T) {
	t.Parallel()
	d := dir(t, map[string]string{
		"p.rego": noFiles + "\nspare if {\n\tinput.direction == \"in\"\n}\n",
		"p_test.rego": `package sallyport.stanza_test

import data.sallyport.stanza

file := {"direction": "out", "remote": {"domain": "x.example"}, "stanza": {"payloads": ["jabber:x:oob|x"]}}

test_files_stay if {
	print("payloads are", file.stanza.payloads)
	{"rule": "no-files", "reason": "files stay inside"} in stanza.deny with input as file
}

test_wrong if stanza.decision.effect == "allow" with input as file

test_error if to_number("x") == 1

todo_test_later if false
`,
	})
	report, err := Test(t.Context(), Config{Dir: d}, listed())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Tests) != 4 || report.Failed() != 2 {
		t.Fatalf("got %+v, want four tests, two failed", report.Tests)
	}
	good, wrong, broken, later := report.Tests[0], report.Tests[1], report.Tests[2], report.Tests[3]
	if !good.Passed || good.Line != 7 || !strings.HasSuffix(good.File, "p_test.rego") || good.Text != `payloads are ["jabber:x:oob|x"]` || !strings.HasSuffix(good.Name, "test_files_stay") {
		t.Errorf("the good test: %+v", good)
	}
	if wrong.Passed || !strings.Contains(broken.Text, "to_number") || !later.Skipped {
		t.Errorf("wrong %+v\nbroken %+v\nlater %+v", wrong, broken, later)
	}
	missed := strings.ReplaceAll(strings.Join(report.Missed, " "), d+string(filepath.Separator), "")
	if report.Coverage <= 0 || report.Coverage >= 100 || missed != "p.rego:9 p.rego:10" {
		t.Errorf("coverage %.0f%%, missed %v, want the rule spare at line 9", report.Coverage, missed)
	}
}

func TestTestOfWhatDoesNotLoad(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"policy": {"p.rego": "package x\n\ny if z\n"},
		"syntax": {"p_test.rego": "package x\n\ntest_y if {\n"},
		"tests":  {"p_test.rego": "package x\n\ntest_y if z\n"},
		"inputs": {"p_test.rego": "package x\n\ntest_y if data.sallyport.stanza.decision with input as {\"stanza\": {\"knd\": \"iq\"}}\n"},
	} {
		_, err := Test(t.Context(), Config{Dir: dir(t, files)}, nil)
		var faults Faults
		if !errors.As(err, &faults) || faults[0].Line < 3 {
			t.Errorf("%s: got %v, want a fault with its line", name, err)
		}
	}
	if _, err := Test(t.Context(), Config{Mode: "x"}, nil); err == nil {
		t.Error("a bad configuration was taken")
	}
}

// Every example loads, and its own tests reach all of it.
func TestExamples(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("../examples/policies/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal(dirs, err)
	}
	for _, d := range dirs {
		t.Run(filepath.Base(d), func(t *testing.T) {
			t.Parallel()
			report, err := Test(t.Context(), Config{Dir: d}, Data{"federation": "listed", "peers": map[string]any{"partner.example": map[string]any{}}})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Tests) == 0 {
				t.Error("it has no tests")
			}
			for _, r := range report.Tests {
				if !r.Passed {
					t.Errorf("%s:%d: %s\n%s", r.File, r.Line, r.Name, r.Text)
				}
			}
			if report.Coverage != 100 {
				t.Errorf("coverage is %.0f%%, missed %v", report.Coverage, report.Missed)
			}
		})
	}
}

// Every policy in the operators' page loads; one that the page shows as a mistake (its first line says so) does not.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(rego|yaml)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 6 {
		t.Fatalf("only %d blocks found", len(blocks))
	}
	for _, block := range blocks {
		kind, body := block[1], block[2]
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			name := "p." + kind
			if strings.HasPrefix(body, "package sallyport.stanza_test") {
				name = "p_test.rego"
			}
			d := dir(t, map[string]string{name: body, "extra.yaml": "shifts: {}\n"})
			_, err := Test(t.Context(), Config{Dir: d}, nil)
			wrong := strings.HasPrefix(body, "# wrong")
			if (err != nil) != wrong {
				t.Errorf("%v from\n%s", err, body)
			}
		})
	}
}
