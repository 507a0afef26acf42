package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/internal/config/document"
	"sallyport/internal/jid"
)

// check looks for what is wrong although each value for itself is right.
func (r report) check(c *Config) {
	r.checkRequired(c)
	owners := r.checkBackends(c)
	r.checkListeners(c)
	r.checkPeers(c, owners)
	r.checkRooms(c)
	r.checkLimits(&c.Limits)
}

// required are the keys without which there is no gate, each with lines that would do.
func required() []struct{ path, lines string } {
	return []struct{ path, lines string }{
		{"backends", "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]"},
		{"inside.listen", "inside: {listen: 127.0.2.1:5269}"},
		{"outside.listen", "outside: {listen: [127.0.3.1:5269]}"},
	}
}

func (r report) checkRequired(c *Config) {
	missing := map[string]bool{
		"backends":       len(c.Backends) == 0,
		"inside.listen":  !c.Inside.Gate.IsValid(),
		"outside.listen": len(c.Outside.Listen) == 0,
	}
	for _, key := range required() {
		// What stands there and could not be read is told already.
		if missing[key.path] && !r.Told(key.path) {
			r.At(r.Line(key.path), "%s is missing; for example:  %s", key.path, key.lines)
		}
	}
}

// checkBackends returns the backend of each local domain.
func (r report) checkBackends(c *Config) map[jid.Domain]string {
	owners := make(map[jid.Domain]string)
	callers := make(map[netip.Addr]string)
	for i, b := range c.Backends {
		path := fmt.Sprintf("backends[%d]", i)
		if b.Address == "" && !r.Told(path+".address") {
			r.About(path, "address is missing; for example:  address: 127.0.1.1:5269")
		}
		if len(b.Domains) == 0 && !r.Told(path+".domains") {
			r.About(path, "domains is missing; for example:  domains: [corp.example]")
		}
		for j, d := range b.Domains {
			at := fmt.Sprintf("%s.domains[%d]", path, j)
			switch owner, taken := owners[d]; {
			case d.IsZero():
			case taken:
				r.About(at, "%s is served by %s already", d, owner)
			case !d.Qualified():
				r.About(at, "%s cannot federate: it needs a dot and must not be an address", d)
			}
			owners[d] = path
		}
		r.checkCallers(b, path, callers)
	}
	delete(owners, jid.Domain{})
	return owners
}

// checkCallers sees to it that a backend can be told by the address that it calls from.
func (r report) checkCallers(b Backend, path string, callers map[netip.Addr]string) {
	at, isAddress := b.Address.Addr()
	from := b.From
	if len(from) == 0 && isAddress {
		from = []netip.Addr{at.Addr()}
	}
	if len(from) == 0 && b.Address != "" && !r.Told(path+".from") {
		r.About(path+".address", "%s is a name, so from must list the addresses that the backend calls from", b.Address)
	}
	for i, addr := range from {
		addr = addr.Unmap()
		where := path + ".address"
		if len(b.From) > 0 {
			where = fmt.Sprintf("%s.from[%d]", path, i)
		}
		if other, taken := callers[addr]; taken && other != path && addr.IsValid() {
			r.About(where, "%s calls from %s too, and the two could not be told apart", other, addr)
		}
		if addr.IsValid() && addr.IsUnspecified() {
			r.About(where, "%s is no address that anybody calls from", addr)
		}
		callers[addr] = path
	}
}

// listener is a socket that the configuration asks for.
type listener struct {
	path string
	at   netip.AddrPort
}

func (c *Config) listeners() []listener {
	all := []listener{{"inside.listen", c.Inside.Gate}, {"inside.dns", c.Inside.Listen}}
	for i, at := range c.Outside.Listen {
		all = append(all, listener{fmt.Sprintf("outside.listen[%d]", i), at})
	}
	for i, at := range c.Outside.DirectTLS {
		all = append(all, listener{fmt.Sprintf("outside.direct_tls[%d]", i), at})
	}
	all = append(all, listener{"certs.posh_listen", c.Certs.POSHListen})
	if l, ok := c.challengeListener(); ok {
		all = append(all, l)
	}
	if at, err := netip.ParseAddrPort(c.Telemetry.Metrics); err == nil {
		all = append(all, listener{"telemetry.metrics", at})
	}
	return slices.DeleteFunc(all, func(l listener) bool { return !l.at.IsValid() })
}

