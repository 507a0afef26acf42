package integration_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// namedCase is a peer of TestNamedCertificates.
type namedCase struct {
	domain, what string
	flaw         lab.Flaw
	record       func(host string, c, other *lab.Cert) string // its TLSA record; nil: none
	signing      *lab.Signing                                 // of its zone; nil: it is not signed
	asks         string                                       // what the gate asks of it
	out, in      string                                       // by what it is proved, called and calling; "": nobody talks
	peer         lab.Kind
}

var sound, ended = &lab.Signing{}, &lab.Signing{Expired: true}

// forged is a zone in which somebody has changed the TLSA record after it was signed, on the way or at the server.
var forged = &lab.Signing{Tamper: func(records []string) []string {
	for i, r := range records {
		if strings.Contains(r, " IN TLSA ") {
			records[i] = r[:len(r)-64] + strings.Repeat("0", 64)
		}
	}
	return records
}}

var namedCases = []namedCase{
	{"right.example", "self-signed; its TLSA record (DANE-EE) names it", lab.SelfSigned, daneEE, sound, "dane", "dane", "dane", lab.Prosody},
	{"wrong.example", "self-signed; its TLSA record names another", lab.SelfSigned, daneOther, sound, "dane", "", "", lab.Prosody},
	{"mild.example", "the same, and dialback is enough: who says that no other certificate is its own means it", lab.SelfSigned, daneOther, sound, "dialback", "", "", lab.Prosody},
	{"authority.example", "from an authority of its own, which its TLSA record (DANE-TA) names", lab.OwnAuthority, daneTA, sound, "dane", "dane", "dane", lab.Prosody},
	{"bothee.example", "from a trusted authority; its TLSA record (PKIX-EE) names it", lab.Sound, pkixEE, sound, "dane", "dane", "dane", lab.Prosody},
	{"selfee.example", "self-signed; its TLSA record (PKIX-EE) names it, and no authority vouches for it", lab.SelfSigned, pkixEE, sound, "dane", "", "", lab.Prosody},
	{"bothta.example", "from a trusted authority, which its TLSA record (PKIX-TA) names", lab.Sound, pkixTA, sound, "dane", "dane", "dane", lab.Prosody},
	{"ended.example", "self-signed; the signatures of its zone have ended, so that nothing in it can be believed", lab.SelfSigned, daneEE, ended, "dane", "", "", lab.Prosody},
	{"forged.example", "good, from a trusted authority; somebody has changed its TLSA record. Who calls is proved without it", lab.Sound, daneEE, forged, "pkix", "", "pkix", lab.Prosody},
	{"clear.example", "self-signed; its TLSA record names it, in a zone that is not signed, which counts for nothing", lab.SelfSigned, daneEE, nil, "dane", "", "", lab.Prosody},
	{"posh.example", "self-signed; its web server names it", lab.SelfSigned, nil, nil, "posh", "posh", "posh", lab.Prosody},
	{"rightej.example", "self-signed; its TLSA record (DANE-EE) names it", lab.SelfSigned, daneEE, sound, "dane", "dane", "dane", lab.Ejabberd},
	{"wrongej.example", "self-signed; its TLSA record names another", lab.SelfSigned, daneOther, sound, "dane", "", "", lab.Ejabberd},
	{"authorityej.example", "from an authority of its own, which its TLSA record (DANE-TA) names", lab.OwnAuthority, daneTA, sound, "dane", "dane", "dane", lab.Ejabberd},
	{"poshej.example", "self-signed; its web server names it", lab.SelfSigned, nil, nil, "posh", "posh", "posh", lab.Ejabberd},
}

