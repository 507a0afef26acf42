package document

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fault is one thing that is wrong in the file, and where.
type Fault struct {
	File string
	Line int // 0: the file as a whole
	Text string
}

// Error gives file:line: text.
func (f Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Faults are all that is wrong, in the order of lines.
type Faults []Fault

// Error gives one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted puts faults in the order of lines and drops repetitions.
func (f Faults) Sorted() Faults {
	slices.SortFunc(f, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(f)
}

// MaxFaults is how many faults of one file are told. More only hide the first.
const MaxFaults = 100

// Report collects faults of one file, each with the line of the key that it is about.
type Report struct {
	// Unreadable says that the text is no tree of keys, so that nothing was read from it.
	Unreadable bool

	file   string
	faults Faults
	root   reflect.Type
	nouns  Nouns
	lines  Lines           // where each key that was read stands, by path: backends[0].address
	unread map[string]bool // keys whose value could not be read, which was told already
}

func newReport(file string) *Report {
	return &Report{file: file, lines: make(Lines), unread: make(map[string]bool)}
}

// At adds a fault at a line.
func (r *Report) At(line int, format string, args ...any) {
	if len(r.faults) < MaxFaults {
		r.faults = append(r.faults, Fault{File: r.file, Line: line, Text: visible(fmt.Sprintf(format, args...))})
	}
}

// visible takes out of a fault what a file may hold and a terminal must not show.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// About adds a fault at the line of a path, or of the closest of its parents that stands in the file, and names the path.
func (r *Report) About(path, format string, args ...any) {
	r.At(r.Line(path), "%s: %s", path, fmt.Sprintf(format, args...))
}

// refuse adds a fault about a value that could not be read.
func (r *Report) refuse(path string, line int, format string, args ...any) {
	r.unread[path] = true
	r.At(line, format, args...)
}

// Told reports whether it was told already that a path, or one of its parents, could not be read.
func (r *Report) Told(path string) bool {
	for ; path != ""; path = parent(path) {
		if r.unread[path] {
			return true
		}
	}
	return false
}

// Line is where a path, or the closest of its parents, stands; 1 when none does.
func (r *Report) Line(path string) int { return r.lines.Of(path) }

// Lines are the lines of keys, by path.
type Lines map[string]int

// Of is where a path, or the closest of its parents, stands; 1 when none does.
func (l Lines) Of(path string) int {
	for path != "" {
		if line, ok := l[path]; ok {
			return line
		}
		path = parent(path)
	}
	return 1
}

// Stands reports whether a path stands in the text.
func (r *Report) Stands(path string) bool {
	_, ok := r.lines[path]
	return ok
}

// Lines says where each key of the text stands, by path: backends[0].address.
func (r *Report) Lines() Lines { return r.lines }

// parent is the path without its last step: backends[0].address, backends[0], backends.
func parent(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// Step is the path of a key below another.
func Step(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Err is everything reported, as an error; nil when nothing was.
func (r *Report) Err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return r.faults.Sorted()
}
