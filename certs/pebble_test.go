package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/peer"
	"sallyport/internal/xmpptest"
)

// program finds a real server. Where it is missing the test is skipped, but never in CI, which installs all of them first.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/" + name, "/usr/sbin/" + name} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed; run internal/xmpptest/lab/install.sh", name)
	}
	t.Skipf("needs the program %s: install it as root with `make peers`", name)
	return ""
}

// start runs a program until the test ends, and shows what it said if the test failed.
func start(t *testing.T, env []string, path string, args ...string) {
	t.Helper()
	var out lines
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended := make(chan error, 1)
	started := make(chan error)
	go func() { // the kernel ends the program when the thread that started it ends, so that goroutine stays
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if all := out.with(""); t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(path), strings.Join(all[max(0, len(all)-25):], ""))
		}
	})
}

// reserve finds an address that nothing else takes before it is used.
func reserve(t *testing.T) netip.AddrPort {
	t.Helper()
	addrs, err := peer.Reserve(1)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(addrs[0])
}

// pebble is Let's Encrypt's small authority, the real thing but for the keys.
type pebble struct {
	directory, roots string // URLs
	anchor           string // PEM file: who vouches for its own server
	client           *http.Client
	tls, http        net.Listener // where it looks for challenges
}

// startPebble runs one that asks the given name server. The options are further keys of its configuration.
func startPebble(t *testing.T, names netip.AddrPort, options map[string]any, env ...string) *pebble {
	t.Helper()
	path := program(t, "pebble")
	f, root := newFiles(t), newRoot(t, "Pebble's own")
	chain, key := root.issueFor(t, newKey(t), func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} })
	write(t, f.path("cert.pem"), encode(t, nil, chain...))
	write(t, f.path("key.pem"), encode(t, key))
	write(t, f.path("anchor.pem"), encode(t, nil, root.cert))
	p := &pebble{anchor: f.path("anchor.pem")}
	for _, ln := range []*net.Listener{&p.tls, &p.http} {
		var err error
		if *ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	at, management := reserve(t).String(), reserve(t).String()
	c := map[string]any{"listenAddress": at, "managementListenAddress": management, "certificate": f.path("cert.pem"), "privateKey": f.path("key.pem"),
		"httpPort": p.http.Addr().(*net.TCPAddr).Port, "tlsPort": p.tls.Addr().(*net.TCPAddr).Port}
	for k, v := range options {
		c[k] = v
	}
	text, err := json.Marshal(map[string]any{"pebble": c})
	if err != nil {
		t.Fatal(err)
	}
	write(t, f.path("pebble.json"), text)
	start(t, append([]string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=15"}, env...), path, "-config", f.path("pebble.json"), "-strict", "-dnsserver", names.String())
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	p.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	p.directory, p.roots = "https://"+at+"/dir", "https://"+management+"/roots/0"
	await(t, 30*time.Second, "pebble to listen", func() bool {
		answer, err := p.client.Get(p.directory)
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	return p
}

// await asks again and again: real servers tell nobody when they are done.
func await(t *testing.T, longest time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(longest)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %s for %s", longest, what)
		}
	}
}

// trusts holds the chain that m shows for a domain to pebble's root, as a peer would.
func (p *pebble) trusts(t *testing.T, m *Manager, domain string) *x509.Certificate {
	t.Helper()
	answer, err := p.client.Get(p.roots)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	shown, ok := m.Certificate(domain)
	if !ok {
		t.Fatalf("no certificate for %s", domain)
	}
	var chain []*x509.Certificate
	for _, raw := range shown.Certificate {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, cert)
	}
	if r := trusting(&authority{cert: root}).Verify(chain, domain); !r.Proved || r.MatchedBy != DNSID {
		t.Errorf("%s is not proved by its certificate: %v", domain, r.Err)
	}
	return chain[0]
}

// config asks p for the domains, by a challenge that needs nobody else.
func (p *pebble) config(t *testing.T, challenge string, domains ...string) Config {
	return Config{Store: filepath.Join(t.TempDir(), "certs"), SystemRoots: off(), ACME: &ACME{Directory: p.directory, Root: p.anchor,
		Email: "admin@corp.example", AcceptTerms: true, Challenge: challenge, Domains: [][]string{domains}}}
}

// gate runs a Manager that is answered at p's ports.
func (p *pebble) gate(t *testing.T, c Config) (m *Manager, said *lines, stop func()) {
	t.Helper()
	m, said = mustNew(t, c), new(lines)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gate said:\n%s", said.with(""))
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for _, at := range []struct {
		kind string
		ln   net.Listener
	}{{TLSALPN01, p.tls}, {HTTP01, p.http}} {
		go func() { done <- m.ServeChallenges(ctx, stays{at.ln}, at.kind) }()
	}
	stopRun := running(t, m, said)
	return m, said, func() {
		stopRun()
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}

// stays is a listener that outlives who serves it: its port is in pebble's configuration.
type stays struct{ net.Listener }

func (s stays) Accept() (net.Conn, error) { return s.Listener.Accept() }

// Close wakes who accepts.
func (s stays) Close() error {
	return s.Listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0))
}

