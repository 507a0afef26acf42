package config

import (
	"net/netip"

	"sallyport/audit"
	"sallyport/audit/sink"
	"sallyport/certs"
	"sallyport/internal/config/document"
	"sallyport/internal/contacts"
	"sallyport/internal/directory"
	"sallyport/internal/jid"
	"sallyport/internal/ratchet"
	"sallyport/internal/resolve"
	"sallyport/internal/telemetry"
	"sallyport/policy"
)

// Config is the whole of sallyport.yaml, checked, with defaults filled in and paths made absolute.
type Config struct {
	Backends   []Backend            `yaml:"backends" doc:"the Jabber servers behind this gate"`
	Inside     resolve.InsideConfig `yaml:"inside" doc:"the backends' way out: their door, and the name server that sends them there"`
	Outside    Outside              `yaml:"outside" doc:"the world's way in, and how the world is found"`
	Federation string               `yaml:"federation" default:"listed" oneof:"listed|open" doc:"listed: only the peers below may federate; open: anyone may, held to the entry default"`
	Peers      map[Pattern]Peer     `yaml:"peers" doc:"remote domains, as domain, as *.suffix for all domains below one, or as default for what the others leave out; policy sees them as data.peers"`
	Certs      certs.Config         `yaml:"certs" doc:"our certificates, and whose word counts for the peers'"`
	Ratchet    ratchet.Config       `yaml:"ratchet" doc:"holding each remote domain to the best that it has proved"`
	Contacts   contacts.Config      `yaml:"contacts" doc:"to whom people of the house have written, for policies by which strangers may not write first"`
	Dialback   Dialback             `yaml:"dialback" doc:"proving our domains to others (XEP-0220)"`
	Policy     policy.Config        `yaml:"policy" doc:"who may exchange what with whom, in Rego"`
	Directory  *directory.Config    `yaml:"directory" doc:"groups of people out of an LDAP directory, which policy sees as data.groups beside those of its files; left out: none"`
	Audit      Audit                `yaml:"audit" doc:"the record of everything that crossed or was refused"`
	Telemetry  telemetry.Config     `yaml:"telemetry" doc:"measurements and traces"`
	Admin      Admin                `yaml:"admin" doc:"the socket that sallyport status asks"`
	Limits     Limits               `yaml:"limits" doc:"what peers can make the gate hold, wait for or repeat; the time for one connection attempt is outside.dial_timeout"`
	Log        Log                  `yaml:"log" doc:"what the gate says about itself, on standard error"`

	file  string
	lines document.Lines // where each key stands, but for those of each peer
}

// Audit is the record, and where it is carried to.
type Audit struct {
	audit.Config `yaml:",inline"`
	Sinks        []sink.Config `yaml:"sinks" doc:"where events and checkpoints are sent besides, each in its own time; what does not arrive is sent again"`
}

// Backend is one Jabber server behind the gate.
type Backend struct {
	Address HostPort     `yaml:"address" doc:"where the server takes server-to-server streams"`
	From    []netip.Addr `yaml:"from" doc:"addresses that it calls from; left out: that of address"`
	Domains []jid.Domain `yaml:"domains" doc:"what it serves; each component, such as conference.corp.example, is a domain of its own"`
	TLS     string       `yaml:"tls" default:"off" oneof:"off|optional|required|certificate" doc:"TLS between gate and backend; who the backend is, is found out by address and call-back. certificate is for backends that take certificates and no dialback: an authority that the gate makes in certs.store/inner vouches for both sides, and the backend has to be told of it"`
}

// Outside is the gate's face to the world.
type Outside struct {
	Listen         []netip.AddrPort `yaml:"listen" doc:"doors for streams; they may begin in clear and take STARTTLS, or begin with TLS (XEP-0368)"`
	DirectTLS      []netip.AddrPort `yaml:"direct_tls" doc:"doors for streams that begin with TLS and nothing else (XEP-0368), such as port 5270"`
	POSH           bool             `yaml:"posh" default:"true" doc:"where a certificate does not prove as much of a peer as its entry asks for, look whether the domain's web server vouches for it (RFC 7711)"`
	Acks           bool             `yaml:"acks" default:"true" doc:"acknowledge stanzas to remote servers, and have those that can acknowledge ours (XEP-0198): what a stream may have lost is sent once more, or its sender told"`
	Bidi           bool             `yaml:"bidi" default:"false" doc:"let a stream carry both ways where the remote server can (XEP-0288); otherwise each way has a stream of its own, opened by the sender"`
	resolve.Config `yaml:",inline"`
}

// Peer is what a remote domain must reach at the least. What is left out comes from the entry default, and if that is silent too, is
// channel tls, proof dialback, TLS 1.2.
type Peer struct {
	Level      string `yaml:"level" oneof:"permissive|verified|encrypted|trusted" doc:"channel and proof in one word, as in XEP-0238: trusted is tls and pkix, encrypted is tls and dialback, verified is plaintext and dialback; permissive is the same as verified here, because nobody unproved is let in"`
	Channel    string `yaml:"channel" oneof:"plaintext|tls" doc:"the least that may carry stanzas; plaintext needs until"`
	Proof      string `yaml:"proof" oneof:"dialback|pkix|dane|posh|pin" doc:"the least that proves the peer's domain: a verified dialback key, a certificate that a trust anchor vouches for, one that the domain itself names in DNS or on its web server, or a pinned key. Dialback proves the caller to the called: outbound it means no more than the address that DNS gave. dane needs outside.dnssec, posh needs outside.posh"`
	TLSMin     string `yaml:"tls_min" oneof:"1.2|1.3" doc:"the oldest version of TLS"`
	Revocation string `yaml:"revocation" oneof:"soft|hard" doc:"soft, which is the default: a certificate counts unless it is known to be revoked; hard: only if its authority says that it is good"`
	Ratchet    *bool  `yaml:"ratchet" doc:"false sets the peer free from what it proved before"`
	Until      Date   `yaml:"until" doc:"the last day, in UTC, on which the entry counts; afterwards it is as if it were not there"`
	Route      Route  `yaml:"route" doc:"where to call the peer, in place of what DNS says; with tls:// in front for direct TLS"`
	Pins       []Pin  `yaml:"pins" doc:"public keys of which the peer's certificate must have one, whatever the proof"`
	Deny       bool   `yaml:"deny" default:"false" doc:"the peer may not federate, whoever else may"`
}

// Dialback says where the secret is.
type Dialback struct {
	SecretFile string `yaml:"secret_file" default:"/var/lib/sallyport/dialback.secret" doc:"the secret of which the keys of both sides are made, and on a second line the one before it, which still verifies; made at the first start, mode 0600"`
}

// Admin says where the running gate can be asked.
type Admin struct {
	Socket string `yaml:"socket" default:"/run/sallyport/admin.sock" doc:"a Unix socket, made at start with mode 0600"`
}

// Log says how much is said and how.
type Log struct {
	Level  string `yaml:"level" default:"info" oneof:"debug|info|warn|error" doc:"the least that is worth a line"`
	Format string `yaml:"format" default:"text" oneof:"text|json" doc:"text for people, json for machines"`
}
