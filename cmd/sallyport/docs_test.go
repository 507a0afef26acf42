package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/config"
)

// typedLine is a line of a code block that somebody types.
var typedLine = regexp.MustCompile(`^(?:    )?((?:sallyport audit|age|age-keygen|zstdcat) .*)$`)

// commandsOf are the commands that a page of the documentation tells people to type.
func commandsOf(t *testing.T, page string) (all []string) {
	t.Helper()
	f, err := os.Open(filepath.Join("../../docs", page))
	must(t, err)
	defer f.Close()
	fenced := false
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if m := typedLine.FindStringSubmatch(line); m != nil && (fenced || strings.HasPrefix(line, "    ")) {
			all = append(all, m[1])
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return all
}

// blocksOf are the code blocks of a page that have a language, the first of each.
func blocksOf(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	must(t, err)
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if blocks[m[1]] == "" {
			blocks[m[1]] = m[2]
		}
	}
	return blocks
}

// TestCommandsOfTheDocs types what the pages on the record say, as it stands there, by a shell, in a place where there is what they speak of:
// a record, two copies, an officer's key. Names of files, the id and the days are those of this place.
func TestCommandsOfTheDocs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"age", "zstdcat", "openssl", "python3"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		} else if err != nil {
			t.Skipf("%s is not installed (make peers)", name)
		}
	}
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	must(t, os.Symlink(self, filepath.Join(dir, "bin", "sallyport")))
	typed := func(line string) (string, error) {
		c := exec.CommandContext(t.Context(), "sh", "-c", line)
		c.Dir = dir
		c.Env = append(os.Environ(), asCommand+"=1", "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		return string(out), err
	}
	run := func(line string) string {
		t.Helper()
		out, err := typed(line)
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return out
	}
	sealing := commandsOf(t, "audit-sealing.md")
	if !strings.HasPrefix(sealing[0], "age-keygen ") {
		t.Fatal(sealing[0])
	}
	run(sealing[0])
	run("age-keygen -o other.key")
	sealed := func(name string, threshold int) (record, id string) {
		t.Helper()
		recipients := strings.Fields(run("age-keygen -y officer.key; age-keygen -y other.key"))
		path := filepath.Join(dir, name+".yaml")
		must(t, os.WriteFile(path, fmt.Appendf(nil, `backends: [{address: 127.0.0.1:3, domains: [corp.example]}]
inside: {listen: 127.0.0.1:1}
outside: {listen: ["127.0.0.1:2"]}
audit: {dir: %s-audit, level: sealed, sealing: {recipients: [%s], threshold: %d}}
`, name, strings.Join(recipients, ", "), threshold), 0o600))
		c, err := config.Load(path)
		must(t, err)
		c.Audit.Node, c.Audit.SegmentBytes = "gate-1", 1
		l, err := audit.Open(c.Audit.Config)
		must(t, err)
		events := []audit.Event{{Kind: audit.Stanza, Level: audit.LevelSealed, Dir: "out", Local: "corp.example", Remote: "partner.example", From: "alice@corp.example", To: "bob@partner.example",
			Decision: audit.DecisionPart{Effect: "allow"}, Stanza: audit.StanzaPart{Kind: "message", Size: 100}, Content: audit.ContentPart{Body: []byte("the claim")}}}
		must(t, l.Append(t.Context(), events))
		l.Note(audit.Event{Kind: audit.Delivery, Dir: "out", Local: "corp.example", Remote: "partner.example", Outcome: audit.Written, Of: []audit.SeqRange{{First: events[0].Seq, Last: events[0].Seq}}})
		must(t, l.Close())
		return c.Audit.Dir, events[0].ID.String()
	}
	record, id := sealed("sallyport", 1)
	shares, shared := sealed("shares", 2)
	for _, copied := range []string{"copy", "gate-1", "gate-2"} {
		must(t, os.CopyFS(filepath.Join(dir, "mnt", copied), os.DirFS(record)))
	}
	must(t, os.WriteFile(filepath.Join(dir, "claim.txt"), []byte("the claim\n"), 0o600))
	today := time.Now().Format(time.DateOnly)
	old, err := filepath.Glob(filepath.Join(record, "keys/default/*-1.age"))
	must(t, err)
	b, err := os.ReadFile(old[0])
	must(t, err)
	must(t, os.WriteFile(filepath.Join(record, "keys/default/2026-06-30-1.age"), b, 0o600))
	share, err := filepath.Glob(filepath.Join(shares, "keys/default/*.2.age"))
	must(t, err)
	here := strings.NewReplacer("/mnt/", dir+"/mnt/", "01K1DVJ9G0N0000000000000AB", id, "2026-11-24", today,
		"officer.key keys/default/2026-11-26-1.2.age", "other.key "+share[0], "--share share.txt --identity other.key …", "-c shares.yaml --share share.txt --identity officer.key --id "+shared+" --reason x")
	lines := sealing[1:]
	for _, page := range []string{"audit-search.md", "proof.md", "audit-keep.md"} {
		lines = append(lines, commandsOf(t, page)...)
	}
	for _, line := range lines {
		line = here.Replace(line)
		if strings.Contains(line, "case-118") {
			run("sallyport audit key > gate-1.pub; sallyport audit export --kind stanza --out case-118")
		}
		if strings.HasSuffix(line, " -f") {
			line = "timeout --foreground --preserve-status -s INT 1 " + line // else it signals the group, too, and the second one kills
		}
		out, err := typed(line)
		if strings.Contains(line, "audit statement ") { // of a day of which there is nothing
			if !strings.Contains(out, "nothing crossed to or from partner.example on 2026-11-25") {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
		if strings.HasSuffix(line, "> kept") { // and later, the record as it is then
			run("sallyport audit checkpoint > today; rm -r mnt/copy; cp -r sallyport-audit mnt/copy")
		}
		if strings.Contains(line, "audit open ") && !strings.Contains(out, "the claim") || strings.Contains(line, "audit ask ") && !strings.Contains(out, id) {
			t.Errorf("%s says\n%s", line, out)
		}
	}
	blocks := blocksOf(t, "proof.md")
	if out := run(blocks["sh"]); !strings.Contains(out, "Signature Verified Successfully") {
		t.Errorf("openssl says\n%s", out)
	}
	must(t, os.WriteFile(filepath.Join(dir, "check.py"), []byte(blocks["python"]), 0o600))
	run("python3 check.py message.tlog-proof")
	proof, err := os.ReadFile(filepath.Join(dir, "message.tlog-proof"))
	must(t, err)
	lines = strings.Split(string(proof), "\n")
	for i, line := range lines[:4] {
		at := strings.LastIndex(line, " ") + 1 // of "index 1", "extra WORD" or a hash
		if at == len(line) || i == 0 {
			continue
		}
		other := "1" // a digit, and a letter of base64
		if line[at:at+1] == other {
			other = "0"
		}
		forged := slices.Clone(lines)
		forged[i] = line[:at] + other + line[at+1:]
		must(t, os.WriteFile(filepath.Join(dir, "forged"), []byte(strings.Join(forged, "\n")), 0o600))
		if out, err := typed("python3 check.py forged"); err == nil {
			t.Errorf("%q for %q: %s", forged[i], line, out)
		}
	}
	run("sed -i 's/^number /number 1/' text")
	if out, err := typed(strings.Replace(blocks["sh"], "sed '/^$/,$d' kept > text", "", 1)); err == nil {
		t.Errorf("openssl says of another text\n%s", out)
	}
	if out := run("zstdcat mnt/copy/*.zst sallyport-audit/*.zst 2>/dev/null; cat sallyport-audit/*.jsonl"); !strings.Contains(out, `"kind":"audit.destroy"`) || !strings.Contains(out, `"kind":"audit.release"`) {
		t.Errorf("the record has nothing of what was typed:\n%s", out)
	}
}
