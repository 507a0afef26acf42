package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/audit"
)

// office is a configuration with a policy and a record.
type office struct{ config, dir, policy string }

func newOffice(t *testing.T, data map[string]string, events ...audit.Event) office {
	t.Helper()
	o := office{dir: t.TempDir()}
	o.config, o.policy = filepath.Join(o.dir, "sallyport.yaml"), filepath.Join(o.dir, "policy")
	must(t, os.Mkdir(o.policy, 0o755))
	for name, text := range data {
		must(t, os.WriteFile(filepath.Join(o.policy, name), []byte(text), 0o644))
	}
	must(t, os.WriteFile(o.config, fmt.Appendf(nil, `
backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]
inside: {listen: 127.0.2.1:5269}
outside: {listen: [127.0.3.1:5269]}
policy: {dir: policy, timeout: 10s}
audit: {dir: audit}
peers: {partner.example: {}}
`), 0o644))
	l, err := audit.Open(audit.Config{Dir: filepath.Join(o.dir, "audit")})
	must(t, err)
	must(t, l.Append(context.Background(), events))
	must(t, l.Close())
	return o
}

func (o office) call(args ...string) (int, string, string) {
	return call(append(append([]string{"policy"}, args...), "-c", o.config)...)
}

func crossed(dir, remote, effect, rule string, class ...string) audit.Event {
	e := audit.Event{Kind: audit.Stanza, Dir: dir, Local: "corp.example", Remote: remote, From: "juliet@corp.example/pc", To: "romeo@" + remote, Channel: "tls", Proof: "pkix",
		Stanza: audit.StanzaPart{Kind: "message", Type: "chat", Size: 100, Class: class}, Decision: audit.DecisionPart{Effect: effect, Rule: rule, Revision: "0123456789ab"}}
	if dir == "in" {
		e.From, e.To = "romeo@"+remote+"/pc", "juliet@corp.example"
	}
	return e
}

const noFiles = "files: {default: none}"

// TestExplainScreenshot: out of what a user has copied from the screen, the rule, what it looks at, and what would let it pass.
func TestExplainScreenshot(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{"files.yaml": noFiles}, crossed("out", "partner.example", "deny", "files", "file"))
	_, line, _ := call("audit", "search", "-c", o.config, "--json", "--kind", "stanza")
	id := regexp.MustCompile(`"id":"([0-9A-Z]{26})"`).FindStringSubmatch(line)
	if id == nil {
		t.Fatal(line)
	}
	code, out, stderr := o.call("explain", "Files are not exchanged with this domain.", "(decision "+strings.ToLower(id[1])+")")
	for _, want := range []string{"rule         files", "base/ready/files.rego:", "data.files", "data.peers", "peers: {partner.example: {files: out}}", "grants: {", "The policy has changed since", "Asked again now, the policy says: deny, rule files."} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, stderr)
		}
	}
	for args, want := range map[string]string{"nothing": "no id in it", "01KXXXXXXXXXXXXXXXXXXXXXXX": "has no event"} {
		if code, _, stderr := o.call("explain", args); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s", args, code, stderr)
		}
	}
}