// loopback is a name server that has the domains at 127.0.0.1.
func loopback(t *testing.T, domains ...string) *xmpptest.DNS {
	var all []string
	for _, d := range domains {
		all = append(all, d+". 5 IN A 127.0.0.1")
	}
	return xmpptest.ListenDNS(t, all...)
}

var corp = []string{"corp.example", "conference.corp.example", "xn--bcher-kva.example"}

func TestPebble(t *testing.T) {
	t.Parallel()
	p := startPebble(t, loopback(t, corp...).Addr(), nil)
	for _, challenge := range []string{TLSALPN01, HTTP01} {
		for per, want := range map[string]int{"backend": 1, "domain": 3} {
			t.Run(challenge+" per "+per, func(t *testing.T) {
				c := p.config(t, challenge, corp...)
				c.ACME.Per = per
				for _, again := range []bool{false, true} {
					p.reopen(t)
					m, said, stop := p.gate(t, c)
					await(t, time.Minute, "certificates", func() bool {
						return !slices.ContainsFunc(corp, func(d string) bool { return m.Covers(d) != nil })
					})
					for _, d := range corp {
						leaf := p.trusts(t, m, d)
						if names := map[string]int{"backend": 3, "domain": 1}[per]; len(leaf.DNSNames) != names {
							t.Errorf("the certificate names %v", leaf.DNSNames)
						}
					}
					if again {
						want = 0
					}
					if got := said.with("certificate obtained"); len(got) != want || len(said.with("not obtained")) > 0 {
						t.Errorf("after a restart: %v; %q", again, said.with(""))
					}
					stop()
				}
				private(t, c.Store)
			})
		}
	}
}

