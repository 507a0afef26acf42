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
