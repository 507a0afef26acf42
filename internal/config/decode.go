package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// complete writes the defaults of a struct and of the structs within it.
func complete(v reflect.Value) {
	for _, f := range fields(v.Type()) {
		inner := v.FieldByIndex(f.index)
		switch {
		case inner.Kind() == reflect.Struct && kindOf(f.typ) == section:
			complete(inner)
		case f.def != "" && kindOf(f.typ) == scalar:
			if err := assign(inner, f.def, f.words); err != nil {
				panic(fmt.Sprintf("config: default of %s: %v", f.key, err)) // a mistake in the tags; a test looks at all
			}
		}
	}
}

// read writes what the tree n says into v, whose defaults stand already. The path is where n stands; it is empty for the root.
func (r *report) read(n *yaml.Node, v reflect.Value, path string, words []string) {
	if n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" && kindOf(v.Type()) != scalar {
		return // "limits:" with nothing behind it is an empty section
	}
	if v.Kind() == reflect.Pointer && kindOf(v.Type()) != scalar {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		complete(v)
	}
	switch kindOf(v.Type()) {
	case section:
		r.readSection(n, v, path)
	case list:
		r.readList(n, v, path)
	case table:
		r.readTable(n, v, path)
	default:
		r.readScalar(n, v, path, words)
	}
}

func (r *report) readSection(n *yaml.Node, v reflect.Value, path string) {
	if !r.isMapping(n, v.Type(), path) {
		return
	}
	known := fields(v.Type())
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, twice := first[key.Value]; twice {
			r.at(key.Line, "%s stands twice, first in line %d", quoted(step(path, key.Value)), line)
			continue
		}
		first[key.Value] = key.Line
		f, ok := lookup(known, key)
		if !ok {
			r.at(key.Line, "unknown key %s%s", quoted(step(path, key.Value)), suggestion(key.Value, path, known))
			continue
		}
		at := step(path, f.key)
		r.lines[at] = key.Line
		r.read(value, v.FieldByIndex(f.index), at, f.words)
	}
}

func lookup(known []field, key *yaml.Node) (field, bool) {
	for _, f := range known {
		if key.Kind == yaml.ScalarNode && f.key == key.Value {
			return f, true
		}
	}
	return field{}, false
}

func (r *report) readList(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		name, example := noun(v.Type())
		r.refuse(path, n.Line, "%s must be a %s, such as %s", path, name, example)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.lines[at] = item.Line
		element := out.Index(i)
		if element.Kind() == reflect.Struct && kindOf(element.Type()) == section {
			complete(element)
		}
		r.read(item, element, at, nil)
	}
	v.Set(out)
}

func (r *report) readTable(n *yaml.Node, v reflect.Value, path string) {
	if !r.isMapping(n, v.Type(), path) {
		return
	}
	out := reflect.MakeMap(v.Type())
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		node, value := n.Content[i], n.Content[i+1]
		key := reflect.New(v.Type().Key()).Elem()
		if node.Kind != yaml.ScalarNode || !r.readScalar(node, key, path, nil) {
			continue
		}
		at := fmt.Sprintf("%s[%s]", path, key)
		// Two spellings of one domain are one key.
		if line, twice := first[at]; twice {
			r.at(node.Line, "%s stands twice, first in line %d", at, line)
			continue
		}
		first[at] = node.Line
		r.lines[at] = node.Line
		element := reflect.New(v.Type().Elem()).Elem()
		complete(element)
		r.read(value, element, at, nil)
		out.SetMapIndex(key, element)
	}
	v.Set(out)
}

// readScalar reports whether the value was one. Its YAML type does not count: what `off` or `1.2` means is the key's affair.
func (r *report) readScalar(n *yaml.Node, v reflect.Value, path string, words []string) bool {
	name, example := noun(v.Type())
	if len(words) > 0 {
		name, example = strings.Join(words, ", "), ""
		if last := strings.LastIndex(name, ", "); last >= 0 {
			name = name[:last] + " or" + name[last+1:]
		}
	}
	if example != "" {
		name += ", such as " + example
	}
	if n.Kind != yaml.ScalarNode {
		r.refuse(path, n.Line, "%s must be %s", path, name)
		return false
	}
	if n.Tag == "!!null" {
		r.refuse(path, n.Line, "%s has no value; it must be %s", path, name)
		return false
	}
	if err := assign(v, n.Value, words); err != nil {
		if len(words) > 0 {
			r.refuse(path, n.Line, "%s: %s must be %s%s", path, quoted(n.Value), name, meant(n.Value, words))
		} else {
			r.refuse(path, n.Line, "%s: %s must be %s (%v)", path, quoted(n.Value), name, err)
		}
		return false
	}
	return true
}

func (r *report) isMapping(n *yaml.Node, t reflect.Type, path string) bool {
	if n.Kind == yaml.MappingNode {
		return true
	}
	if path == "" {
		r.at(n.Line, "a configuration is a list of keys, each with its value: `federation: listed`")
		return false
	}
	var keys []string
	if t.Kind() == reflect.Struct {
		for _, f := range fields(t) {
			keys = append(keys, f.key)
		}
		r.refuse(path, n.Line, "%s holds keys: %s", path, strings.Join(keys, ", "))
		return false
	}
	name, _ := noun(t.Key())
	r.refuse(path, n.Line, "%s holds keys: each is a %s", path, name)
	return false
}

// quoted shows what the operator wrote, cut to a sane length and without characters that would disturb a terminal.
func quoted(s string) string {
	const longest = 80
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
