package main

import (
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/peer"
)

// A domain whose certificate is still to be obtained does not keep the gate down; that it cannot be had is told in the log, by status and by
// check, and touches no other domain. A reload cannot move the authority's socket, and says so.
func TestCertificateIsPending(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ports, err := peer.Reserve(3)
	must(t, err)
	h.edit("[corp.example]", "[corp.example, conference.corp.example]")
	h.edit("certs:\n", "certs:\n  store: state/certs\n  acme: {directory: 'https://"+ports[0]+"/dir', accept_terms: true, tls_alpn_listen: '"+ports[1]+"'}\n")
	code, stdout, stderr := call("check", "-c", h.config)
	note := ":3: backends[0].domains[1]: no certificate yet names conference.corp.example; it is obtained from 127.0.0.1 by tls-alpn-01\n"
	if code != 0 || stdout != h.config+note+h.config+": no fault found\n" {
		t.Errorf("check before the first start: exit %d, %q %q", code, stdout, stderr)
	}
	g := h.start()
	line := g.await(`msg="certificate not obtained"`)
	if !strings.Contains(line, "domains=[conference.corp.example]") || !strings.Contains(line, "connection refused") || !strings.Contains(line, "next_try=") {
		t.Errorf("told %s", line)
	}
	if h.shown() == "" {
		t.Error("the other domain is not served")
	}
	code, stdout, _ = call("status", "--socket", h.dir+"/state/admin.sock")
	if code != 0 || !strings.Contains(stdout, "conference.corp.example") || !strings.Contains(stdout, "none yet, 1 attempts failed, next 2") {
		t.Errorf("status: exit %d, %s", code, stdout)
	}
	code, _, stderr = call("check", "-c", h.config)
	if code != 1 || !strings.Contains(stderr, "there is no certificate for conference.corp.example; 1 attempts to obtain one failed, the last because: asking for the directory") {
		t.Errorf("check afterwards: exit %d, %q", code, stderr)
	}
	h.edit(ports[1], ports[2])
	h.own()
	faults, done := g.reloaded()
	if done != "" || len(faults) != 1 || !strings.Contains(faults[0], ":15: certs.acme.tls_alpn_listen: a reload cannot open another socket") {
		t.Errorf("reload: %s%s", done, faults)
	}
	h.edit(ports[2], ports[1])
	h.edit("accept_terms: true", "accept_terms: true, email: admin@corp.example")
	h.own()
	if faults, done := g.reloaded(); !strings.Contains(done, `changed=[certs.acme]`) {
		t.Errorf("reload: %s%s", done, faults)
	}
	g.await(`msg="certificate not obtained"`) // tried at once
	g.signal(syscall.SIGTERM)
	if code, said := g.end(); code != 0 {
		t.Errorf("exit %d:\n%s", code, said)
	}
}
