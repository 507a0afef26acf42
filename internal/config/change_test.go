package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/config/document"
)

// paths are all keys of a section and of those within it.
func paths(t reflect.Type, path string) (all []string) {
	for _, f := range document.Fields(t) {
		at := document.Step(path, f.Key)
		all = append(all, at)
		if document.KindOf(f.Type) == document.Section && f.Type.Kind() == reflect.Struct {
			all = append(all, paths(f.Type, at)...)
		}
	}
	return all
}

func TestChanged(t *testing.T) {
	t.Parallel()
	old := mustParse(t, least)
	for text, want := range map[string][]string{
		"":                                  nil,
		"federation: open\n":                {"federation"},
		"log: {level: debug, format: json}": {"log.level", "log.format"},
		"limits: {idle: 10m}\npeers: {a.example: {}}\naudit: {node: n, segment_age: 1h}\noutside: {listen: [127.0.3.1:5269], dns_timeout: 3s}\n": {
			"outside.dns_timeout", "peers", "audit.node", "audit.segment_age", "limits.idle"},
	} {
		whole := least + text
		if strings.Contains(text, "outside:") { // in place of the one that is there
			whole = strings.Replace(whole, "outside: {listen: [127.0.3.1:5269]}\n", "", 1)
		}
		if got := Changed(old, mustParse(t, whole)); !slices.Equal(got, want) {
			t.Errorf("%q changes %v, want %v", text, got, want)
		}
	}
}

// Whatever a reload does not say it takes, it refuses: a key that is new to the program too.
func TestReloadableIsNamed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"peers": true, "backends": true, "policy.mode": true, "policy.dir": false, "limits.idle": true, "log.level": true, "certs.files": true,
		"limits.pending": false, "log.format": false, "log": false, "certs.store": false, "audit.node": false, "outside.listen": false, "inside.dns_ttl": false, "peersx": false, "": false,
	} {
		if Reloadable(path) != want {
			t.Errorf("%s is reloadable: %v", path, !want)
		}
	}
	// Each key that is named there exists.
	known := paths(reflect.TypeFor[Config](), "")
	for _, key := range reloadable() {
		if !slices.Contains(known, key) {
			t.Errorf("there is no key %s", key)
		}
	}
}
