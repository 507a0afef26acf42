package transform

import (
	"errors"
	"slices"

	"sallyport/internal/stanza"
)

// Errors of changes.
var (
	// ErrSealed: the change would have to reach into what is signed or encrypted.
	ErrSealed = errors.New("it is signed or encrypted from end to end, and cannot be changed in part")
	// ErrEmpty: nothing that people read or programs act upon is left of the message.
	ErrEmpty = errors.New("nothing is left of it")
	// ErrIdle: nothing is left of a message that was but a signal among programs.
	ErrIdle = errors.New("nothing is left of it, and it was but a signal")
	// ErrHollow: what a stanza of its type must have is taken out.
	ErrHollow = errors.New("what is left is no complete stanza of its type")
	// ErrElsewhere: what is to be masked stands where it cannot be.
	ErrElsewhere = errors.New("what is to be masked also stands where it cannot be")
	// ErrEndless: what is written over what is masked would have to be masked itself.
	ErrEndless = errors.New("what is to be written instead is itself to be masked")
)

const (
	nsXHTML   = "http://www.w3.org/1999/xhtml"
	nsXHTMLIM = "http://jabber.org/protocol/xhtml-im"
	nsLabel   = "urn:xmpp:sec-label:0"
)

// has tells whether a child of the core namespaces is there.
func (s *Stanza) has(local string) bool {
	return slices.ContainsFunc(s.top.inside, func(n node) bool { return n.element != nil && n.element.core(local) })
}

// Label adds a security label that shows text to a message that has none (XEP-0258). The error is ErrSealed.
func (s *Stanza) Label(text string) error {
	labelled := slices.ContainsFunc(s.top.inside, func(n node) bool {
		return n.element != nil && n.element.space == nsLabel && n.element.local == "securitylabel"
	})
	if s.kind != stanza.Message || labelled {
		return nil
	}
	if s.seal() == whole {
		return ErrSealed
	}
	s.top.inside = append(s.top.inside, node{element: &element{space: nsLabel, local: "securitylabel", inside: []node{
		{element: &element{space: nsLabel, local: "displaymarking", inside: []node{{text: text}}}},
		{element: &element{space: nsLabel, local: "label"}},
	}}})
	return nil
}
