package house_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/config"
)

// abusePage is docs/abuse.md by its rows: the cells of each.
func abusePage(t *testing.T) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/abuse.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 3 && !strings.HasPrefix(cells[1], "-") {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells[1:len(cells)-1])
		}
	}
	return rows
}

// cases of a test are what its source names by string literals.
type testFunc struct{ literals map[string]bool }

// tests finds all test functions, by package and name.
func tests(t *testing.T) map[string]testFunc {
	t.Helper()
	found := map[string]testFunc{}
	literals := map[string]map[string]bool{} // by package
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		if literals[s.pkg] == nil {
			literals[s.pkg] = map[string]bool{}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && (strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz")) {
					found[s.pkg+"."+n.Name.Name] = testFunc{literals[s.pkg]}
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil {
					literals[s.pkg][text] = true
				}
			}
			return true
		})
	}
	return found
}

var quoted = regexp.MustCompile("(?:\\b([a-z]+): )?`([^`]+)`")

// TestAbusePage: docs/abuse.md lists each item of the list of flaws, 1 to 42, and each limit with its default; every test that it names
// exists.
func TestAbusePage(t *testing.T) {
	t.Parallel()
	known := tests(t)
	rooms := map[string]string{"": "proxy", "stream": "internal/stream", "stanza": "internal/stanza", "resolve": "internal/resolve", "dialback": "dialback", "certs": "certs", "jid": "internal/jid"}
	item, limits := 0, map[string]string{}
	for _, row := range abusePage(t) {
		shown := row[len(row)-1]
		if shown == "shown by" {
			continue
		}
		names := quoted.FindAllStringSubmatch(shown, -1)
		if len(names) == 0 {
			t.Errorf("no test shows %q", row[0])
		}
		for _, n := range names {
			room, ok := rooms[n[1]]
			name, sub, _ := strings.Cut(n[2], "/")
			test, exists := known[room+"."+name]
			switch {
			case !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz"):
				if _, err := os.Stat(filepath.Join(root, "proxy/testdata/conversations", name+".txt")); err != nil {
					t.Errorf("%s: there is no conversation %s", row[0], name)
				}
			case !ok || !exists:
				t.Errorf("%s: there is no test %s in %s", row[0], name, room)
			case sub != "" && !test.literals[sub]:
				t.Errorf("%s: %s has no case %q", row[0], name, sub)
			}
		}
		if n, err := strconv.Atoi(row[0]); err == nil {
			if item++; n != item {
				t.Errorf("item %d stands where %d is due", n, item)
			}
		}
		if key := strings.Trim(row[0], "`"); key != row[0] {
			limits[key] = strings.Trim(row[1], "`")
		}
	}
	if item != 42 {
		t.Errorf("%d items are listed, want 42", item)
	}
	for field := range reflect.TypeFor[config.Limits]().Fields() {
		key, want := field.Tag.Get("yaml"), field.Tag.Get("default")
		if got, ok := limits[key]; !ok || got != want {
			t.Errorf("limits.%s is listed as %q, its default is %q", key, got, want)
		}
		delete(limits, key)
	}
	for _, key := range []string{"dns_timeout", "dial_timeout", "dns_cache"} {
		if _, ok := limits[key]; !ok {
			t.Errorf("outside.%s is not listed", key)
		}
		delete(limits, key)
	}
	for key := range limits {
		t.Errorf("there is no limit %s", key)
	}
}
