package main

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/peer"
	"sallyport/internal/xmpptest"
)

// reloaded sends a hang-up and returns what the gate says of it: the faults, or nothing and the line about what is new.
func (r *running) reloaded() (faults []string, done string) {
	r.t.Helper()
	r.signal(syscall.SIGHUP)
	for {
		switch line := r.await(`msg=fault|msg="reload refused|msg=reloaded`); {
		case strings.Contains(line, "msg=fault"):
			faults = append(faults, line)
		case strings.Contains(line, "msg=reloaded"):
			return faults, line
		default:
			if !strings.Contains(line, "everything stays as it was") {
				r.t.Errorf("the end of a reload that failed does not say that nothing changed: %s", line)
			}
			return faults, ""
		}
	}
}

// revision asks the gate which policy it follows.
func (h *house) revision() string {
	h.t.Helper()
	code, stdout, stderr := call("status", "-c", h.config+".good", "--json")
	var st status
	if err := json.Unmarshal([]byte(stdout), &st); code != 0 || err != nil {
		h.t.Fatalf("status: exit %d, %v, %s", code, err, stderr)
	}
	return st.Gate.Revision
}

// A bad configuration, policy, certificate or data file changes nothing: the running one stays, and the fault is told with its place
// (DESIGN §5, 6).
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.write("policy/house.rego", "package sallyport.stanza\n")
	h.write("policy/groups.yaml", "groups:\n  staff: {alice@corp.example: true}\n")
	good := map[string]string{}
	for _, name := range []string{"sallyport.yaml", "policy/house.rego", "policy/groups.yaml", "corp.pem"} {
		text, err := os.ReadFile(filepath.Join(h.dir, name))
		must(t, err)
		good[name] = string(text)
	}
	h.write("sallyport.yaml.good", good["sallyport.yaml"])
	g := h.start()
	revision := h.revision()
	yaml := func(old, now string) string { return strings.Replace(good["sallyport.yaml"], old, now, 1) }
	for _, test := range []struct {
		name, file, text string
		want             []string // each in a line of its own
	}{
		{"unknown keys", "sallyport.yaml", good["sallyport.yaml"] + "pears: {}\nfoo: 1\n", []string{h.config + `:23: unknown key \"pears\"; did you mean peers?`, h.config + `:24: unknown key \"foo\"`}},
		{"no configuration", "sallyport.yaml", "\x00", []string{h.config + ":1: control character"}},
		{"policy", "policy/house.rego", "package sallyport.stanza\n\ndeny contains x if { y }\n", []string{h.dir + "/policy/house.rego:3: "}},
		{"data file", "policy/groups.yaml", "groups:\n  staff: [\n", []string{h.dir + "/policy/groups.yaml:2: "}},
		{"certificate", "corp.pem", "-----BEGIN NONSENSE-----\n", []string{h.config + ":14: certs.files[0].cert: " + h.dir + "/corp.pem: "}},
		{"no certificate for a domain", "sallyport.yaml", yaml("[corp.example]", "[corp.example, conference.corp.example]"), []string{h.config + ":3: backends[0].domains[1]: no certificate names conference.corp.example"}},
		{"what stands until a restart", "sallyport.yaml", yaml("durability: async", "durability: sync, segment_age: 1h") + "log: {format: json}\nlimits: {pending: 7}\n",
			[]string{h.config + ":20: audit.durability: a reload cannot change it", h.config + ":20: audit.segment_age:", h.config + ":23: log.format:", h.config + ":24: limits.pending:"}},
	} {
		h.write(test.file, test.text)
		h.own()
		faults, done := g.reloaded()
		if done != "" || len(faults) != len(test.want) {
			t.Errorf("%s: %s%s", test.name, done, strings.Join(faults, "\n"))
		}
		for _, want := range test.want {
			if !strings.Contains(strings.Join(faults, "\n"), `reason="`+want) {
				t.Errorf("%s: not told: %s\n%s", test.name, want, strings.Join(faults, "\n"))
			}
		}
		if now := h.revision(); now != revision {
			t.Errorf("%s: the policy changed from %s to %s", test.name, revision, now)
		}
		h.write(test.file, good[test.file])
	}
	// The certificate that was in use before is shown still, and the door is open.
	xmpptest.Converse(t, h.stage(nil), proved)
	_, out, _ := call("audit", "search", "-c", h.config, "--kind", "config.reload")
	if got := lines(out); len(got) != 7 || !strings.Contains(got[0], "unknown key") {
		t.Errorf("the record has %d refused reloads, want 7:\n%s", len(got), out)
	}
}

