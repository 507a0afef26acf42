package integration_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// namedCases are the peers of TestNamedCertificates, each with a self-signed certificate.
var namedCases = []struct{ domain, what, asks, proof string }{
	{"right.example", "its TLSA record (DANE-EE) names the certificate", "dane", "dane"},
	{"wrong.example", "its TLSA record names another one", "dane", ""},
	{"posh.example", "its web server names the certificate", "posh", "posh"},
}

// TestNamedCertificates: self-signed certificates that a domain itself names, in DNS that is signed (RFC 7673) or on its web server (RFC
// 7711), with a Prosody that looks for them too (use_dane):
//
//	inside    corp.example                Prosody; the gate's certificate for it is self-signed, and its TLSA record names it
//	          conference.corp.example     the gate's certificate for it is from an authority, and its TLSA record names another
//	outside   right.example               Prosody with a self-signed certificate; its TLSA record names it
//	          wrong.example               the same; its TLSA record names another
//	          posh.example                the same; its web server names it
func TestNamedCertificates(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	backend, gateHost, there, web := l.Host("backend", lab.Inside), l.Host("gate", lab.Inside, lab.Outside), l.Host("there", lab.Outside), l.Host("web", lab.Outside)
	ours, other, certs := l.CA().Issue(t, lab.SelfSigned, local), l.CA().Issue(t, lab.Sound, rooms), map[string]*lab.Cert{}
	var sites []lab.Site
	var bobs []string
	for _, c := range namedCases {
		d := c.domain
		certs[d] = l.CA().Issue(t, lab.SelfSigned, d)
		sites, bobs = append(sites, lab.Site{Domain: d, Cert: certs[d]}), append(bobs, "bob@"+d)
	}
	dns := l.BindSigned(l.Host("dns", lab.Outside), map[string]lab.Signing{local: {}, "right.example": {}, "wrong.example": {}},
		namedZones(gateHost, there, web, ours, certs)...)
	unbound := l.Unbound(gateHost)
	l.Web(web, &tls.Config{Certificates: []tls.Certificate{l.CA().Issue(t, lab.Sound, "posh.example").TLS}}, poshDocument(certs["posh.example"]))
	home := l.Backend(lab.Prosody, backend, gateHost.Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"pat"}})
	l.Ready() // the keys are there
	peer := l.Prosody(there, lab.Config{Domain: "there.example", Mode: lab.RequiredTLS, Users: bobs, Sites: sites, Files: map[string]string{"/etc/prosody/anchors": unbound.Keys},
		Lines: "use_dane = true\ns2s_secure_domains = { \"" + rooms + "\" }\nunbound = { resolvconf = false, hoststxt = false, forward = { \"" + dns.Addr.Addr().String() + "\" }, trustfile = \"/etc/prosody/anchors\" }\n" +
			"log = { { levels = { min = \"debug\" }, to = \"file\", filename = \"/var/log/prosody/prosody.log\" } }\n"})
	gate := l.Gate(gateHost, namedConfig(t, l, backend, gateHost, unbound, ours, other))
	l.Ready()
	pat := l.Client(t, home, "pat")
	bob := make(map[string]*lab.Client)
	for _, c := range namedCases {
		bob[c.domain] = l.Client(t, peer, "bob@"+c.domain)
	}

	for _, c := range namedCases {
		t.Run(c.domain, func(t *testing.T) {
			pat, bob := pat, bob[c.domain]
			if c.proof == "" {
				out, in := lab.SendDoomed(t, pat, lab.Bare(bob)), lab.SendDoomed(t, bob, lab.Bare(pat))
				out(t)
				in(t)
			} else {
				lab.Message(t, pat, bob)
				lab.Message(t, bob, pat)
			}
			links := gate.Audit(t, "--domain", c.domain)
			for _, direction := range []string{"out", "in"} {
				if proof, _ := openLink(links, direction, there.Addr(lab.Outside))["proof"].(string); proof != c.proof {
					t.Errorf("%s: proved by %q, want %q", direction, proof, c.proof)
				}
			}
		})
	}
	if log := peer.Log(); !strings.Contains(log, "Enabling DANE with 1 TLSA records") || !strings.Contains(log, "certificate chain validation result: valid") {
		t.Error("Prosody has not taken the gate's certificate by DANE")
	}
	t.Run("Prosody refuses the gate", func(t *testing.T) {
		id := rand.Text()
		bob["right.example"].Send(t, "<iq type='get' id='%s' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", id, rooms)
		if got := bob["right.example"].Expect(t, "an answer for "+rooms, func(s *lab.Stanza) bool { return s.Attr("id") == id }); got.Attr("type") != "error" {
			t.Errorf("a good certificate that the TLSA record does not name was taken: %s", got.String())
		}
	})
	gate.Stop(t)
}

