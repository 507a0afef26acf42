package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/internal/jid"
	"sallyport/policy"
	"sallyport/proxy"
)

// least is the smallest configuration there is.
const least = `backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]
inside: {listen: 127.0.2.1:5269}
outside: {listen: [127.0.3.1:5269]}
`

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/sallyport/sallyport.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return c
}

// TestLeast: three keys make a gate, and every default is the careful one.
func TestLeast(t *testing.T) {
	t.Parallel()
	c := mustParse(t, least)
	for _, check := range []struct {
		name       string
		have, want any
	}{
		{"federation", c.Federation, "listed"},
		{"backends[0].from", c.Backends[0].From, []netip.Addr{netip.MustParseAddr("127.0.1.1")}},
		{"backends[0].tls", c.Backends[0].TLS, "off"},
		{"outside.allow_private", c.Outside.AllowPrivate, false},
		{"certs.system_roots", c.Certs.SystemRoots, (*bool)(nil)},
		{"dialback.secret_file", c.Dialback.SecretFile, "/var/lib/sallyport/dialback.secret"},
		{"policy.mode", c.Policy.Mode, "enforce"},
		{"policy.timeout", c.Policy.Timeout, 100 * time.Millisecond},
		{"audit.durability", c.Audit.Durability, "sync"},
		{"audit.on_failure", c.Audit.OnFailure, "refuse"},
		{"audit.patience", c.Audit.Patience, 10 * time.Second},
		{"audit.segment_bytes", c.Audit.SegmentBytes, int64(64 << 20)},
		{"telemetry.metrics", c.Telemetry.Metrics, ""},
		{"admin.socket", c.Admin.Socket, "/run/sallyport/admin.sock"},
		{"log.level", c.Log.Level, "info"},
		{"limits.stanza_bytes", c.Limits.StanzaBytes, int64(512 << 10)},
		{"limits.outside_preauth_time", c.Limits.OutsidePreauthTime, 30 * time.Second},
	} {
		if !reflect.DeepEqual(check.have, check.want) {
			t.Errorf("%s is %v, want %v", check.name, check.have, check.want)
		}
	}
}

// TestDesign reads the configuration of DESIGN §4.2.
func TestDesign(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
backends:                              # the Jabber servers behind this gate
  - address: 127.0.1.1:5269
    from: [127.0.1.1]
    domains: [corp.example, conference.corp.example]
    tls: off
inside:
  listen: 127.0.2.1:5269
  dns: 127.0.2.1:53
outside:
  listen: [127.0.3.1:5269]
  resolver: [127.0.0.53:53]
  allow_private: false
federation: listed
peers:
  default: {channel: tls, proof: dialback}
  partner.example: {proof: pkix}
  old.example: {channel: plaintext, until: 2027-06-30}
  routed.example: {route: "198.51.100.7:5269", pins: ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]}
  Bücher.Example.: {tls_min: 1.3}
certs:
  store: /var/lib/sallyport/certs
  acme: {directory: "https://ca.example/directory", email: admin@corp.example, challenge: tls-alpn-01, accept_terms: true}
  files: [{cert: corp.pem, key: ../corp.key}]
  roots: [/etc/ssl/partner.pem]
  system_roots: false
