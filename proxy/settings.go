package proxy

import (
	"net/netip"
	"slices"
	"time"

	"sallyport/audit"
	"sallyport/certs"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
)

// InnerTLS says what the leg to a backend uses. The trust decision stays with address and call-back (D10), but for TLSCertificate.
type InnerTLS uint8

const (
	// TLSOff: plaintext, for servers that know no TLS or sit on the same host.
	TLSOff InnerTLS = iota
	// TLSOptional: TLS when the backend offers or asks for it.
	TLSOptional
	// TLSRequired: no stream without TLS.
	TLSRequired
	// TLSCertificate: no stream without TLS, and certificates of the gate's own inner authority in the place of dialback (D10b).
	TLSCertificate
)

// Backend is one Jabber server behind the gate.
type Backend struct {
	Address string       // host:port where it takes s2s streams
	From    []netip.Addr // addresses that it calls from
	Domains []jid.Domain // what it serves, components included
	TLS     InnerTLS
}

// Settings are what a reload may change. A Settings value is immutable once it is in use.
type Settings struct {
	Backends []Backend
	// Routes are static endpoints of remote domains; they skip DNS and the address filter ([D05]).
	Routes map[jid.Domain]resolve.Endpoint
	// Acks: outside, stanzas are acknowledged, by us and by peers that can (XEP-0198).
	Acks bool
	// Bidi: outside, a stream may carry both ways (XEP-0288).
	Bidi bool
	// Level is how much of a stanza is recorded where policy does not say.
	Level audit.Level
	// POSH fetches the documents by which domains name their certificates; nil: nobody is asked.
	POSH *certs.POSHSource
	// Inner vouches for both sides of the leg to backends with TLSCertificate; nil where there is none.
	Inner  *certs.Inner
	Limits Limits
}

// backendOf finds the server of a local domain.
func (s *Settings) backendOf(local jid.Domain) (*Backend, bool) {
	for i := range s.Backends {
		if slices.Contains(s.Backends[i].Domains, local) {
			return &s.Backends[i], true
		}
	}
	return nil, false
}

// backendAt finds the server that calls from an address.
func (s *Settings) backendAt(addr netip.Addr) (*Backend, bool) {
	for i := range s.Backends {
		if slices.Contains(s.Backends[i].From, addr.Unmap()) {
			return &s.Backends[i], true
		}
	}
	return nil, false
}

// hosts says whether a domain is one of ours.
func (s *Settings) hosts(d jid.Domain) bool {
	_, ok := s.backendOf(d)
	return ok
}

// claims says whether a domain is ours or lies under one of ours. Such a name never comes from outside and is never dialled:
// a component that is down must not become a stranger on the internet (D22, D24).
func (s *Settings) claims(d jid.Domain) bool {
	for i := range s.Backends {
		for _, local := range s.Backends[i].Domains {
			if d.Within(local) {
				return true
			}
		}
	}
	return false
}

// Limits bound what peers can make the gate hold, wait for or repeat. PROTOCOL 11.8 has the reasons.
type Limits struct {
	Connections        int              // inbound connections per door
	PerAddress         int              // inbound connections per remote address, outside
	FailuresPerAddress int              // failed proofs and the like that are recorded and logged, per remote address and minute
	Failures           int              // the same of all remote addresses together
	RatePerAddress     int              // new inbound connections per remote address and minute, outside
	Stanza             stanza.Limits    // of one stanza, and of the stream header
	PreAuthBytes       [2]int           // all bytes before a pair is proved, by Door
	PreAuthElements    int              // all first-level elements before a pair is proved
	PreAuthTime        [2]time.Duration // from accept to the first proved pair, by Door
	TLSHandshake       time.Duration
	BackendDial        time.Duration // one connection to a backend
	Verify             time.Duration // asking an authoritative server
	Callback           time.Duration // asking a backend
	Result             time.Duration // waiting for the answer to our own db:result, outside
	ResultInside       time.Duration
	PendingPerStream   int // verifications under way
	PendingPerAddress  int
	PendingPerDomain   int
	PendingTotal       int
	QueueCount         int           // stanzas waiting for one pair
	QueueBytes         int           // bytes waiting for one pair
	QueueTotal         int           // bytes waiting for all pairs; bounces may take an eighth more
	QueueAge           time.Duration // longest wait in a queue
	QueueWait          time.Duration // how long a full queue of a live link holds its reader back before stanzas bounce
	BackendDown        time.Duration // how long a backend must not answer before strangers are turned away
	Write              time.Duration // one write to a peer
	Ack                time.Duration // a peer's answer to the question what it has taken
	Idle               time.Duration // an outbound link without stanzas
	Keepalive          time.Duration // white space on an idle outbound link
	OutsideIdle        time.Duration // an inbound stream from outside without a byte, white space included
	Close              time.Duration // waiting for the peer's closing tag
	NegativeMin        time.Duration // after a failed link, stanzas bounce at once for this long,
	NegativeMax        time.Duration // doubling up to this
	NegativeVerify     time.Duration // a domain whose authoritative server could not be asked is not asked again
	Drain              time.Duration // emptying the queues at shutdown
	OutboundLinks      int           // links we keep open at once; bounces may open a tenth more
	RevocationBytes    int           // lists of revoked certificates
	PairsPerStream     int           // pairs that one stream from outside may prove
	AddressesPerStream int           // parsed addresses remembered per inbound stream
}

// DefaultLimits are the values of PROTOCOL 11.8.
func DefaultLimits() Limits {
	return Limits{
		Connections: 10000, PerAddress: 100, RatePerAddress: 600, FailuresPerAddress: 60, Failures: 600,
		Stanza: stanza.DefaultLimits(), PreAuthBytes: [2]int{Outside: 16 << 10, Inside: 64 << 10}, PreAuthElements: 64,
		PreAuthTime:  [2]time.Duration{Outside: 30 * time.Second, Inside: 60 * time.Second},
		TLSHandshake: 15 * time.Second, BackendDial: 10 * time.Second, Verify: 30 * time.Second, Callback: 10 * time.Second,
		Result: 40 * time.Second, ResultInside: 20 * time.Second,
		PendingPerStream: 8, PendingPerAddress: 32, PendingPerDomain: 16, PendingTotal: 1000,
		QueueCount: 5000, QueueBytes: 8 << 20, QueueTotal: 256 << 20, QueueAge: 60 * time.Second, QueueWait: 2 * time.Second,
		BackendDown: 10 * time.Second, Write: 30 * time.Second, Ack: 30 * time.Second, Idle: 30 * time.Minute, Keepalive: 5 * time.Minute, OutsideIdle: 2 * time.Hour,
		Close: 5 * time.Second, NegativeMin: 10 * time.Second, NegativeMax: 10 * time.Minute, NegativeVerify: 60 * time.Second,
		Drain:         25 * time.Second,
		OutboundLinks: 20000, RevocationBytes: certs.DefaultListBytes, PairsPerStream: 256, AddressesPerStream: 256,
	}
}
