package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Signing says how a zone of BIND is signed. The zero Signing is sound: BIND makes the keys, signs, and goes on signing.
type Signing struct {
	Expired bool                            // all signatures have ended long ago
	Tamper  func(records []string) []string // changes the zone after it was signed: "owner TTL IN type data"
}

func (s Signing) live() bool { return !s.Expired && s.Tamper == nil }

// sign signs a zone once and for all.
func (b *Bind) sign(l *Lab, name, text string, s Signing) string {
	l.t.Helper()
	run := func(args ...string) {
		l.t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = b.keys // it leaves files there
		if out, err := cmd.CombinedOutput(); err != nil {
			l.t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	plain, signed := filepath.Join(b.keys, name+".plain"), filepath.Join(b.keys, name+".signed")
	l.write(plain, text)
	run("dnssec-keygen", "-q", "-K", b.keys, "-a", "ECDSAP256SHA256", "-f", "KSK", name)
	args := []string{"dnssec-signzone", "-q", "-P", "-S", "-z", "-K", b.keys, "-O", "full", "-o", name, "-f", signed}
	if s.Expired {
		args = append(args, "-s", "20200101000000", "-e", "20200201000000")
	}
	run(append(args, plain)...)
	out, err := os.ReadFile(signed)
	if err != nil {
		l.t.Fatal(err)
	}
	var records []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, ";") {
			records = append(records, strings.Join(strings.Fields(line), " "))
		}
	}
	if s.Tamper != nil {
		changed := s.Tamper(slices.Clone(records))
		if slices.Equal(changed, records) {
			l.t.Fatalf("nothing was tampered with in\n%s", out)
		}
		records = changed
	}
	return strings.Join(records, "\n") + "\n"
}

// signs reports whether BIND has signed a zone that it signs by itself.
func (b *Bind) signs(ctx context.Context, name string) error {
	conn, err := b.Host.Dial(ctx, "tcp", b.Addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeSOA)
	q.SetEdns0(1232, true)
	reply, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
	if err != nil {
		return err
	}
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			return nil
		}
	}
	return fmt.Errorf("%s is not signed yet", name)
}

// anchors are the public keys of all signed zones.
func (b *Bind) anchors() (string, error) {
	files, err := filepath.Glob(filepath.Join(b.keys, "K*.key"))
	if err == nil && len(files) == 0 {
		err = errors.New("no zone is signed")
	}
	var all strings.Builder
	for _, file := range files {
		key, readErr := os.ReadFile(file)
		err = errors.Join(err, readErr)
		all.Write(key)
	}
	return all.String(), err
}

// Unbound is a resolver that validates: it asks the laboratory's BIND and trusts the keys of its signed zones. Above them nothing is
// signed, so that all other names are insecure, not bogus.
type Unbound struct {
	*Server
	Local netip.AddrPort // for programs on its own host, UDP and TCP
	TLS   netip.AddrPort // for everybody, over TLS
	Name  string         // in its certificate
	Keys  string         // path of the file with the keys that it trusts, once it runs
}

// Unbound starts the resolver on host, for the zones that BindSigned was given before.
func (l *Lab) Unbound(host *Host) *Unbound {
	l.t.Helper()
	if l.dns == nil {
		l.t.Fatal("unbound has nobody to ask: start BIND first")
	}
	u := &Unbound{Local: netip.MustParseAddrPort("127.0.0.1:53"), TLS: netip.AddrPortFrom(host.Addr(Outside), 853), Name: "resolver.lab"}
	cert := l.ca.Issue(l.t, Sound, u.Name)
	dir := filepath.Join(l.dir, host.name+"-unbound")
	u.Keys = filepath.Join(dir, "anchors")
	u.Server = &Server{name: "unbound", Host: host, lab: l}
	u.start = func(ctx context.Context) error {
		if err := l.dns.wait(); err != nil {
			return err
		}
		keys, err := l.dns.anchors()
		if err != nil {
			return err
		}
		conf := fmt.Sprintf(`server:
	interface: %s
	interface: %s@%d
	tls-service-pem: %q
	tls-service-key: %q
	access-control: 0.0.0.0/0 allow
	do-daemonize: no
	do-ip6: no
	num-threads: 1
	chroot: ""
	username: ""
	pidfile: ""
	directory: %q
	use-syslog: no
	logfile: ""
	log-queries: yes
	val-log-level: 2
	module-config: "validator iterator"
	trust-anchor-file: %q
	ede: yes
	cache-max-negative-ttl: 5
forward-zone:
	name: "."
	forward-addr: %s
remote-control:
	control-enable: no
`, u.Local.Addr(), u.TLS.Addr(), u.TLS.Port(), cert.Chain, cert.Key, dir, u.Keys, l.dns.Addr.Addr())
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(u.Keys, []byte(keys), 0o644),
			os.WriteFile(filepath.Join(dir, "unbound.conf"), []byte(conf), 0o644))
		if err != nil {
			return err
		}
		return u.run(ctx, Command{Name: "unbound", Args: []string{"/usr/sbin/unbound", "-d", "-c", filepath.Join(dir, "unbound.conf")}}, u.Local, u.TLS)
	}
	l.launch(u.Server)
	return u
}
