package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

// TestSearchByAnySpelling: names are found however they are typed.
func TestSearchByAnySpelling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := audit.Open(audit.Config{Dir: dir, Secrets: t.TempDir()})
	must(t, err)
	e := audit.Event{Kind: audit.Stanza, Dir: "out", Local: "corp.example", Remote: "chat.müller.example", From: "žofie@corp.example/Desk", To: "bob@chat.müller.example"}
	must(t, l.Append(context.Background(), []audit.Event{e}))
	must(t, l.Close())
	for args, want := range map[string]int{
		"--domain CORP.Example.":                       1,
		"--domain xn--mller-kva.example":               0,
		"--domain *.xn--mller-kva.example":             1,
		"--domain chat.MU\u0308LLER.example":           1,
		"--user Z\u030cofie@Corp.Example":              1,
		"--from žofie@corp.example./Desk":              1,
		"--from žofie@corp.example/desk":               0,
		"--to Bob@chat.xn--mller-kva.example":          1,
		"--to nobody@chat.xn--mller-kva.example":       0,
		"--user @":                                     0,
		"--domain *.example --user žofie@corp.example": 1,
	} {
		code, stdout, stderr := call(append([]string{"audit", "search", "--dir", dir}, strings.Fields(args)...)...)
		if got := strings.Count(stdout, "\n"); code != 0 || got != want {
			t.Errorf("%s: exit %d, %d found, want %d\n%s%s", args, code, got, want, stdout, stderr)
		}
	}
}

// TestLooksAreRecorded: who searches the gate's own record, follows it, has an event proved or explained, is in it, also with --dir. Who
// names the record and not its gate's configuration is refused, whether the gate runs or not; a copy is read without a word.
func TestLooksAreRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.start()
	c, err := config.Load(h.config)
	must(t, err)
	code, out, stderr := call("audit", "search", "-c", h.config, "--json", "--as", "maria", "--reason", "case 117")
	id := regexp.MustCompile(`"id":"([0-9A-Z]{26})"`).FindStringSubmatch(out)
	if code != 0 || id == nil {
		t.Fatal(out, stderr)
	}
	for _, args := range [][]string{
		{"audit", "search", "--dir", c.Audit.Dir + "/.", "--effect", "deny"},
		{"audit", "tail", "-n", "3", "--as", "maria", "--reason", "case 118"},
		{"audit", "tail", "-n", "1", c.Audit.Dir},
	} {
		if code, out, stderr := call(append(args, "-c", h.config)...); code != 0 || args[1] == "tail" && out == "" {
			t.Errorf("%q: %d %s%s", args, code, out, stderr)
		}
	}
	looks := [][]string{{"audit", "search"}, {"audit", "tail"}, {"audit", "export", "--out", filepath.Join(t.TempDir(), "x")}, {"audit", "prove", id[1]}, {"policy", "explain", id[1]}, {"policy", "replay"}}
	// Of two gates' own records at once, each has it.
	other := filepath.Join(t.TempDir(), "other.yaml")
	must(t, os.WriteFile(other, []byte("backends: [{address: 127.0.0.1:3, domains: [other.example]}]\ninside: {listen: 127.0.0.1:1}\noutside: {listen: ['127.0.0.1:2']}\naudit: {dir: record}\n"), 0o600))
	c2, err := config.Load(other)
	must(t, err)
	l, err := audit.Open(c2.Audit.Config)
	must(t, err)
	must(t, l.Append(t.Context(), []audit.Event{{Kind: audit.NodeStart}}))
	must(t, l.Close())
	if code, out, stderr := call("audit", "tail", "-n", "5", "-c", h.config, "-c", other); code != 0 || strings.Count(out, "tail lines=5") != 2 {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	none := filepath.Join(t.TempDir(), "none.yaml")
	for _, args := range looks {
		args = append(args, "--dir", c.Audit.Dir, "-c", none)
		if code, out, stderr := call(args...); code != 1 || out != "" || !strings.Contains(stderr, "a gate writes to "+c.Audit.Dir) {
			t.Errorf("%q while the gate runs: %d %s%s", args, code, out, stderr)
		}
	}
	r.signal(syscall.SIGTERM)
	r.end()
	for _, args := range looks {
		args = append(args, "--dir", c.Audit.Dir, "-c", none)
		if code, out, stderr := call(args...); code != 1 || out != "" || !strings.Contains(stderr, c.Audit.Dir+" is no copy but a gate's own record") {
			t.Errorf("%q while none runs: %d %s%s", args, code, out, stderr)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(copied, os.DirFS(c.Audit.Dir)))
	if code, _, stderr := call("audit", "prove", id[1], "-c", h.config); code != 0 {
		t.Error(stderr)
	}
	call("policy", "explain", id[1], "-c", h.config) // it is no decision; it was looked at all the same
	var asked []string
	must(t, audit.Search(t.Context(), c.Audit.Dir, audit.Query{Kind: "audit.*"}, func(_ []byte, r audit.Record) error {
		asked = append(asked, strings.TrimSpace(strings.Join([]string{r.Kind, r.As, r.Why, r.Query}, " ")))
		return nil
	}))
	want := []string{"audit.search maria case 117 everything", "audit.search   effect=deny", "audit.search maria case 118 tail lines=3", "audit.search   tail lines=1", "audit.search   tail lines=5",
		"audit.export   prove id=" + id[1], "audit.search   explain id=" + id[1]}
	if !slices.Equal(asked, want) {
		t.Errorf("recorded are %q", asked)
	}
	_, out, _ = call("audit", "search", "--json", "--kind", "audit.search", copied, copied)
	if strings.Count(out, "\n") != 5 {
		t.Errorf("of a copy named twice:\n%s", out)
	}
	if _, again, stderr := call("audit", "tail", "-n", "-1", "--json", copied); !strings.Contains(again, out[:strings.Index(out, "\n")]) || strings.Contains(again, `"tail lines=-1"`) {
		t.Errorf("reading a copy changed it:\n%s%s", again, stderr)
	}
}

// TestIndexCommand: a copy gets its indexes, one that lies is told of, and what is damaged too.
func TestIndexCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	l, err := audit.Open(audit.Config{Dir: dir, SegmentBytes: 1, Compress: audit.None})
	must(t, err)
	for range 3 {
		must(t, l.Append(context.Background(), []audit.Event{{Kind: audit.Stanza, Dir: "out", Local: "corp.example", Remote: "partner.example", From: "a@corp.example", To: "b@partner.example"}}))
	}
	must(t, l.Close())
	if code, out, stderr := call("audit", "index", dir); code != 0 || out != dir+": 2 made, 0 kept, 0 replaced\n" {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	must(t, os.WriteFile(filepath.Join(dir, "00000001.idx"), []byte("lies"), 0o600))
	code, out, stderr := call("audit", "index", "--check", "--dir", dir)
	if code != 1 || out != dir+": 0 made, 1 kept, 1 replaced\n" || !strings.Contains(stderr, "00000001.idx did not fit its segment") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
	told := func(name string, f queryFlags, dir, want string) {
		t.Helper()
		var line strings.Builder
		must(t, f.doubt(&line, []string{dir}, nil))
		if got := line.String(); want == "" && got != "" || !strings.Contains(got, want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: told %q", name, got)
		}
	}
	told("all made with the key", queryFlags{}, dir, "")
	aside := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(aside, os.DirFS(dir)))
	if code, _, stderr := call("audit", "search", aside); code != 0 || !strings.Contains(stderr, "whether the gate made 2 index files cannot be told") {
		t.Errorf("%d %s", code, stderr)
	}
	told("no index is asked", queryFlags{q: audit.Query{NoIndex: true}}, aside, "")
	for _, name := range []string{"00000001.idx", "00000002.idx"} {
		must(t, os.Remove(filepath.Join(aside, name)))
	}
	if code, out, stderr := call("audit", "index", aside); code != 0 { // without the key
		t.Errorf("%d %s%s", code, out, stderr)
	}
	made, err := os.ReadFile(filepath.Join(aside, "00000001.idx"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "00000001.idx"), made, 0o600))
	told("one made without the key", queryFlags{}, dir, "this gate did not make 00000001.idx (of 1 file like it)")
	moved := filepath.Join(filepath.Dir(aside), "elsewhere") // audit.secrets need not be beside the record
	must(t, os.Rename(dir+".secrets", moved))
	gate := &config.Config{}
	gate.Audit.Dir, gate.Audit.Secrets = aside, moved
	var line strings.Builder
	must(t, new(queryFlags).doubt(&line, []string{aside}, []*config.Config{gate}))
	if !strings.Contains(line.String(), "this gate did not make 00000001.idx (of 2 files like it)") {
		t.Errorf("told %q", line.String())
	}
	if code, _, stderr := call("audit", "index", t.TempDir()); code != 1 || !strings.Contains(stderr, "there is no record in") {
		t.Errorf("%d %s", code, stderr)
	}
}

