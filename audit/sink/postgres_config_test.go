package sink

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestPostgresHosts: a host that is reached over the network is verified, also where a socket is named beside it.
func TestPostgresHosts(t *testing.T) {
	t.Parallel()
	for url, hosts := range map[string]int{
		"postgres://u@db.corp.example/x":                          1,
		"postgres:///x?host=/run/postgresql":                      0,
		"postgres:///x?host=/run/postgresql,db.corp.example":      1,
		"postgres://u@10.0.0.1,10.0.0.2/x":                        2,
		"postgres:///x?host=db.corp.example&user=u":               1,
		"postgresql://u@[2001:db8::1]:5433/x?application_name=me": 1,
	} {
		c, err := postgresConfig(Config{URL: url})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		found := 0
		look := func(host string, with *tls.Config) {
			if strings.HasPrefix(host, "/") {
				return
			}
			if found++; with == nil || with.InsecureSkipVerify || with.ServerName != host {
				t.Errorf("%s: %s is not verified", url, host)
			}
		}
		look(c.Host, c.TLSConfig)
		for _, f := range c.Fallbacks {
			look(f.Host, f.TLSConfig)
		}
		if found != hosts {
			t.Errorf("%s: %d hosts", url, found)
		}
	}
}
