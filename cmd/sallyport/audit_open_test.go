package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"sallyport/internal/xmpptest"
)

// What crosses at level sealed is read by an officer's key alone, which the record has before it is shown; whether exactly this was
// sent is told without one; and a copy is opened with a word about it.
func TestSealedOpenedAndAsked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	officer, err := age.GenerateX25519Identity()
	must(t, err)
	h.write("officer.key", officer.String()+"\n")
	h.write("officers.txt", "# the officer\n"+officer.Recipient().String()+"\n")
	stranger, err := age.GenerateX25519Identity()
	must(t, err)
	h.write("stranger.key", stranger.String()+"\n")
	h.edit("durability: async}", "durability: async, level: sealed, sealing: {recipients_file: officers.txt}}")
	h.start()
	xmpptest.Converse(t, h.stage(nil), proved+word)
	run := func(args ...string) (int, string, string) {
		t.Helper()
		return call(append([]string{"audit"}, args...)...)
	}
	open := []string{"open", "-c", h.config, "--user", "juliet@remote.example", "--reason", "case 117", "--identity"}
	key := func(name string) string { return filepath.Join(h.dir, name) }
	if code, out, said := run(append(open, key("officer.key"))...); code != 0 || !strings.Contains(out, "body    hi") {
		t.Errorf("the officer: %d, %q, %q", code, out, said)
	}
	if code, out, said := run(append(open, key("stranger.key"))...); code != 1 || strings.Contains(out, "body") || !strings.Contains(said, "not sealed to any of these") {
		t.Errorf("a stranger: %d, %q, %q", code, out, said)
	}
	if _, out, _ := run("search", "-c", h.config, "--kind", "audit.open", "--json"); strings.Count(out, `"why":"case 117","query":"user=juliet@remote.example limit=1000"`) != 2 {
		t.Errorf("the openings are not in the record: %s", out)
	}
	h.write("claim.txt", "hi\n")
	h.write("other.txt", "Hi\n")
	if code, out, said := run("ask", "-c", h.config, "--body-file", key("claim.txt"), "--from", "juliet@remote.example"); code != 0 || !strings.Contains(out, "juliet@remote.example") || strings.Contains(out, "body") {
		t.Errorf("asked: %d, %q, %q", code, out, said)
	}
	if code, out, _ := run("ask", "-c", h.config, "--body-file", key("other.txt")); code != 1 || out != "" {
		t.Errorf("asked for what was not sent: %d, %q", code, out)
	}
	if code, _, said := run("destroy", "-c", h.config, "--before", "2020-01-01", "--reason", "over"); code != 1 || !strings.Contains(said, "no keys") {
		t.Errorf("destroy: %d, %q", code, said)
	}
	copied := t.TempDir()
	must(t, os.CopyFS(copied, os.DirFS(filepath.Join(h.dir, "state", "audit"))))
	offline := []string{"open", "--dir", copied, "--user", "juliet@remote.example", "--reason", "case 117", "--identity", key("officer.key")}
	if code, out, said := run(offline...); code == 0 || out != "" {
		t.Errorf("a copy without --offline: %d, %q, %q", code, out, said)
	}
	own := filepath.Join(h.dir, "state", "audit")
	for _, config := range []string{h.config, "none.yaml"} {
		args := []string{"open", "-c", config, "--offline", "--dir", own, "--user", "juliet@remote.example", "--reason", "x", "--identity", key("officer.key")}
		if code, out, said := run(args...); code != 1 || out != "" || !strings.Contains(said, "is no copy") {
			t.Errorf("the gate's own record as a copy: %d, %q, %q", code, out, said)
		}
	}
	if code, out, said := run(append(offline, "--offline")...); code != 0 || !strings.Contains(out, "body    hi") || !strings.Contains(said, "recorded nowhere") {
		t.Errorf("a copy: %d, %q, %q", code, out, said)
	}
}