// namedZones are the domains of TestNamedCertificates in DNS.
func namedZones(gateHost, there, web *lab.Host, ours *lab.Cert, certs map[string]*lab.Cert) []map[string][]string {
	corp := lab.Zone(local, outer(gateHost, 5269))
	corp[local] = append(corp[local], tlsa("xmpp."+local, ours), tlsa("other."+local, certs["wrong.example"]),
		fmt.Sprintf("other.%s. 5 IN A %s", local, gateHost.Addr(lab.Outside)), fmt.Sprintf("_xmpp-server._tcp.%s. 5 IN SRV 0 5 5269 other.%s.", rooms, local))
	right, wrong, posh := lab.Zone("right.example", outer(there, 5269)), lab.Zone("wrong.example", outer(there, 5269)), lab.Zone("posh.example", outer(there, 5269))
	right["right.example"] = append(right["right.example"], tlsa("xmpp.right.example", certs["right.example"]))
	wrong["wrong.example"] = append(wrong["wrong.example"], tlsa("xmpp.wrong.example", certs["right.example"]))
	posh["posh.example"] = append(posh["posh.example"], "posh.example. 5 IN A "+web.Addr(lab.Outside).String())
	return []map[string][]string{corp, right, wrong, posh}
}

// tlsa is a DANE-EE record for a server's public key (RFC 7671 §5.1).
func tlsa(host string, c *lab.Cert) string {
	return fmt.Sprintf("_5269._tcp.%s. 5 IN TLSA 3 1 1 %x", host, sha256.Sum256(c.TLS.Leaf.RawSubjectPublicKeyInfo))
}

// poshDocument serves what names the certificate (RFC 7711 §3).
func poshDocument(c *lab.Cert) http.Handler {
	sum := sha256.Sum256(c.TLS.Certificate[0])
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/posh/xmpp-server.json" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"fingerprints": [{"sha-256": %q}], "expires": 86400}`, base64.StdEncoding.EncodeToString(sum[:]))
	})
}

func namedConfig(t *testing.T, l *lab.Lab, backend, gate *lab.Host, unbound *lab.Unbound, ours, other *lab.Cert) string {
	t.Helper()
	return lab.GateLines(t, lab.Prosody, backend, gate.Addr(lab.Inside)) + strings.NewReplacer(
		"OUTSIDE", outer(gate, 5269).String(), "RESOLVER", unbound.Local.String(), "ROOT", l.CA().Root, "DIR", l.GateDir(gate), "CERT1", ours.Chain, "KEY1", ours.Key, "CERT2", other.Chain, "KEY2", other.Key,
	).Replace(`
outside: {listen: ["OUTSIDE"], resolver: ["RESOLVER"], dnssec: true, allow_private: true}
federation: listed
peers:
  right.example: {proof: dane}
  wrong.example: {proof: dane}
  posh.example: {proof: posh}
certs:
  store: DIR/certs
  files: [{cert: CERT1, key: KEY1}, {cert: CERT2, key: KEY2}]
  roots: [ROOT]
  system_roots: false
`) + keeping(l, gate)
}