// reopen lets the listeners accept again.
func (p *pebble) reopen(t *testing.T) {
	for _, ln := range []net.Listener{p.tls, p.http} {
		if err := ln.(*net.TCPListener).SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPebbleRefuses: a challenge that fails is one line that says where to look, and heals when the cause is mended.
func TestPebbleRefuses(t *testing.T) {
	t.Parallel()
	names := xmpptest.ListenDNS(t, "corp.example. 5 IN A 127.0.0.1", "conference.corp.example. 5 IN A 127.0.0.99")
	p := startPebble(t, names.Addr(), nil, "PEBBLE_AUTHZREUSE=0")
	for _, tt := range []struct{ challenge, want string }{
		{TLSALPN01, "showing that conference.corp.example is ours by tls-alpn-01: the authority says: Failed to connect to 127.0.0.99"},
		{HTTP01, "showing that conference.corp.example is ours by http-01: the authority says: "},
	} {
		t.Run(tt.challenge, func(t *testing.T) {
			names.Set(t, "corp.example. 5 IN A 127.0.0.1", "conference.corp.example. 5 IN A 127.0.0.99")
			p.reopen(t)
			m, said, stop := p.gate(t, p.config(t, tt.challenge, corp[:2]...))
			defer stop()
			await(t, time.Minute, "the failure", func() bool { return len(said.with("certificate not obtained")) > 0 })
			told := said.with("certificate not obtained")[0]
			port := map[string]string{TLSALPN01: "port 443", HTTP01: "port 80"}[tt.challenge]
			if !strings.Contains(told, tt.want) || !strings.Contains(told, port+" of conference.corp.example, at every address") || strings.Count(told, "\n") != 1 {
				t.Errorf("told %s", told)
			}
			names.Set(t, "corp.example. 5 IN A 127.0.0.1", "conference.corp.example. 5 IN A 127.0.0.1")
			if err := m.Reload(); err != nil { // tries at once
				t.Fatal(err)
			}
			await(t, time.Minute, "the certificate", func() bool { return m.Covers("conference.corp.example") == nil })
		})
	}
}

// TestPebbleShortLived: certificates that live for seconds are renewed under load; no connection is dropped, no handshake sees one that ended,
// and validators are answered while peers are asked for certificates.
func TestPebbleShortLived(t *testing.T) {
	t.Parallel()
	const life = 30
	p := startPebble(t, loopback(t, corp...).Addr(), map[string]any{"certificateValidityPeriod": life})
	c := p.config(t, TLSALPN01, corp...)
	m, said, stop := p.gate(t, c)
	defer stop()
	await(t, time.Minute, "the certificate", func() bool { return m.Covers("corp.example") == nil })
	// A link that stands, and peers that come again and again.
	a, b := net.Pipe()
	link := tls.Server(a, m.ServerConfig("corp.example", true))
	peer := tls.Client(b, &tls.Config{InsecureSkipVerify: true, ServerName: "corp.example"})
	go func() { _, _ = io.Copy(link, link) }()
	defer a.Close()
	var handshakes, ended atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			_, state, err := handshake(t, m.ServerConfig("corp.example", true), &tls.Config{InsecureSkipVerify: true, ServerName: "corp.example"})
			if err != nil {
				loaded <- err
				return
			}
			handshakes.Add(1)
			if time.Now().After(state.PeerCertificates[0].NotAfter) {
				ended.Add(1)
			}
		}
		loaded <- nil
	}()
	seen := map[string]bool{}
	await(t, 2*time.Minute, "a renewal", func() bool {
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		seen[SPKI(p.trusts(t, m, "corp.example"))] = true
		return len(seen) > 1
	})
	cancel()
	if err := <-loaded; err != nil {
		t.Errorf("a handshake failed: %v", err)
	}
	if handshakes.Load() < 100 || ended.Load() > 0 {
		t.Errorf("%d handshakes, %d with a certificate that had ended; %s", handshakes.Load(), ended.Load(), said.with(""))
	}
}

// TestPebbleRestart: a gate that is stopped in the middle of an order goes on with the same account.
func TestPebbleRestart(t *testing.T) {
	t.Parallel()
	p := startPebble(t, loopback(t, corp...).Addr(), nil, "PEBBLE_VA_NOSLEEP=", "PEBBLE_VA_SLEEPTIME=3")
	c := p.config(t, HTTP01, corp...)
	_, said, stop := p.gate(t, c)
	var account []byte
	await(t, time.Minute, "the account", func() (done bool) {
		found, _ := filepath.Glob(filepath.Join(c.Store, "*", accountFile))
		if len(found) == 1 {
			account, _ = os.ReadFile(found[0])
		}
		return len(account) > 0
	})
	stop()
	if got := said.with("certificate"); len(got) != 0 {
		t.Fatalf("the order was over already: %q", got)
	}
	p.reopen(t)
	m, said, stop := p.gate(t, c)
	defer stop()
	await(t, 2*time.Minute, "the certificate", func() bool { return m.Covers("corp.example") == nil })
	p.trusts(t, m, "corp.example")
	if now, err := os.ReadFile(m.issuer.store.path(accountFile)); err != nil || !bytes.Equal(now, account) {
		t.Errorf("another account was made: %v, %q", err, said.with(""))
	}
}

// TestPebbleAccounts: an authority that takes no strangers (RFC 8555 §7.3.4).
func TestPebbleAccounts(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	p := startPebble(t, loopback(t, corp...).Addr(), map[string]any{"externalAccountBindingRequired": true, "externalAccountMACKeys": map[string]string{"kid-1": key}})
	_, said, stop := p.gate(t, p.config(t, HTTP01, corp...))
	await(t, time.Minute, "the refusal", func() bool { return len(said.with("certificate not obtained")) > 0 })
	if told := said.with("certificate not obtained")[0]; !strings.Contains(told, "get an account from the authority and name it in certs.acme.eab") {
		t.Errorf("told %s", told)
	}
	stop()
	f, c := newFiles(t), p.config(t, HTTP01, corp...)
	write(t, f.path("eab.key"), []byte(key))
	c.ACME.EAB = &EAB{KID: "kid-1", KeyFile: f.path("eab.key")}
	p.reopen(t)
	m, _, stop := p.gate(t, c)
	defer stop()
	await(t, time.Minute, "the certificate", func() bool { return m.Covers("corp.example") == nil })
}