func TestEval(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{"files.yaml": noFiles})
	ask := func(input string) (int, string, string) {
		file := filepath.Join(t.TempDir(), "input.json")
		must(t, os.WriteFile(file, []byte(input), 0o644))
		return o.call("eval", "--json", "--input", file)
	}
	const between = `"direction": "out", "local": {"domain": "corp.example"}, "remote": {"domain": "%s"}, "from": {"bare": "juliet@corp.example"}`
	for _, test := range []struct{ remote, stanza, about, effect, rule string }{
		{"stranger.example", ``, "link", "deny", "peer-not-listed"},
		{"stranger.example", `, "stanza": {"kind": "message"}`, "link", "deny", "peer-not-listed"},
		{"partner.example", ``, "link", "allow", "allow"},
		{"partner.example", `, "stanza": {"kind": "message", "class": ["text"]}`, "stanza", "allow", "allow"},
		{"partner.example", `, "stanza": {"kind": "message", "class": ["file"]}`, "stanza", "deny", "files"},
	} {
		code, out, stderr := ask("{" + fmt.Sprintf(between, test.remote) + test.stanza + "}")
		var v verdict
		if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.About != test.about || v.Effect != test.effect || v.Rule != test.rule || (v.Effect == "deny") != (len(v.Remedy) > 0) {
			t.Errorf("%+v: exit %d, %s%s", test, code, out, stderr)
		}
	}
	if code, _, stderr := ask(`{"direction": "out", "stanz": 1}`); code != 1 || !strings.Contains(stderr, "stanz") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestPolicyTest(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{
		"mine.rego":      "package mine\n\na := 1 if input.direction == \"in\"\n\nb := 2 if input.direction == \"out\"\n",
		"mine_test.rego": "package mine_test\n\nimport data.mine\n\ntest_a if mine.a == 1 with input.direction as \"in\"\n",
	})
	if code, out, stderr := o.call("test"); code != 0 || !strings.Contains(out, "1 test, 0 failed") || !strings.Contains(out, "no test reaches") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
	if code, _, stderr := o.call("test", "--coverage", "100"); code != 1 || !strings.Contains(stderr, "want 100.0%") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	must(t, os.WriteFile(filepath.Join(o.policy, "mine_test.rego"), []byte("package mine_test\n\nimport data.mine\n\ntest_a if mine.a == 2 with input.direction as \"in\"\n"), 0o644))
	if code, out, _ := o.call("test", o.policy); code != 1 || !strings.Contains(out, "FAIL") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestReplay: only what would come out otherwise is listed, grouped, with an instance.
func TestReplay(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]string{"files.yaml": noFiles},
		crossed("out", "partner.example", "allow", "allow", "file"), crossed("out", "partner.example", "allow", "allow", "file", "text"), crossed("in", "partner.example", "allow", "allow", "text"),
		crossed("in", "stranger.example", "deny", "peer-not-listed", "text"))
	code, out, stderr := o.call("replay")
	for _, want := range []string{"     2  out partner.example: allow by allow, would be deny by files; for instance 0", "4 stanzas judged by revision", "2 would come out otherwise"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, stderr)
		}
	}
	if code, _, stderr := o.call("replay", "--strict"); code != 1 || !strings.Contains(stderr, "2 decisions") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, stderr := o.call("replay", "--until", "2000-01-01"); code != 1 || !strings.Contains(stderr, "no stanza in that time") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestLearn: domains that the policy does not know are proposed with what they always reached; what is proposed loads, and knows them.
func TestLearn(t *testing.T) {
	t.Parallel()
	observed := func(dir, remote, channel, proof string) audit.Event {
		e := crossed(dir, remote, "allow", "peer-not-listed", "text")
		e.Channel, e.Proof, e.Decision.Would, e.Decision.Mode = channel, proof, "deny", "observe"
		return e
	}
	o := newOffice(t, nil, observed("in", "good.example", "tls", "pkix"), observed("in", "good.example", "tls", "dane"), observed("out", "good.example", "tls", "none"),
		observed("in", "old.example", "plaintext", "dialback"), crossed("in", "partner.example", "allow", "allow", "text"))
	code, out, stderr := o.call("learn")
	for _, want := range []string{"2 domains that the policy does not know", "+  good.example: {proof: pkix}", "# 2 in, 1 out", "+  old.example: {channel: plaintext, until: "} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, stderr)
		}
	}
	must(t, os.WriteFile(filepath.Join(o.policy, "learned.yaml"), []byte(strings.ReplaceAll(out, "\n+", "\n")[strings.Index(out, "\n")+2:]), 0o644))
	if code, out, stderr := o.call("learn"); code != 0 || !strings.Contains(out, "# the policy knows each domain") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
}