dialback: {secret_file: dialback.secret}
policy:   {dir: policy/, candidate: draft, mode: observe}
contacts: {file: contacts}
audit:    {dir: record, durability: async, on_failure: pass}
telemetry: {metrics: 127.0.0.1:9469, otlp: ""}
admin:    {socket: admin.sock}
limits:   {}
log:      {level: debug, format: json}
`)
	if got := c.Certs.Files[0]; got.Cert != "/etc/sallyport/corp.pem" || got.Key != "/etc/corp.key" || c.Policy.Dir != "/etc/sallyport/policy" || c.Policy.Candidate != "/etc/sallyport/draft" || c.Contacts.File != "/etc/sallyport/contacts" ||
		c.Dialback.SecretFile != "/etc/sallyport/dialback.secret" || c.Admin.Socket != "/etc/sallyport/admin.sock" || c.Certs.Roots[0] != "/etc/ssl/partner.pem" || c.Audit.Dir != "/etc/sallyport/record" {
		t.Errorf("relative paths are not taken from the file's folder: %+v %q", got, c.Policy.Dir)
	}
	if c.Certs.SystemRoots == nil || *c.Certs.SystemRoots {
		t.Error("system_roots: false was not taken")
	}
	data := c.PolicyData()
	want := map[string]any{
		"default":         map[string]any{"channel": "tls", "proof": "dialback"},
		"partner.example": map[string]any{"proof": "pkix"},
		"old.example":     map[string]any{"channel": "plaintext", "until": "2027-06-30"},
		"routed.example":  map[string]any{"route": "198.51.100.7:5269", "pins": []any{"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}},
		"bücher.example":  map[string]any{"tls_min": "1.3"},
	}
	if !reflect.DeepEqual(data["peers"], want) || data["federation"] != "listed" {
		t.Errorf("policy sees %v", data)
	}
	if _, ok := data["local"].(map[string]any)["conference.corp.example"]; !ok {
		t.Errorf("policy does not see the local domains: %v", data["local"])
	}
}

// TestSettings: what the proxy is told is what the file says, and each of its limits has a key whose default is the proxy's own.
func TestSettings(t *testing.T) {
	t.Parallel()
	c := mustParse(t, least+"peers: {routed.example: {route: 'xmpp.example:5299'}}\n")
	s := c.Settings()
	if s.Limits != proxy.DefaultLimits() {
		t.Errorf("the defaults of the configuration and of the proxy differ:\n%+v\n%+v", s.Limits, proxy.DefaultLimits())
	}
	if len(s.Backends) != 1 || s.Backends[0].Address != "127.0.1.1:5269" || s.Backends[0].TLS != proxy.TLSOff || s.Backends[0].Domains[0] != jid.MustDomain("corp.example") {
		t.Errorf("backends: %+v", s.Backends)
	}
	if route := s.Routes[jid.MustDomain("routed.example")]; route.Target != "xmpp.example" || route.Port != 5299 || !route.Route {
		t.Errorf("route: %+v", route)
	}
	for word, want := range map[string]proxy.InnerTLS{"off": proxy.TLSOff, "optional": proxy.TLSOptional, "required": proxy.TLSRequired} {
		c.Backends[0].TLS = word
		if got := c.Settings().Backends[0].TLS; got != want {
			t.Errorf("tls: %s became %v", word, got)
		}
	}
}

// TestResolverKnowsOwnSockets: none of the gate's own sockets may be left out, or a stranger's SRV record could lead there ([D09]).
func TestResolverKnowsOwnSockets(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]
inside: {listen: 127.0.2.1:5269, dns: 127.0.2.1:53}
outside: {listen: [127.0.3.1:5269, 127.0.3.2:5269, 127.0.3.1:5270]}
telemetry: {metrics: 127.0.0.1:9469}
`)
	if got := len(c.Resolver().Listeners); got != 6 {
		t.Errorf("%d own sockets known to the resolver, want 6: %v", got, c.Resolver().Listeners)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sallyport.yaml")
	if _, err := Load(path); err == nil || err.Error() != path+": no such file or directory" {
		t.Errorf("Load of nothing = %v", err)
	}
	if err := os.WriteFile(path, []byte(least+"certs: {files: [{cert: corp.pem}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || c.Certs.Files[0].Cert != filepath.Join(filepath.Dir(path), "corp.pem") || c.Certs.Files[0].Key != "" {
		t.Errorf("Load = %+v, %v", c, err)
	}
}

// TestAccepted has what looks like a mistake and is none.
func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"IPv6 door beside an IPv4 one":   "backends: [{address: 192.0.2.9:5269, domains: [corp.example]}]\ninside: {listen: '[2001:db8::1]:5269'}\noutside: {listen: ['0.0.0.0:5269']}\n",
		"any free port, twice":           "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:0}\noutside: {listen: [127.0.2.1:0]}\n",
		"wildcard door, distant backend": "backends: [{address: 192.0.2.9:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5299}\noutside: {listen: ['[::]:5269']}\n",
		"caller named twice":             "backends: [{address: 127.0.1.1:5269, from: [127.0.1.1, '::ffff:127.0.1.1'], domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
		"wildcard over a local domain":   least + "peers: {'*.example': {}, default: {}}\n",
		"denied until a day":             least + "peers: {a.example: {deny: true, until: 2027-06-30}}\n",
		"pins beside another proof":      least + "peers: {a.example: {proof: pkix, pins: ['sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']}}\n",
	} {
		c := mustParse(t, text)
		for _, b := range c.Backends {
			for _, from := range b.From {
				if from.Is4In6() {
					t.Errorf("%s: %s would match no caller", name, from)
				}
			}
		}
		if s := c.Settings(); len(s.Routes) != 0 {
			t.Errorf("%s: routes from nowhere: %v", name, s.Routes)
		}
	}
}

func TestEmptySectionsAreDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.ReplaceAll(least, "\n", "\r\n")+"limits:\npeers:\n  ally.example:\ncerts:\n")
	if _, ok := c.Peers["ally.example"]; !ok || c.Limits.Drain != 25*time.Second {
		t.Errorf("peers %v, drain %s", c.Peers, c.Limits.Drain)
	}
}

