package config

import "time"

// Limits are the bounds of everything that a peer or a backend can make grow. Sizes count bytes.
type Limits struct {
	Connections           int   `yaml:"connections" default:"10000" doc:"inbound connections at once, at each of the two sides"`
	ConnectionsPerAddress int   `yaml:"connections_per_address" default:"100" doc:"inbound connections at once from one remote address, or IPv6 network of 64 bits, outside"`
	FailuresPerAddress    int   `yaml:"failures_per_address" default:"60" doc:"failed proofs and the like of one remote address, or IPv6 network of 64 bits, that are recorded and logged in a minute; what is beyond is counted and told when the minute is over"`
	Failures              int   `yaml:"failures" default:"600" doc:"the same of all remote addresses together; the second half is kept for networks, IPv4 of 24 bits or IPv6 of 48, of which nothing was told in the minute"`
	ConnectionRate        int   `yaml:"connection_rate" default:"600" doc:"new inbound connections in a minute from one remote address, or IPv6 network of 64 bits, outside"`
	Links                 int   `yaml:"links" default:"20000" doc:"outbound streams at once, both sides together; bounces may open a tenth more"`
	PairsPerStream        int   `yaml:"pairs_per_stream" default:"256" doc:"domain pairs that a remote server may prove on one stream"`
	AddressesPerStream    int   `yaml:"addresses_per_stream" default:"256" doc:"parsed addresses that are remembered for one inbound stream"`
	RevocationBytes       int64 `yaml:"revocation_bytes" default:"64MiB" doc:"all lists of revoked certificates together, as they are held in memory; one that was not asked for in two hours makes room, and what finds none is as if its server were down"`

	StanzaBytes      int64 `yaml:"stanza_bytes" default:"512KiB" doc:"one stanza, from '<' to '>'; at least 10000 (RFC 6120 §13.12)"`
	HeaderBytes      int64 `yaml:"header_bytes" default:"8KiB" doc:"one stream header"`
	StanzaDepth      int   `yaml:"stanza_depth" default:"64" doc:"elements open inside one another"`
	StanzaAttributes int   `yaml:"stanza_attributes" default:"64" doc:"attributes of one element, namespace declarations included"`
	StanzaNamespaces int   `yaml:"stanza_namespaces" default:"32" doc:"namespace prefixes in scope at one place; at most 64"`
	NameBytes        int64 `yaml:"name_bytes" default:"256" doc:"name of one element or attribute, prefix included"`

	OutsidePreauthBytes int64         `yaml:"outside_preauth_bytes" default:"16KiB" doc:"all that a remote server may send before a pair is proved"`
	InsidePreauthBytes  int64         `yaml:"inside_preauth_bytes" default:"64KiB" doc:"all that a backend may send before a pair is proved"`
	PreauthElements     int           `yaml:"preauth_elements" default:"64" doc:"elements that either may send before a pair is proved"`
	OutsidePreauthTime  time.Duration `yaml:"outside_preauth_time" default:"30s" doc:"from a remote server's connection to its first proved pair"`
	InsidePreauthTime   time.Duration `yaml:"inside_preauth_time" default:"60s" doc:"from a backend's connection to its first proved pair"`

	TLS          time.Duration `yaml:"tls" default:"15s" doc:"one TLS handshake"`
	BackendDial  time.Duration `yaml:"backend_dial" default:"10s" doc:"one connection to a backend; for remote servers it is outside.dial_timeout"`
	Verify       time.Duration `yaml:"verify" default:"30s" doc:"asking a remote server whether a dialback key is its own"`
	Callback     time.Duration `yaml:"callback" default:"10s" doc:"asking a backend whether a dialback key is its own"`
	Result       time.Duration `yaml:"result" default:"40s" doc:"waiting for a remote server to accept our dialback key; its own verification may take 30s"`
	InsideResult time.Duration `yaml:"inside_result" default:"20s" doc:"waiting for a backend to accept our dialback key"`

	PendingPerStream  int `yaml:"pending_per_stream" default:"8" doc:"dialback verifications under way for one stream"`
	PendingPerAddress int `yaml:"pending_per_address" default:"32" doc:"dialback verifications under way for one remote address, or IPv6 network of 64 bits"`
	PendingPerDomain  int `yaml:"pending_per_domain" default:"16" doc:"dialback verifications under way for one remote domain"`
	Pending           int `yaml:"pending" default:"1000" doc:"dialback verifications under way at all"`

	QueueStanzas int           `yaml:"queue_stanzas" default:"5000" doc:"stanzas waiting for one domain pair"`
	QueueBytes   int64         `yaml:"queue_bytes" default:"8MiB" doc:"bytes waiting for one domain pair"`
	QueueTotal   int64         `yaml:"queue_total" default:"256MiB" doc:"bytes waiting for all domain pairs together"`
	QueueAge     time.Duration `yaml:"queue_age" default:"60s" doc:"the longest that a stanza waits before it is bounced"`
	QueueWait    time.Duration `yaml:"queue_wait" default:"2s" doc:"how long a full queue of a live link holds its senders back before their stanzas are bounced"`

	BackendDown    time.Duration `yaml:"backend_down" default:"10s" doc:"how long a backend must not answer before remote servers that come new are turned away"`
	Write          time.Duration `yaml:"write" default:"30s" doc:"one write to a peer"`
	Ack            time.Duration `yaml:"ack" default:"30s" doc:"waiting for a remote server's answer to the question what it has taken (outside.acks)"`
	Idle           time.Duration `yaml:"idle" default:"30m" doc:"an outbound link without stanzas is closed"`
	Keepalive      time.Duration `yaml:"keepalive" default:"5m" doc:"white space is sent on an idle outbound link"`
	OutsideIdle    time.Duration `yaml:"outside_idle" default:"2h" doc:"a stream that a remote server opened and on which nothing comes, not even white space, is closed; it is told so (XEP-0478)"`
	Close          time.Duration `yaml:"close" default:"5s" doc:"waiting for the peer's closing tag when a stream ends"`
	NegativeFirst  time.Duration `yaml:"negative_first" default:"10s" doc:"how long stanzas bounce at once after a link could not be made; doubled with each further failure"`
	NegativeMax    time.Duration `yaml:"negative_max" default:"10m" doc:"the longest of these times"`
	NegativeVerify time.Duration `yaml:"negative_verify" default:"60s" doc:"how long a domain whose server could not be asked about a key is not asked again"`
	Drain          time.Duration `yaml:"drain" default:"25s" doc:"emptying the queues at shutdown"`
}
