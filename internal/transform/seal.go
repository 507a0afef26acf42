package transform

import "strings"

// seal is what a signature or a cipher is about.
type seal uint8

const (
	unsealed seal = iota
	words         // what the stanza says
	whole         // any part of the stanza
)

// seal is that of the element itself.
func (e *element) seal() seal {
	switch {
	case e.space == "http://www.w3.org/2000/09/xmldsig#", strings.HasPrefix(e.space, "urn:xmpp:signed:"): // XEP-0290, XEP-0285
		return whole
	case e.space == "jabber:x:signed", e.space == "jabber:x:encrypted", strings.HasPrefix(e.space, "urn:xmpp:openpgp:"),
		e.space == "urn:ietf:params:xml:ns:xmpp-e2e", // RFC 3923
		e.space == "http://www.w3.org/2001/04/xmlenc#":
		return words
	case e.local == "encrypted" && (e.space == "eu.siacs.conversations.axolotl" || strings.HasPrefix(e.space, "urn:xmpp:omemo:")):
		return words
	case e.core("body") && strings.HasPrefix(strings.TrimSpace(e.words()), "?OTR"):
		return words
	}
	return unsealed
}

// seal is the strictest that is anywhere in the stanza.
func (s *Stanza) seal() (strictest seal) {
	s.top.each(func(e *element) { strictest = max(strictest, e.seal()) })
	return strictest
}
