package config

import (
	"encoding"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/resolve"
)

// The engine below reads any tree of structs. A field is a key when its tag `yaml` names it; `yaml:",inline"` takes the keys of an
// embedded struct; `yaml:"-"` and fields without a tag are none. `default` is the value of a key that is left out, written as in the
// file, `oneof` lists the words that are allowed, `doc` says what the key means. A field of type int64 is a size in
// bytes, one of type int or uint32 a number; neither may be negative, nor may a duration.

// field is one key of a struct.
type field struct {
	key   string
	index []int
	typ   reflect.Type
	def   string
	doc   string
	words []string // oneof
}

// fields lists the keys of a struct type, in the order of their declaration.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		switch {
		case !ok || tag == "-":
		case tag == ",inline":
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
		default:
			known := field{key: tag, index: []int{i}, typ: f.Type, def: f.Tag.Get("default"), doc: f.Tag.Get("doc")}
			if words := f.Tag.Get("oneof"); words != "" {
				known.words = strings.Split(words, "|")
			}
			all = append(all, known)
		}
	}
	return all
}

// kind is how the value of a type is written in the file.
type kind uint8

const (
	scalar  kind = iota
	section      // a struct
	list
	table // a map with keys of the operator's
)

// kindOf looks through pointers, which mark what may be absent.
func kindOf(t reflect.Type) kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return scalar
	}
	switch t.Kind() {
	case reflect.Struct:
		return section
	case reflect.Slice:
		return list
	case reflect.Map:
		return table
	}
	return scalar
}

// noun is what a value of a type is called in faults and in the reference, with an example.
func noun(t reflect.Type) (name, example string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration", "30s, 5m or 24h"
	case reflect.TypeFor[netip.AddrPort]():
		return "address:port", "192.0.2.1:5269 or [::]:5269"
	case reflect.TypeFor[netip.Addr]():
		return "address", "192.0.2.1 or 2001:db8::1"
	case reflect.TypeFor[netip.Prefix]():
		return "network", "192.0.2.0/24"
	case reflect.TypeFor[jid.Domain]():
		return "domain", "corp.example"
	case reflect.TypeFor[Pattern]():
		return "domain, *.suffix or default", "partner.example"
	case reflect.TypeFor[Date]():
		return "date", "2027-06-30"
	case reflect.TypeFor[resolve.Server]():
		return "name server", "127.0.0.53:53 or tls://192.0.2.53#dns.example"
	case reflect.TypeFor[Route]():
		return "host:port", "192.0.2.1:5269, xmpp.example:5269 or tls://xmpp.example:5270"
	case reflect.TypeFor[HostPort]():
		return "host:port", "192.0.2.1:5269 or xmpp.example:5269"
	case reflect.TypeFor[Pin]():
		return "pin", "sha256/ and the base64 of 32 bytes"
	}
	switch t.Kind() {
	case reflect.Slice:
		inner, example := noun(t.Elem())
		return "list of " + inner, "[" + example + "]"
	case reflect.Bool:
		return "true or false", "true"
	case reflect.Int64:
		return "size", "512KiB or 64MiB"
	case reflect.Int, reflect.Uint32:
		return "number", "100"
	case reflect.Struct:
		return "section", "key: value"
	case reflect.Map:
		return "table", "key: value"
	}
	return "text", ""
}
