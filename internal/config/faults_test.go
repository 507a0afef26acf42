package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/config/document"
)

// leastACME is the smallest configuration with an authority, as far as the keys that follow.
const leastACME = least + "certs:\n  acme: {directory: 'https://ca.example/dir', accept_terms: true, "

// TestFaults has one mistake an entry: the text, and what the operator is told, line for line. "LEAST" stands for the smallest
// configuration, which takes three lines, "ACME" for leastACME, which takes four and begins another.
func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{
			"1: backends is missing; for example:  backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]",
			"1: inside.listen is missing; for example:  inside: {listen: 127.0.2.1:5269}",
			"1: outside.listen is missing; for example:  outside: {listen: [127.0.3.1:5269]}"}},
		{"only comments", "# nothing\n\n", []string{"1: backends is missing", "1: inside.listen is missing", "1: outside.listen is missing"}},
		{"empty lists", "backends: []\ninside: {}\noutside:\n  listen: []\n", []string{"1: backends is missing", "2: inside.listen is missing", "4: outside.listen is missing"}},
		{"not a mapping", "- backends\n", []string{"1: a configuration is a list of keys", "1: backends is missing", "1: inside", "1: outside"}},

		// The text.
		{"syntax", "backends: [\ninside: {listen: 127.0.2.1:5269}\n", []string{"3: did not find expected"}},
		{"colon in a value", "log: level: info\n", []string{"1: mapping values are not allowed in this context"}},
		{"tab", "inside:\n\tlisten: 127.0.2.1:5269\n", []string{"2: a tab cannot indent; use spaces"}},
		{"not UTF-8", "log:\n  level: \"\xff\"\n", []string{"2: not UTF-8"}},
		{"NUL", "log:\n\n  level: a\x00\n", []string{"3: control character U+0000"}},
		{"DEL", "log:\n  level: a\x7f\n", []string{"2: control character U+007F"}},
		{"two documents", "LEAST---\nlog: {level: debug}\n", []string{"4: a second document begins here"}},
		{"anchor", "LEASTlog: &a {level: info}\n", []string{"4: anchors (&) and aliases (*) are not used here"}},
		{"alias without anchor", "LEASTlog: *a\n", []string{"4: anchors (&) and aliases (*) are not used here"}},
		{"explicit type", "LEASTlog: !!map {level: info}\n", []string{"4: explicit types such as !!map are not used here"}},
		{"too deep", "LEASTpeers: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n", []string{"4: nested deeper than 16 levels"}},
		{"far too deep", "LEASTpeers: " + strings.Repeat("[", 20000), []string{"4: exceeded max depth"}},
		{"too large", "LEAST" + strings.Repeat("#", document.MaxFile), []string{" larger than 1024 KiB"}},

		// Keys.
		{"unknown key", "LEASTnonsense: 1\n", []string{`4: unknown key "nonsense"; known here: backends, inside, outside, federation, peers,`}},
		{"misspelt key", "LEASTpolcy: {}\n", []string{`4: unknown key "polcy"; did you mean policy?`}},
		{"misspelt key within", "LEASTlog: {levle: info}\n", []string{`4: unknown key "log.levle"; did you mean log.level?`}},
		{"key of another section", "LEASTresolver: [192.0.2.1:53]\n", []string{`4: unknown key "resolver"; did you mean outside.resolver?`}},
		{"unknown key of a peer", "LEASTpeers: {a.example: {prof: pkix}}\n", []string{`4: unknown key "peers[a.example].prof"; did you mean peers[a.example].proof?`}},
		{"merge key", "LEAST<<: {log: {}}\n", []string{`4: unknown key "<<"`}},
		{"key that is a list", "LEAST[a]: b\n", []string{`4: unknown key ""`}},
		{"key twice", "LEASTlog: {}\nlog: {}\n", []string{`5: "log" stands twice, first in line 4`}},
		{"peer twice in two spellings", "LEASTpeers:\n  bücher.example: {}\n  XN--BCHER-KVA.example.: {}\n", []string{"6: peers[bücher.example] stands twice, first in line 5"}},

		// Values.
		{"section that is a word", "LEASTlog: debug\n", []string{"4: log holds keys: level, format"}},
		{"table that is a list", "LEASTpeers: [a.example]\n", []string{"4: peers holds keys: each is a domain, *.suffix or default"}},
		{"list that is a word", "LEASTcerts: {roots: ca.pem}\n", []string{"4: certs.roots must be a list of text"}},
		{"word that is a list", "LEASTfederation: [listed]\n", []string{"4: federation must be listed or open"}},
		{"no value", "LEASTfederation:\n", []string{"4: federation has no value; it must be listed or open"}},
		{"unknown word", "LEASTfederation: opne\n", []string{`4: federation: "opne" must be listed or open; did you mean open?`}},
		{"duration without unit", "LEASTlimits: {idle: 30}\n", []string{`4: limits.idle: "30" must be duration, such as 30s, 5m or 24h`}},
		{"negative duration", "LEASTlimits: {idle: -30s}\n", []string{`4: limits.idle: "-30s" must be duration`}},
		{"size with a wrong unit", "LEASTlimits: {stanza_bytes: 512KB}\n", []string{`4: limits.stanza_bytes: "512KB" must be size, such as 512KiB or 64MiB`}},
		{"size too large to count", "LEASTlimits: {stanza_bytes: 99999999999GiB}\n", []string{`4: limits.stanza_bytes: "99999999999GiB" must be size`}},
		{"number with a fraction", "LEASTlimits: {connections: 1.5}\n", []string{`4: limits.connections: "1.5" must be number`}},
		{"neither true nor false", "LEASTcerts: {system_roots: no}\n", []string{`4: certs.system_roots: "no" must be true or false`}},
		{"address without port", "LEASTtelemetry: {metrics: localhost}\n", []string{`4: telemetry.metrics: "localhost" must be address:port, such as 127.0.0.1:9469`}},
		{"date of no calendar", "LEASTpeers: {a.example: {channel: plaintext, until: 2027-02-30}}\n", []string{`4: peers[a.example].until: "2027-02-30" must be date, such as 2027-06-30`, "4: peers[a.example].channel: plaintext needs"}},
		{"pin that is too short", "LEASTpeers: {a.example: {pins: [sha256/AAAA]}}\n", []string{`4: peers[a.example].pins[0]: "sha256/AAAA" must be pin`}},
		{"route without port", "LEASTpeers: {a.example: {route: xmpp.example}}\n", []string{`4: peers[a.example].route: "xmpp.example" must be host:port`}},
		{"backend with direct TLS", "backends: [{address: 'tls://127.0.1.1:5269', domains: [a.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{`1: backends[0].address: "tls://127.0.1.1:5269" must be host:port`}},
		{"dnssec by a resolver that anybody can speak for", "backends: [{address: 127.0.1.1:5269, domains: [a.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside:\n  listen: [127.0.3.1:5269]\n  dnssec: true\n  resolver:\n  - 127.0.0.1:53\n  - 'tls://192.0.2.1#dns.example'\n  - 192.0.2.1:53\n",
			[]string{`9: outside.resolver[2]: anyone on the way could say that an answer was validated`}},
		{"resolver without address", "backends: [{address: 127.0.1.1:5269, domains: [a.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269], resolver: [dns.example]}\n", []string{`3: outside.resolver[0]: "dns.example" must be name server`}},
		{"peer that is no domain", "LEASTpeers: {'a b': {}}\n", []string{`4: peers: "a b" must be domain, *.suffix or default`}},
		{"peers that are no patterns", "LEASTpeers:\n  '*': {}\n  '*.': {}\n  '*.*.a.example': {}\n  .example: {}\n  a..b: {}\n  '': {}\n", []string{
			`5: peers: "*" must be`, `6: peers: "*." must be`, `7: peers: "*.*.a.example" must be`, `8: peers: ".example" must be`, `9: peers: "a..b" must be`, `10: peers: "" must be`}},
		{"UTF-16", "\xff\xfeb\x00a\x00", []string{"1: not UTF-8"}},
		{"URL that is none", "LEASTtelemetry: {otlp: 127.0.0.1:4318}\n", []string{`4: telemetry.otlp: "127.0.0.1:4318" must be a URL`}},
		{"URL of another kind", "LEASTtelemetry: {otlp: 'grpc://192.0.2.1:4317'}\n", []string{`4: telemetry.otlp: "grpc://192.0.2.1:4317" must be a URL`}},
		{"control characters are not printed", "LEASTfederation: \"\\e[2J\"\n", []string{`4: federation: "\x1b[2J" must be`}},
		{"word of another room", "LEASTpolicy: {mode: enforced}\naudit: {durability: asyn, on_failure: no}\n", []string{
			`4: policy.mode: "enforced" must be enforce or observe; did you mean enforce?`, `5: audit.durability: "asyn" must be sync or async; did you mean`, `5: audit.on_failure: "no" must be refuse or pass`}},
		{"a proof too seldom, secrets that are copied", "LEASTaudit:\n  checkpoint: 2h\n  dir: rec\n  secrets: rec/secrets\n", []string{
			"5: audit.checkpoint: it must be between 1s and 1h", "7: audit.secrets: it must not be in audit.dir"}},
		{"certificate without a file", "LEASTcerts:\n  files:\n    - {key: corp.key}\n", []string{"6: certs.files[0]: cert is missing"}},
		{"no patience, and too much", "LEASTaudit: {patience: 10ms}\n", []string{"4: audit.patience: it must be between 1s and 10m"}},
		{"sinks beyond their limits", `LEASTaudit:
  sinks:
    - {name: a, type: syslog, url: "tls://siem.example", lag: 999ms}
    - {name: b, type: syslog, url: "tls://siem.example", batch: 10001}
    - {name: c, type: syslog, url: "tls://siem.example", batch: -1}
    - {name: d, type: syslog, url: "tls://siem.example", message_bytes: 479}
    - {name: e, type: syslog, url: "tls://siem.example", message_bytes: 1048577}
    - {name: f, type: syslog, url: "tcp://siem.example"}
    - {name: f, type: nats, url: "nats://gate:word@bus.example", cert: x.pem}
`, []string{"6: audit.sinks[0].lag: 999ms: must be at least 1s", "7: audit.sinks[1].batch: 10001: must be between 1 and 10000", "8: audit.sinks[2].batch: ",
			"9: audit.sinks[3].message_bytes: 479: must be between 480 and 1048576", "10: audit.sinks[4].message_bytes: 1048577: must be", "11: audit.sinks[5].url: must begin with tls://",
			"12: audit.sinks[6].name: two sinks have this name", "12: audit.sinks[6].url: it must not hold a password", "12: audit.sinks[6].cert: it and key need each other"}},
		{"sealed for nobody", "LEASTaudit: {level: sealed, content: 1GiB}\n", []string{"4: audit.level: sealed needs somebody who can open it", "4: audit.content: it must be from 1 to 512KiB"}},
		{"officers who are none", "LEASTaudit:\n  level: seal\n  sealing:\n    recipients: [AGE-SECRET-KEY-1QQ]\n    threshold: 2\n    period: 90m\n    stanzas: 100000000\n", []string{
			"5: audit.level: ", "7: audit.sealing.recipients[0]: \"AGE-SECRET-KEY-…", "8: audit.sealing.threshold: ", "9: audit.sealing.period: ", "10: audit.sealing.stanzas: "}},
		{"terms that are none", "LEASTaudit:\n  retention:\n    default: 2 years\n    legal: 7y\n    short: 12h\n    long: 1001y\n    none: ''\n    list: [1d]\n", []string{
			`6: audit.retention[default]: "2 years" must be number of days or years, such as 90d or 2y`, `8: audit.retention[short]: "12h"`, `9: audit.retention[long]: "1001y"`, `10: audit.retention[none]: ""`, "11: audit.retention[list] must be number"}},
		{"retention that is no table", "LEASTaudit: {retention: 7y}\n", []string{"4: audit.retention holds keys"}},
		{"empty path", "LEASTaudit: {dir: ''}\n", []string{"4: audit.dir: it cannot be empty"}},
		{"socket path too long", "LEASTadmin: {socket: /" + strings.Repeat("x", 107) + "}\n", []string{"4: admin.socket: a socket's path has 107 bytes at the most"}},
		{"an authority that is not named", "LEASTcerts:\n  acme: {email: admin@corp.example}\n", []string{
			"5: certs.acme: directory is missing; for example:  directory: https://acme-v02.api.letsencrypt.org/directory",
			"5: certs.acme: read the authority's terms of service and say  accept_terms: true"}},
		{"an authority in clear", "LEASTcerts:\n  store: ''\n  acme: {directory: 'http://ca.example/dir', accept_terms: true, email: Admin}\n", []string{
			`6: certs.acme.directory: "http://ca.example/dir" must be an https URL`, `6: certs.acme.email: "Admin" must be an address`,
			"5: certs.store: it cannot be empty with certs.acme"}},
		{"half an account", "ACMEeab: {}}\n", []string{"5: certs.acme.eab: kid is missing", "5: certs.acme.eab: key_file is missing; for example:  key_file: eab.key"}},
		{"dns-01 without a server", "ACMEchallenge: dns-01}\n", []string{"5: certs.acme.challenge: dns-01 needs certs.acme.dns"}},
		{"dns-01 with half a server", "ACMEchallenge: dns-01, dns: {wait: 0s}}\n", []string{"5: certs.acme.dns: server is missing", "5: certs.acme.dns.wait: it must be more than zero",
			"5: certs.acme.dns.tsig: name is missing", "5: certs.acme.dns.tsig: secret_file is missing"}},
		{"a server for another challenge", "ACMEchallenge: http-01, dns: {server: '192.0.2.53:53', tsig: {name: a, secret_file: b}}}\n", []string{
			"5: certs.acme.dns: it is for dns-01, and the challenge is http-01"}},
		{"a challenge that does not exist", "ACMEchallenge: dns-02}\n", []string{`5: certs.acme.challenge: "dns-02" must be tls-alpn-01, http-01 or dns-01; did you mean dns-01?`}},
		{"validators at the inside door", "ACMEtls_alpn_listen: 127.0.2.1:5269}\n", []string{"5: certs.acme.tls_alpn_listen: 127.0.2.1:5269 is taken by inside.listen"}},

		// Backends.
		{"backend without anything", "backends:\n  - {}\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n", []string{"2: backends[0]: address is missing", "2: backends[0]: domains is missing"}},
		{"domain of two backends", "backends:\n  - {address: 127.0.1.1:5269, domains: [corp.example]}\n  - address: 127.0.1.2:5269\n    domains:\n      - corp.org\n      - CORP.example\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{"6: backends[1].domains[1]: corp.example is served by backends[0] already"}},
		{"domains that cannot federate", "backends: [{address: 127.0.1.1:5269, domains: [localhost, 192.0.2.1, '*.corp.example']}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{"1: backends[0].domains[0]: localhost cannot federate", "1: backends[0].domains[1]: 192.0.2.1 cannot federate", `1: backends[0].domains[2]: "*.corp.example" must be domain`}},
		{"two backends behind one address", "backends:\n  - {address: 127.0.1.1:5269, domains: [a.example]}\n  - {address: 127.0.1.1:5299, domains: [b.example]}\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{"3: backends[1].address: backends[0] calls from 127.0.1.1 too"}},
		{"backend by name", "backends:\n  - address: xmpp.corp.example:5269\n    domains: [corp.example]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{"2: backends[0].address: xmpp.corp.example:5269 is a name, so from must list"}},

		// Sockets.
		{"one socket for both sides", "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside:\n  listen: [127.0.2.1:5269]\n",
			[]string{"4: outside.listen[0]: 127.0.2.1:5269 is taken by inside.listen (127.0.2.1:5269); the two sides need sockets of their own"}},
		{"a wildcard takes the inside door too", "backends: [{address: 127.0.1.1:5270, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: ['[::]:5269']}\n",
			[]string{"3: outside.listen[0]: [::]:5269 is taken by inside.listen"}},
		{"the wildcard of IPv4 too", "backends: [{address: 192.0.2.9:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: ['0.0.0.0:5269']}\n",
			[]string{"3: outside.listen[0]: 0.0.0.0:5269 is taken by inside.listen"}},
		{"a wildcard takes a local backend's address", "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5299}\noutside: {listen: ['[::]:5269']}\n",
			[]string{"1: backends[0].address: 127.0.1.1:5269 is taken by the gate's own outside.listen[0]"}},
		{"a caller without an address", "backends: [{address: 127.0.1.1:5269, from: ['::'], domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{"1: backends[0].from[0]: :: is no address that anybody calls from"}},
		{"one socket for two uses", "LEASTtelemetry: {metrics: 127.0.3.1:5269}\n", []string{"4: telemetry.metrics: 127.0.3.1:5269 is taken by outside.listen[0]"}},
		{"a backend at the gate's own door", "backends: [{address: 127.0.3.1:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n",
			[]string{"1: backends[0].address: 127.0.3.1:5269 is taken by the gate's own outside.listen[0]"}},
		{"backends are told all addresses", "backends: [{address: 127.0.1.1:5270, domains: [corp.example]}]\ninside: {listen: 0.0.0.0:5269, dns: 127.0.2.1:53}\noutside: {listen: [127.0.3.1:5270]}\n",
			[]string{"2: inside.listen: inside.dns has to tell the backends one address"}},
		{"backends are told any port", "backends: [{address: 127.0.1.1:5270, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:0, dns: 127.0.2.1:53}\noutside: {listen: [127.0.3.1:5270]}\n",
			[]string{"2: inside.listen: inside.dns has to tell the backends one port"}},
		{"door that is no address", "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\ninside: {listen: localhost}\noutside: {listen: [':5269']}\n",
			[]string{`2: inside.listen: "localhost" must be address:port`, `3: outside.listen[0]: ":5269" must be address:port, such as 192.0.2.1:5269 or [::]:5269`}},

		// Peers.
		{"a local domain as peer", "LEASTpeers: {corp.example: {}}\n", []string{"4: peers[corp.example]: corp.example is served by backends[0], so it is no peer"}},
		{"[D22] below a local domain", "LEASTpeers:\n  icq.corp.example: {}\n  '*.corp.example': {}\n", []string{
			"5: peers[icq.corp.example]: it lies under corp.example of backends[0]", "6: peers[*.corp.example]: corp.example is served by backends[0]"}},
		{"an address as peer", "LEASTpeers: {192.0.2.1: {}}\n", []string{"4: peers[192.0.2.1]: it is no domain that could federate"}},
		{"plaintext without an end", "LEASTpeers:\n  old.example: {channel: plaintext}\n", []string{"5: peers[old.example].channel: plaintext needs the last day of the exception; for example:  until: 2027-06-30"}},
		{"plaintext for everyone", "LEASTpeers:\n  default: {channel: plaintext}\n", []string{"5: peers[default].channel: plaintext for everyone cannot be had"}},
		{"plaintext with a proof that needs TLS", "LEASTpeers:\n  a.example: {channel: plaintext, proof: pkix, until: 2027-06-30}\n", []string{"5: peers[a.example].proof: proof pkix needs TLS, and the channel may be plaintext"}},
		{"plaintext under a default that needs TLS", "LEASTpeers:\n  default: {proof: pkix}\n  a.example: {channel: plaintext, until: 2027-06-30}\n", []string{"6: peers[a.example].channel: proof pkix needs TLS"}},
		{"level beside channel", "LEASTpeers:\n  a.example: {level: trusted, channel: tls}\n", []string{"5: peers[a.example].level: trusted is tls and pkix already; give either"}},
		{"level without an end", "LEASTpeers:\n  a.example: {level: verified}\n", []string{"5: peers[a.example].level: plaintext needs the last day"}},
		{"level for everyone", "LEASTpeers:\n  default: {level: permissive}\n", []string{"5: peers[default].level: plaintext for everyone"}},
		{"unknown level", "LEASTpeers:\n  a.example: {level: secure}\n", []string{`5: peers[a.example].level: "secure" must be permissive, verified, encrypted or trusted`}},
		{"unknown mode of the ratchet", "LEASTratchet: {mode: on}\n", []string{`4: ratchet.mode: "on" must be off, observe or enforce`}},
		{"plaintext with pins", "LEASTpeers:\n  a.example:\n    channel: plaintext\n    until: 2027-06-30\n    tls_min: 1.3\n    pins: [\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]\n",
			[]string{"8: peers[a.example].tls_min: the channel may be plaintext", "9: peers[a.example].pins: pins need TLS"}},
		{"pin without pins", "LEASTpeers:\n  a.example: {proof: pin}\n", []string{"5: peers[a.example].proof: proof pin needs pins"}},
		{"for somebody, given to everybody", "LEASTpeers: {default: {until: 2027-06-30, proof: pin, deny: true}}\n",
			[]string{"4: peers[default].deny: it would hold for everyone", "4: peers[default].proof: pin for everyone", "4: peers[default].until: it would hold for everyone"}},
		{"a proof that cannot be had", "LEASTpeers: {a.example: {proof: dane}}\n", []string{"4: peers[a.example].proof: dane needs a resolver that validates; set outside.dnssec"}},
		{"a proof that cannot be had, for everyone", "backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269], posh: false}\npeers: {default: {proof: posh}}\n", []string{"4: peers[default].proof: posh is asked for, and outside.posh is false"}},
		{"certainty where nobody gives it", "LEASTpeers:\n  a.example: {proof: posh, revocation: hard}\n", []string{"5: peers[a.example].revocation: hard asks what the certificate's authority says"}},
		{"a route for many", "LEASTpeers: {'*.a.example': {route: '192.0.2.1:5269'}}\n", []string{"4: peers[*.a.example].route: a route leads to one domain"}},
		{"denied and more", "LEASTpeers: {a.example: {deny: true, proof: pkix}}\n", []string{"4: peers[a.example].deny: the peer is denied"}},

		// Limits.
		{"no limit", "LEASTlimits: {connections: 0, idle: 0s}\n", []string{"4: limits.connections: it must be more than zero", "4: limits.idle: it must be more than zero", "4: limits.keepalive: 5m0s is longer than limits.idle"}},
		{"[X08] smaller stanzas than everybody may send", "LEASTlimits: {stanza_bytes: 9999}\n", []string{"4: limits.stanza_bytes: it must be at least 10000"}},
		{"queue too small for a stanza", "LEASTlimits: {queue_bytes: 64KiB}\n", []string{"4: limits.queue_bytes: it is less than limits.stanza_bytes"}},
		{"more than memory", "LEASTlimits: {queue_bytes: 2GiB}\n", []string{"4: limits.queue_bytes: it can be 1GiB at the most"}},
		{"a drain that outlasts the end", "LEASTlimits: {drain: 26s}\n", []string{"4: limits.drain: it can be 25s at the most"}},
		{"more prefixes than the scanner counts", "LEASTlimits: {stanza_namespaces: 65}\n", []string{"4: limits.stanza_namespaces: it can be 64 at the most"}},

		{"all at once, in the order of lines", "federation: opne\nbackends: [{address: nowhere, domains: [corp.example]}]\nlog: {level: loud}\ninside: {}\n", []string{
			"1: federation:", "2: backends[0].address:", "3: log.level:", "1: outside.listen is missing", "4: inside.listen is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("x.yaml", []byte(strings.NewReplacer("LEAST", least, "ACME", leastACME).Replace(tt.text)))
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("Parse = %v; want faults", err)
			}
			lines := strings.Split(err.Error(), "\n")
			for _, want := range tt.want {
				want = "x.yaml:" + want
				found := false
				for i, line := range lines {
					if found = strings.HasPrefix(line, want); found {
						lines = append(lines[:i:i], lines[i+1:]...)
						break
					}
				}
				if !found {
					t.Errorf("not told: %s", want)
				}
			}
			if len(lines) > 0 {
				t.Errorf("told besides:\n%s", strings.Join(lines, "\n"))
			}
			last := 0
			for _, f := range faults {
				if f.Line < last {
					t.Errorf("line %d is told after line %d", f.Line, last)
				}
				last = f.Line
			}
		})
	}
}

func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "nonsense%d: 1\n", i)
	}
	_, err := Parse("x.yaml", []byte(text.String()))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != document.MaxFaults {
		t.Errorf("%d faults told, want %d", len(faults), document.MaxFaults)
	}
}
