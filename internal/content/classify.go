package content

import (
	"bytes"
	"strings"

	"sallyport/internal/stanza"
)

// Facts are what one walk over a stanza finds.
type Facts struct {
	Class  Class
	Label  string // what the security label shows (XEP-0258), that of a nested stanza too; NoMarking for a label that shows nothing
	Thread []byte // the conversation, as its sender names it
}

// NoMarking is the label of a stanza whose security label shows nothing: it is no stanza without one.
const NoMarking = "?"

const nsLabel = "urn:xmpp:sec-label:0"

// Classify walks over the stanza once. from and to are its addresses' localparts, which tell users of gateways (XEP-0100).
func Classify(el *stanza.Element, from, to string) Facts {
	var w walk
	w.cursor.Begin(el)
	w.facts.Class = ofKind(el)
	if foreignUser(from) || foreignUser(to) {
		w.facts.Class |= Gateway
	}
	for w.cursor.Next() {
		if w.cursor.Start() {
			w.tag()
		} else {
			w.text()
		}
	}
	w.words()
	f := w.facts
	if f.Label = string(w.marking); w.label && f.Label == "" {
		f.Label = NoMarking
	}
	if el.Kind() == stanza.Presence {
		f.Class &^= Disclosure // how long somebody is away (XEP-0256) is part of it
	}
	if f.Class&(File|FileInband) != 0 && f.Class&(CallAudio|CallVideo) == 0 {
		f.Class &^= CallControl // a session of Jingle that is about a file
	}
	return f
}

// ofKind is what the stanza itself is.
func ofKind(el *stanza.Element) Class {
	if el.Kind() != stanza.Presence {
		return 0
	}
	switch string(el.Type()) {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		return Subscribe
	}
	return Presence
}

// foreignUser tells a user of another network behind a gateway: user%other.example, or user\40other.example (XEP-0106).
func foreignUser(local string) bool {
	return strings.Contains(local, "%") || strings.Contains(local, `\40`)
}

// walk is one walk over a stanza.
type walk struct {
	cursor stanza.Cursor
	facts  Facts
	inside [16]place // of the elements that the cursor is in, by depth; deeper, nothing is told by text

	label   bool // there is one
	marking []byte
	body    []byte // what was read of the present one
}

// place is an element whose text counts.
type place uint8

const (
	elsewhere place = iota
	inBody
	inThread
	inLabel
	inMarking
)

func (w *walk) tag() {
	depth := w.cursor.Depth()
	if depth == 0 {
		return
	}
	space, local := w.cursor.Name()
	at := elsewhere
	if serverOrClient(space) {
		at = w.core(local, depth)
	} else {
		m, known := of(space)
		w.facts.Class |= m.class
		if m.special != plain {
			w.facts.Class |= m.special.class(local, &w.cursor)
		}
		switch {
		case !known && depth == 1:
			w.facts.Class |= Unknown
		case string(space) != nsLabel:
		case string(local) == "securitylabel":
			w.label, at = true, inLabel
		case string(local) == "displaymarking" && depth <= len(w.inside) && w.inside[depth-1] == inLabel:
			at = inMarking
			if len(w.marking) > 0 {
				w.marking = append(w.marking, '\n') // a second one, which makes neither of them the label
			}
		}
	}
	w.words()
	if depth < len(w.inside) {
		w.inside[depth] = at
	}
}

// core is what an element of the core namespaces makes of the stanza.
func (w *walk) core(local []byte, depth int) place {
	switch string(local) {
	case "body":
		w.facts.Class |= Text
		return inBody
	case "subject", "status":
		w.facts.Class |= Text
	case "thread":
		if depth == 1 {
			return inThread
		}
	case "show", "priority", "error", "message", "presence", "iq":
	default:
		if depth == 1 {
			w.facts.Class |= Unknown
		}
	}
	return elsewhere
}

func serverOrClient(space []byte) bool {
	return string(space) == "jabber:server" || string(space) == "jabber:client"
}

// text takes what is told by the text of an element.
func (w *walk) text() {
	depth := w.cursor.Depth() - 1 // of the element
	if depth < 1 || depth >= len(w.inside) {
		return
	}
	switch w.inside[depth] {
	case inBody:
		w.body = w.more(w.body)
	case inThread:
		w.facts.Thread = w.more(w.facts.Thread)
	case inMarking:
		w.marking = w.more(w.marking)
	}
}

// more is what was read before and the character data at the cursor: a view of the stanza where all of it is one plain piece.
func (w *walk) more(read []byte) []byte {
	if text, plain := w.cursor.Plain(); plain && len(read) == 0 {
		return text[:len(text):len(text)]
	}
	return w.cursor.Text(read)
}

// words looks for what the words of a body are when they are no words.
func (w *walk) words() {
	if len(w.body) == 0 {
		return
	}
	if bytes.HasPrefix(bytes.TrimLeft(w.body, " \t\r\n"), []byte("?OTR")) {
		w.facts.Class |= OTR
	}
	if namesScheme(w.body, "aesgcm") { // a file that is encrypted, and its key (XEP-0454)
		w.facts.Class |= OMEMO | File
	}
	w.body = nil
}

// namesScheme tells whether an address with the scheme is in the text.
func namesScheme(text []byte, scheme string) bool {
	for {
		i := bytes.Index(text, []byte("://"))
		if i < 0 {
			return false
		}
		if i >= len(scheme) && bytes.EqualFold(text[i-len(scheme):i], []byte(scheme)) {
			return true
		}
		text = text[i+1:]
	}
}
