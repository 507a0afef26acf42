package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"sallyport/internal/xmpptest"
	"sallyport/internal/xmpptest/slapd"
)

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// library is a server of bundles with the key that signs them.
type library struct {
	t      *testing.T
	server *httptest.Server
	key    string
	now    atomic.Pointer[[]byte]
}

// newLibrary starts one, and makes a house that takes its policy from there.
func newLibrary(t *testing.T, h *house) *library {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	l := &library{t: t, key: inPEM("EC PRIVATE KEY", private)}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(*l.now.Load()) }))
	l.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	l.server.StartTLS()
	t.Cleanup(l.server.Close)
	h.write("bundle.pub", inPEM("PUBLIC KEY", public))
	h.write("library.pem", inPEM("CERTIFICATE", l.server.Certificate().Raw))
	h.edit("policy: {dir: policy, timeout: 10s}", "policy: {dir: policy, timeout: 10s, bundle: {url: '"+l.server.URL+"/gate.tar.gz', key: bundle.pub, roots: library.pem, file: state/bundle.tar.gz, poll: 20ms}}")
	return l
}

// puts has the server give a bundle with a rule that refuses all messages.
func (l *library) puts(revision, rule string) {
	l.t.Helper()
	rego := "package sallyport.stanza\n\ndeny contains {\"rule\": \"" + rule + "\"} if input.stanza.kind == \"message\"\n"
	b := bundle.Bundle{Manifest: bundle.Manifest{Revision: revision}, Data: map[string]any{},
		Modules: []bundle.ModuleFile{{URL: "/rules.rego", Path: "/rules.rego", Raw: []byte(rego), Parsed: ast.MustParseModule(rego)}}}
	b.Manifest.Init()
	var out bytes.Buffer
	must(l.t, b.GenerateSignature(bundle.NewSigningConfig(l.key, "ES256", ""), "key", false))
	must(l.t, bundle.NewWriter(&out).Write(b))
	text := out.Bytes()
	l.now.Store(&text)
}

// metrics is what a running gate measures now.
func (h *house) metrics() string {
	h.t.Helper()
	resp, err := http.Get("http://" + h.doors["metrics"] + "/metrics")
	must(h.t, err)
	text, err := io.ReadAll(resp.Body)
	must(h.t, errors.Join(err, resp.Body.Close()))
	return string(text)
}

// A gate takes its policy from a server: at the start, and each time that there is a new one. The revision stands in status, metrics and
// record. What is refused is told and recorded once, and the next start does without the server.
func TestBundleFeedsGate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := newLibrary(t, h)
	h.edit("admin:", "limits: {drain: 1s}\nadmin:")
	l.puts("7-first", "first")
	g := h.start()
	good, err := os.ReadFile(h.config)
	must(t, err)
	h.write("sallyport.yaml.good", string(good))
	if r := h.revision(); !strings.HasSuffix(r, "@7-first") {
		t.Errorf("the revision is %s", r)
	}
	// What was asked behind a stanza is answered when the stanza is judged.
	said := strings.TrimSuffix(word, "b accepts backend\nb receives header\n") + `
r sends <db:verify from='remote.example' to='corp.example' id='abc'>00</db:verify>
r receives <db:verify from='corp.example' to='remote.example' id='abc' type='invalid'/>
`
	xmpptest.Converse(t, h.stage(map[string]func() error{
		"next": func() error { l.puts("8-second", "second"); g.await("the new policy is in force"); return nil },
		"old":  func() error { l.puts("7-first", "first"); g.await("older than 8-second"); return nil },
	}), proved+said+"do next\n"+said+"do old\n"+said)
	code, out, stderr := call("status", "-c", h.config)
	for _, want := range []string{"@8-second", "bundle 8-second, confirmed ", "revision 7-first is older than 8-second"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status has no %q:\n%s%s", want, out, stderr)
		}
	}
	text := h.metrics()
	for _, want := range []string{"\nsallyport_policy_bundle 8\n", `sallyport_policy_source_failing{source="bundle"} 1`, `sallyport_policy_source_age_seconds{source="bundle"} 0`, "\nsallyport_policy_revision "} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
	g.signal(syscall.SIGTERM)
	g.end()
	_, out, _ = call("audit", "search", "-c", h.config, "--kind", "stanza", "--json")
	var rules []string
	for _, line := range lines(out) {
		var r struct {
			Decision struct{ Rule, Revision string }
		}
		must(t, json.Unmarshal([]byte(line), &r))
		_, version, _ := strings.Cut(r.Decision.Revision, "@")
		rules = append(rules, r.Decision.Rule+" of "+version)
	}
	if got := strings.Join(rules, ", "); got != "first of 7-first, second of 8-second, second of 8-second" {
		t.Errorf("the record has %s", got)
	}
	_, out, _ = call("audit", "search", "-c", h.config, "--kind", "policy.reload")
	if got := lines(out); len(got) != 2 || !strings.Contains(got[1], "older than 8-second") {
		t.Errorf("the record has %d changes of policy, want the new one and the refused one:\n%s", len(got), out)
	}

	l.server.Close()
	if code, out, stderr := call("policy", "check", "-c", h.config); code != 0 || !strings.Contains(out, "@8-second") {
		t.Errorf("the tools do not know what was fetched: %s%s", out, stderr)
	}
	g = h.launch("run", "-c", h.config)
	for range 2 { // in either order
		g.await("the gate stands|gives nothing that can be used; what is in force stays")
	}
	if r := h.revision(); !strings.HasSuffix(r, "@8-second") {
		t.Errorf("with the server down the revision is %s", r)
	}
}

