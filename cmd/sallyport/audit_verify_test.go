package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
)

// recordOf makes the record of a gate with a few events.
func recordOf(t *testing.T, node string) (dir string, events []audit.Event) {
	t.Helper()
	dir = t.TempDir()
	l, err := audit.Open(audit.Config{Dir: dir, Node: node})
	must(t, err)
	for range 3 {
		events = append(events, audit.Event{Kind: audit.Stanza, Dir: "out", Local: "corp.example", Remote: "partner.example", From: "alice@corp.example", To: "bob@partner.example"})
	}
	must(t, l.Append(context.Background(), events))
	must(t, l.Close())
	return dir, events
}

// TestAuditorsDay: what an auditor does, in commands: take key and checkpoint away, come again, verify, prove one event, compare two
// checkpoints (AUDIT "The proof").
func TestAuditorsDay(t *testing.T) {
	t.Parallel()
	dir, events := recordOf(t, "gate-1")
	home := t.TempDir()
	keep := func(name string, args ...string) (path string) {
		t.Helper()
		code, stdout, stderr := call(args...)
		if code != 0 || stdout == "" || stderr != "" {
			t.Fatalf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
		path = filepath.Join(home, name)
		must(t, os.WriteFile(path, []byte(stdout), 0o600))
		return path
	}
	key := keep("gate-1.pub", "audit", "key", "--dir", dir)
	first := keep("first", "audit", "checkpoint", "--dir", dir)
	proof := filepath.Join(home, "event.tlog-proof")
	copied := filepath.Join(home, "copy")
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	if code, _, stderr := call("audit", "prove", events[1].ID.String(), "--dir", copied, "-o", proof); code != 0 {
		t.Fatal(stderr)
	}
	l, err := audit.Open(audit.Config{Dir: dir, Node: "gate-1"})
	must(t, err)
	more := []audit.Event{events[0]}
	must(t, l.Append(context.Background(), more))
	must(t, l.Close())
	second := keep("second", "audit", "checkpoint", "--dir", dir)
	text, err := os.ReadFile(key)
	must(t, err)
	other, _ := recordOf(t, "gate-2")
	otherKey := keep("gate-2.pub", "audit", "key", "--dir", other)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"verify --dir DIR", 0, "With --key it is a proof"},
		{"verify DIR --key KEY --checkpoint FIRST --checkpoint SECOND", 0, "4 events in 1 segment, seq 1 to 4, 0 allowed stanzas without a delivery\na checkpoint of gate-1, made "},
		{"verify DIR --checkpoint FIRST --key " + strings.TrimSpace(string(text)), 0, "covers them up to seq 4; 0 lines after it\nno checkpoint from "},
		{"verify DIR OTHER --key KEY --key OTHERKEY --checkpoint SECOND", 0, "OTHER: 3 events in 1 segment"},
		{"verify OTHER OTHER --key KEY --key OTHERKEY --checkpoint SECOND", 1, "a checkpoint of gate-1 was shown, and no record of it\n"},
		{"verify OTHER OTHER --key KEY --key OTHERKEY", 1, "there is a key of gate-1, and none of these records is its\n"},
		{"verify DIR OTHER --key KEY", 1, "OTHER: checkpoints:1: signed by gate-2+"},
		{"verify DIR --checkpoint SECOND", 2, "--checkpoint needs --key"},
		{"verify DIR --key KEY --checkpoint KEY", 1, "has no checkpoint in it"},
		{"verify DIR --key nonsense", 2, "--key: neither a key ("},
		{"verify DIR --key FIRST", 2, "--key FIRST: public key"},
		{"verify --proof PROOF --key KEY", 0, "is line 2 of the record of gate-1, by its checkpoint of "},
		{"verify --proof PROOF --key KEY --json", 0, `{"v":1,"seq":2,`},
		{"verify --proof PROOF", 2, "--proof needs --key"},
		{"verify --proof PROOF --key OTHERKEY", 1, "none of the keys given"},
		{"verify --proof FIRST --key KEY", 1, "FIRST: not a proof"},
		{"consistency FIRST SECOND --dir DIR --key KEY", 0, "the record of gate-1 went on from 3 lines to 4 lines, and what the first covers did not change\n"},
		{"consistency FIRST SECOND --dir DIR", 2, "it needs --key"},
		{"consistency FIRST KEY --dir DIR --key KEY", 1, "has no checkpoint in it"},
		{"prove 01K1DVJ9G0N0000000000000AB --dir COPY", 1, "no event 01K1DVJ9G0N0000000000000AB is in the record"},
		{"statement --day TODAY --dir DIR --key KEY", 1, "out 0 crossed, 0 with an event, 0 counted only, 4 refused\n"},
		{"statement --day TODAY --dir DIR --peer Partner.Example.", 1, "\npeer partner.example\n"},
		{"statement --day TODAY --dir DIR --peer nobody.example", 1, "nothing crossed to or from nobody.example on "},
		{"statement --day yesterday --dir DIR", 2, "--day: \"yesterday\" is not a day"},
		{"prove 7 --dir DIR", 2, "must be 26 characters"},
	} {
		// The longer names first: KEY is in OTHERKEY.
		place := strings.NewReplacer("OTHERKEY", otherKey, "OTHER", other, "DIR", dir, "COPY", copied, "KEY", key, "FIRST", first, "SECOND", second, "PROOF", proof, "TODAY", time.Now().UTC().Format(time.DateOnly))
		code, stdout, stderr := call(append([]string{"audit"}, strings.Fields(place.Replace(c.args))...)...)
		if want := place.Replace(c.want); code != c.code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: exit %d, want %d\n%s%swant %s", c.args, code, c.code, stdout, stderr, want)
		}
	}
	segment := filepath.Join(dir, "00000001.jsonl")
	b, err := os.ReadFile(segment)
	must(t, err)
	must(t, os.WriteFile(segment, bytes.Replace(b, []byte("alice"), []byte("mallo"), 1), 0o600))
	if code, _, stderr := call("audit", "verify", dir, "--key", key); code != 1 || !strings.HasPrefix(stderr, "00000001.jsonl:1: not the line that was recorded as seq 1: checkpoint 2 of ") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
