package policy

import (
	"slices"
	"strings"
)

// Field is one attribute of [Input] that a policy can read.
type Field uint8

// The attributes, in the order of schema/input.json. Each is named after its path there.
const (
	FieldDirection Field = iota
	FieldLocalDomain
	FieldRemoteDomain
	FieldFromBare
	FieldFromLocal
	FieldFromDomain
	FieldFromResource
	FieldToBare
	FieldToLocal
	FieldToDomain
	FieldToResource
	FieldContact
	FieldLinkID
	FieldChannel
	FieldTLSVersion
	FieldCipher
	FieldALPN
	FieldProof
	FieldRemoteIP
	FieldCertSPKI
	FieldCertIssuer
	FieldCertNotAfter
	FieldRevocation
	FieldKnownChannel
	FieldKnownProof
	FieldKnownPin
	FieldRoute
	FieldKind
	FieldType
	FieldID
	FieldSize
	FieldLang
	FieldPayloads
	FieldClass
	FieldLabel
	FieldHasBody
	FieldE2EE
	FieldBody
	FieldSubject
	FieldText
	FieldURLs
	FieldJIDs
	fieldCount
)

// FieldSet is a set of attributes.
type FieldSet uint64

// Has tells whether the attribute is in the set.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// OfLink tells whether an attribute of the link is in the set.
func (s FieldSet) OfLink() bool { return s&(1<<(FieldRoute+1)-1<<FieldLinkID) != 0 }

func setOf(fields []Field) (s FieldSet) {
	for _, f := range fields {
		s |= 1 << f
	}
	return s
}

// paths are the names under `input`, without it.
func (f Field) path() string {
	return [fieldCount]string{
		"direction", "local.domain", "remote.domain",
		"from.bare", "from.local", "from.domain", "from.resource",
		"to.bare", "to.local", "to.domain", "to.resource", "contact",
		"link.id", "link.channel", "link.tls.version", "link.tls.cipher", "link.tls.alpn", "link.proof", "link.remote_ip",
		"link.cert.spki", "link.cert.issuer", "link.cert.not_after", "link.cert.revocation",
		"link.known.channel", "link.known.proof", "link.known.pin", "link.route",
		"stanza.kind", "stanza.type", "stanza.id", "stanza.size", "stanza.lang", "stanza.payloads", "stanza.class",
		"stanza.label", "stanza.has_body", "stanza.e2ee", "stanza.body", "stanza.subject", "stanza.text",
		"stanza.urls", "stanza.jids",
	}[f]
}

// String gives the attribute as Rego writes it.
func (f Field) String() string {
	if f >= fieldCount {
		return "input"
	}
	return "input." + f.path()
}

// ofStanza tells whether a stanza decision can know the attribute.
func (f Field) ofStanza() bool { return f < fieldCount }

// ofLink tells whether a link decision can know the attribute.
func (f Field) ofLink() bool {
	return f <= FieldRemoteDomain || f >= FieldLinkID && f <= FieldRoute
}

// text gives the attributes that are a string.
func (in *Input) text(f Field) string {
	switch f {
	case FieldDirection:
		return in.Direction
	case FieldLocalDomain:
		return in.Local
	case FieldRemoteDomain:
		return in.Remote
	case FieldFromBare:
		return in.From.Bare
	case FieldFromLocal:
		return in.From.Local
	case FieldFromDomain:
		return in.From.Domain
	case FieldFromResource:
		return in.From.Resource
	case FieldToBare:
		return in.To.Bare
	case FieldToLocal:
		return in.To.Local
	case FieldToDomain:
		return in.To.Domain
	case FieldToResource:
		return in.To.Resource
	}
	return in.more(f)
}

func (in *Input) more(f Field) string {
	switch f {
	case FieldKind:
		return in.Stanza.Kind
	case FieldType:
		return in.Stanza.meant()
	case FieldID:
		return in.Stanza.ID
	case FieldLang:
		return in.Stanza.Lang
	case FieldLabel:
		return in.Stanza.Label
	case FieldE2EE:
		return in.Stanza.E2EE
	case FieldBody:
		return in.Stanza.Body
	case FieldSubject:
		return in.Stanza.Subject
	case FieldText:
		return in.Stanza.Text
	}
	return in.Link.text(f)
}

// meant is the type that whoever gets the stanza reads. Only an iq asks and answers: a message whose type is not understood is one without
// (RFC 6121 §5.2.2), so that it does not pass for an answer.
func (s *StanzaFacts) meant() string {
	switch s.Type {
	case "get", "set", "result":
		if s.Kind != "iq" {
			return ""
		}
	}
	return s.Type
}

func (l *LinkFacts) text(f Field) string {
	switch f {
	case FieldLinkID:
		return l.ID
	case FieldChannel:
		return l.Channel
	case FieldTLSVersion:
		return strings.TrimPrefix(l.TLSVersion, "TLS ")
	case FieldCipher:
		return l.Cipher
	case FieldALPN:
		return l.ALPN
	case FieldProof:
		return l.Proof
	case FieldRemoteIP:
		return l.RemoteIP
	case FieldCertSPKI:
		return l.CertSPKI
	case FieldCertIssuer:
		return l.CertIssuer
	case FieldCertNotAfter:
		return l.CertNotAfter
	case FieldRoute:
		return l.Route
	case FieldRevocation:
		return l.Revocation
	}
	return l.Known.text(f)
}

func (k *Known) text(f Field) string {
	switch f {
	case FieldKnownChannel:
		return k.Channel
	case FieldKnownProof:
		return k.Proof
	case FieldKnownPin:
		return k.Pin
	}
	return ""
}

// truth gives the attributes that are true or false; ok is false for the others.
func (in *Input) truth(f Field) (value, ok bool) {
	switch f {
	case FieldContact:
		return in.Contact, true
	case FieldHasBody:
		return in.Stanza.HasBody, true
	}
	return false, false
}

// list gives the attributes that are a list of strings; ok is false for the others.
func (in *Input) list(f Field) (values []string, ok bool) {
	switch f {
	case FieldPayloads:
		return in.Stanza.Payloads, true
	case FieldClass:
		return in.Stanza.Class, true
	case FieldURLs:
		return in.Stanza.URLs, true
	case FieldJIDs:
		return in.Stanza.JIDs, true
	}
	return nil, false
}

// fieldsUnder gives the attributes at or below a path: those that reading the path reads. A path that leads below an
// attribute (input.stanza.class[0]) reads that attribute. input.v is none: it is a constant.
func fieldsUnder(path []string) (fields []Field) {
	for f := Field(0); f < fieldCount; f++ {
		own := strings.Split(f.path(), ".")
		n := min(len(own), len(path))
		if slices.Equal(own[:n], path[:n]) {
			fields = append(fields, f)
		}
	}
	return fields
}
