package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readDocument reads a data file. Its root is an object; a key that stands twice in an object is a fault, for only one of
// the two could hold.
func readDocument(s source) (map[string]any, error) {
	var value any
	var err error
	switch path.Ext(s.file) {
	case ".json":
		value, err = readJSON(s.text)
	case ".csv":
		value, err = readCSV(s.text)
	default:
		value, err = readYAML(s.text)
	}
	if err != nil {
		fault := Fault{File: s.file, Text: err.Error()}
		var at *placedError
		if errors.As(err, &at) {
			fault.Line, fault.Text = at.line, at.text
		}
		return nil, Faults{fault}
	}
	root, ok := value.(map[string]any)
	if !ok && value != nil {
		return nil, Faults{{File: s.file, Line: 1, Text: "must be an object: its keys become data.<key>"}}
	}
	return root, nil
}

// placedError is an error at a line.
type placedError struct {
	line int
	text string
}

func (e *placedError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

func placed(line int, format string, args ...any) error {
	return &placedError{line, fmt.Sprintf(format, args...)}
}

// readJSON reads one JSON value token by token, because encoding/json lets the last of two equal keys win.
func readJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	line := func() int { return 1 + bytes.Count(text[:d.InputOffset()], []byte("\n")) }
	value, err := jsonValue(d, line, 0)
	if err == nil {
		if _, err := d.Token(); err != io.EOF {
			return nil, placed(line(), "something stands behind the value")
		}
		return value, nil
	}
	var at *placedError
	switch {
	case errors.As(err, &at):
		return nil, err
	case len(bytes.TrimSpace(text)) == 0:
		return nil, placed(1, "is empty; write {}, or take it away")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, placed(line(), "ends in the middle of a value")
	}
	return nil, placed(line(), "is not JSON: %v", err)
}

// maxDepth bounds how deep objects and lists may lie in each other.
const maxDepth = 1000

func jsonValue(d *json.Decoder, line func() int, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, placed(line(), "objects and lists lie in each other more than %d deep", maxDepth)
	}
	switch t {
	case json.Delim('{'):
		return jsonObject(d, line, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := jsonValue(d, line, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}

func jsonObject(d *json.Decoder, line func() int, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string)
		if _, twice := object[key]; twice {
			return nil, placed(line(), "the key %q stands here for the second time", key)
		}
		if object[key], err = jsonValue(d, line, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func readYAML(text []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := d.Decode(&root); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one document")
	}
	return yamlValue(root.Content[0])
}

// yamlError takes the line out of "yaml: line 3: did not find expected key".
func yamlError(err error) error {
	var line int
	text := err.Error()
	if _, scan := fmt.Sscanf(text, "yaml: line %d:", &line); scan != nil {
		return err
	}
	_, text, _ = strings.Cut(strings.TrimPrefix(text, "yaml: "), ": ")
	return placed(line, "%s", text)
}

// yamlValue walks the nodes itself, so that a day stays the text that it is and nothing is merged, repeated or guessed.
func yamlValue(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return yamlObject(n)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := yamlValue(c)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.AliasNode:
		return nil, placed(n.Line, "aliases (*%s) are not taken: write the value out", n.Value)
	}
	return yamlScalar(n)
}

func yamlObject(n *yaml.Node) (any, error) {
	object := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			return nil, placed(k.Line, "a key must be plain text")
		}
		if _, twice := object[k.Value]; twice {
			return nil, placed(k.Line, "the key %q stands here for the second time", k.Value)
		}
		v, err := yamlValue(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		object[k.Value] = v
	}
	return object, nil
}

func yamlScalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int":
		var i int64
		if err := n.Decode(&i); err != nil {
			return nil, placed(n.Line, "%s is too large a number", n.Value)
		}
		return json.Number(strconv.FormatInt(i, 10)), nil
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, placed(n.Line, "%s is not a number that JSON has", n.Value)
		}
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
	case "!!str", "!!timestamp":
		return n.Value, nil
	}
	return nil, placed(n.Line, "the tag %s is not taken", n.Tag)
}