// checkListeners finds sockets that would be the same. The two sides above all: who comes in at one door must not be taken for
// somebody at the other (PROTOCOL D12).
func (r report) checkListeners(c *Config) {
	all := c.listeners()
	for i, l := range all {
		for _, earlier := range all[:i] {
			if !clash(earlier.at, l.at) {
				continue
			}
			why := ""
			if earlier.path == "inside.listen" {
				why = "; the two sides need sockets of their own"
			}
			r.About(l.path, "%s is taken by %s (%s)%s", l.at, earlier.path, earlier.at, why)
		}
		for j, b := range c.Backends {
			if at, ok := b.Address.Addr(); ok && clash(l.at, at) && (at.Addr().IsLoopback() || !l.at.Addr().IsUnspecified()) {
				r.About(fmt.Sprintf("backends[%d].address", j), "%s is taken by the gate's own %s (%s)", at, l.path, l.at)
			}
		}
	}
	if c.Inside.Listen.IsValid() && c.Inside.Gate.IsValid() && c.Inside.Gate.Addr().IsUnspecified() {
		r.About("inside.listen", "inside.dns has to tell the backends one address; %s is all of them", c.Inside.Gate.Addr())
	}
	if c.Inside.Listen.IsValid() && c.Inside.Gate.IsValid() && c.Inside.Gate.Port() == 0 {
		r.About("inside.listen", "inside.dns has to tell the backends one port; 0 is any")
	}
}

// clash reports whether one socket would take the other's connections. Port 0 is any free one.
func clash(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	covers := func(wide, narrow netip.Addr) bool { // the IPv6 wildcard takes IPv4 as well
		return wide.IsUnspecified() && (wide.Is6() || narrow.Is4())
	}
	return x == y || covers(x, y) || covers(y, x)
}

// checkRooms checks values of rooms whose structs do not say what they allow.
func (r report) checkRooms(c *Config) {
	r.checkWord("policy.mode", c.Policy.Mode, "enforce", "observe")
	r.checkWord("audit.durability", c.Audit.Durability, "sync", "async")
	r.checkWord("audit.on_failure", c.Audit.OnFailure, "refuse", "pass")
	if every := c.Audit.Checkpoint; every < time.Second || every > time.Hour {
		r.About("audit.checkpoint", "it must be between 1s and 1h")
	}
	if p := c.Audit.Patience; p < audit.LeastPatience || p > audit.MostPatience {
		r.About("audit.patience", "it must be between %s and %s", audit.LeastPatience, audit.MostPatience)
	}
	if s := c.Audit.Secrets; s != "" && strings.HasPrefix(filepath.Clean(s)+"/", filepath.Clean(c.Audit.Dir)+"/") {
		r.About("audit.secrets", "it must not be in audit.dir: a copy of the record would carry the secrets")
	}
	r.checkRecorded(c.Audit.Config)
	r.checkSinks(c.Audit.Sinks)
	if m := c.Telemetry.Metrics; m != "" {
		if _, err := netip.ParseAddrPort(m); err != nil {
			r.About("telemetry.metrics", "%s must be address:port, such as 127.0.0.1:9469", document.Quoted(m))
		}
	}
	if o := c.Telemetry.OTLP; o != "" {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			r.About("telemetry.otlp", "%s must be a URL, such as http://127.0.0.1:4318", document.Quoted(o))
		}
	}
	for i, s := range c.Outside.Servers {
		if err := s.Believable(); c.Outside.DNSSEC && err != nil {
			r.About(fmt.Sprintf("outside.resolver[%d]", i), "%v", err)
		}
	}
	for i, f := range c.Certs.Files {
		if path := fmt.Sprintf("certs.files[%d]", i); f.Cert == "" && !r.Told(path+".cert") {
			r.About(path, "cert is missing; for example:  {cert: corp.pem, key: corp.key}")
		}
	}
	for i, root := range c.Certs.Roots {
		if root == "" {
			r.About(fmt.Sprintf("certs.roots[%d]", i), "a file name is missing")
		}
	}
	r.checkACME(c)
	if d := c.Directory; d != nil {
		r.missing("directory", "url", d.URL, "ldaps://ldap.corp.example")
		r.missing("directory", "base", d.Base, "\"ou=people,dc=corp,dc=example\"")
	}
	if b := c.Policy.Bundle; b != nil {
		r.missing("policy.bundle", "url", b.URL, "https://policy.corp.example/gate.tar.gz")
		r.missing("policy.bundle", "key", b.Key, "bundle.pub")
	}
	for _, p := range []struct{ path, value string }{
		{"dialback.secret_file", c.Dialback.SecretFile}, {"audit.dir", c.Audit.Dir}, {"admin.socket", c.Admin.Socket},
	} {
		if p.value == "" {
			r.About(p.path, "it cannot be empty; leave it out for the default")
		}
	}
	// The kernel's struct sockaddr_un has room for 108 bytes with the final NUL.
	if len(c.Admin.Socket) > 107 {
		r.About("admin.socket", "a socket's path has 107 bytes at the most")
	}
}

