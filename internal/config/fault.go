package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// sorted puts faults in the order of lines and drops repetitions.
func (f Faults) sorted() Faults {
	slices.SortFunc(f, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(f)
}

// maxFaults is how many faults of one file are told. More only hide the first.
const maxFaults = 100

// report collects faults of one file, each with the line of the key that it is about.
type report struct {
	file   string
	faults Faults
	lines  map[string]int  // where each key that was read stands, by path: backends[0].address
	unread map[string]bool // keys whose value could not be read, which was told already
}

func newReport(file string) *report {
	return &report{file: file, lines: make(map[string]int), unread: make(map[string]bool)}
}

// at adds a fault at a line.
func (r *report) at(line int, format string, args ...any) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{File: r.file, Line: line, Text: fmt.Sprintf(format, args...)})
	}
}

// about adds a fault at the line of a path, or of the closest of its parents that stands in the file, and names the path.
func (r *report) about(path, format string, args ...any) {
	r.at(r.line(path), "%s: %s", path, fmt.Sprintf(format, args...))
}

// refuse adds a fault about a value that could not be read.
func (r *report) refuse(path string, line int, format string, args ...any) {
	r.unread[path] = true
	r.at(line, format, args...)
}

// told reports whether it was told already that a path, or one of its parents, could not be read.
func (r *report) told(path string) bool {
	for ; path != ""; path = parent(path) {
		if r.unread[path] {
			return true
		}
	}
	return false
}

// line is where a path, or the closest of its parents, stands; 1 when none does.
func (r *report) line(path string) int { return lineOf(r.lines, path) }

func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if line, ok := lines[path]; ok {
			return line
		}
		path = parent(path)
	}
	return 1
}

// At makes a fault of what a room found wrong with the value at a path, such as "outside.listen[0]": the line at which it stands
// goes before it.
func (c *Config) At(path string, err error) Fault {
	return Fault{File: c.file, Line: lineOf(c.lines, path), Text: path + ": " + err.Error()}
}

// parent is the path without its last step: backends[0].address, backends[0], backends.
func parent(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// step is the path of a key below another.
func step(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// err is everything reported, as an error; nil when nothing was.
func (r *report) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return r.faults.sorted()
}
