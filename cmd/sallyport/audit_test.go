package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/audit"
	"sallyport/internal/config"
)

// TestSearchByAnySpelling: names are found however they are typed.
func TestSearchByAnySpelling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := audit.Open(audit.Config{Dir: dir})
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

// TestSearchIsRecorded: who searches the gate's own record is in it, also with --dir; who searches a copy is not.
func TestSearchIsRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.start()
	c, err := config.Load(h.config)
	must(t, err)
	code, _, stderr := call("audit", "search", "-c", h.config, "--user", "alice@corp.example", "--since", "24h", "--as", "maria", "--why", "case 117")
	if code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := call("audit", "search", "-c", h.config, "--dir", c.Audit.Dir+"/.", "--effect", "deny"); code != 0 {
		t.Fatal(stderr)
	}
	r.signal(syscall.SIGTERM)
	r.end()
	copied := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(copied, os.DirFS(c.Audit.Dir)))
	_, out, _ := call("audit", "search", "--json", "--kind", "audit.search", copied, copied)
	if strings.Count(out, "\n") != 2 || !strings.Contains(out, `"as":"maria","why":"case 117","query":"user=alice@corp.example since=24h"`) || !strings.Contains(out, `"query":"effect=deny"`) {
		t.Errorf("recorded are:\n%s", out)
	}
	if _, again, _ := call("audit", "search", "--json", "--kind", "audit.search", copied); again != out {
		t.Errorf("searching a copy changed it:\n%s", again)
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
	out := filepath.Join(t.TempDir(), "case")
	code, stdout, stderr := call("audit", "export", "-c", h.config, "--kind", "node.stop", "--out", out, "--why", "case 117")
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
	if len(found) != 1 || found[0].Query != "kind=node.stop format=jsonl" || found[0].Why != "case 117" || found[0].Count != 1 || stdout != "1 event in "+out+", manifest "+found[0].SHA256+"\n" {
		t.Errorf("%+v\n%s", found, stdout)
	}
	manifest, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	must(t, err)
	if sum := fmt.Sprintf("%x", sha256.Sum256(manifest)); len(found) == 1 && found[0].SHA256 != sum {
		t.Errorf("recorded is %s, the manifest's sum is %s", found[0].SHA256, sum)
	}
}
