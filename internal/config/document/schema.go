package document

import (
	"encoding"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Field is one key of a struct.
type Field struct {
	Key     string
	Index   []int
	Type    reflect.Type
	Default string
	Doc     string
	Words   []string // oneof
}

// Fields lists the keys of a struct type, in the order of their declaration.
func Fields(t reflect.Type) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		switch {
		case !ok || tag == "-":
		case tag == ",inline":
			for _, inner := range Fields(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				all = append(all, inner)
			}
		default:
			known := Field{Key: tag, Index: []int{i}, Type: f.Type, Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc")}
			if words := f.Tag.Get("oneof"); words != "" {
				known.Words = strings.Split(words, "|")
			}
			all = append(all, known)
		}
	}
	return all
}

// Kind is how the value of a type is written in the file.
type Kind uint8

// The kinds of values.
const (
	Scalar  Kind = iota
	Section      // a struct
	List
	Table // a map with keys of the operator's
)

// KindOf looks through pointers, which mark what may be absent.
func KindOf(t reflect.Type) Kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return Scalar
	}
	switch t.Kind() {
	case reflect.Struct:
		return Section
	case reflect.Slice:
		return List
	case reflect.Map:
		return Table
	}
	return Scalar
}

// Noun is what a value of a type is called in faults and in the reference, with examples.
type Noun struct{ Name, Example string }

// Nouns are those of types that this package does not know.
type Nouns map[reflect.Type]Noun

// Of finds the noun of a type.
func (n Nouns) Of(t reflect.Type) Noun {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if known, ok := n[t]; ok {
		return known
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return Noun{"duration", "30s, 5m or 24h"}
	case reflect.TypeFor[netip.AddrPort]():
		return Noun{"address:port", "192.0.2.1:5269 or [::]:5269"}
	case reflect.TypeFor[netip.Addr]():
		return Noun{"address", "192.0.2.1 or 2001:db8::1"}
	case reflect.TypeFor[netip.Prefix]():
		return Noun{"network", "192.0.2.0/24"}
	}
	switch t.Kind() {
	case reflect.Slice:
		inner := n.Of(t.Elem())
		return Noun{"list of " + inner.Name, "[" + inner.Example + "]"}
	case reflect.Bool:
		return Noun{"true or false", "true"}
	case reflect.Int64:
		return Noun{"size", "512KiB or 64MiB"}
	case reflect.Int, reflect.Uint32:
		return Noun{"number", "100"}
	case reflect.Struct:
		return Noun{"section", "key: value"}
	case reflect.Map:
		return Noun{"table", "key: value"}
	}
	return Noun{"text", ""}
}
