package audit

import "time"

// Event is one entry of the record. The caller fills in what it knows and leaves the rest empty: empty fields are not written.
// It is one flat struct, so that the events of a batch live in one slice that is used again and again.
//
// Strings and byte slices are only read while Append or Note runs; a byte slice may point into a buffer that is reused
// afterwards. They may hold anything: what is not printable text is escaped, and what is longer than an address can be is cut,
// which the line then says.
type Event struct {
	// Set by Append. Seq is 0 when the event did not get into the record: at level none, or when the disk failed.
	Seq  uint64
	Time time.Time
	ID   ID

	Kind  Kind
	Level Level // how much of a stanza to record; other kinds have no levels

	Dir           string // in: from Remote to Local; out: the other way
	Local, Remote string // the pair of domains, as authenticated
	From, To      string // addresses as they stood on the stanza, or domains of a dialback

	// The link on which it happened.
	Link        string // its id
	Channel     string // plaintext | tls
	Proof       string // none | dialback | dialback+tls | pkix | posh | dane | pin
	TLS, Cipher string // protocol version and suite
	ALPN        string
	RemoteIP    string
	Route       string // the static route that was taken

	Stanza   StanzaPart
	Again    bool // it has an event already, and is not counted as another stanza
	Decision DecisionPart
	Change   ChangePart
	Content  ContentPart

	// What went wrong, and who said so.
	Step      string // of a link's set-up
	Address   string // host and port that was called, or that called
	Condition string // RFC 6120 §4.9.3 or RFC 6120 §8.3.3, as it was sent or received
	Text      string // what was said with it
	Error     string // the reason, for the operator
	Advice    string // what can be done
	NextTry   time.Duration

	// The peer's certificate.
	Cert         string // its facts in one line, for people
	CertSPKI     string // SHA-256 of the public key, base64
	CertIssuer   string
	CertNotAfter string // RFC 3339

	// Of a delivery event.
	Of      []SeqRange // the stanza events it settles
	Outcome string     // Acked, Written, Bounced, Dropped, Lost, Replaced or Untold
	settled uint64     // every allowed stanza with a lower seq is settled; set by Log

	Count        uint64    // of stanzas or events
	Passed       uint64    // of audit.gap: stanzas among them that were let pass
	Since, Until time.Time // the span that Count is about
	Segment      string    // the file that was repaired
	Bytes        uint64    // cut off, or free
	SHA256       string    // of what was cut off
	Revision     string    // of the policy or configuration read

	Deed DeedPart
	Key  string // the name of a sealing key: CLASS/PERIOD-N
}

// DeedPart is what a person did with the record.
type DeedPart struct {
	Who   string // the user that the system names: "root (uid 0)"
	As    string // the name that this user goes by, as given
	Why   string // the reason, as given
	Query string // what was asked for
}

// StanzaPart describes a stanza without its content.
type StanzaPart struct {
	Kind   string // message | presence | iq
	Type   string
	ID     []byte   // as its sender chose it
	Size   int      // bytes, from < to >
	Class  []string // POLICY's classes; must not be changed afterwards
	E2EE   string   // omemo | openpgp | otr; empty where something can be read beside the cipher
	Label  string   // XEP-0258
	Thread []byte
}

// DecisionPart is what policy said.
type DecisionPart struct {
	Effect   string // allow | deny | drop
	Rule     string
	Reason   string
	Revision string // of the policy
	Mode     string // enforce | observe
	Would    string // the effect that policy asked for, where mode observe let the stanza pass
	Cached   bool
	// Retention is the class under which the event is kept.
	Retention string
}

// ChangePart is what was done to a stanza before it passed.
type ChangePart struct {
	Rules         []string // that asked for it, in order; must not be changed afterwards
	Before, After string   // SHA-256 of the stanza as it came and as it left, hexadecimal
}

// SeqRange is a closed range of sequence numbers.
type SeqRange struct{ First, Last uint64 }

// allowed says whether the event is one that a delivery event has to settle.
func (e *Event) allowed() bool { return e.Kind == Stanza && e.Decision.Effect == "allow" }

// countedOnly says whether policy wants no line for the event.
func (e *Event) countedOnly() bool { return e.Kind == Stanza && e.Level == LevelNone }

// keep gives a copy that shares no memory that the caller may reuse. What has content is no note.
func (e *Event) keep() Event {
	k := *e
	k.Stanza.ID = append([]byte(nil), e.Stanza.ID...)
	k.Stanza.Thread = append([]byte(nil), e.Stanza.Thread...)
	k.Content = ContentPart{}
	k.Of = append([]SeqRange(nil), e.Of...)
	return k
}
