package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Data is what the configuration contributes to the data documents, for example
//
//	{"federation": "listed", "peers": {"partner.example": {"proof": "pkix"}}}
//
// Values are those of encoding/json; a time.Time becomes the day, or the moment, that it says.
type Data map[string]any

// configuration is where Data comes from, for whoever has to mend it.
const configuration = "the configuration"

// document is one data file, or the configuration, as values of encoding/json with numbers as json.Number.
type document struct {
	origin string
	root   map[string]any
}

// mergeData reads the files and merges them with the configuration. Objects are merged key by key. A key that has a value
// in two places is a fault: neither wins.
func mergeData(c Data, files []source) (map[string]any, error) {
	root, err := plainObject(c)
	if err != nil {
		return nil, Faults{{Text: fmt.Sprintf("data of %s: %v", configuration, err)}}
	}
	docs := []document{{configuration, root}}
	var faults []error
	for _, f := range files {
		root, err := readDocument(f)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		docs = append(docs, document{f.file, root})
	}
	m := merger{}
	merged := m.own(nil)
	for i, d := range docs {
		for _, path := range m.merge(merged, d.root, nil) {
			faults = append(faults, Faults{{File: d.origin, Text: fmt.Sprintf("data.%s is given by %s too", dotted(path), giver(docs[:i], path))}})
		}
	}
	return merged, join(faults...)
}

// merger keeps in mind which objects it has made itself. It copies the others before it adds to them, so that the document that they came from
// stays as it was.
type merger map[uintptr]bool

// own gives an object to add to.
func (m merger) own(object map[string]any) map[string]any {
	if m[reflect.ValueOf(object).Pointer()] {
		return object
	}
	copied := make(map[string]any, len(object))
	maps.Copy(copied, object)
	m[reflect.ValueOf(copied).Pointer()] = true
	return copied
}

// merge adds src to dst and returns the paths at which both have a value.
func (m merger) merge(dst, src map[string]any, at []string) (conflicts [][]string) {
	for _, key := range slices.Sorted(maps.Keys(src)) {
		value := src[key]
		had, twice := dst[key]
		if !twice {
			dst[key] = value
			continue
		}
		path := append(slices.Clone(at), key)
		d, ok1 := had.(map[string]any)
		s, ok2 := value.(map[string]any)
		if !ok1 || !ok2 {
			conflicts = append(conflicts, path)
			continue
		}
		d = m.own(d)
		dst[key] = d
		conflicts = append(conflicts, m.merge(d, s, path)...)
	}
	return conflicts
}

// giver is the first document that has something at a path.
func giver(docs []document, path []string) string {
	for _, d := range docs {
		at, has := d.root, false
		for _, key := range path {
			var value any
			value, has = at[key]
			at, _ = value.(map[string]any)
		}
		if has {
			return d.origin
		}
	}
	return configuration
}

// dotted writes a path as Rego would: peers["partner.example"].proof.
func dotted(path []string) string {
	s := path[0]
	for _, key := range path[1:] {
		if name(key) {
			s += "." + key
		} else {
			s += fmt.Sprintf("[%q]", key)
		}
	}
	return s
}

func name(key string) bool {
	for _, r := range key {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' {
			return false
		}
	}
	return key != ""
}

func plainObject(d Data) (map[string]any, error) {
	root := make(map[string]any, len(d))
	for key, value := range d {
		v, err := plain(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		root[key] = v
	}
	return root, nil
}

// plain makes one of Go's values one of JSON's.
func plain(value any) (any, error) {
	switch v := value.(type) {
	case nil, bool, string, json.Number:
		return v, nil
	case time.Time:
		return moment(v), nil
	case map[string]any:
		return plainObject(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return readJSON(text)
}

// moment writes midnight in UTC as a day, for that is what a YAML reader makes of a day.
func moment(t time.Time) string {
	t = t.UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format("2006-01-02T15:04:05Z")
}
