package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions and name forms that are read here.
var (
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}              // RFC 5280 §4.2.1.6
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}              // RFC 5280 §4.2.1.10
	oidSRVName         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 7} // RFC 4985 §2
	oidXMPPAddr        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 5} // RFC 6120 §13.7.1.4
)

// maxNames bounds the work that one certificate can ask for. The largest that public authorities issue name a few hundred.
const maxNames = 1024

var errSAN = errors.New("malformed subjectAltName")

// ParseSAN returns the names of cert's subjectAltName as they are written there: dNSNames, SRVNames with their service prefix, and
// xmppAddrs. Other name forms, and values of these forms in another string type than the standard's, are left out. Nothing is
// checked but the encoding; the names may hold any byte.
func ParseSAN(cert *x509.Certificate) (dns, srv, xmpp []string, err error) {
	seen := false
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidSubjectAltName) {
			continue
		}
		if seen {
			return nil, nil, nil, fmt.Errorf("%w: it stands there twice", errSAN)
		}
		seen = true
		if dns, srv, xmpp, err = parseGeneralNames(ext.Value); err != nil {
			return nil, nil, nil, err
		}
	}
	return dns, srv, xmpp, nil
}

func parseGeneralNames(value []byte) (dns, srv, xmpp []string, err error) {
	input := cryptobyte.String(value)
	var names cryptobyte.String
	if !input.ReadASN1(&names, der.SEQUENCE) || !input.Empty() {
		return nil, nil, nil, errSAN
	}
	for count := 1; !names.Empty(); count++ {
		var name cryptobyte.String
		var tag der.Tag
		if count > maxNames {
			return nil, nil, nil, fmt.Errorf("%w: more than %d names", errSAN, maxNames)
		}
		if !names.ReadAnyASN1(&name, &tag) {
			return nil, nil, nil, errSAN
		}
		switch tag {
		case der.Tag(2).ContextSpecific():
			dns = append(dns, string(name))
		case der.Tag(0).ContextSpecific().Constructed():
			form, text, err := parseOtherName(name)
			if err != nil {
				return nil, nil, nil, err
			}
			switch {
			case form.Equal(oidSRVName) && text.kind == der.IA5String:
				srv = append(srv, text.value)
			case form.Equal(oidXMPPAddr) && text.kind == der.UTF8String:
				xmpp = append(xmpp, text.value)
			}
		}
	}
	return dns, srv, xmpp, nil
}

// typedString is a value together with its ASN.1 type.
type typedString struct {
	kind  der.Tag
	value string
}

// parseOtherName reads OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }, whose outer tag is gone.
func parseOtherName(name cryptobyte.String) (form asn1.ObjectIdentifier, text typedString, err error) {
	var explicit, value cryptobyte.String
	if !name.ReadASN1ObjectIdentifier(&form) ||
		!name.ReadASN1(&explicit, der.Tag(0).ContextSpecific().Constructed()) || !name.Empty() ||
		!explicit.ReadAnyASN1(&value, &text.kind) || !explicit.Empty() {
		return nil, typedString{}, fmt.Errorf("%w: otherName", errSAN)
	}
	text.value = string(value)
	return form, text, nil
}
