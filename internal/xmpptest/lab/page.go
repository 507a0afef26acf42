package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Kind is a server that can stand behind the gate.
type Kind string

// The servers that docs/backends has a page for.
const (
	Jabberd2 Kind = "jabberd2"
	Prosody  Kind = "prosody"
	Ejabberd Kind = "ejabberd"
)

// Kinds returns all of them, the legacy one first.
func Kinds() []Kind { return []Kind{Jabberd2, Prosody, Ejabberd} }

// The addresses that the pages use: backend and gate on one machine. The laboratory puts its own in their place.
const (
	pageBackend = "127.0.1.1"
	pageGate    = "127.0.2.1"
)

// page is docs/backends/KIND.md as a machine reads it: what a user is told to put into which file. A block of the page
// that is meant for a file has a comment with the file's name on the line before it:
//
//	<!-- lab: /etc/prosody/conf.d/sallyport.cfg.lua -->
//	```lua
//	…
//	```
//
// A block in the language diff is a patch to the file, any other is the whole file. A block that is marked with the name of a variant
// in place of "lab" stands in for all blocks that are meant for its file, where the variant is asked for.
type page struct {
	kind    Kind
	files   map[string]string
	patches map[string]string
}

var fence = regexp.MustCompile("(?ms)^(?:<!-- ([a-z]+): (\\S+) -->\n)?```([a-z0-9]*)\n(.*?)^```$")

// Certificate is the variant in which gate and backend prove themselves by certificates.
const Certificate = "certificate"

// readPage reads the page of kind, in the variant if it is not empty, with the laboratory's addresses.
func readPage(t testing.TB, kind Kind, variant string, backend, gate netip.Addr) *page {
	t.Helper()
	p := &page{kind: kind, files: make(map[string]string), patches: make(map[string]string)}
	address := strings.NewReplacer(pageBackend, backend.String(), pageGate, gate.String(),
		strings.ReplaceAll(pageBackend, ".", ","), strings.ReplaceAll(backend.String(), ".", ","),
		strings.ReplaceAll(pageGate, ".", ","), strings.ReplaceAll(gate.String(), ".", ","))
	path := pagePath(t, kind)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replaced := make(map[string]bool)
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		mark, file, language, block := m[1], m[2], m[3], address.Replace(m[4])
		switch {
		case mark == "shown", mark == Certificate && variant != mark: // not to be put anywhere
		case mark == Certificate:
			replaced[file] = true
			delete(p.patches, file)
			delete(p.files, file)
			if language == "diff" {
				p.patches[file] = block
			} else {
				p.files[file] = block
			}
		case mark == "lab" && replaced[file]:
		case mark != "lab":
			t.Fatalf("%s: this block is marked neither as a file nor as shown only:\n%s", path, block)
		case p.files[file] != "" || p.patches[file] != "":
			t.Fatalf("%s: two blocks for %s", path, file)
		case language == "diff":
			p.patches[file] = block
		default:
			p.files[file] = block
		}
	}
	return p
}

func pagePath(t testing.TB, kind Kind) string {
	t.Helper()
	return filepath.Join(moduleRoot(t), "docs/backends", string(kind)+".md")
}

// apply makes the page's changes to the files below prefix, which are copied at dir.
func (l *Lab) apply(p *page, prefix, dir string) {
	l.t.Helper()
	for file, text := range p.files {
		if rest, ok := strings.CutPrefix(file, prefix); ok {
			l.write(filepath.Join(dir, rest), text)
		}
	}
	for file, diff := range p.patches {
		rest, ok := strings.CutPrefix(file, prefix)
		if !ok {
			continue
		}
		cmd := exec.Command("patch", "--batch", "--no-backup-if-mismatch", filepath.Join(dir, rest))
		cmd.Stdin = strings.NewReader(diff)
		if out, err := cmd.CombinedOutput(); err != nil {
			l.t.Fatalf("patching %s as docs/backends/%s.md says: %v: %s", file, p.kind, err, out)
		}
	}
}

// environment returns what the page's drop-in for a systemd unit adds to its environment.
func (p *page) environment(unit string) []string {
	var env []string
	for file, text := range p.files {
		if filepath.Dir(file) != "/etc/systemd/system/"+unit+".d" {
			continue
		}
		for line := range strings.Lines(text) {
			if setting, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment="); ok {
				env = append(env, setting)
			}
		}
	}
	return env
}

// Backend starts the server of that kind for domain on host, as Debian ships it and changed only by the lines of
// docs/backends/KIND.md. The host has no other DNS server than what those lines say.
func (l *Lab) Backend(kind Kind, host *Host, gate netip.Addr, c Config) *Server {
	l.t.Helper()
	c.page = readPage(l.t, kind, c.Variant, c.streams(host).Addr(), gate)
	switch kind {
	case Prosody:
		return l.Prosody(host, c)
	case Ejabberd:
		return l.Ejabberd(host, c)
	case Jabberd2:
		return l.Jabberd2(host, c)
	}
	l.t.Fatalf("no backend of kind %q", kind)
	return nil
}

// GateLines returns what docs/backends/KIND.md tells users to write into sallyport.yaml about the backend on host.
func GateLines(t testing.TB, kind Kind, host *Host, gate netip.Addr) string {
	t.Helper()
	return gateLines(t, kind, "", host.addr(), gate)
}

// GateLinesOf is GateLines for a variant of the page.
func GateLinesOf(t testing.TB, kind Kind, variant string, host *Host, gate netip.Addr) string {
	t.Helper()
	return gateLines(t, kind, variant, host.addr(), gate)
}

func gateLines(t testing.TB, kind Kind, variant string, backend, gate netip.Addr) string {
	t.Helper()
	const file = "/etc/sallyport/sallyport.yaml"
	lines := readPage(t, kind, variant, backend, gate).files[file]
	if lines == "" {
		t.Fatalf("docs/backends/%s.md has no lines for %s", kind, file)
	}
	return lines
}

// moduleRoot is the folder of go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			err = fmt.Errorf("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal(err)
	return ""
}
