package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

// What a command does with the record is recorded while the gate runs, by the gate, and while it does not, by the command; in both
// cases before it is done, and only what is meant for it.
func TestDeedsAreRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	load := func() *config.Config {
		c, err := config.Load(h.config)
		must(t, err)
		return c
	}
	c := load()
	if err := noteDeed(t.Context(), c, console.Note{Kind: "audit.search"}); err == nil || !strings.Contains(err.Error(), "reading the record") {
		t.Error("without a record:", err)
	}
	r := h.start()
	must(t, noteDeed(t.Context(), c, console.Note{Kind: "audit.open", As: "maria", Why: "case 117", Query: "id X", Count: 1}))
	for _, kind := range []string{"stanza", "audit.gap", "audit.key", "node.stop", ""} {
		if err := noteDeed(t.Context(), c, console.Note{Kind: kind}); err == nil {
			t.Errorf("%q was recorded", kind)
		}
		if _, err := console.Noted(t.Context(), c.Admin.Socket, console.Note{Kind: kind}); err == nil {
			t.Errorf("%q was recorded by the gate", kind)
		}
	}
	r.signal(syscall.SIGTERM)
	r.end()
	must(t, noteDeed(t.Context(), load(), console.Note{Kind: "audit.search", Query: "user=a@b"}))
	var found []audit.Record
	must(t, audit.Search(context.Background(), c.Audit.Dir, audit.Query{Kind: "audit.*"}, func(_ []byte, r audit.Record) error {
		found = append(found, r)
		return nil
	}))
	if len(found) != 2 {
		t.Fatalf("%d events: %+v", len(found), found)
	}
	me := userName(os.Getuid())
	if r := found[0]; r.Kind != "audit.open" || r.Who != me || r.As != "maria" || r.Why != "case 117" || r.Query != "id X" || r.Count != 1 {
		t.Errorf("by the gate: %+v", r)
	}
	if r := found[1]; r.Kind != "audit.search" || r.Who != me || r.Query != "user=a@b" {
		t.Errorf("by the command: %+v", r)
	}
}

// Root's commands leave no file behind that the gate's user cannot write.
func TestRootGivesTheRecordBack(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := filepath.Join(t.TempDir(), "audit")
	must(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "keys", "k"), nil, 0o600))
	must(t, os.Chown(dir, 12345, 12345))
	foreign := filepath.Join(t.TempDir(), "foreign")
	must(t, os.WriteFile(foreign, nil, 0o600))
	must(t, os.Symlink(foreign, filepath.Join(dir, "link")))
	must(t, os.Link(foreign, filepath.Join(dir, "keys", "other-name")))
	must(t, giveBack(dir, dir))
	info, err := os.Stat(foreign)
	must(t, err)
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
		t.Errorf("what is not the record's was given away, to uid %d", uid)
	}
	for _, name := range []string{"keys", "keys/k"} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 12345 {
			t.Errorf("%s belongs to uid %d", name, uid)
		}
	}
}
