package transform

import (
	"net/netip"
	"strings"
)

// StripCandidates takes out of Jingle, SOCKS5 bytestreams and their like the candidates with addresses of closed networks, and from the
// others what tells one (XEP-0176 §5.4 rel-addr).
func (s *Stanza) StripCandidates() {
	strip := func(e *element) {
		e.keep(func(c *element) bool {
			return !candidate(c) || !closed(c.attr("ip"), c.attr("host"), c.attr("address"))
		})
	}
	strip(s.top)
	s.top.each(func(e *element) {
		strip(e)
		if candidate(e) && closed(e.attr("rel-addr")) {
			e.set("rel-addr", "")
			e.set("rel-port", "")
		}
	})
}

func candidate(e *element) bool {
	switch e.local {
	case "candidate", "remote-candidate", "streamhost":
		return strings.HasPrefix(e.space, "urn:xmpp:jingle:") || e.space == "http://jabber.org/protocol/bytestreams" || strings.HasPrefix(e.space, "http://www.google.com/")
	}
	return false
}

var (
	shared    = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	benchmark = netip.MustParsePrefix("198.18.0.0/15") // RFC 2544
)

// closed tells whether any of the addresses is one of a closed network; names of such count too. An empty one is none.
func closed(addresses ...string) bool {
	for _, s := range addresses {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			if closedName(s) {
				return true
			}
			continue
		}
		a = a.Unmap().WithZone("")
		if !a.IsGlobalUnicast() || a.IsPrivate() || shared.Contains(a) || benchmark.Contains(a) {
			return true
		}
	}
	return false
}

// closedName tells names that no public DNS has (RFC 6762, RFC 8375).
func closedName(s string) bool {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	for _, end := range []string{".local", ".lan", ".internal", ".home.arpa", ".localdomain"} {
		if strings.HasSuffix(s, end) {
			return true
		}
	}
	// A number, in whatever notation, is an address that this does not read and somebody else may.
	last := s[strings.LastIndexByte(s, '.')+1:]
	return !strings.Contains(s, ".") || last == "" || last[0] >= '0' && last[0] <= '9'
}
