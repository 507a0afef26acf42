package document

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Read fills v, a pointer to a struct, with the defaults of its tags and then with what text says. The report has all that is wrong;
// file is how the operator knows the text.
func Read(file string, text []byte, v any, nouns Nouns) *Report {
	into := reflect.ValueOf(v).Elem()
	r := newReport(file)
	r.root, r.nouns = into.Type(), nouns
	complete(into)
	tree := r.parse(text)
	r.Unreadable = len(r.faults) > 0
	if !r.Unreadable {
		r.read(tree, into, "", nil)
	}
	return r
}

// complete writes the defaults of a struct and of the structs within it.
func complete(v reflect.Value) {
	for _, f := range Fields(v.Type()) {
		inner := v.FieldByIndex(f.Index)
		switch {
		case inner.Kind() == reflect.Struct && KindOf(f.Type) == Section:
			complete(inner)
		case f.Default != "" && KindOf(f.Type) == Scalar:
			if err := assign(inner, f.Default, f.Words); err != nil {
				panic(fmt.Sprintf("document: default of %s: %v", f.Key, err)) // a mistake in the tags; a test looks at all
			}
		}
	}
}

// read writes what the tree n says into v, whose defaults stand already. The path is where n stands; it is empty for the root.
func (r *Report) read(n *yaml.Node, v reflect.Value, path string, words []string) {
	if n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" && KindOf(v.Type()) != Scalar {
		return // "limits:" with nothing behind it is an empty section
	}
	if v.Kind() == reflect.Pointer && KindOf(v.Type()) != Scalar {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		complete(v)
	}
	switch KindOf(v.Type()) {
	case Section:
		r.readSection(n, v, path)
	case List:
		r.readList(n, v, path)
	case Table:
		r.readTable(n, v, path)
	default:
		r.readScalar(n, v, path, words)
	}
}

func (r *Report) readSection(n *yaml.Node, v reflect.Value, path string) {
	if !r.isMapping(n, v.Type(), path) {
		return
	}
	known := Fields(v.Type())
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, twice := first[key.Value]; twice {
			r.At(key.Line, "%s stands twice, first in line %d", Quoted(Step(path, key.Value)), line)
			continue
		}
		first[key.Value] = key.Line
		f, ok := lookup(known, key)
		if !ok {
			r.At(key.Line, "unknown key %s%s", Quoted(Step(path, key.Value)), r.suggestion(key.Value, path, known))
			continue
		}
		at := Step(path, f.Key)
		r.lines[at] = key.Line
		r.read(value, v.FieldByIndex(f.Index), at, f.Words)
	}
}

func lookup(known []Field, key *yaml.Node) (Field, bool) {
	for _, f := range known {
		if key.Kind == yaml.ScalarNode && f.Key == key.Value {
			return f, true
		}
	}
	return Field{}, false
}

func (r *Report) readList(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		noun := r.nouns.Of(v.Type())
		r.refuse(path, n.Line, "%s must be a %s, such as %s", path, noun.Name, noun.Example)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.lines[at] = item.Line
		element := out.Index(i)
		if element.Kind() == reflect.Struct && KindOf(element.Type()) == Section {
			complete(element)
		}
		r.read(item, element, at, nil)
	}
	v.Set(out)
}

func (r *Report) readTable(n *yaml.Node, v reflect.Value, path string) {
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
			r.At(node.Line, "%s stands twice, first in line %d", at, line)
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
func (r *Report) readScalar(n *yaml.Node, v reflect.Value, path string, words []string) bool {
	noun := r.nouns.Of(v.Type())
	name, example := noun.Name, noun.Example
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
			r.refuse(path, n.Line, "%s: %s must be %s%s", path, Quoted(n.Value), name, Meant(n.Value, words))
		} else {
			r.refuse(path, n.Line, "%s: %s must be %s (%v)", path, Quoted(n.Value), name, err)
		}
		return false
	}
	return true
}

func (r *Report) isMapping(n *yaml.Node, t reflect.Type, path string) bool {
	if n.Kind == yaml.MappingNode {
		return true
	}
	if path == "" {
		r.At(n.Line, "a configuration is a list of keys, each with its value: `federation: listed`")
		return false
	}
	var keys []string
	if t.Kind() == reflect.Struct {
		for _, f := range Fields(t) {
			keys = append(keys, f.Key)
		}
		r.refuse(path, n.Line, "%s holds keys: %s", path, strings.Join(keys, ", "))
		return false
	}
	r.refuse(path, n.Line, "%s holds keys: each is a %s", path, r.nouns.Of(t.Key()).Name)
	return false
}

// Quoted shows what the operator wrote, cut to a sane length and without characters that would disturb a terminal.
func Quoted(s string) string {
	const longest = 80
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
