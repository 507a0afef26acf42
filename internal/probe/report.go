package probe

import (
	"time"

	"sallyport/internal/ratchet"
)

// Grade is what a domain is worth as a peer, in a word.
type Grade string

// The grades. Federation is possible with the first three.
const (
	Strong  Grade = "strong"                // each proves itself to the other by certificate over today's TLS, and nothing is amiss
	Good    Grade = "good"                  // the domain proves itself, and something could be better
	Weak    Grade = "weak"                  // it works, and nothing proves who answers
	Broken  Grade = "broken"                // no stream that could carry anything comes about, by their fault or ours
	Refused Grade = "refused by our policy" // what it offers does not matter, or is too little
)

// Federates says whether stanzas could be exchanged.
func (g Grade) Federates() bool { return g == Strong || g == Good || g == Weak }

// Report is what a probe of a remote domain found: the document of `sallyport probe --json`, described in docs/probe.md. Strings of a
// stranger's making are cut to 256 characters and hold none that a terminal would obey.
type Report struct {
	Version   int          `json:"version"` // of this document: 1
	Domain    string       `json:"domain"`
	From      string       `json:"from"` // the local domain in whose name it was asked
	Time      time.Time    `json:"time"`
	Took      Milliseconds `json:"took_ms"`
	Grade     Grade        `json:"grade"`
	Reason    string       `json:"reason"`
	Federates bool         `json:"federates"`       // under our policy, in both directions
	Offers    Grade        `json:"offers"`          // the grade that it would have if our policy let everything pass
	Flaws     []string     `json:"flaws,omitempty"` // what could be better
	Fixes     []Fix        `json:"fixes,omitempty"`
	DNS       DNS          `json:"dns"`
	Endpoints []Endpoint   `json:"endpoints,omitempty"`
	Skipped   int          `json:"skipped,omitempty"` // addresses that were not called because there are too many
	POSH      POSH         `json:"posh"`
	Proof     Proof        `json:"proof"`
	Memory    Memory       `json:"memory"`
	Policy    Policy       `json:"policy"`
}

// Milliseconds is a time that something took.
type Milliseconds float64

// since is the time from begin, to a tenth of a millisecond.
func since(begin time.Time) Milliseconds { return milliseconds(time.Since(begin)) }

func milliseconds(d time.Duration) Milliseconds {
	return Milliseconds(d.Round(100*time.Microsecond)) / Milliseconds(time.Millisecond)
}

// Whose hand a Fix wants.
const (
	Them = "them"
	Us   = "us"
)

// Fix is what mends something, as exactly as it can be said.
type Fix struct {
	Who    string `json:"who"`              // them or us
	What   string `json:"what"`             // in a sentence
	Record string `json:"record,omitempty"` // the DNS record to add, as zone files have it
	Option string `json:"option,omitempty"` // the lines of sallyport.yaml, or the command
}

// DNS is what the domain's DNS says.
type DNS struct {
	Validating bool         `json:"validating"`         // the resolver is believed about DNSSEC; otherwise nothing is secure
	Services   []Service    `json:"services,omitempty"` // the SRV records, of both kinds
	Places     []Place      `json:"places,omitempty"`   // the hosts that they name, best first; or the domain itself
	Refused    []Filtered   `json:"refused,omitempty"`  // addresses that must not be called
	Route      string       `json:"route,omitempty"`    // the static route that counts in place of all this
	CAA        CAA          `json:"caa"`
	Problem    string       `json:"problem,omitempty"` // why there is no endpoint
	Took       Milliseconds `json:"took_ms"`

	missing   bool // the domain offers nothing, for certain
	temporary bool // nobody answered
	own       bool // it leads to this gate
	fallback  bool // no SRV record: the domain's own host
}

// Service is what came of one SRV question.
type Service struct {
	Name    string   `json:"name"`
	Records []string `json:"records,omitempty"` // "priority weight port target"
	DNSSEC  bool     `json:"dnssec"`
	Silent  bool     `json:"silent,omitempty"` // nobody answered, as opposed to: there are none
	Problem string   `json:"problem,omitempty"`
}

// Place is one host and port, and what came of the questions about it.
type Place struct {
	Target    string   `json:"target"`
	Port      uint16   `json:"port"`
	DirectTLS bool     `json:"direct_tls"`
	Canonical string   `json:"canonical,omitempty"` // where its aliases lead
	Addresses []string `json:"addresses,omitempty"`
	DNSSEC    bool     `json:"dnssec"`
	TLSAName  string   `json:"tlsa_name,omitempty"`
	TLSA      []string `json:"tlsa,omitempty"`
	Unusable  int      `json:"unusable_tlsa,omitempty"`
	Problem   string   `json:"problem,omitempty"`
}

// Filtered is one address that must not be called.
type Filtered struct {
	Target  string `json:"target"`
	Address string `json:"address"`
	Reason  string `json:"reason"`
}

// CAA is which authorities may issue certificates for the domain (RFC 8659).
type CAA struct {
	Owner   string   `json:"owner,omitempty"` // whose records bind; empty: anybody may issue
	DNSSEC  bool     `json:"dnssec"`
	Records []string `json:"records,omitempty"` // "flags tag value"
	Problem string   `json:"problem,omitempty"`
}

