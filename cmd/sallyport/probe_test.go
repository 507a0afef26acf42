package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/peer"
	"sallyport/internal/probe"
	"sallyport/internal/xmpptest"
)

// neighbour starts a server for remote.example that asks the house's gate about keys, and lets the house find it.
func (h *house) neighbour(external bool) {
	h.t.Helper()
	id, err := h.ca.Issue("remote.example")
	must(h.t, err)
	server, err := peer.Modern{Domains: []string{"remote.example"}, Certificate: id.TLS, Roots: h.ca.Pool(), External: external,
		Directory: peer.Directory{Routes: map[string]string{"corp.example": h.doors["outside"]}}}.Start(h.t.Context())
	must(h.t, err)
	h.t.Cleanup(func() { server.Close() })
	_, port, err := net.SplitHostPort(server.Addr())
	must(h.t, err)
	_, ours, err := net.SplitHostPort(h.doors["outside"])
	must(h.t, err)
	names := xmpptest.ListenDNS(h.t,
		fmt.Sprintf("_xmpp-server._tcp.remote.example. 60 IN SRV 0 5 %s xmpp.remote.example.", port), "xmpp.remote.example. 60 IN A 127.0.0.1",
		fmt.Sprintf("_xmpp-server._tcp.corp.example. 60 IN SRV 0 5 %s gate.corp.example.", ours), "gate.corp.example. 60 IN A 127.0.0.1")
	h.edit(`resolver: ["127.0.0.1:9"]`, fmt.Sprintf("resolver: [%q]\n  allow_private: true", names.Addr()))
}

// TestProbe: the running gate answers for the key of a probe, which is another process (PROTOCOL 11.3); the page, the document and the exit code.
func TestProbe(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.neighbour(true)
	g := h.start()
	code, page, stderr := call("probe", "remote.example", "-c", h.config)
	if code != 0 || stderr != "" || !strings.HasPrefix(page, "remote.example, asked as corp.example\n  grade        STRONG\n") {
		t.Errorf("exit %d\n%s%s", code, page, stderr)
	}
	code, text, stderr := call("probe", "REMOTE.example.", "-c", h.config, "--json", "--from", "corp.example")
	if code != 0 || stderr != "" {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	hasKeys(t, text, "version", "domain", "from", "time", "took_ms", "grade", "reason", "federates", "offers", "dns.validating", "dns.services[].name", "dns.services[].records[]",
		"dns.places[].target", "dns.places[].addresses[]", "dns.caa.dnssec", "endpoints[].address", "endpoints[].took_ms.tcp", "endpoints[].took_ms.tls", "endpoints[].clear.starttls",
		"endpoints[].secure.external", "endpoints[].tls.version", "endpoints[].tls.chain[].names[]", "endpoints[].tls.chain[].not_after", "endpoints[].tls.chain[].usage[]",
		"endpoints[].tls.pkix.proved", "endpoints[].tls.dane.reason", "endpoints[].tls.revocation", "posh.fingerprints", "proof.external.result", "proof.dialback.took_ms",
		"memory.mode", "policy.revision", "policy.out.allowed", "policy.out.rule", "policy.in.require.channel")
	var r probe.Report
	must(t, json.Unmarshal([]byte(text), &r))
	if r.Proof.External.Result != probe.Accepted || r.Proof.Dialback.Result != probe.Accepted || r.Domain != "remote.example" {
		t.Errorf("EXTERNAL %s, dialback %s, with %s", r.Proof.External, r.Proof.Dialback, r.Domain)
	}
	code, page, stderr = call("probe", "rival.example", "-c", h.config)
	if code != 1 || !strings.Contains(page, "REFUSED BY OUR POLICY") || !strings.HasPrefix(stderr, "rival.example: refused by our policy: links to it: rival.example: data.peers denies it") {
		t.Errorf("a domain that the policy denies: exit %d\n%s%s", code, page, stderr)
	}
	// What is remembered comes from the running gate, and from its file when it does not run.
	if code, _, stderr := call("peers", "pin", "remote.example", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "-c", h.config); code != 0 {
		t.Fatal(stderr)
	}
	pinned := func() {
		t.Helper()
		if code, page, stderr := call("probe", "remote.example", "-c", h.config); code != 1 || !strings.Contains(page, "pinned       sha256/AAAA") || !strings.Contains(stderr, "(rule pin)") {
			t.Errorf("with another key pinned: exit %d\n%s%s", code, page, stderr)
		}
	}
	pinned()
	g.signal(syscall.SIGTERM)
	if _, said := g.end(); strings.Contains(said, "a key that we did not issue") {
		t.Errorf("the gate does not know the key as its own:\n%s", said)
	}
	pinned()
}

// Without a gate there is nobody who could answer for the key, before the first start there is none, and the probe makes none.
func TestProbeWithoutAGate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.neighbour(false)
	code, page, stderr := call("probe", "remote.example", "-c", h.config)
	if code != 1 || !strings.Contains(page, "there is no dialback secret yet") || !strings.HasPrefix(stderr, "remote.example: broken: we cannot prove ourselves to it") {
		t.Errorf("exit %d\n%s%s", code, page, stderr)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "state")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the probe made something beside the configuration:", err)
	}
}

