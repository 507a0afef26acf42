package sink

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Exposed says how the record leaves this machine readable, or changeable, by others on the way to the receiver; empty: it does not.
func (c Config) Exposed() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "" // Check tells of it
	}
	hosts := []string{u.Hostname()}
	clear := ""
	switch mode := u.Query().Get("sslmode"); {
	case c.Type == Postgres:
		hosts = postgresHosts(u)
		switch mode {
		case "disable", "allow", "prefer":
			clear = "sslmode=" + mode + " does not keep to TLS; leave sslmode out, which checks the server's certificate too"
		case "require":
			clear = "sslmode=require takes any certificate; leave sslmode out, which checks it"
		}
	case c.Type == NATS && u.Scheme == "nats" && c.Roots == "" && c.Cert == "":
		clear = "nats:// does not keep to TLS; use tls://"
	case c.Type == OTLP && u.Scheme == "http":
		clear = "http:// is not encrypted; use https://"
	}
	if clear == "" || !slices.ContainsFunc(hosts, remote) {
		return ""
	}
	return "the record leaves this machine, and others on the way can read it: " + clear
}

// postgresHosts are all the hosts that a URL of PostgreSQL names.
func postgresHosts(u *url.URL) []string {
	var hosts []string
	for _, h := range strings.Split(u.Host, ",") {
		if name, _, err := net.SplitHostPort(h); err == nil {
			h = name
		}
		hosts = append(hosts, strings.Trim(h, "[]"))
	}
	q := u.Query()
	for _, key := range []string{"host", "hostaddr"} {
		if q.Has(key) {
			hosts = append(hosts, strings.Split(q.Get(key), ",")...)
		}
	}
	return hosts
}

// remote says whether a host may be another machine: neither a socket's directory nor a loopback address.
func remote(host string) bool {
	if host == "" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err != nil || !addr.Unmap().IsLoopback()
}