// POSH is what the domain's web server says about its certificates (RFC 7711).
type POSH struct {
	Fingerprints int          `json:"fingerprints"`
	Problem      string       `json:"problem,omitempty"`
	Took         Milliseconds `json:"took_ms"`
}

// Endpoint is what came of one address.
type Endpoint struct {
	Target    string `json:"target"`
	Port      uint16 `json:"port"`
	Address   string `json:"address,omitempty"` // that was called
	DirectTLS bool   `json:"direct_tls"`
	Priority  uint16 `json:"priority"`
	Weight    uint16 `json:"weight"`
	Step      string `json:"step,omitempty"`    // where it ended: tcp, stream, tls or cert, as in the gate's log; empty: nowhere
	Problem   string `json:"problem,omitempty"` // why
	Took      Took   `json:"took_ms"`
	Clear     *Offer `json:"clear,omitempty"`  // what it said before TLS
	Secure    *Offer `json:"secure,omitempty"` // and over TLS
	TLS       *TLS   `json:"tls,omitempty"`
}

// Took is how long each step took; a step that was not taken is left out.
type Took struct {
	TCP    Milliseconds `json:"tcp,omitempty"`
	Clear  Milliseconds `json:"clear,omitempty"`  // header and features before TLS
	TLS    Milliseconds `json:"tls,omitempty"`    // STARTTLS and the handshake
	Secure Milliseconds `json:"secure,omitempty"` // header and features over TLS
}

// Offer is a stream header and the features behind it.
type Offer struct {
	From       string   `json:"from,omitempty"`
	Version    string   `json:"version,omitempty"` // empty: from before 2004, without features
	StartTLS   string   `json:"starttls"`          // no, offered or required
	External   bool     `json:"external"`
	Mechanisms []string `json:"mechanisms,omitempty"`
	Dialback   bool     `json:"dialback"` // by feature or by namespace
	Errors     bool     `json:"dialback_errors"`
	Other      []string `json:"other,omitempty"` // {namespace}name
}

// TLS is the encrypted channel and who the peer proved to be on it.
type TLS struct {
	Version    string        `json:"version"`
	Cipher     string        `json:"cipher"`
	Group      string        `json:"group,omitempty"` // of the key exchange
	ALPN       string        `json:"alpn,omitempty"`
	AsksForOur bool          `json:"asks_for_certificate"`
	Chain      []Certificate `json:"chain"`
	PKIX       Verdict       `json:"pkix"`
	DANE       Verdict       `json:"dane"`
	POSH       Verdict       `json:"posh"`
	Proof      string        `json:"proof"` // by what the gate takes it to be proved: pkix, dane, posh, or none
	Revocation string        `json:"revocation"`
	Stapled    bool          `json:"stapled"`
}

// Verdict is what one way of judging made of a certificate.
type Verdict struct {
	Proved bool   `json:"proved"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Certificate is one of the chain, the peer's own first.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names,omitempty"` // of the peer's own alone
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Key       string    `json:"key"`
	Signature string    `json:"signature"`
	Usage     []string  `json:"usage,omitempty"` // serverAuth, clientAuth and others
	SPKI      string    `json:"spki"`            // for pins
}

// Proof is how we could prove ourselves to the domain.
type Proof struct {
	Address  string `json:"address,omitempty"` // where that was tried
	External Trial  `json:"external"`
	Dialback Trial  `json:"dialback"`
}

// What became of a Trial.
const (
	Accepted   = "accepted"
	Failed     = "failed"
	NotOffered = "not offered"
	NotTried   = "not tried"
)

// Trial is one way of proving ourselves.
type Trial struct {
	Result string       `json:"result"` // accepted, failed, not offered or not tried
	Reason string       `json:"reason,omitempty"`
	Took   Milliseconds `json:"took_ms,omitempty"`

	hungUp bool // the peer ended the stream
}

// Memory is what the ratchet remembers of the domain.
type Memory struct {
	Mode    string        `json:"mode"`
	Peer    *ratchet.Peer `json:"peer,omitempty"`    // nil: nothing
	Problem string        `json:"problem,omitempty"` // why it could not be asked
}

// Policy is what the policy in force makes of it.
type Policy struct {
	Revision string    `json:"revision"`
	Out      Judgement `json:"out"` // links that we open
	In       Judgement `json:"in"`  // links that the domain opens, with what it showed here
}

// Judgement is policy's word about one direction.
type Judgement struct {
	Allowed bool       `json:"allowed"`
	Rule    string     `json:"rule"`
	Reason  string     `json:"reason,omitempty"`
	Would   string     `json:"would,omitempty"`   // in mode observe: what enforce would say
	Channel string     `json:"channel,omitempty"` // of the link that was judged; empty: only the terms were asked for
	Proof   string     `json:"proof,omitempty"`
	Require Terms      `json:"require"`
	Until   *time.Time `json:"until,omitempty"`
	Held    Terms      `json:"held"` // to what the ratchet holds it
}

// Terms are the least that a link must reach; empty values ask for nothing.
type Terms struct {
	Channel string `json:"channel,omitempty"`
	Proof   string `json:"proof,omitempty"`
	TLSMin  string `json:"tls_min,omitempty"`
	Pin     string `json:"pin,omitempty"` // of what the ratchet holds it to: match or other
}
