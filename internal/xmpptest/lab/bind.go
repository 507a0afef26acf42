package lab

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// Bind is BIND 9, the one DNS server of the laboratory's internet. It has the zones that it was given and an empty root,
// so that every other name does not exist.
type Bind struct {
	*Server
	Addr netip.AddrPort
	keys string // directory of the keys of signed zones
}

// Updates are zones of BIND that take dynamic updates (RFC 2136) of TXT records, signed with the key UpdateKey.
type Updates []string

// UpdateKey is the name of the key for Updates, UpdateSecret the key itself in base64. Its algorithm is hmac-sha256.
const (
	UpdateKey    = "sallyport"
	UpdateSecret = "mmH6XN4wA6Jtdg0zsVB0UJB2R2oWvKcMVL3S3Hx9u8k="
)

// Zone returns the records of an XMPP domain whose server is at addr: SRV for the domain and for each of its services
// (names below it), as resource records of RFC 1035 §5.1.
func Zone(domain string, addr netip.AddrPort, services ...string) map[string][]string {
	records := []string{fmt.Sprintf("xmpp.%s. 5 IN A %s", domain, addr.Addr())}
	for _, name := range append([]string{""}, services...) {
		if name != "" {
			name += "."
		}
		records = append(records, fmt.Sprintf("_xmpp-server._tcp.%s%s. 5 IN SRV 0 5 %d xmpp.%s.", name, domain, addr.Port(), domain))
	}
	return map[string][]string{domain: records}
}

// Bind starts the DNS server on host; hosts whose nameserver is not set otherwise ask it from now on.
func (l *Lab) Bind(host *Host, zones ...map[string][]string) *Bind {
	l.t.Helper()
	return l.bind(host, nil, nil, zones)
}

// BindSigned is Bind with some of the zones signed.
func (l *Lab) BindSigned(host *Host, signed map[string]Signing, zones ...map[string][]string) *Bind {
	l.t.Helper()
	return l.bind(host, signed, nil, zones)
}

// BindUpdated is Bind with some of the zones taking updates.
func (l *Lab) BindUpdated(host *Host, updated Updates, zones ...map[string][]string) *Bind {
	l.t.Helper()
	return l.bind(host, nil, updated, zones)
}

func (l *Lab) bind(host *Host, signed map[string]Signing, updated Updates, zones []map[string][]string) *Bind {
	l.t.Helper()
	dir := filepath.Join(l.dir, host.name+"-bind")
	b := &Bind{Addr: netip.AddrPortFrom(host.Addr(Outside), 53), keys: filepath.Join(dir, "cache")}
	all := map[string][]string{".": {"ns.lab. IN A " + b.Addr.Addr().String()}}
	for _, z := range zones {
		maps.Copy(all, z)
	}
	conf := fmt.Sprintf(`options {
	directory "/var/cache/bind"; pid-file none; session-keyfile "/run/named/session.key";
	listen-on { %s; }; listen-on-v6 { none; };
	recursion yes; allow-recursion { any; }; dnssec-validation no; empty-zones-enable no; querylog yes;
};
controls { };
key %q { algorithm hmac-sha256; secret %q; };
`, b.Addr.Addr(), UpdateKey, UpdateSecret)
	l.write(filepath.Join(b.keys, "keep"), "")
	for i, name := range slices.Sorted(maps.Keys(all)) {
		file := fmt.Sprintf("zone%d", i)
		apex := strings.TrimSuffix(name, ".") + "."
		text := fmt.Sprintf("$TTL 5\n%s IN SOA ns.lab. root.lab. 1 60 60 600 5\n%[1]s IN NS ns.lab.\n%s\n", apex, strings.Join(all[name], "\n"))
		policy := ""
		if s, ok := signed[name]; ok && s.live() {
			policy = "dnssec-policy default; inline-signing yes; "
		} else if ok {
			text = b.sign(l, name, text, s)
		}
		if slices.Contains(updated, name) {
			policy += "update-policy { grant " + UpdateKey + " zonesub TXT; }; "
		}
		conf += fmt.Sprintf("zone %q { type primary; file \"/var/cache/bind/%s\"; %s};\n", name, file, policy)
		l.write(filepath.Join(b.keys, file), text)
	}
	l.write(filepath.Join(dir, "etc/named.conf"), conf)
	b.Server = &Server{name: "bind", Host: host, lab: l}
	b.start = func(ctx context.Context) error {
		err := b.run(ctx, Command{Name: "named", Args: []string{"/usr/sbin/named", "-g", "-n", "1", "-c", "/etc/bind/named.conf"},
			Bind: map[string]string{"/etc/bind": dir + "/etc", "/var/cache/bind": b.keys}}, b.Addr)
		for name, s := range signed {
			if err == nil && s.live() {
				err = until(ctx, nil, func() error { return b.signs(ctx, name) })
			}
		}
		return err
	}
	l.dns = b
	l.launch(b.Server)
	return b
}

// useBind makes the laboratory's DNS the one that h asks, if h is on its wire.
func (h *Host) useBind() {
	if h.lab.dns != nil && h.Addr(Outside).IsValid() {
		h.SetNameserver(h.lab.dns.Addr.Addr())
	}
}

// Asked reports whether any question so far was for name or a name below it.
func (b *Bind) Asked(name string) bool {
	for line := range strings.Lines(b.Log()) {
		_, rest, found := strings.Cut(line, " query: ")
		asked, _, _ := strings.Cut(rest, " ")
		if found && (strings.EqualFold(asked, name) || strings.HasSuffix(strings.ToLower(asked), "."+strings.ToLower(name))) {
			return true
		}
	}
	return false
}
