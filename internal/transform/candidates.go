package transform

import (
	"slices"
	"strings"
)

// StripCandidates takes out of Jingle, SOCKS5 bytestreams and their like the candidates that tell an address of a closed network, and from
// the others the address that they stand for, where that is one (XEP-0176 §5.4 rel-addr). The error is ErrSealed.
func (s *Stanza) StripCandidates() error {
	if s.top.stripCandidates(false) && s.seal() == whole {
		return ErrSealed
	}
	return nil
}

// stripCandidates tells whether it has changed anything. What is within a candidate was looked at with it.
func (e *element) stripCandidates(within bool) (changed bool) {
	if !within {
		e.keep(func(c *element) bool {
			closed := c.candidate() && c.tellsClosed()
			changed = changed || closed
			return !closed
		})
	}
	if e.candidate() && closed(e.attr("rel-addr")) {
		changed = true
		e.set("rel-addr", "")
		e.set("rel-port", "")
	}
	for _, n := range e.inside {
		if n.element != nil && n.element.stripCandidates(within || n.element.candidate()) {
			changed = true
		}
	}
	return changed
}

func (e *element) candidate() bool {
	switch e.local {
	case "candidate", "remote-candidate", "streamhost":
		return strings.HasPrefix(e.space, "urn:xmpp:jingle:") || e.space == "http://jabber.org/protocol/bytestreams" || strings.HasPrefix(e.space, "http://www.google.com/")
	}
	return false
}

// tellsClosed tells whether a candidate has an address of a closed network, be it where one belongs or where one is only written. Related
// addresses are left to be taken out.
func (e *element) tellsClosed() bool {
	if closed(e.attr("ip"), e.attr("host"), e.attr("address")) || writesClosed(e.words()) {
		return true
	}
	for _, a := range e.attrs {
		switch {
		case a.space == "" && a.local == "rel-addr":
		case a.local == "jid":
			bare, resource, _ := strings.Cut(a.value, "/")
			if closed(bare[strings.LastIndexByte(bare, '@')+1:]) || writesClosed(resource) {
				return true
			}
		case writesClosed(a.value):
			return true
		}
	}
	return slices.ContainsFunc(e.inside, func(n node) bool { return n.element != nil && n.element.tellsClosed() })
}
