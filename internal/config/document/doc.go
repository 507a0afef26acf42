// Package document reads a YAML text into a tree of structs, with every fault at its line.
//
// A field is a key when its tag `yaml` names it; `yaml:",inline"` takes the keys of an embedded struct; `yaml:"-"` and fields
// without a tag are none. `default` is the value of a key that is left out, written as in the text, `oneof` lists the words that are
// allowed, `doc` says what the key means. A field of type int64 is a size in bytes, one of type int or uint32 a number; neither
// may be negative, nor may a duration. Types that are written in a way of their own implement encoding.TextUnmarshaler.
//
// What a configuration has no use for is refused: unknown keys, keys that stand twice, anchors and aliases, explicit types, several
// documents, control characters, and a text that is too large or too deep. All faults are told at once.
//
// It knows nothing of what it reads, and so can be fuzzed without the rest of the house.
package document
