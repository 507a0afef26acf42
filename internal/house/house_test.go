package house_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// mayImport is the floor plan: for each package of ours, the packages of ours that it may import. Tests may import
// internal/xmpptest and internal/peer besides.
var mayImport = map[string][]string{
	"proxy":                       {"policy", "audit", "certs", "dialback", "internal/contacts", "internal/content", "internal/jid", "internal/ratchet", "internal/stanza", "internal/stream", "internal/transform", "internal/resolve"},
	"policy":                      {"internal/jid"},
	"audit":                       {"internal/shamir"},
	"internal/shamir":             {},
	"audit/sink":                  {"audit"},
	"certs":                       {},
	"dialback":                    {},
	"internal/jid":                {},
	"internal/stanza":             {"internal/jid"},
	"internal/content":            {"internal/jid", "internal/stanza"},
	"internal/transform":          {"internal/content", "internal/stanza"},
	"internal/stream":             {"internal/jid", "internal/stanza"},
	"internal/resolve":            {"internal/jid"},
	"internal/ratchet":            {},
	"internal/contacts":           {},
	"internal/directory":          {"policy", "internal/jid"},
	"internal/config":             {"internal/config/document", "internal/directory", "proxy", "policy", "audit", "audit/sink", "certs", "dialback", "internal/contacts", "internal/jid", "internal/ratchet", "internal/resolve", "internal/telemetry"},
	"internal/config/document":    {},
	"internal/probe":              {"policy", "certs", "dialback", "internal/jid", "internal/ratchet", "internal/stanza", "internal/stream", "internal/resolve"},
	"internal/telemetry":          {},
	"internal/console":            {"proxy", "policy", "audit", "certs", "internal/jid", "internal/ratchet"},
	"internal/house":              {},
	"internal/peer":               {},
	"internal/demo":               {"internal/peer"},
	"internal/crash":              {"audit", "internal/peer"},
	"internal/load":               {"internal/peer"},
	"internal/load/bench":         {"internal/load", "internal/peer"},
	"internal/xmpptest":           {"internal/peer"},
	"internal/xmpptest/lab":       {"internal/peer", "internal/xmpptest"},
	"internal/xmpptest/receivers": {},
	"internal/xmpptest/slapd":     {"internal/peer"},
	"examples":                    {},
	"cmd/sallyport":               {"*"},
}

// guests are heavy dependencies with one room each.
var guests = map[string][]string{
	"github.com/open-policy-agent/opa":    {"policy"},
	"github.com/miekg/dns":                {"internal/resolve", "internal/xmpptest", "internal/peer", "certs"},
	"go.opentelemetry.io/otel/sdk":        {"internal/telemetry", "audit/sink"},
	"go.opentelemetry.io/otel/exporters":  {"internal/telemetry", "audit/sink"},
	"github.com/jackc/pgx":                {"audit/sink"},
	"github.com/nats-io/nats.go":          {"audit/sink", "internal/xmpptest"},
	"github.com/prometheus/client_golang": {"internal/telemetry"},
	"golang.org/x/crypto/acme":            {"certs"},
	"go.yaml.in/yaml":                     {"internal/config", "policy"},
	"github.com/spf13/cobra":              {"cmd/sallyport"},
	"github.com/go-ldap/ldap":             {"internal/directory", "internal/xmpptest/slapd"},
}

type source struct {
	pkg, path string
	test      bool
	file      *ast.File
	fset      *token.FileSet
	text      string
}

// sources parses every Go file of the project. It reads the files themselves: a test that ran the go command would be cached.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, filepath.Dir(path))
		all = append(all, source{pkg: filepath.ToSlash(rel), path: path, test: strings.HasSuffix(path, "_test.go"), file: file, fset: fset, text: string(text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d sources found: the rules would hold of nothing", len(all))
	}
	return all
}

func TestFloorPlan(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		allowed, known := mayImport[s.pkg]
		if !known && !s.test {
			t.Errorf("%s: package %s has no place in the floor plan (DESIGN §1)", s.path, s.pkg)
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			checkGuest(t, s, path)
			ours, ok := strings.CutPrefix(path, "sallyport/")
			if !ok || s.test || slices.Contains(allowed, "*") || ours == s.pkg {
				continue
			}
			if !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which %s may not", s.path, path, s.pkg)
			}
		}
	}
}

// TestRoomsAreDescribed: each package has a line in docs/architecture.md, its own or that of a folder above.
func TestRoomsAreDescribed(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/architecture.md")
	for pkg := range mayImport {
		described := false
		for room := pkg; room != "." && !described; room = filepath.Dir(room) {
			described = strings.Contains(page, "`"+room+"`")
		}
		if !described {
			t.Errorf("docs/architecture.md does not say what %s is responsible for", pkg)
		}
	}
}

// TestDependenciesHaveTheirRooms: docs/dependencies.md lists each direct dependency, with the packages of the program that use it.
func TestDependenciesHaveTheirRooms(t *testing.T) {
	t.Parallel()
	rooms, used := map[string]string{}, map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+\.\S+?)(?:,? [^|]*)? \| ([^|]+) \|`).FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		rooms[row[1]] = row[2]
	}
	direct, _, _ := strings.Cut(read(t, "go.mod"), "\n)\n")
	for _, line := range regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(direct, -1) {
		if module(rooms, line[1]) == "" {
			t.Errorf("docs/dependencies.md has no line for %s", line[1])
		}
	}
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			name := module(rooms, path)
			if s.test || name == "" || notLinked(s.pkg) {
				continue
			}
			room := "`" + s.pkg + "`"
			used[name+room] = true
			if !strings.Contains(rooms[name], room) {
				t.Errorf("%s imports %s, and docs/dependencies.md does not say so of %s", s.path, path, s.pkg)
			}
		}
	}
	for name, row := range rooms {
		for _, room := range regexp.MustCompile("`[^`]+`").FindAllString(row, -1) {
			if !used[name+room] && !notLinked(strings.Trim(room, "`")) {
				t.Errorf("docs/dependencies.md gives %s to %s, which does not use it", name, room)
			}
		}
	}
}

