package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// readJSON reads one JSON value. A key that stands twice in an object is an error, for encoding/json would let the last of the two win.
func readJSON(text []byte) (any, error) {
	if json.Valid(text) {
		w := &jsonWalk{text: text, words: string(text)}
		value, err := w.value(0)
		return value, err
	}
	return tokens(text)
}

// jsonWalk goes through valid JSON. A directory of a hundred thousand people is read with each reload, so that texts are parts of one string and
// objects with nothing in them are one.
type jsonWalk struct {
	text  []byte
	words string // the same
	at    int
}

// nothing is never written to.
var nothing = map[string]any{}

func (w *jsonWalk) line() int { return 1 + bytes.Count(w.text[:w.at], []byte("\n")) }

// next gives the first byte behind the white space.
func (w *jsonWalk) next() byte {
	for ; ; w.at++ {
		switch b := w.text[w.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
}

func (w *jsonWalk) value(depth int) (any, error) {
	b := w.next()
	if depth > maxDepth {
		return nil, placed(w.line(), "objects and lists lie in each other more than %d deep", maxDepth)
	}
	switch b {
	case '{':
		w.at++
		return w.object(depth)
	case '[':
		w.at++
		return w.list(depth)
	case '"':
		return w.string()
	case 't':
		w.at += len("true")
		return true, nil
	case 'f':
		w.at += len("false")
		return false, nil
	case 'n':
		w.at += len("null")
		return nil, nil
	}
	from := w.at
	for w.at < len(w.text) && strings.IndexByte("+-.0123456789Ee", w.text[w.at]) >= 0 {
		w.at++
	}
	return json.Number(w.words[from:w.at]), nil
}

func (w *jsonWalk) list(depth int) (any, error) {
	list := []any{}
	for w.next() != ']' {
		if w.text[w.at] == ',' {
			w.at++
		}
		v, err := w.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	w.at++
	return list, nil
}

func (w *jsonWalk) object(depth int) (any, error) {
	if w.next() == '}' {
		w.at++
		return nothing, nil
	}
	object := map[string]any{}
	for w.next() != '}' {
		if w.text[w.at] == ',' {
			w.at++
			w.next()
		}
		key, err := w.string()
		if err != nil {
			return nil, err
		}
		before := len(object)
		object[key] = nil
		if len(object) == before {
			return nil, placed(w.line(), "the key %q stands here for the second time", key)
		}
		w.next()
		w.at++ // the colon
		if object[key], err = w.value(depth + 1); err != nil {
			return nil, err
		}
	}
	w.at++
	return object, nil
}

func (w *jsonWalk) string() (s string, err error) {
	from, plain := w.at, true
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			w.at++
			plain = false
		}
	}
	w.at++
	if s = w.words[from+1 : w.at-1]; plain && utf8.ValidString(s) {
		return s, nil
	}
	err = json.Unmarshal(w.text[from:w.at], &s)
	return s, err
}

// tokens reads what is not valid, to say where and why.
func tokens(text []byte) (any, error) {
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