// TestExportIsRecorded: the record says who took out what, and the sum of the manifest; a copy is exported without.
func TestExportIsRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.start()
	r.signal(syscall.SIGTERM)
	r.end() // its end is on the disk, whatever of the next start is
	r = h.start()
	c, err := config.Load(h.config)
	must(t, err)
	must(t, noteDeed(t.Context(), c, console.Note{Kind: "audit.search"})) // what came before it is in the record then
	out := filepath.Join(t.TempDir(), "case")
	code, stdout, stderr := call("audit", "export", "-c", h.config, "--kind", "node.stop", "--out", out, "--reason", "case 117")
	if code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := call("audit", "export", "-c", h.config, "--out", out); code != 2 || !strings.Contains(stderr, "is there already") {
		t.Errorf("%d %s", code, stderr)
	}
	r.signal(syscall.SIGTERM)
	r.end()
	var found []audit.Record
	must(t, audit.Search(context.Background(), c.Audit.Dir, audit.Query{Kind: "audit.export"}, func(_ []byte, r audit.Record) error {
		found = append(found, r)
		return nil
	}))
	if len(found) != 1 || found[0].Query != "kind=node.stop format=jsonl" || found[0].Why != "case 117" || found[0].Count != 1 || stdout != "1 event in "+out+", SHA-256 of its manifest "+found[0].SHA256+"\n" {
		t.Errorf("%+v\n%s", found, stdout)
	}
	manifest, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	must(t, err)
	if sum := fmt.Sprintf("%x", sha256.Sum256(manifest)); len(found) == 1 && found[0].SHA256 != sum {
		t.Errorf("recorded is %s, the manifest's sum is %s", found[0].SHA256, sum)
	}
}