// TestPebbleIsAStranger: a private authority whose root is not given is not believed.
func TestPebbleIsAStranger(t *testing.T) {
	t.Parallel()
	p := startPebble(t, loopback(t, corp...).Addr(), nil)
	c := p.config(t, HTTP01, corp...)
	c.ACME.Root = ""
	_, said, stop := p.gate(t, c)
	defer stop()
	await(t, time.Minute, "the refusal", func() bool { return len(said.with("certificate not obtained")) > 0 })
	if told := said.with("certificate not obtained")[0]; !strings.Contains(told, "put the trust anchor of a private authority into certs.acme.root") {
		t.Errorf("told %s", told)
	}
}

// bind is a real name server with two zones: the domains', in which nothing can be changed, and one that takes updates.
type bind struct {
	at     netip.AddrPort
	secret string // file
}

const tsigKey = "mmH6XN4wA6Jtdg0zsVB0UJB2R2oWvKcMVL3S3Hx9u8k="

// startBind delegates the challenges of corp.example and conference.corp.example by CNAME, the latter over two steps; the third domain has
// its own zone, which takes updates too.
func startBind(t *testing.T) *bind {
	t.Helper()
	path, f := program(t, "named"), newFiles(t)
	at := reserve(t)
	zone := func(name, records string) {
		write(t, f.path(name), []byte(fmt.Sprintf("$TTL 5\n@ IN SOA ns.op.example. root.op.example. 1 60 60 600 5\n@ IN NS ns.op.example.\n%s\n", records)))
	}
	zone("root", "ns.op.example. IN A 127.0.0.1")
	zone("op.example", "ns IN A 127.0.0.1")
	zone("acme.op.example", "")
	zone("corp.example", "@ IN A 127.0.0.1\nconference IN A 127.0.0.1\n_acme-challenge IN CNAME corp.acme.op.example.\n"+
		"_acme-challenge.conference IN CNAME _acme-challenge\n_acme-challenge.loop IN CNAME other.loop\nother.loop IN CNAME _acme-challenge.loop\n_acme-challenge.lost IN CNAME lost.op.example.\n")
	zone("xn--bcher-kva.example", "@ IN A 127.0.0.1")
	write(t, f.path("named.conf"), []byte(fmt.Sprintf(`options {
	directory %q; pid-file none; session-keyfile none; managed-keys-directory %[1]q;
	listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; };
	recursion yes; dnssec-validation no; empty-zones-enable no;
};
controls { };
key "sallyport" { algorithm hmac-sha256; secret %q; };
key "narrow" { algorithm hmac-sha256; secret %[3]q; };
zone "." { type primary; file "root"; };
zone "op.example" { type primary; file "op.example"; };
zone "corp.example" { type primary; file "corp.example"; };
zone "acme.op.example" { type primary; file "acme.op.example"; update-policy { grant sallyport zonesub TXT; }; };
zone "xn--bcher-kva.example" { type primary; file "xn--bcher-kva.example"; update-policy { grant sallyport name _acme-challenge.xn--bcher-kva.example. TXT; }; };
`, f.dir, at.Port(), tsigKey)))
	write(t, f.path("tsig.key"), []byte("key \"sallyport\" {\n\talgorithm hmac-sha256;\n\tsecret \""+tsigKey+"\";\n};\n"))
	// A copy, so that a profile of AppArmor for the system's own name server does not hold here.
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path("named"), program, 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, nil, f.path("named"), "-g", "-n", "1", "-c", f.path("named.conf"))
	await(t, 30*time.Second, "named", func() bool {
		_, err := exchange(t.Context(), new(dns.Client), new(dns.Msg).SetQuestion("acme.op.example.", dns.TypeSOA), at)
		return err == nil
	})
	return &bind{at: at, secret: f.path("tsig.key")}
}

