package integration_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// TestModernServers: a backend that takes certificates and no dialback, set up as its page says (D10b), talks with a peer of its kind
// that is reached by direct TLS alone (XEP-0368), both ways.
func TestModernServers(t *testing.T) {
	for _, kind := range []lab.Kind{lab.Prosody, lab.Ejabberd} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			backend, gateHost, partner := l.Host("backend", lab.Inside), l.Host("gate", lab.Inside, lab.Outside), l.Host("partner", lab.Outside)
			dns := l.Bind(l.Host("dns", lab.Outside), directZone(local, outer(gateHost, 5270)), directZone("partner.example", outer(partner, 5270)))
			gate := l.Gate(gateHost, modernConfig(t, l, kind, backend, gateHost, dns.Addr))
			gate.Says(t, 0, "a backend goes by certificates")
			here := l.Backend(kind, backend, gateHost.Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"pat"}, Variant: lab.Certificate, Files: innerFiles(l, kind, gateHost)})
			there := directPeer(l, kind, partner)
			l.Ready()
			pat, bob := l.Client(t, here, "pat"), l.Client(t, there, "bob")
			lab.Message(t, pat, bob)
			lab.Message(t, bob, pat)
			lab.GroupChat(t, rooms, pat, bob)
			links := gate.Audit(t, "--domain", "partner.example")
			for _, direction := range []string{"out", "in"} {
				if outside := openLink(links, direction, partner.Addr(lab.Outside)); outside["proof"] != "pkix" {
					t.Errorf("%s, outside: %v; want pkix", direction, outside)
				} else if direction == "in" && outside["alpn"] != "xmpp-server" {
					t.Errorf("%s, outside: %v; want direct TLS by its name", direction, outside)
				}
			}
			for _, direction := range []string{"out", "in"} {
				if inside := openLink(links, direction, backend.Addr(lab.Inside)); inside["channel"] != "tls" || inside["proof"] != "pkix" {
					t.Errorf("%s, inside: %v; want pkix", direction, inside)
				}
			}
			gate.Stop(t)
		})
	}
}

// directZone is a domain whose server takes direct TLS and nothing else.
func directZone(domain string, at netip.AddrPort) map[string][]string {
	records := []string{fmt.Sprintf("xmpp.%s. 5 IN A %s", domain, at.Addr())}
	for _, name := range []string{domain, "conference." + domain} {
		records = append(records, fmt.Sprintf("_xmpps-server._tcp.%s. 5 IN SRV 0 5 %d xmpp.%s.", name, at.Port(), domain),
			fmt.Sprintf("_xmpp-server._tcp.%s. 5 IN SRV 0 0 0 .", name))
	}
	return map[string][]string{domain: records}
}

// directPeer is a server that wants certificates and takes direct TLS at port 5270.
func directPeer(l *lab.Lab, kind lab.Kind, host *lab.Host) *lab.Server {
	c := lab.Config{Domain: "partner.example", Mode: lab.Certified, Users: []string{"bob"}}
	if kind == lab.Prosody {
		c.Lines = "s2s_direct_tls_ports = { 5270 }\n"
		return l.Prosody(host, c)
	}
	c.Listeners = "  -\n    port: 5270\n    ip: \"::\"\n    module: ejabberd_s2s_in\n    tls: true\n"
	return l.Ejabberd(host, c)
}

// innerFiles are what the gate has made for the backend, where the backend's page puts it.
func innerFiles(l *lab.Lab, kind lab.Kind, gate *lab.Host) map[string]string {
	made := filepath.Join(l.GateDir(gate), "certs/inner")
	to, cert := "/etc/prosody/certs/sallyport", ".pem"
	if kind == lab.Ejabberd {
		to = "/etc/ejabberd/sallyport"
	}
	return map[string]string{to + "-root.pem": filepath.Join(made, "root.pem"), to + cert: filepath.Join(made, "backend-"+local+".pem"),
		to + ".key": filepath.Join(made, "backend-"+local+".key")}
}

func modernConfig(t *testing.T, l *lab.Lab, kind lab.Kind, backend, gate *lab.Host, resolver netip.AddrPort) string {
	t.Helper()
	cert := l.CA().Issue(t, lab.Sound, local, rooms)
	return lab.GateLinesOf(t, kind, lab.Certificate, backend, gate.Addr(lab.Inside)) + strings.NewReplacer(
		"OUTSIDE", outer(gate, 5269).String(), "DIRECT", outer(gate, 5270).String(), "RESOLVER", resolver.String(), "ROOT", l.CA().Root, "DIR", l.GateDir(gate),
		"CERT", cert.Chain, "KEY", cert.Key,
	).Replace(`
outside: {listen: ["OUTSIDE"], direct_tls: ["DIRECT"], resolver: ["RESOLVER"], allow_private: true, posh: false}
federation: listed
peers:
  partner.example: {proof: pkix}
certs:
  store: DIR/certs
  files: [{cert: CERT, key: KEY}]
  roots: [ROOT]
  system_roots: false
`) + keeping(l, gate)
}

// openLink is what the record says of the first link in the direction with a server at the address, nil when there was none.
func openLink(events []map[string]any, direction string, at netip.Addr) map[string]any {
	for _, e := range events {
		if link, ok := e["link"].(map[string]any); ok && e["kind"] == "link.open" && e["dir"] == direction && link["remote_ip"] == at.String() {
			return link
		}
	}
	return nil
}
