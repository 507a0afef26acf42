package config

import (
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/document"
)

// Changed lists the keys whose values differ between two configurations, in the order of the reference. Of lists and tables, such as
// backends and peers, it names the whole.
func Changed(old, now *Config) []string {
	return changed(reflect.ValueOf(*old), reflect.ValueOf(*now), "", nil)
}

func changed(old, now reflect.Value, path string, found []string) []string {
	for _, f := range document.Fields(old.Type()) {
		at, was, is := document.Step(path, f.Key), old.FieldByIndex(f.Index), now.FieldByIndex(f.Index)
		switch {
		case document.KindOf(f.Type) == document.Section && f.Type.Kind() == reflect.Struct:
			found = changed(was, is, at, found)
		case !reflect.DeepEqual(was.Interface(), is.Interface()):
			found = append(found, at)
		}
	}
	return found
}

// reloadable are the keys, and the sections with all their keys, that a running gate takes anew. All others stand until it is started
// again: sockets are open, the record's file is, and so on.
func reloadable() []string {
	return []string{"backends", "federation", "peers", "policy.mode", "certs.files", "certs.roots", "certs.system_roots", "certs.acme", "outside.posh",
		"ratchet.mode", "ratchet.learn", "ratchet.observe", "ratchet.domains", "limits", "log.level"}
}

// Reloadable reports whether a running gate can take a new value of a key.
func Reloadable(path string) bool {
	if path == "limits.pending" { // the slots are counted out at start
		return false
	}
	return slices.ContainsFunc(reloadable(), func(key string) bool { return path == key || strings.HasPrefix(path, key+".") })
}