// update is the part of a configuration that puts records there.
func (b *bind) update() *DNSUpdate {
	return &DNSUpdate{Server: b.at, Wait: 10 * time.Second, TSIG: TSIG{Name: "sallyport", Algorithm: "hmac-sha256", SecretFile: b.secret}}
}

// txt are the records at a name.
func (b *bind) txt(t *testing.T, name string) int {
	t.Helper()
	answer, err := exchange(t.Context(), new(dns.Client), new(dns.Msg).SetQuestion(name, dns.TypeTXT), b.at)
	if err != nil {
		t.Fatal(err)
	}
	return len(answer.Answer)
}

// TestPebbleByDNS: dns-01 with real updates of a real zone: delegated by CNAME, several values at one name, and without delegation; nothing is
// left behind.
func TestPebbleByDNS(t *testing.T) {
	t.Parallel()
	b := startBind(t)
	p := startPebble(t, b.at, nil, "PEBBLE_AUTHZREUSE=0")
	for per, want := range map[string]int{"backend": 1, "domain": 3} {
		t.Run("per "+per, func(t *testing.T) {
			c := p.config(t, DNS01, corp...)
			c.ACME.Per, c.ACME.DNS, c.ACME.Resolvers = per, b.update(), []Resolver{{Addr: b.at}}
			m := mustNew(t, c)
			m.issuer.nsPort = b.at.Port()
			said := new(lines)
			stop := running(t, m, said)
			await(t, time.Minute, "certificates", func() bool { return len(said.with("certificate obtained")) == want })
			stop()
			for _, d := range corp {
				p.trusts(t, m, d)
			}
			for _, name := range []string{"corp.acme.op.example.", "_acme-challenge.xn--bcher-kva.example."} {
				if n := b.txt(t, name); n != 0 {
					t.Errorf("%d records were left at %s", n, name)
				}
			}
			private(t, c.Store)
		})
	}
}

// TestDNSFails: what goes wrong with updates of a real zone is told in words that mend it.
func TestDNSFails(t *testing.T) {
	t.Parallel()
	b := startBind(t)
	p := newPretend(t, 90*day)
	f := newFiles(t)
	write(t, f.path("wrong.key"), []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	for _, tt := range []struct {
		name, domain, want string
		change             func(*DNSUpdate)
	}{
		{"another secret", "corp.example", "the key sallyport has another secret there (BADSIG)", func(u *DNSUpdate) { u.TSIG.SecretFile = f.path("wrong.key") }},
		{"an unknown key", "corp.example", "it does not know the key other with this algorithm (BADKEY)", func(u *DNSUpdate) { u.TSIG.Name = "other" }},
		{"a key with another algorithm", "corp.example", "(BADKEY)", func(u *DNSUpdate) { u.TSIG.Algorithm = "hmac-sha512" }},
		{"a key that may not", "corp.example", "REFUSED; allow the key narrow in the zone's update-policy", func(u *DNSUpdate) { u.TSIG.Name = "narrow" }},
		{"a zone without updates", "lost.corp.example", "REFUSED; allow the key sallyport", func(*DNSUpdate) {}},
		{"CNAMEs in a circle", "loop.corp.example", "the CNAMEs of _acme-challenge.loop.corp.example. go in a circle", func(*DNSUpdate) {}},
		{"no delegation", "corp.org", "has no zone for _acme-challenge.corp.org. (NXDOMAIN); set certs.acme.dns.server", func(*DNSUpdate) {}},
		{"another zone than said", "corp.example", "is not in the zone elsewhere.example.; add the CNAME _acme-challenge.corp.example, or correct certs.acme.dns.zone", func(u *DNSUpdate) { u.Zone = "elsewhere.example" }},
		{"nobody there", "corp.example", "connection refused", func(u *DNSUpdate) {
			u.Zone, u.Server = "acme.op.example", reserve(t)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := acmeConfig(t, DNS01)
			c.ACME.DNS, c.ACME.Resolvers = b.update(), []Resolver{{Addr: b.at}}
			tt.change(c.ACME.DNS)
			c.SystemRoots = off()
			m := mustNew(t, c)
			m.issuer.nsPort = b.at.Port()
			_, err := keeperOf(m, new(lines), p).attempt(t.Context(), wanted{tt.domain})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("told %v\nwant %s", err, tt.want)
			}
		})
	}
}
