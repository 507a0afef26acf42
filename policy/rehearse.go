package policy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"
)

// Report is what the tests of a policy gave.
type Report struct {
	Tests    []TestResult `json:"tests"`    // in the order of files and lines
	Coverage float64      `json:"coverage"` // per cent of the lines under test that the tests reached
	Missed   []string     `json:"missed"`   // file:line, or file:line-line, of the others
}

// TestResult is the result of one test rule.
type TestResult struct {
	Name   string `json:"name"` // data.acme.test_files_stay
	File   string `json:"file"`
	Line   int    `json:"line"`
	Passed bool   `json:"passed"`
	// Skipped is a test whose name begins with todo_.
	Skipped bool `json:"skipped"`
	// Text is what was printed, and the error if there was one.
	Text     string        `json:"text"`
	Duration time.Duration `json:"duration_ns"`
}

// Failed counts the tests that did not pass.
func (r *Report) Failed() (n int) {
	for _, t := range r.Tests {
		if !t.Passed && !t.Skipped {
			n++
		}
	}
	return n
}

// Test runs the operator's *_test.rego in c.Dir against the policy as [New] would load it; without a Dir, the tests that
// ship with base. Coverage is that of the files tested: the operator's, or base's. The error holds [Faults]: the policy
// does not load, or a test does not compile. A test that fails is no error.
func Test(ctx context.Context, c Config, base Data) (*Report, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, _, err := load(c, base); err != nil {
		return nil, err
	}
	compiling.Lock()
	defer compiling.Unlock()
	m, err := gather(c, base)
	if err != nil {
		return nil, err
	}
	tested, files := m.own, m.files.regoTests
	if c.Dir == "" {
		tested, files, m.modules = m.base, m.files.baseTests, m.base
	}
	tests, err := parse(files)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(m.modules)
	maps.Copy(all, tests)
	if err := checkTests(all); err != nil {
		return nil, err
	}
	compiler, err := newCompiler()
	if err != nil {
		return nil, err
	}
	reached := cover.New()
	results, err := tester.NewRunner().
		SetCompiler(compiler.WithEnablePrintStatements(true)).SetStore(m.world.store).SetModules(all).AddCustomBuiltins(builtinsForTests()).
		RaiseBuiltinErrors(true).CapturePrintOutput(true).SetTimeout(checkTime).SetCoverageQueryTracer(reached).
		RunTests(ctx, m.world.txn)
	if err != nil {
		return nil, faultsOf(err)
	}
	report := &Report{Tests: []TestResult{}, Missed: []string{}}
	for r := range results {
		report.Tests = append(report.Tests, resultOf(r))
	}
	slices.SortFunc(report.Tests, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	report.cover(reached.Report(tested), slices.Sorted(maps.Keys(tested)))
	return report, ctx.Err()
}

// checkTests compiles the tests with what they test. An input with an attribute that no gate gives would prove nothing.
func checkTests(modules map[string]*ast.Module) error {
	c, err := newCompiler()
	if err != nil {
		return err
	}
	if c.Compile(modules); c.Failed() {
		return faultsOf(c.Errors)
	}
	schema, err := inputSchema()
	if err != nil {
		return err
	}
	return unknownAttributes(c, schema).orNil()
}

func resultOf(r *tester.Result) TestResult {
	t := TestResult{Name: r.Package + "." + r.Name, Passed: r.Pass(), Skipped: r.Skip, Duration: r.Duration}
	if r.Location != nil {
		t.File, t.Line = r.Location.File, r.Location.Row
	}
	text := strings.Split(strings.TrimRight(string(r.Output), "\n"), "\n")
	for name, sub := range r.SubResults.Iter {
		if sub.Fail && len(sub.SubResults) == 0 {
			text = append(text, "case "+strings.Join(name, "/")+" failed")
		}
	}
	if r.Error != nil {
		text = append(text, r.Error.Error())
	}
	t.Text = strings.TrimLeft(strings.Join(text, "\n"), "\n")
	return t
}

// cover takes over the coverage of the given files. The report has others too: whatever the tests reached.
func (r *Report) cover(c cover.Report, files []string) {
	var reached, missed int
	for _, file := range files {
		f := c.Files[file]
		reached, missed = reached+f.CoveredLines, missed+f.NotCoveredLines
		for _, n := range f.NotCovered {
			r.Missed = append(r.Missed, lines(file, n.Start.Row, n.End.Row))
		}
	}
	r.Missed = slices.Compact(r.Missed) // two expressions of one line
	r.Coverage = 100                    // of nothing, where there is data alone
	if reached+missed > 0 {
		r.Coverage = 100 * float64(reached) / float64(reached+missed)
	}
}

func lines(file string, from, to int) string {
	if from == to {
		return fmt.Sprintf("%s:%d", file, from)
	}
	return fmt.Sprintf("%s:%d-%d", file, from, to)
}