// Without a server and without anything kept there is no gate: what the policy would refuse must not pass.
func TestBundleMissingAtStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := newLibrary(t, h)
	l.server.Close()
	if code, out, _ := call("check", "-c", h.config); code != 0 || !strings.Contains(out, "bundle: nothing has been fetched yet") {
		t.Errorf("check: exit %d, %s", code, out)
	}
	r := h.launch("run", "-c", h.config)
	if code, said := r.end(); code != 1 || !strings.Contains(said, "to start with, and fetching it: ") || !strings.Contains(said, "connection refused") {
		t.Errorf("exit %d, %s", code, said)
	}
	h.write("bundle.pub", "nonsense")
	if code, _, stderr := call("check", "-c", h.config); code != 1 || !strings.Contains(stderr, "policy.bundle: key: it is no PEM") {
		t.Errorf("check: exit %d, %s", code, stderr)
	}
}

// A gate whose directory is down goes by the groups that it was told last, and says so.
func TestDirectoryDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("admin:", "directory: {url: 'ldaps://localhost:1', base: 'dc=corp,dc=example', file: groups.json}\nadmin:")
	if code, out, _ := call("check", "-c", h.config); code != 0 || !strings.Contains(out, "directory: nothing has been fetched yet") {
		t.Errorf("check: exit %d, %s", code, out)
	}
	h.write("groups.json", `{"groups": {"research": {"romeo@corp.example": {}}}}`)
	h.write("policy/house.yaml", "internal: {groups: {research: true}}\n")
	good, err := os.ReadFile(h.config)
	must(t, err)
	h.write("sallyport.yaml.good", string(good))
	g := h.start()
	g.await("source=directory.*connection refused")
	_, out, _ := call("status", "-c", h.config)
	if !strings.Contains(out, "directory, confirmed ") || !strings.Contains(out, "connection refused") {
		t.Errorf("status says nothing of it:\n%s", out)
	}
	_, out, _ = call("policy", "eval", "-c", h.config, "--input", h.input(`{"direction": "out", "local": {"domain": "corp.example"}, "remote": {"domain": "remote.example"}, "from": {"bare": "romeo@corp.example"}, "stanza": {"kind": "message"}}`))
	if !strings.Contains(out, "internal-group") {
		t.Errorf("the groups that are kept do not count:\n%s", out)
	}
	h.edit("base: 'dc=corp,dc=example'", "base: corp")
	if code, _, stderr := call("check", "-c", h.config); code != 1 || !strings.Contains(stderr, `directory: base: "corp" is no distinguished name`) {
		t.Errorf("check: exit %d, %s", code, stderr)
	}
}

// Groups come from a real directory. Who is taken out of one loses its rights with the next answer; while the server is down, and when the
// gate starts without it, what was told last holds.
func TestGroupsOfARealDirectory(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, 20)
	h := newHouse(t)
	roots, err := os.ReadFile(d.Roots)
	must(t, err)
	h.write("ldap.pem", string(roots))
	h.write("secret", slapd.Password)
	_, port, _ := net.SplitHostPort(d.TLS)
	h.edit("admin:", "directory: {url: 'ldaps://localhost:"+port+"', roots: ldap.pem, bind_dn: '"+slapd.Service+"', secret_file: secret, base: 'ou=people,"+slapd.Suffix+
		"', group_base: 'ou=groups,"+slapd.Suffix+"', file: state/groups.json, poll: 200ms}\nadmin:")
	h.write("policy/house.yaml", "rights: {groups: {everyone: {default: both}}, default: none}\n")
	g := h.start()
	judged := func(c *xmpptest.Conversation, id, user, decision string) {
		t.Helper()
		c.Play("r sends <message from='juliet@remote.example' to='" + user + "@corp.example' id='" + id + "'><body>hi</body></message>\nrecord has \"id\":\"" + id + "\" " + decision + "\n")
	}
	const passes, refused = `"effect":"allow"`, `"effect":"deny" "rule":"rights"`
	stage := h.stage(nil)
	stage.Record = func() (all []byte) {
		files, _ := filepath.Glob(filepath.Join(h.dir, "state/audit/*.jsonl"))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			all = append(all, b...)
		}
		return all
	}
	c := xmpptest.Begin(t, stage)
	c.Play(proved)
	judged(c, "m1", "u1", passes)
	judged(c, "m2", "nobody", refused)
	others := []int{0}
	for i := 2; i < 20; i++ {
		others = append(others, i)
	}
	d.Members("everyone", others...)
	g.await("something new; the new policy is in force.*source=directory")
	judged(c, "m3", "u1", refused)
	judged(c, "m4", "u2", passes)
	d.Stop()
	g.await("source=directory.*connection refused")
	judged(c, "m5", "u1", refused)
	judged(c, "m6", "u2", passes)
	g.signal(syscall.SIGKILL)
	g.end()
	h.start()
	for late := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		if _, out, _ := call("status", "-c", h.config); strings.Contains(out, "connection refused") {
			break
		} else if time.Now().After(late) {
			t.Fatalf("status does not say that the directory is down:\n%s", out)
		}
	}
	c = xmpptest.Begin(t, stage)
	c.Play(proved)
	judged(c, "m7", "u1", refused)
	judged(c, "m8", "u2", passes)
	c.End()
}

func (h *house) input(text string) string {
	h.t.Helper()
	h.write("input.json", text)
	return filepath.Join(h.dir, "input.json")
}
