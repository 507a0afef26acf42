package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Fault is one thing that is wrong with the sources of a policy.
type Fault struct {
	File string // as the operator knows it; base/… for what ships with the program, empty for the data as a whole
	Line int    // 0: the file as a whole
	Text string
}

// Error gives file:line: text.
func (f Fault) Error() string {
	switch {
	case f.File == "":
		return f.Text
	case f.Line == 0:
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Faults are all that was found, in the order of files and lines. [New], [Engine.Reload] and [Test] return them.
type Faults []Fault

// Error gives one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(f)
}

// faultsOf takes the parser's and the compiler's errors apart.
func faultsOf(err error) Faults {
	var list ast.Errors
	var faults Faults
	if errors.As(err, &faults) {
		return faults
	}
	if !errors.As(err, &list) {
		return Faults{{Text: err.Error()}}
	}
	faults = make(Faults, 0, len(list))
	for _, e := range list {
		f := Fault{Text: e.Message}
		if e.Location != nil {
			f.File, f.Line = e.Location.File, e.Location.Row
		}
		f.Text += detail(e.Details)
		faults = append(faults, f)
	}
	return faults
}

// detail makes one line of what the compiler adds to an error, without the drawing of where it points.
func detail(d ast.ErrorDetails) (text string) {
	if d == nil {
		return ""
	}
	if ref, ok := d.(*ast.RefErrInvalidDetail); ok && ref.Have == nil && len(ref.OneOf) > 0 {
		var names []string
		for _, v := range ref.OneOf {
			names = append(names, strings.Trim(v.String(), `"`))
		}
		return fmt.Sprintf("; %v has %s", ref.Ref[:ref.Pos], strings.Join(names, ", "))
	}
	for _, line := range d.Lines() {
		if line = strings.TrimSpace(line); strings.Trim(line, "^") != "" {
			text += "; " + line
		}
	}
	return text
}

func faultAt(at *ast.Location, format string, args ...any) Fault {
	f := Fault{Text: fmt.Sprintf(format, args...)}
	if at != nil {
		f.File, f.Line = at.File, at.Row
	}
	return f
}

// orNil is nil, and not an error without a fault, when there is none.
func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f.sorted()
}

// join gathers errors that hold Faults.
func join(errs ...error) error {
	var all Faults
	for _, err := range errs {
		if err != nil {
			all = append(all, faultsOf(err)...)
		}
	}
	return all.orNil()
}
