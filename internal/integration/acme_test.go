package integration_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest/lab"
)

// certified is a laboratory whose gate obtains its certificates from pebble:
//
//	inside    corp.example, conference.corp.example    Prosody
//	outside   ally.example       Prosody, wants TLS, takes dialback
//	          ca.example         pebble
//	          dns                BIND; the challenges of corp.example lead to acme.op.example, which takes updates
type certified struct {
	*lab.Lab
	backend, gateHost, ally *lab.Host
	dns                     *lab.Bind
	authority               *lab.Pebble
	gate                    *lab.Gate
}

// TestCertificatesFromAnAuthority: the gate obtains certificates by each challenge, and renews them under traffic without dropping a link ([I12]).
// The door for direct TLS, which asks peers for certificates, answers tls-alpn-01.
func TestCertificatesFromAnAuthority(t *testing.T) {
	t.Parallel()
	w := &certified{Lab: lab.New(t)}
	w.backend, w.gateHost, w.ally = w.Host("backend", lab.Inside), w.Host("gate", lab.Inside, lab.Outside), w.Host("ally", lab.Outside)
	ca := w.Host("ca", lab.Outside)
	at := func(h *lab.Host) netip.AddrPort { return netip.AddrPortFrom(h.Addr(lab.Outside), 5269) }
	corp, ally := lab.Zone(local, at(w.gateHost), "conference"), lab.Zone("ally.example", at(w.ally))
	corp[local] = append(corp[local], fmt.Sprintf("%s. 5 IN A %s", local, w.gateHost.Addr(lab.Outside)), fmt.Sprintf("%s. 5 IN A %s", rooms, w.gateHost.Addr(lab.Outside)),
		"_acme-challenge."+local+". 5 IN CNAME corp.acme.op.example.", "_acme-challenge."+rooms+". 5 IN CNAME rooms.acme.op.example.")
	w.dns = w.BindUpdated(w.Host("dns", lab.Outside), lab.Updates{"acme.op.example"}, corp, ally, map[string][]string{
		"ca.example": {"ca.example. 5 IN A " + ca.Addr(lab.Outside).String()}, "acme.op.example": nil})
	w.authority = w.Pebble(ca, "ca.example", 45*time.Second)
	here := w.Backend(lab.Prosody, w.backend, w.gateHost.Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"pat"}})
	there := w.Prosody(w.ally, lab.Config{Domain: "ally.example", Mode: lab.RequiredTLS, Users: []string{"bob"}})
	w.Ready()
	secret := filepath.Join(w.Dir(), "tsig.key")
	if err := os.WriteFile(secret, []byte(lab.UpdateSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	w.gateHost.SetNameserver(w.dns.Addr.Addr()) // by which it finds the authority
	w.gate = w.Gate(w.gateHost, w.config(t, "tls-alpn", "challenge: tls-alpn-01, per: backend"))
	t.Run("tls-alpn-01", func(t *testing.T) {
		w.obtains(t, 0, 1)
		w.renews(t, w.Client(t, here, "pat"), w.Client(t, there, "bob"))
	})
	for _, tt := range []struct {
		challenge, lines string
		certificates     int
	}{
		{"http-01", "per: domain", 2},
		{"dns-01", "dns: {server: '" + w.dns.Addr.String() + "', tsig: {name: " + lab.UpdateKey + ", secret_file: " + secret + "}}", 1},
	} {
		t.Run(tt.challenge, func(t *testing.T) {
			w.gate.Stop(t)
			if err := os.WriteFile(filepath.Join(w.GateDir(w.gateHost), "sallyport.yaml"), []byte(w.config(t, tt.challenge, "challenge: "+tt.challenge+", "+tt.lines)), 0o600); err != nil {
				t.Fatal(err)
			}
			before := len(w.gate.Log())
			w.gate.Start(t)
			w.obtains(t, before, tt.certificates)
		})
	}
	if !w.dns.Asked("corp.acme.op.example") {
		t.Error("nobody asked for the delegated name")
	}
	w.gate.Stop(t)
	for _, bad := range []string{"panic:", "DATA RACE", "certificate not obtained"} {
		if strings.Contains(w.gate.Log(), bad) {
			t.Errorf("the gate's log has %q", bad)
		}
	}
}

// config is the gate's, with a store of its own for each challenge.
func (w *certified) config(t *testing.T, store, challenge string) string {
	t.Helper()
	dir := w.GateDir(w.gateHost)
	return lab.GateLines(t, lab.Prosody, w.backend, w.gateHost.Addr(lab.Inside)) + strings.NewReplacer(
		"OUTSIDE", netip.AddrPortFrom(w.gateHost.Addr(lab.Outside), 5269).String(), "ADDRESS", w.gateHost.Addr(lab.Outside).String(), "RESOLVER", w.dns.Addr.String(),
		"DIRECTORY", w.authority.Directory, "ROOT", w.authority.Root, "STORE", filepath.Join(dir, store), "DIR", dir, "CHALLENGE", challenge,
	).Replace(`
outside: {listen: ["OUTSIDE"], direct_tls: ["ADDRESS:443"], resolver: ["RESOLVER"], allow_private: true}
federation: open
certs:
  store: STORE
  acme: {directory: "DIRECTORY", root: ROOT, accept_terms: true, tls_alpn_listen: "ADDRESS:443", http_listen: "ADDRESS:80", CHALLENGE}
  system_roots: false
dialback: {secret_file: DIR/dialback.secret}
ratchet: {file: DIR/peers.json}
audit: {dir: DIR/audit}
admin: {socket: DIR/admin.sock}
policy: {timeout: 5s}
`)
}

// obtains waits for the certificates and looks at what the gate shows outside.
func (w *certified) obtains(t *testing.T, before, certificates int) {
	t.Helper()
	for ; certificates > 0; certificates-- {
		w.gate.Says(t, before, `msg="certificate obtained"`)
		before += strings.Index(w.gate.Log()[before:], `msg="certificate obtained"`) + 1
	}
	for _, domain := range []string{local, rooms} {
		if leaf := w.shown(t, domain); leaf.VerifyHostname(domain) != nil || !strings.Contains(leaf.Issuer.CommonName, "Pebble") {
			t.Errorf("%s shows a certificate of %q for %v", domain, leaf.Issuer.CommonName, leaf.DNSNames)
		}
	}
}

// renews lets people talk until the certificate is another one: every message arrives, on the same links as before.
func (w *certified) renews(t *testing.T, pat, bob lab.User) {
	t.Helper()
	lab.Message(t, pat, bob)
	lab.Message(t, bob, pat)
	links, old := w.links(t), w.shown(t, local)
	if len(links) < 4 {
		t.Fatalf("only the links %v stand", links)
	}
	for started := time.Now(); w.shown(t, local).Equal(old); {
		for range 25 { // the gate lets nobody call ten times in a second
			lab.Message(t, pat, bob)
			lab.Message(t, bob, pat)
		}
		if time.Since(started) > 5*time.Minute {
			t.Fatal("the certificate is not renewed")
		}
	}
	lab.Message(t, pat, bob)
	lab.Message(t, bob, pat)
	if now := w.links(t); !maps.Equal(links, now) {
		t.Errorf("the links are %v, before the renewal they were %v", now, links)
	}
}

// links are the links that stand, by id.
func (w *certified) links(t *testing.T) map[string]string {
	t.Helper()
	gate, _ := w.gate.Status(t)["gate"].(map[string]any)
	all, _ := gate["links"].([]any)
	links := make(map[string]string)
	for _, each := range all {
		if link, _ := each.(map[string]any); link["state"] == "up" && fmt.Sprint(link["pairs"]) != "[]" {
			links[fmt.Sprint(link["id"])] = fmt.Sprint(link["door"], " ", link["kind"], " ", link["pairs"])
		}
	}
	return links
}

// shown is the certificate that a peer sees who asks for a domain with STARTTLS.
func (w *certified) shown(t *testing.T, domain string) *x509.Certificate {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := w.ally.Dial(ctx, "tcp", netip.AddrPortFrom(w.gateHost.Addr(lab.Outside), 5269).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, step := range []struct{ say, want string }{
		{"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='ally.example' to='" +
			domain + "' version='1.0'>", "</stream:features>"},
		{"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"},
	} {
		if _, err := conn.Write([]byte(step.say)); err != nil {
			t.Fatal(err)
		}
		var heard []byte
		for !slices.Equal(heard[max(0, len(heard)-len(step.want)):], []byte(step.want)) {
			b, err := in.ReadByte()
			if err != nil {
				t.Fatalf("waiting for %s: %v after %s", step.want, err, heard)
			}
			heard = append(heard, b)
		}
	}
	secure := tls.Client(conn, &tls.Config{ServerName: domain, InsecureSkipVerify: true})
	if err := secure.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	return secure.ConnectionState().PeerCertificates[0]
}
