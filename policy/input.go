package policy

// Input is what policy sees. Version 1 of it is described for operators in schema/input.json: the JSON names there, the
// Go names here, and a test that holds them together.
//
// Domains and addresses are in canonical form (RFC 7622), as they are on the wire: lower case, U-labels, no final dot.
// The caller has checked that From and To belong to Local and Remote.
type Input struct {
	Direction     string // in: from Remote to Local; out: the other way
	Local, Remote string // domains
	From, To      Address
	Contact       bool // our address has written to the remote one before
	Link          LinkFacts
	Stanza        StanzaFacts
}

// Address is a JID and its parts.
type Address struct{ Bare, Local, Domain, Resource string }

// LinkFacts describe the outside leg. Empty values are not known yet.
type LinkFacts struct {
	ID           string
	Channel      string // plaintext | tls
	Proof        string // none | dialback | dialback+tls | pkix | posh | dane | pin; XEP-0238 has the ladder
	TLSVersion   string // 1.2 | 1.3; "TLS 1.3", as crypto/tls says it, is read as 1.3
	Cipher, ALPN string
	RemoteIP     string
	CertSPKI     string // SHA-256 of the public key, base64
	CertIssuer   string
	CertNotAfter string // RFC 3339
	Revocation   string // good | revoked | unknown; empty without a certificate
	Known        Known
	Route        string // the static route that was taken
}

// Known is what the remote domain is held to because it proved as much before. Empty values ask for nothing.
type Known struct {
	Channel string // the least channel
	Proof   string // the least proof
	Pin     string // match | other, for a domain whose keys are pinned
}

// StanzaFacts describe one stanza. What [Snapshot.Reads] says no to may stay empty.
type StanzaFacts struct {
	Kind, Type, ID  string
	Size            int // bytes, from < to >
	Lang            string
	Payloads, Class []string // namespace|element; the classes of schema/input.json
	Label           string
	HasBody         bool
	E2EE            string // the method, where nothing can be read beside the cipher
	Body, Subject   string
	Text            string   // all that can be read in it, a piece a line
	URLs            []string // in it, sorted
	JIDs            []string // bare addresses that its payloads name, canonical, sorted
}
