package stream

// Condition is a defined stream error condition (RFC 6120 §4.9.3). It is an error so that errors.Is finds it in an *Error.
type Condition string

func (c Condition) Error() string { return string(c) }

// The conditions, in the order of the standard.
const (
	BadFormat              Condition = "bad-format"               // XML that cannot be processed
	BadNamespacePrefix     Condition = "bad-namespace-prefix"     // a prefix where none may be
	Conflict               Condition = "conflict"                 // another stream takes the place of this one
	ConnectionTimeout      Condition = "connection-timeout"       // the peer does not answer any more, or came to no end in time
	HostGone               Condition = "host-gone"                // the domain was served here once
	HostUnknown            Condition = "host-unknown"             // the domain is not served here
	ImproperAddressing     Condition = "improper-addressing"      // from or to is missing or no address
	InternalServerError    Condition = "internal-server-error"    // something is wrong with the sender of the error
	InvalidFrom            Condition = "invalid-from"             // from is not a domain that the sender has proved
	InvalidNamespace       Condition = "invalid-namespace"        // neither streams nor jabber:server
	InvalidXML             Condition = "invalid-xml"              // against the schema
	NotAuthorized          Condition = "not-authorized"           // too early, before the sender was proved
	NotWellFormed          Condition = "not-well-formed"          // not XML
	PolicyViolation        Condition = "policy-violation"         // against a rule or limit of the receiver
	RemoteConnectionFailed Condition = "remote-connection-failed" // a server that is needed cannot be reached
	Reset                  Condition = "reset"                    // something learnt at the beginning holds no longer: begin again
	ResourceConstraint     Condition = "resource-constraint"      // the receiver has too much to do
	RestrictedXML          Condition = "restricted-xml"           // comment, processing instruction, DTD, entity
	SeeOtherHost           Condition = "see-other-host"           // the domain is served elsewhere
	SystemShutdown         Condition = "system-shutdown"          // the sender stops
	UndefinedCondition     Condition = "undefined-condition"      // none of these
	UnsupportedEncoding    Condition = "unsupported-encoding"     // not UTF-8
	UnsupportedFeature     Condition = "unsupported-feature"      // the receiver lacks a feature that the sender insists on
	UnsupportedStanzaType  Condition = "unsupported-stanza-type"  // a first-level element that is none of the protocol
	UnsupportedVersion     Condition = "unsupported-version"      // the version of the header
)

// defined says whether c is one of the conditions above.
func (c Condition) defined() bool {
	switch c {
	case BadFormat, BadNamespacePrefix, Conflict, ConnectionTimeout, HostGone, HostUnknown, ImproperAddressing, InternalServerError,
		InvalidFrom, InvalidNamespace, InvalidXML, NotAuthorized, NotWellFormed, PolicyViolation, RemoteConnectionFailed, Reset,
		ResourceConstraint, RestrictedXML, SeeOtherHost, SystemShutdown, UndefinedCondition, UnsupportedEncoding, UnsupportedFeature,
		UnsupportedStanzaType, UnsupportedVersion:
		return true
	}
	return false
}