// What is no remote domain is wrong usage.
func TestProbeUsage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for args, want := range map[string]string{
		"":                                "it takes DOMAIN; see sallyport probe --help",
		"a.example b.example":             "it takes DOMAIN; see sallyport probe --help",
		"localhost":                       "localhost is no domain that could federate",
		"127.0.0.1":                       "127.0.0.1 is no domain that could federate",
		"a..b":                            "domain is not a host name",
		"corp.example":                    "corp.example is one of our own domains",
		"conference.corp.example":         "conference.corp.example is one of our own domains",
		"a.example --from b.example":      "--from: b.example is not in backends[].domains",
		"a.example --timeout soon":        "invalid argument",
		"a.example --from nonsense..name": "--from: \"nonsense..name\" is not a domain",
	} {
		code, stdout, stderr := call(strings.Fields("probe -c " + h.config + " " + args)...)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "sallyport: ") || !strings.Contains(stderr, want) {
			t.Errorf("probe %s: exit %d, %q, %q; want 2 and %q", args, code, stdout, stderr, want)
		}
	}
	_, help, _ := call("probe", "--help")
	for _, word := range []string{"Exit codes: 0 federation is possible", "--json", "--from DOMAIN", "--timeout TIME", "sallyport probe partner.example"} {
		if !strings.Contains(help, word) {
			t.Errorf("the help does not say %q:\n%s", word, help)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 110 {
			t.Errorf("a line of the help has %d columns: %s", len(line), line)
		}
	}
}

// TestCheckOnline: a stranger who asks at the address in our DNS is answered by the running gate, and a backend that asks here about a false
// key is told from one that asks somebody else; each fault has the line of the configuration that it is about.
func TestCheckOnline(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.neighbour(false)
	check := func(backend string) (code int, stdout, stderr string) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			code, stdout, stderr = call("check", "-c", h.config, "--online")
		}()
		xmpptest.Converse(t, h.stage(nil), backend)
		<-done
		return code, stdout, stderr
	}
	opens := `
b accepts backend
b receives header from='self-check.sallyport.example' to='corp.example'
b sends header from='corp.example' id='b1' version='1.0'
b sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
`
	code, stdout, stderr := check(opens + "b receives </stream:stream>\n")
	if code != 0 || !strings.Contains(stdout, "a door of this gate\n") || !strings.Contains(stdout, "note the gate's doors were not tried: no gate answers") {
		t.Errorf("without a gate: exit %d\n%s%s", code, stdout, stderr)
	}
	h.start()
	asks := opens + "b receives <db:result from='self-check.sallyport.example' to='corp.example'>…</db:result>\n"
	code, stdout, stderr = check(asks + "b sends <db:result from='corp.example' to='self-check.sallyport.example' type='invalid'/>\nb receives </stream:stream>\n")
	for _, line := range []string{
		"ok   corp.example: DNS leads to " + h.doors["outside"] + " (gate.corp.example), where this gate answers for it (TLS 1.3)\n",
		"ok   " + h.doors["outside"] + " answers for corp.example (TLS 1.3)\n",
		"ok   " + h.doors["dns"] + " leads every domain to " + h.doors["inside"] + "; each backend must ask it",
		"its resolver leads here\n", h.config + ": no fault found\n",
	} {
		if code != 0 || stderr != "" || !strings.Contains(stdout, line) {
			t.Fatalf("exit %d, %q is wanted\n%s%s", code, line, stdout, stderr)
		}
	}
	code, _, stderr = check(asks + "b sends <db:result from='corp.example' to='self-check.sallyport.example' type='error'/>\nb receives </stream:stream>\n")
	if code != 1 || len(lines(stderr)) != 1 || !strings.HasPrefix(stderr, h.config+":2: backends[0]: the backend ") || !strings.Contains(stderr, "its resolver must be "+h.doors["dns"]) {
		t.Errorf("a backend that asks somebody else: exit %d\n%s", code, stderr)
	}
}