// TestNamedCertificates: self-signed certificates that a domain itself names, in DNS that is signed (RFC 7673) or on its web server (RFC
// 7711), with a Prosody that looks for them too (use_dane):
//
//	inside    corp.example                Prosody; the gate's certificate for it is self-signed, and its TLSA record names it
//	          conference.corp.example     the gate's certificate for it is from an authority, and its TLSA record names another
//	outside   those of namedCases         Prosody and ejabberd, a virtual host with a certificate of its own for each
func TestNamedCertificates(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	backend, gateHost, web := l.Host("backend", lab.Inside), l.Host("gate", lab.Inside, lab.Outside), l.Host("web", lab.Outside)
	there := map[lab.Kind]*lab.Host{lab.Prosody: l.Host("there", lab.Outside), lab.Ejabberd: l.Host("thereej", lab.Outside)}
	ours, other, certs := l.CA().Issue(t, lab.SelfSigned, local), l.CA().Issue(t, lab.Sound, rooms), map[string]*lab.Cert{}
	sites, bobs := map[lab.Kind][]lab.Site{}, map[lab.Kind][]string{}
	for _, c := range namedCases {
		d := c.domain
		certs[d] = l.CA().Issue(t, c.flaw, d)
		sites[c.peer], bobs[c.peer] = append(sites[c.peer], lab.Site{Domain: d, Cert: certs[d]}), append(bobs[c.peer], "bob@"+d)
	}
	signed := map[string]lab.Signing{local: *sound}
	for _, c := range namedCases {
		if c.signing != nil {
			signed[c.domain] = *c.signing
		}
	}
	dns := l.BindSigned(l.Host("dns", lab.Outside), signed, namedZones(gateHost, there, web, ours, certs)...)
	unbound := l.Unbound(gateHost)
	l.Web(web, &tls.Config{Certificates: []tls.Certificate{l.CA().Issue(t, lab.Sound, "posh.example", "poshej.example").TLS}}, poshDocuments(certs))
	home := l.Backend(lab.Prosody, backend, gateHost.Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"pat"}})
	l.Ready() // the keys are there
	peer := l.Prosody(there[lab.Prosody], lab.Config{Domain: "there.example", Mode: lab.RequiredTLS, Users: bobs[lab.Prosody], Sites: sites[lab.Prosody], Files: map[string]string{"/etc/prosody/anchors": unbound.Keys},
		Lines: "use_dane = true\ns2s_secure_domains = { \"" + rooms + "\" }\nunbound = { resolvconf = false, hoststxt = false, forward = { \"" + dns.Addr.Addr().String() + "\" }, trustfile = \"/etc/prosody/anchors\" }\n" +
			"log = { { levels = { min = \"debug\" }, to = \"file\", filename = \"/var/log/prosody/prosody.log\" } }\n"})
	second := l.Ejabberd(there[lab.Ejabberd], lab.Config{Domain: "thereej.example", Mode: lab.RequiredTLS, Users: bobs[lab.Ejabberd], Sites: sites[lab.Ejabberd]})
	gate := l.Gate(gateHost, namedConfig(t, l, backend, gateHost, unbound, ours, other))
	l.Ready()
	pat := l.Client(t, home, "pat")
	bob := make(map[string]*lab.Client)
	for _, c := range namedCases {
		bob[c.domain] = l.Client(t, map[lab.Kind]*lab.Server{lab.Prosody: peer, lab.Ejabberd: second}[c.peer], "bob@"+c.domain)
	}

	for _, c := range namedCases {
		t.Run(c.domain, func(t *testing.T) { c.meet(t, pat, bob[c.domain], gate, there[c.peer].Addr(lab.Outside)) })
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

// meet lets the two talk, in both directions, and looks up how the peer was proved.
func (c namedCase) meet(t *testing.T, pat, bob *lab.Client, gate *lab.Gate, at netip.Addr) {
	type way struct {
		direction, proof string
		from, to         *lab.Client
		doomed           func(testing.TB) lab.Stanza
	}
	ways := []way{{direction: "out", proof: c.out, from: pat, to: bob}, {direction: "in", proof: c.in, from: bob, to: pat}}
	for i, w := range ways {
		if w.proof == "" {
			ways[i].doomed = lab.SendDoomed(t, w.from, lab.Bare(w.to))
		}
	}
	for _, w := range ways {
		if w.proof == "" {
			w.doomed(t)
		} else {
			lab.Message(t, w.from, w.to)
		}
	}
	links := gate.Audit(t, "--domain", c.domain)
	for _, w := range ways {
		if proof, _ := openLink(links, w.direction, at)["proof"].(string); proof != w.proof {
			t.Errorf("%s: proved by %q, want %q", w.direction, proof, w.proof)
		}
	}
}

// namedZones are the domains of TestNamedCertificates in DNS.
func namedZones(gateHost *lab.Host, there map[lab.Kind]*lab.Host, web *lab.Host, ours *lab.Cert, certs map[string]*lab.Cert) []map[string][]string {
	corp := lab.Zone(local, outer(gateHost, 5269))
	corp[local] = append(corp[local], tlsa("xmpp."+local, ours), tlsa("other."+local, certs["wrong.example"]),
		fmt.Sprintf("other.%s. 5 IN A %s", local, gateHost.Addr(lab.Outside)), fmt.Sprintf("_xmpp-server._tcp.%s. 5 IN SRV 0 5 5269 other.%s.", rooms, local))
	zones := []map[string][]string{corp}
	for _, c := range namedCases {
		zone := lab.Zone(c.domain, outer(there[c.peer], 5269))
		if c.record != nil {
			zone[c.domain] = append(zone[c.domain], c.record("xmpp."+c.domain, certs[c.domain], certs["right.example"]))
		} else {
			zone[c.domain] = append(zone[c.domain], c.domain+". 5 IN A "+web.Addr(lab.Outside).String())
		}
		zones = append(zones, zone)
	}
	return zones
}

// The TLSA records (RFC 7671 §5): of the certificate's key, of another's, and of its authority.
func daneEE(host string, c, _ *lab.Cert) string    { return tlsa(host, c) }
func daneOther(host string, _, o *lab.Cert) string { return tlsa(host, o) }
func daneTA(host string, c, _ *lab.Cert) string    { return tlsaOf(host, "2 0 1", c.Authority.Raw) }
func pkixEE(host string, c, _ *lab.Cert) string {
	return tlsaOf(host, "1 1 1", c.TLS.Leaf.RawSubjectPublicKeyInfo)
}
func pkixTA(host string, c, _ *lab.Cert) string { return tlsaOf(host, "0 0 1", c.Authority.Raw) }

// tlsa is a DANE-EE record for a server's public key (RFC 7671 §5.1).
func tlsa(host string, c *lab.Cert) string {
	return tlsaOf(host, "3 1 1", c.TLS.Leaf.RawSubjectPublicKeyInfo)
}

func tlsaOf(host, fields string, of []byte) string {
	return fmt.Sprintf("_5269._tcp.%s. 5 IN TLSA %s %x", host, fields, sha256.Sum256(of))
}

// poshDocuments serves what names the certificates (RFC 7711 §3).
func poshDocuments(certs map[string]*lab.Cert) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		c := certs[host]
		if c == nil || r.URL.Path != "/.well-known/posh/xmpp-server.json" {
			http.NotFound(w, r)
			return
		}
		sum := sha256.Sum256(c.TLS.Certificate[0])
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"fingerprints": [{"sha-256": %q}], "expires": 86400}`, base64.StdEncoding.EncodeToString(sum[:]))
	})
}

func namedConfig(t *testing.T, l *lab.Lab, backend, gate *lab.Host, unbound *lab.Unbound, ours, other *lab.Cert) string {
	t.Helper()
	var peers strings.Builder
	for _, c := range namedCases {
		fmt.Fprintf(&peers, "  %s: {proof: %s}\n", c.domain, c.asks)
	}
	return lab.GateLines(t, lab.Prosody, backend, gate.Addr(lab.Inside)) + strings.NewReplacer("PEERS", peers.String(),
		"OUTSIDE", outer(gate, 5269).String(), "RESOLVER", unbound.Local.String(), "ROOT", l.CA().Root, "DIR", l.GateDir(gate), "CERT1", ours.Chain, "KEY1", ours.Key, "CERT2", other.Chain, "KEY2", other.Key,
	).Replace(`
outside: {listen: ["OUTSIDE"], resolver: ["RESOLVER"], dnssec: true, allow_private: true}
federation: listed
peers:
PEERScerts:
  store: DIR/certs
  files: [{cert: CERT1, key: KEY1}, {cert: CERT2, key: KEY2}]
  roots: [ROOT]
  system_roots: false
`) + keeping(l, gate)
}
