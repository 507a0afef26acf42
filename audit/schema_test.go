package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type object = map[string]any

// schema describes a line for programs (JSON Schema 2020-12): all fields with their types, and for each kind what it must and
// may have.
func schema() []byte {
	root := object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "Event of the Sallyport audit record, version 1",
		"description": "Made from the code (go test ./audit -run IsCurrent -update); do not edit.",
		"type":        "object", "required": strings.Fields(everywhere), "additionalProperties": false,
	}
	properties := object{}
	for _, f := range fields() {
		outer, inner, nested := strings.Cut(f.path, ".")
		switch {
		case f.isObject():
			properties[outer] = object{"type": "object", "description": f.doc, "additionalProperties": false, "minProperties": 1, "properties": object{}}
		case nested:
			properties[outer].(object)["properties"].(object)[inner] = f.schema()
		default:
			properties[outer] = f.schema()
		}
	}
	var names []string
	var kindRules []any
	for k := Kind(1); k < kindEnd; k++ {
		names = append(names, k.String())
		kindRules = append(kindRules, object{"if": object{"properties": object{"kind": object{"const": k.String()}}}, "then": ruleFor(k.info())})
	}
	properties["kind"].(object)["enum"] = names
	properties["v"].(object)["const"] = version
	root["properties"], root["allOf"] = properties, kindRules
	text, err := json.MarshalIndent(root, "", " ")
	if err != nil {
		panic(err)
	}
	return append(text, '\n')
}

func (f field) schema() object {
	s := object{"description": f.doc}
	switch f.typeName() {
	case "time":
		s["type"], s["pattern"] = "string", `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$`
	case "id":
		s["type"], s["pattern"] = "string", `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`
	case "ranges":
		s["type"], s["items"] = "array", object{"type": "array", "minItems": 2, "maxItems": 2, "items": object{"type": "integer", "minimum": 1}}
	case "strings":
		s["type"], s["items"] = "array", object{"type": "string"}
	case "string":
		s["type"] = "string"
	case "true":
		s["const"] = true
	default:
		s["type"], s["minimum"] = "integer", 0
	}
	return s
}

// ruleFor says which fields a kind must have, and which others it may have.
func ruleFor(info *kindInfo) object {
	must, mustInner := split(info.must)
	all, allInner := split(everywhere + " " + anywhere + " " + info.must + " " + info.may)
	rule := object{"propertyNames": object{"enum": all}}
	if len(must) > 0 {
		rule["required"] = must
	}
	inner := object{}
	for outer, names := range allInner {
		o := object{"propertyNames": object{"enum": names}}
		if len(mustInner[outer]) > 0 {
			o["required"] = mustInner[outer]
		}
		inner[outer] = o
	}
	if len(inner) > 0 {
		rule["properties"] = inner
	}
	return rule
}

// split sorts paths into names, and names within objects.
func split(paths string) (outer []string, inner map[string][]string) {
	inner = map[string][]string{}
	for _, p := range strings.Fields(paths) {
		o, i, nested := strings.Cut(p, ".")
		if !slices.Contains(outer, o) {
			outer = append(outer, o)
		}
		if nested && !slices.Contains(inner[o], i) {
			inner[o] = append(inner[o], i)
		}
	}
	return outer, inner
}

func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	golden(t, "schema/event.json", schema())
}

// TestSchemaHoldsExamples reads the schema file as somebody else's program would, and holds every kind's example against it; then
// spoils each example in ways that the schema must object to.
func TestSchemaHoldsExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("schema/event.json")
	if err != nil {
		t.Fatal(err)
	}
	var s object
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples() {
		read := func() object {
			var v object
			dec := json.NewDecoder(strings.NewReader(line(e)))
			dec.UseNumber()
			if err := dec.Decode(&v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		if faults := validate(s, read(), "event"); len(faults) > 0 {
			t.Errorf("%s: %v", e.Kind, faults)
		}
		must, _ := split(everywhere + " " + e.Kind.info().must)
		for _, name := range must {
			v := read()
			delete(v, name)
			if len(validate(s, v, "event")) == 0 {
				t.Errorf("%s passes without %s", e.Kind, name)
			}
		}
		for name, value := range (object{"colour": "red", "seq": "7", "time": "yesterday", "id": "x", "kind": "gossip", "outcome": json.Number("7")}) {
			v := read()
			v[name] = value
			if len(validate(s, v, "event")) == 0 {
				t.Errorf("%s passes with %s=%v", e.Kind, name, value)
			}
		}
	}
}

// validate checks v against the part of JSON Schema that our schema uses; a keyword it does not know is a fault.
func validate(s object, v any, at string) (faults []string) {
	say := func(format string, args ...any) { faults = append(faults, at+": "+fmt.Sprintf(format, args...)) }
	members, isObject := v.(object)
	items, isArray := v.([]any)
	for keyword, arg := range s {
		switch keyword {
		case "$schema", "title", "description", "properties", "then":
		case "type":
			if got := typeOf(v); got != arg {
				say("is of type %s, want %s", got, arg)
			}
		case "const":
			if !reflect.DeepEqual(plainValue(v), arg) {
				say("is %v, want %v", v, arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				say("%v is none of %v", v, arg)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				say("%q is not of the form %s", text, arg)
			}
		case "minimum":
			if n, ok := plainValue(v).(float64); ok && n < arg.(float64) {
				say("%v is less than %v", n, arg)
			}
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := members[name.(string)]; isObject && !ok {
					say("has no %s", name)
				}
			}
		case "minProperties":
			if isObject && float64(len(members)) < arg.(float64) {
				say("has %d members", len(members))
			}
		case "minItems", "maxItems":
			if isArray && (keyword == "minItems") == (float64(len(items)) < arg.(float64)) && float64(len(items)) != arg.(float64) {
				say("has %d items", len(items))
			}
		case "items":
			for i, item := range items {
				faults = append(faults, validate(arg.(object), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "propertyNames":
			for name := range members {
				faults = append(faults, validate(arg.(object), name, at+" member "+name)...)
			}
		case "additionalProperties":
			for name := range members {
				if _, ok := s["properties"].(object)[name]; !ok && arg == false {
					say("has %s", name)
				}
			}
		case "allOf":
			for _, sub := range arg.([]any) {
				faults = append(faults, validate(sub.(object), v, at)...)
			}
		case "if":
			if len(validate(arg.(object), v, at)) == 0 {
				faults = append(faults, validate(s["then"].(object), v, at)...)
			}
		default:
			say("the schema has the keyword %s, which this test does not know", keyword)
		}
	}
	if properties, ok := s["properties"].(object); ok {
		for name, sub := range properties {
			if member, ok := members[name]; ok {
				faults = append(faults, validate(sub.(object), member, at+"."+name)...)
			}
		}
	}
	return faults
}

func plainValue(v any) any {
	if n, ok := v.(json.Number); ok {
		f, err := n.Float64()
		if err != nil {
			return v
		}
		return f
	}
	return v
}

func typeOf(v any) string {
	switch v := v.(type) {
	case object:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if bytes.ContainsAny([]byte(v), ".eE") {
			return "number"
		}
		return "integer"
	}
	return "null"
}
