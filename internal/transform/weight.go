package transform

import "strings"

// weight is how much an element says by itself.
type weight uint8

const (
	aside     weight = iota // it is about what stands beside it: ids, hints, delays
	signal                  // something that programs tell one another: somebody writes, has read, has got
	substance               // all else
)

// lighter are the namespaces, without their versions, of what is less than that.
var lighter = map[string]weight{
	"http://jabber.org/protocol/chatstates": signal, "urn:xmpp:receipts": signal, "urn:xmpp:chat-markers": signal, "jabber:x:event": signal, "urn:xmpp:rtt": signal,
	"urn:xmpp:hints": aside, "urn:xmpp:delay": aside, "jabber:x:delay": aside, "urn:xmpp:sid": aside, "urn:xmpp:eme": aside, "urn:xmpp:carbons": aside,
	"urn:xmpp:occupant-id": aside, "urn:xmpp:sec-label": aside, "urn:xmpp:fallback": aside, "urn:xmpp:styling": aside, "urn:xmpp:markup": aside,
	"urn:xmpp:spoiler": aside, "urn:xmpp:reply": aside, "http://jabber.org/protocol/nick": aside, "http://jabber.org/protocol/shim": aside,
	"http://jabber.org/protocol/caps": aside,
}

func (e *element) weight() weight {
	switch {
	case e.core("thread"):
		return aside
	case e.local == "request" && strings.HasPrefix(e.space, "urn:xmpp:receipts"), e.local == "markable" && strings.HasPrefix(e.space, "urn:xmpp:chat-markers"):
		return aside // what is asked for an answer is what stands beside it
	}
	if w, ok := lighter[e.space]; ok {
		return w
	}
	if i := strings.LastIndexByte(e.space, ':'); i > 0 {
		if w, ok := lighter[e.space[:i]]; ok {
			return w
		}
	}
	return substance
}

// weight is that of the heaviest child.
func (s *Stanza) weight() (w weight) {
	for _, n := range s.top.inside {
		if n.element != nil {
			w = max(w, n.element.weight())
		}
	}
	return w
}