// notLinked says whether a package serves tests and measurements alone.
func notLinked(pkg string) bool {
	return strings.HasPrefix(pkg, "internal/xmpptest") || strings.HasPrefix(pkg, "internal/load")
}

// module is the longest of some module paths that is a prefix of path; empty for none.
func module(rooms map[string]string, path string) (name string) {
	for m := range rooms {
		if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(name) {
			name = m
		}
	}
	return name
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checkGuest(t *testing.T, s source, path string) {
	t.Helper()
	for guest, rooms := range guests {
		if s.test || !(path == guest || strings.HasPrefix(path, guest+"/")) {
			continue
		}
		if !slices.ContainsFunc(rooms, func(r string) bool { return s.pkg == r || strings.HasPrefix(s.pkg, r+"/") }) {
			t.Errorf("%s imports %s, whose room is %v", s.path, path, rooms)
		}
	}
	if path == "encoding/xml" && !s.test && !strings.HasPrefix(s.pkg, "internal/peer") && !strings.HasPrefix(s.pkg, "internal/xmpptest") && !strings.HasPrefix(s.pkg, "internal/load") {
		t.Errorf("%s imports encoding/xml, which neither reads nor writes our wire (DESIGN §2)", s.path)
	}
	if path == "math/rand" || path == "math/rand/v2" {
		if !s.test {
			t.Errorf("%s imports %s: randomness is crypto/rand's", s.path, path)
		}
	}
}

func TestEachPackageTeachesOnce(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if _, ok := docs[s.pkg]; !ok {
			docs[s.pkg] = nil
		}
		if s.file.Doc != nil {
			docs[s.pkg] = append(docs[s.pkg], s.path)
		}
	}
	for pkg, files := range docs {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, want one: %v", pkg, len(files), files)
		}
	}
}

func TestTrustHasOneCallSite(t *testing.T) {
	t.Parallel()
	var calls []string
	for _, s := range sources(t) {
		if s.test || s.pkg == "internal/stream" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Trust" {
				calls = append(calls, s.fset.Position(sel.Pos()).String())
			}
			return true
		})
	}
	if len(calls) != 1 || !strings.Contains(calls[0], "proxy/authenticate.go") {
		t.Errorf("a stream becomes trusted in %v; proxy/authenticate.go alone may do that", calls)
	}
}

func TestOnlyMainExits(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test || s.path == filepath.Join(root, "cmd/sallyport/main.go") || s.file.Name.Name == "main" && s.pkg != "cmd/sallyport" {
			continue
		}
		if strings.Contains(s.text, "os.Exit(") || strings.Contains(s.text, "log.Fatal") {
			t.Errorf("%s ends the process; errors travel up to main", s.path)
		}
	}
}

// citation finds what looks like a reference to a standard's section; spelled holds those in the one spelling.
var (
	citation = regexp.MustCompile(`\b(RFC ?\d{4}|XEP-\d{4})[ ,]*(§|section|sec\.|Section)+ *[\d.]+`)
	spelled  = regexp.MustCompile(`^(RFC \d{4}|XEP-\d{4}) §[A-Z\d][\d.]*$`)
)

func TestCitationsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, c := range citation.FindAllString(s.text, -1) {
			if !spelled.MatchString(strings.TrimRight(c, ".")) {
				t.Errorf("%s cites %q; write it as RFC 6120 §4.9.3.9 or XEP-0220 §2.1.1", s.path, c)
			}
		}
	}
}

// TestPagesAreReachable: links lead from README.md to each page of docs, and none leads nowhere.
func TestPagesAreReachable(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+\.md)(?:#[^)]*)?\)`)
	seen := map[string]bool{"README.md": true}
	for todo := []string{"README.md"}; len(todo) > 0; todo = todo[1:] {
		for _, m := range link.FindAllStringSubmatch(read(t, todo[0]), -1) {
			if page := filepath.Join(filepath.Dir(todo[0]), m[1]); !seen[page] {
				seen[page] = true
				todo = append(todo, page)
			}
		}
	}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d os.DirEntry, err error) error {
		page, relErr := filepath.Rel(root, path)
		if err == nil && filepath.Ext(path) == ".md" && !seen[page] {
			t.Errorf("no link leads from README.md to %s", page)
		}
		return errors.Join(err, relErr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMainIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "cmd/sallyport/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 40 {
		t.Errorf("cmd/sallyport/main.go has %d lines, want 40 at the most", n)
	}
}

// TestMakefile: `make help` has a line for each target, and each package with a fuzz target is fuzzed.
func TestMakefile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^([a-z0-9-]+):(.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(targets) < 8 {
		t.Fatalf("only %d targets found", len(targets))
	}
	for _, target := range targets {
		if !strings.Contains(target[2], "## ") {
			t.Errorf("target %s has no line for `make help`", target[1])
		}
	}
	for _, s := range sources(t) {
		if s.test && strings.Contains(s.text, "\nfunc Fuzz") && !regexp.MustCompile(`(?m)^(SHORT)?FUZZ +:=.* \./`+s.pkg+`( |$)`).Match(text) {
			t.Errorf("%s has a fuzz target, and `make fuzz` does not know it", s.path)
		}
	}
}