// TestPolicyTakesTheData: what Example says of peers is what the shipped policy understands.
func TestPolicyTakesTheData(t *testing.T) {
	t.Parallel()
	c := mustParse(t, Example())
	if _, err := policy.New(policy.Config{Mode: c.Policy.Mode, Timeout: c.Policy.Timeout, Cache: c.Policy.Cache}, c.PolicyData()); err != nil {
		t.Error(err)
	}
}

// TestLevels: XEP-0238's names are channel and proof to policy.
func TestLevels(t *testing.T) {
	t.Parallel()
	c := mustParse(t, least+`peers:
  default: {level: encrypted}
  trusted.example: {level: trusted, revocation: hard}
  old.example: {level: verified, until: 2027-06-30}
  open.example: {level: permissive, until: 2027-06-30, ratchet: false}
`)
	want := map[string]any{
		"default":         map[string]any{"channel": "tls", "proof": "dialback"},
		"trusted.example": map[string]any{"channel": "tls", "proof": "pkix", "revocation": "hard"},
		"old.example":     map[string]any{"channel": "plaintext", "proof": "dialback", "until": "2027-06-30"},
		"open.example":    map[string]any{"channel": "plaintext", "proof": "dialback", "until": "2027-06-30", "ratchet": false},
	}
	if got := c.PolicyData()["peers"]; !reflect.DeepEqual(got, want) {
		t.Errorf("policy sees %v", got)
	}
}

// TestACME: what the rest of the file says reaches certs, and the authority's socket is one of the gate's own.
func TestACME(t *testing.T) {
	t.Parallel()
	const text = `backends:
  - {address: 127.0.1.1:5269, domains: [corp.example, Bücher.example]}
  - {address: 127.0.1.2:5269, domains: [corp.org]}
inside: {listen: 127.0.2.1:5269}
outside: {listen: [127.0.3.1:5269], resolver: [192.0.2.1:53]}
certs:
  acme:
    {directory: "https://ca.example/dir", accept_terms: true, root: ca.pem, eab: {kid: k, key_file: eab.key}, `
	for _, tt := range []struct{ name, rest, listen string }{
		{"tls-alpn-01, of itself", "}", "[::]:443"},
		{"tls-alpn-01", "tls_alpn_listen: 127.0.3.1:443}", "127.0.3.1:443"},
		{"http-01", "challenge: http-01}", "[::]:80"},
		{"dns-01", "challenge: dns-01, dns: {server: '192.0.2.53:53', tsig: {name: k, secret_file: tsig.key}}}", ""},
	} {
		c := mustParse(t, text+tt.rest+"\n")
		a := c.Certs.ACME
		if _, got := c.ChallengeListen(); got != tt.listen {
			t.Errorf("%s: listens on %q, want %q", tt.name, got, tt.listen)
		}
		own := len(c.Resolver().Listeners)
		if want := 2 + min(len(tt.listen), 1); own != want {
			t.Errorf("%s: the resolver knows %d own sockets, want %d", tt.name, own, want)
		}
		want := [][]string{{"corp.example", "xn--bcher-kva.example"}, {"corp.org"}}
		if !reflect.DeepEqual(a.Domains, want) || !reflect.DeepEqual(a.Resolvers, []certs.Resolver{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}) {
			t.Errorf("%s: domains %v, resolvers %v", tt.name, a.Domains, a.Resolvers)
		}
		if a.Root != "/etc/sallyport/ca.pem" || a.EAB.KeyFile != "/etc/sallyport/eab.key" || a.DNS != nil && a.DNS.TSIG.SecretFile != "/etc/sallyport/tsig.key" {
			t.Errorf("%s: paths are not taken from the file's folder: %q %q", tt.name, a.Root, a.EAB.KeyFile)
		}
	}
}

// TestOutsideDoorsAnswerChallenges: a door at the same address makes a socket for tls-alpn-01 needless, for each begins with TLS if asked to.
func TestOutsideDoorsAnswerChallenges(t *testing.T) {
	t.Parallel()
	for _, outside := range []string{"{listen: [127.0.3.1:5269], direct_tls: ['192.0.2.1:443']}", "{listen: [127.0.3.1:5269, '192.0.2.1:443']}"} {
		c := mustParse(t, strings.Replace(leastACME, "{listen: [127.0.3.1:5269]}", outside, 1)+"}\n")
		if _, got := c.ChallengeListen(); got != "" {
			t.Errorf("%s: listens on %q, which is the door's", outside, got)
		}
	}
	c := mustParse(t, strings.Replace(leastACME, "certs:\n", "certs:\n  posh_listen: '[::]:443'\n", 1)+"}\n")
	if _, got := c.ChallengeListen(); got != "" {
		t.Errorf("listens on %q, which is POSH's", got)
	}
}

// Editors of another system begin a file with a byte order mark.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	mustParse(t, "\ufeff"+least)
}
