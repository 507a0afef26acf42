package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/policy"
)

// kept puts the policy of the office in force, as a gate would, and gives its revision.
func (o office) kept(t *testing.T) string {
	t.Helper()
	c, err := config.Load(o.config)
	must(t, err)
	e, err := policy.New(c.Policy, c.PolicyData())
	must(t, err)
	e.KeepHistory()
	return e.Snapshot().Revision()
}

// record adds events to the record, and gives the id of the first one.
func (o office) record(t *testing.T, events ...audit.Event) string {
	t.Helper()
	dir := filepath.Join(o.dir, "audit")
	l, err := audit.Open(audit.Config{Dir: dir})
	must(t, err)
	must(t, l.Append(t.Context(), events))
	must(t, l.Close())
	_, out, _ := call("audit", "search", "-c", o.config, "--json", "--kind", "stanza")
	id := regexp.MustCompile(`"id":"([0-9A-Z]{26})"`).FindStringSubmatch(out)
	if id == nil {
		t.Fatal(out)
	}
	return id[1]
}

func (o office) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(o.policy, name), []byte(text), 0o644))
}

// explain shows the rule as it was when it decided, in rules and data that are no longer there.
func TestExplainByTheRevisionThatDecided(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{"old.rego": "package sallyport.stanza\n\ndeny contains {\"rule\": \"old\"} if not data.peers[input.remote.domain].old\n"})
	denied := crossed("out", "partner.example", "deny", "old", "text")
	denied.Decision.Revision = o.kept(t)
	id := o.record(t, denied)
	o.write(t, "old.rego", "package sallyport.stanza\n")
	_, out, stderr := o.call("explain", id)
	for _, want := range []string{"old.rego:3", "data.peers[…].old", "of the one that decided", "Asked again now, the policy says: allow, rule allow."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, stderr)
		}
	}
	must(t, os.RemoveAll(filepath.Join(o.dir, "audit", "policy")))
	if _, out, _ := o.call("explain", id); !strings.Contains(out, "the revision that decided is not kept") || !strings.Contains(out, "no rule of the name old") {
		t.Errorf("without the revision:\n%s", out)
	}
}

// What rests on texts cannot be told from a record without texts; what does not can be.
func TestJudgedWithoutTexts(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{
		"secret.rego": "package sallyport.stanza\n\ndeny contains {\"rule\": \"secret\"} if contains(input.stanza.body, \"secret\")\n",
		"files.yaml":  noFiles,
	})
	id := o.record(t, crossed("out", "partner.example", "deny", "secret", "text"), crossed("in", "partner.example", "allow", "allow", "text"), crossed("in", "partner.example", "allow", "allow", "file"))
	_, out, stderr := o.call("explain", id)
	if !strings.Contains(out, "The record does not hold input.stanza.body; judged without.\n") {
		t.Errorf("explain says nothing of what is missing:\n%s%s", out, stderr)
	}
	_, out, stderr = o.call("replay")
	for _, want := range []string{"allow by allow, would be deny by files", "3 stanzas judged by revision", ", 1 would come out otherwise", "of 2 it cannot be told: the record does not hold what they rest on, such as input.stanza.body"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, stderr)
		}
	}
}

// A flip that the revision which decided would make too, out of the record, is not the other policy's doing.
func TestReplayAsksTheRevisionThatDecided(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{"secret.rego": "package sallyport.stanza\n\ndeny contains {\"rule\": \"secret\"} if contains(input.stanza.body, \"secret\")\n"})
	denied, filed := crossed("out", "partner.example", "deny", "secret", "text"), crossed("out", "partner.example", "allow", "allow", "file")
	revision := o.kept(t)
	denied.Decision.Revision, filed.Decision.Revision = revision, revision
	o.record(t, denied, filed)
	o.write(t, "secret.rego", "package sallyport.stanza\n")
	o.write(t, "files.yaml", noFiles)
	_, out, stderr := o.call("replay")
	if !strings.Contains(out, "2 stanzas judged") || !strings.Contains(out, ", 1 would come out otherwise") || !strings.Contains(out, "of 1 it cannot be told") {
		t.Errorf("%s%s", out, stderr)
	}
	// By the revision of then itself, nothing flips, and texts are what is lacking.
	if _, out, stderr := o.call("replay", "--revision", revision); !strings.Contains(out, "by revision "+revision+", 0 would") || !strings.Contains(out, "such as input.stanza.body") {
		t.Errorf("%s%s", out, stderr)
	}
	if code, _, stderr := o.call("replay", "--revision", "0123456789ab"); code != 1 || !strings.Contains(stderr, "not among those that are kept") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// A certificate is not in the event of a stanza, and at level link neither are the people: what rests on them cannot be told.
func TestJudgedWithoutCertificatesAndPeople(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{
		"peers.yaml":  "peers: {pinned.example: {pins: [\"sha256/" + strings.Repeat("A", 43) + "=\"]}}\n",
		"rights.yaml": "rights: {default: none, users: {carol@corp.example: {default: both}}}\n",
	})
	pinned, bare, stranger := crossed("in", "pinned.example", "allow", "allow", "text"), crossed("out", "partner.example", "allow", "allow", "text"), crossed("out", "partner.example", "allow", "allow", "text")
	pinned.Channel, pinned.Proof, pinned.TLS = "tls", "pkix", "TLS 1.3"
	bare.Level = audit.LevelLink
	id := o.record(t, pinned, bare, stranger)
	_, out, stderr := o.call("explain", id)
	if !strings.Contains(out, "The record does not hold input.link.cert.spki") {
		t.Errorf("explain says nothing of the certificate:\n%s%s", out, stderr)
	}
	_, out, stderr = o.call("replay")
	for _, want := range []string{"would be deny by rights", ", 1 would come out otherwise", "of 2 it cannot be told", "input.from.bare", "input.link.cert.spki"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, stderr)
		}
	}
}

// What is past is judged by the clock of then.
func TestReplayAtTheTimeOfThen(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.record(t, crossed("out", "partner.example", "allow", "allow", "text"))
	o.write(t, "clock.rego", fmt.Sprintf("package sallyport.stanza\n\ndeny contains {\"rule\": \"too-late\"} if time.now_ns() > %d\n", time.Now().UnixNano()))
	if _, out, stderr := o.call("replay"); !strings.Contains(out, "1 stanza judged by revision") || !strings.Contains(out, ", 0 would come out otherwise") {
		t.Errorf("%s%s", out, stderr)
	}
}