// A good reload takes everything: policy data, certificates, limits, the log's level; and judges the live links again.
func TestReloadTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text, err := os.ReadFile(h.config)
	must(t, err)
	h.write("sallyport.yaml.good", string(text))
	g := h.start()
	revision, before := h.revision(), h.shown()
	id, err := h.ca.Issue("corp.example", "conference.corp.example")
	must(t, err)
	h.write("corp.pem", string(id.Cert))
	h.write("corp.key", string(id.Key))
	h.edit("[corp.example]", "[corp.example, conference.corp.example]")
	h.edit("rival.example: {deny: true}", "remote.example: {deny: true}")
	h.edit("admin:", "log: {level: debug}\nlimits: {idle: 10m}\nadmin:")
	h.own()
	xmpptest.Converse(t, h.stage(map[string]func() error{"reload": func() error {
		if faults, done := g.reloaded(); !strings.Contains(done, `changed="[backends peers limits.idle log.level]"`) {
			t.Errorf("reload: %s%s", done, faults)
		}
		return nil
	}}), proved+`
do reload
r receives <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>…</stream:error>
r ends
`)
	if now := h.revision(); now == revision {
		t.Error("the policy's revision is the same with other data")
	}
	if now := h.shown(); now == before {
		t.Error("the old certificate is shown still")
	}
}

// A reload holds the links that stand against the trust anchors of now: what none of them proves any more has to prove itself anew.
func TestReloadTakesAnAnchor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	other, err := peer.NewAuthority("Another Authority")
	must(t, err)
	stage := h.stage(map[string]func() error{"reload": func() error {
		h.write("ca.pem", string(other.PEM))
		if faults, _ := g.reloaded(); faults != nil {
			t.Errorf("reload: %s", faults)
		}
		return nil
	}})
	xmpptest.Converse(t, stage, proved+`
do reload
r receives <stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>…</stream:error>
r ends
`)
}

// shown is the serial number of the certificate that the outside door shows.
func (h *house) shown() (serial string) {
	h.t.Helper()
	stage := h.stage(nil)
	stage.Client["good"].VerifyConnection = func(s tls.ConnectionState) error {
		serial = s.PeerCertificates[0].SerialNumber.String()
		return nil
	}
	begin, _, _ := strings.Cut(proved, "r tls client good\n")
	xmpptest.Converse(h.t, stage, strings.ReplaceAll(begin+"r tls client good\n", "remote.example", "third.example"))
	return serial
}

// A change in the policy's directory takes effect by itself; what does not load is told once, and changes nothing.
func TestPolicyDirectoryIsWatched(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("timeout: 10s", "timeout: 10s, watch: 20ms")
	h.write("policy/house.rego", "package sallyport.stanza\n")
	text, err := os.ReadFile(h.config)
	must(t, err)
	h.write("sallyport.yaml.good", string(text))
	g := h.start()
	before := h.revision()
	h.write("policy/house.rego", "package sallyport.stanza\n\ndeny contains {\"rule\": \"mine\"} if input.stanza.type == \"chat\"\n")
	g.await("the new policy is in force")
	if h.revision() == before {
		t.Error("the revision is the same")
	}
	now := h.revision()
	h.write("policy/house.rego", "package sallyport.stanza\n\ndeny contains {\n")
	if line := g.await("msg=fault"); !strings.Contains(line, "house.rego:") {
		t.Errorf("the fault has no place: %s", line)
	}
	g.await("does not load; the policy stays as it was")
	if h.revision() != now {
		t.Error("a policy that does not load has changed the revision")
	}
}

// policy.mode changes with a hang-up, under the same revision, and the record says in which mode each decision was made.
func TestModeReloaded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("admin:", "limits: {drain: 1s}\nadmin:")
	h.write("policy/house.rego", "package sallyport.stanza\n\ndeny contains {\"rule\": \"no-words\"} if input.stanza.kind == \"message\"\n")
	text, err := os.ReadFile(h.config)
	must(t, err)
	h.write("sallyport.yaml.good", string(text))
	g := h.start()
	revision := h.revision()
	// The stanza that is refused is known to be judged when what came behind it is answered.
	refused := strings.TrimSuffix(word, "b accepts backend\nb receives header\n") + `
r sends <db:verify from='remote.example' to='corp.example' id='abc'>00</db:verify>
r receives <db:verify from='corp.example' to='remote.example' id='abc' type='invalid'/>
do observe
`
	xmpptest.Converse(t, h.stage(map[string]func() error{"observe": func() error {
		h.edit("policy: {dir: policy,", "policy: {dir: policy, mode: observe,")
		h.own()
		if faults, done := g.reloaded(); !strings.Contains(done, "changed=[policy.mode]") {
			t.Errorf("reload: %s%s", done, faults)
		}
		return nil
	}}), proved+refused+word)
	if now := h.revision(); now != revision {
		t.Errorf("the revision is %s and was %s", now, revision)
	}
	g.signal(syscall.SIGTERM)
	g.end()
	_, out, _ := call("audit", "search", "-c", h.config, "--kind", "stanza", "--json")
	if got := lines(out); len(got) != 2 || !strings.Contains(got[0], `"effect":"deny"`) || !strings.Contains(got[1], `"effect":"allow"`) || !strings.Contains(got[1], `"would":"deny"`) {
		t.Errorf("the record has\n%s", out)
	}
}
