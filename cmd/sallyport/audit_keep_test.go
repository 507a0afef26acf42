package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/internal/config"
)

// TestKeepAndDelete: a hold stops a deletion by hand and says so; released, it does not; each step is in the record with who and why.
func TestKeepAndDelete(t *testing.T) {
	t.Parallel()
	path := newHouse(t).config
	c, err := config.Load(path)
	must(t, err)
	c.Audit.SegmentBytes, c.Audit.Compress = 1, audit.None
	l, err := audit.Open(c.Audit.Config)
	must(t, err)
	for range 3 {
		must(t, l.Append(t.Context(), []audit.Event{{Kind: audit.Stanza, From: "alice@corp.example/a", To: "bob@partner.example", Error: strings.Repeat("long enough ", 30), Decision: audit.DecisionPart{Effect: "deny"}}}))
	}
	must(t, l.Close())
	run := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := call(append([]string{"audit"}, append(args, "--config", path)...)...)
		if code != want {
			t.Errorf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout + stderr
	}
	segments := func() int {
		found, err := filepath.Glob(filepath.Join(c.Audit.Dir, "*.jsonl*"))
		must(t, err)
		return len(found)
	}
	run(2, "hold", "add", "--name", "case-117", "--reason", "case 117")
	if out := run(2, "hold", "add", "--name", "case-117", "--user", "alice@corp.example"); !strings.Contains(out, "--reason") {
		t.Error(out)
	}
	run(0, "hold", "add", "--name", "case-117", "--user", "Alice@corp.example", "--reason", "case 117")
	if out := run(0, "hold", "list"); out != "name=case-117 user=alice@corp.example\n" {
		t.Errorf("%q", out)
	}
	before := segments()
	if out := run(1, "delete", "--before", "0s", "--reason", "tidy"); !strings.Contains(out, "hold case-117 is on it") {
		t.Error(out)
	}
	if segments() < before {
		t.Error("a held segment went")
	}
	run(1, "hold", "release", "case-118", "--reason", "closed")
	run(0, "hold", "release", "case-117", "--reason", "closed")
	if out := run(0, "delete", "--before", "0s", "--dry-run"); !strings.Contains(out, "00000001.jsonl would be deleted: seq 1 to 1") || segments() < before {
		t.Error(out)
	}
	run(0, "delete", "--before", "0s", "--reason", "tidy")
	if _, err := os.Stat(filepath.Join(c.Audit.Dir, "00000001.jsonl")); err == nil {
		t.Error("it is still there")
	}
	if out := run(0, "verify"); !strings.Contains(out, "deleted") {
		t.Error(out)
	}
	if out := run(0, "search", "--kind", "audit.*", "--json"); !strings.Contains(out, `"kind":"audit.delete"`) || !strings.Contains(out, `"why":"tidy"`) {
		t.Error(out)
	}
}

// TestHeldKeysStay: sealing keys go by class and day, but none while one of them has sealed what is under a hold. The error names it.
func TestHeldKeysStay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	officer, err := age.GenerateX25519Identity()
	must(t, err)
	h.edit("durability: async}", "durability: async, level: sealed, sealing: {recipients: ["+officer.Recipient().String()+"]}}")
	c, err := config.Load(h.config)
	must(t, err)
	synctest.Test(t, func(t *testing.T) { // two days long ago
		time.Sleep(48 * time.Hour)
		l, err := audit.Open(c.Audit.Config)
		must(t, err)
		for i, from := range []string{"carol@corp.example/c", "alice@corp.example/a"} {
			must(t, l.Append(t.Context(), []audit.Event{{Kind: audit.Stanza, Level: audit.LevelSealed, From: from, To: "bob@partner.example",
				Content: audit.ContentPart{Body: []byte("hello")}, Decision: audit.DecisionPart{Effect: "deny"}}}))
			if i == 0 {
				time.Sleep(24 * time.Hour)
			}
		}
		must(t, l.Close())
	})
	run := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := call(append([]string{"audit"}, append(args, "--config", h.config)...)...)
		if code != want {
			t.Errorf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout + stderr
	}
	run(0, "hold", "add", "--name", "case-117", "--user", "alice@corp.example", "--reason", "case 117")
	destroy := []string{"destroy", "--reason", "over", "--before"}
	if out := run(1, append(destroy, "2000-02-01")...); !strings.Contains(out, "key default/2000-01-04-1 has sealed what hold case-117 is on") || strings.Contains(out, ": destroyed") {
		t.Error(out)
	}
	if out := run(0, append(destroy, "2000-01-04")...); out != "default/2000-01-03-1: destroyed\n" {
		t.Error(out)
	}
	run(0, "hold", "release", "case-117", "--reason", "closed")
	if out := run(0, append(destroy, "2000-02-01")...); out != "default/2000-01-04-1: destroyed\n" {
		t.Error(out)
	}
	if out := run(0, "search", "--kind", "audit.destroy", "--json"); strings.Count(out, `"count":1`) != 2 || !strings.Contains(out, `"why":"over","query":"class=default before=2000-01-04"`) {
		t.Error(out)
	}
}

// TestRequiredSinkKeeps: what a required sink does not have is not deleted, until it is taken out of the configuration. A sink that is not
// required keeps nothing.
func TestRequiredSinkKeeps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("durability: async}", `durability: async, segment_bytes: 1, compress: none, sinks: [
  {name: archive, type: syslog, url: "tls://127.0.0.1:9", required: true},
  {name: monitor, type: syslog, url: "tls://127.0.0.1:9"}]}`)
	c, err := config.Load(h.config)
	must(t, err)
	l, err := audit.Open(c.Audit.Config)
	must(t, err)
	for range 3 {
		must(t, l.Append(t.Context(), []audit.Event{{Kind: audit.Stanza, Error: strings.Repeat("long enough ", 30), Decision: audit.DecisionPart{Effect: "deny"}}}))
	}
	must(t, l.Close())
	begin := func(sinks []sink.Config) { // as the gate does at its start
		t.Helper()
		_, err := sink.Open(sink.Record{Dir: c.Audit.Dir}, sinks, slog.New(slog.DiscardHandler))
		must(t, err)
	}
	del := []string{"audit", "delete", "--before", "0s", "--reason", "tidy", "--config", h.config}
	begin(c.Audit.Sinks)
	if code, out, said := call(del...); code != 1 || out == "" || !strings.Contains(said, "a required sink has carried the record only as far as") {
		t.Errorf("exit %d\n%s%s", code, out, said)
	}
	begin(c.Audit.Sinks[1:])
	if code, out, said := call(del...); code != 0 || !strings.Contains(out, "00000001.jsonl is deleted") {
		t.Errorf("exit %d\n%s%s", code, out, said)
	}
}