// checkRecorded checks how much is recorded, and who can open it.
func (r report) checkRecorded(a audit.Config) {
	r.checkWord("audit.level", a.Level, "none", "link", "metadata", "sealed", "content")
	if a.Level == "sealed" && !a.Sealing.Named() {
		r.About("audit.level", "sealed needs somebody who can open it; name the officers in audit.sealing.recipients")
	}
	if a.Content < 1 || a.Content > audit.MaxContent {
		r.About("audit.content", "it must be from 1 to 512KiB")
	}
	a.Sealing.Faults(func(key, fault string) { r.About("audit.sealing."+key, "%s", fault) })
}

// checkWord is `oneof` for a struct of another room.
func (r report) checkWord(path, have string, words ...string) {
	if !slices.Contains(words, have) {
		r.About(path, "%s must be %s%s", document.Quoted(have), strings.Join(words[:len(words)-1], ", ")+" or "+words[len(words)-1], document.Meant(have, words))
	}
}

// checkLimits: nothing is unlimited, and what hangs together fits together.
func (r report) checkLimits(l *Limits) {
	v := reflect.ValueOf(*l)
	for _, f := range document.Fields(v.Type()) {
		if v.FieldByIndex(f.Index).IsZero() {
			r.About("limits."+f.Key, "it must be more than zero: nothing here is without a limit")
		}
		if f.Type.Kind() == reflect.Int64 && f.Type != reflect.TypeFor[time.Duration]() && v.FieldByIndex(f.Index).Int() > 1<<30 {
			r.About("limits."+f.Key, "it can be 1GiB at the most")
		}
	}
	const least = 10000 // RFC 6120 §13.12
	if l.StanzaBytes > 0 && l.StanzaBytes < least {
		r.About("limits.stanza_bytes", "it must be at least %d: RFC 6120 §13.12 lets every server send that", least)
	}
	// SIGTERM ends the gate within 30 s, whatever the queues hold.
	if l.Drain > 25*time.Second {
		r.About("limits.drain", "it can be 25s at the most: the gate ends within 30s of SIGTERM")
	}
	if l.StanzaNamespaces > 64 {
		r.About("limits.stanza_namespaces", "it can be 64 at the most")
	}
	for _, order := range []struct {
		less, more         string
		lessTime, moreTime time.Duration
	}{
		{"keepalive", "idle", l.Keepalive, l.Idle},
		{"outside_preauth_time", "outside_idle", l.OutsidePreauthTime, l.OutsideIdle},
		{"negative_first", "negative_max", l.NegativeFirst, l.NegativeMax},
		{"queue_wait", "queue_age", l.QueueWait, l.QueueAge},
		{"tls", "outside_preauth_time", l.TLS, l.OutsidePreauthTime},
	} {
		if order.lessTime > order.moreTime {
			r.About("limits."+order.less, "%s is longer than limits.%s, which is %s", order.lessTime, order.more, order.moreTime)
		}
	}
	if l.QueueBytes > 0 && l.QueueBytes < l.StanzaBytes {
		r.About("limits.queue_bytes", "it is less than limits.stanza_bytes: the largest stanza would never find room")
	}
}
