package policy

import (
	"bytes"
	"path"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A fault in a document begins with its path, as Rego writes it.
var (
	documentPath = regexp.MustCompile(`^data(?:\.[\w-]+|\["(?:[^"\\]|\\.)*"\]|\[\d+\])+`)
	pathStep     = regexp.MustCompile(`\.([\w-]+)|\[("(?:[^"\\]|\\.)*"|\d+)\]`)
)

// place gives faults that begin with a path into the documents the file and the line where that is, or as much of it as there is. What the
// configuration gives has its place there.
func (s *sources) place(faults Faults) Faults {
	files := map[string]*yaml.Node{}
	for i := range faults {
		f := &faults[i]
		where := documentPath.FindString(f.Text)
		if f.Line != 0 || where == "" {
			continue
		}
		var steps []string
		for _, m := range pathStep.FindAllStringSubmatch(where, -1) {
			step := m[1] + m[2]
			if text, err := strconv.Unquote(step); err == nil {
				step = text
			}
			steps = append(steps, step)
		}
		best, only := 0, f.File
		for _, data := range s.data {
			if only != "" && only != data.file {
				continue
			}
			if path.Ext(data.file) == ".csv" {
				if line := inList(data.text, steps); line > 0 {
					best, f.File, f.Line = len(steps), data.file, line
				}
				continue
			}
			root, read := files[data.file]
			if !read {
				root = new(yaml.Node)
				if yaml.Unmarshal(data.text, root) != nil {
					root = nil
				}
				files[data.file] = root
			}
			if line, depth := find(root, steps); depth > best {
				best, f.File, f.Line = depth, data.file, line
			}
		}
	}
	return faults
}

// inList finds the line of an address in a list of people and groups; 0: it is not there.
func inList(text []byte, path []string) (line int) {
	if len(path) != 3 || path[0] != "groups" {
		return 0
	}
	for row := range bytes.Lines(text) {
		line++
		if address, _, _ := bytes.Cut(row, []byte(",")); string(bytes.Trim(address, "\ufeff \"")) == path[2] {
			return line
		}
	}
	return 0
}

// find follows a path as far as it leads, and tells the line and how far that is.
func find(n *yaml.Node, path []string) (line, depth int) {
	if n == nil || len(n.Content) == 0 {
		return 0, 0
	}
	for n = n.Content[0]; depth < len(path); depth++ {
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == path[depth] {
					line, next = n.Content[i].Line, n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(path[depth]); err == nil && i < len(n.Content) {
				next = n.Content[i]
				line = next.Line
			}
		}
		if next == nil {
			break
		}
		n = next
	}
	return line, depth
}
