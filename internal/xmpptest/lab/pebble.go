package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"
)

// Pebble is Let's Encrypt's small ACME server: the real protocol, with keys that are made anew at each start. It looks for
// challenges at ports 80 and 443 and in DNS, as the big one does.
type Pebble struct {
	*Server
	Directory string // URL; the name in it has to lead to the host
	Root      string // PEM file: who vouches for its own server
}

const pebblePort = 14000

// Pebble starts an authority on host under a name that DNS has; its certificates live as long as said, in whole seconds.
func (l *Lab) Pebble(host *Host, name string, life time.Duration) *Pebble {
	l.t.Helper()
	if l.dns == nil {
		l.t.Fatal("pebble has nobody to ask: start BIND first")
	}
	at := netip.AddrPortFrom(host.Addr(Outside), pebblePort)
	cert := l.ca.Issue(l.t, Sound, name)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at.String(), "managementListenAddress": netip.AddrPortFrom(host.Addr(Outside), pebblePort+1).String(),
		"certificate": cert.Chain, "privateKey": cert.Key, "httpPort": 80, "tlsPort": 443, "certificateValidityPeriod": int(life.Seconds()),
	}})
	if err != nil {
		l.t.Fatal(err)
	}
	file := filepath.Join(l.dir, host.name+"-pebble.json")
	l.write(file, string(config))
	p := &Pebble{Directory: fmt.Sprintf("https://%s:%d/dir", name, pebblePort), Root: l.ca.Root}
	p.Server = &Server{name: "pebble", Host: host, lab: l}
	p.start = func(ctx context.Context) error {
		return p.run(ctx, Command{Name: "pebble", Args: []string{"/usr/bin/pebble", "-config", file, "-strict", "-dnsserver", l.dns.Addr.String()},
			Env: []string{"PEBBLE_VA_NOSLEEP=1"}}, at)
	}
	l.launch(p.Server)
	return p
}
