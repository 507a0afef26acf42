package content

import (
	"bytes"
	"slices"
	"strings"

	"sallyport/internal/stanza"
)

// Facts are what one walk over a stanza finds.
type Facts struct {
	Class  Class
	Label  string // what the security labels show (XEP-0258), see Labels
	Thread []byte // the conversation, as its sender names it
	Body   bool   // the stanza has a body of its own, of whatever namespace

	// E2EE is the method by which the content is encrypted from end to end: omemo, openpgp or otr; of several, the first by this order.
	// It asks for the cipher, where the classes are content with a sign of one, and for nothing beside it that can be read: neither words,
	// but for the hint to those whose client cannot decrypt, nor a file.
	E2EE string
}

// NoMarking is the label of a stanza whose security label shows nothing: it is no stanza without one.
const NoMarking = "?"

const (
	nsLabel   = "urn:xmpp:sec-label:0"
	nsNick    = "http://jabber.org/protocol/nick"
	nsForm    = "jabber:x:data"
	nsInvite  = "jabber:x:conference"
	nsXHTML   = "http://www.w3.org/1999/xhtml"
	nsXHTMLIM = "http://jabber.org/protocol/xhtml-im"
)

// Classify walks over the stanza once. from and to are its addresses' localparts, which tell users of gateways (XEP-0100).
func Classify(el *stanza.Element, from, to string) Facts {
	var w walk
	w.cursor.Begin(el)
	w.facts.Class = ofKind(el)
	w.inside[0] = inProse // nothing is written directly in a stanza
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
	w.endBody()
	if bytes.ContainsAny(w.facts.Thread, " \t\r\n") {
		w.facts.Class |= Text // the names of conversations are made by programs, of one word
	}
	f := w.facts
	f.E2EE = w.method()
	f.Label = w.labelled()
	if el.Kind() == stanza.Presence {
		f.Class &^= Disclosure // how long somebody is away (XEP-0256) is part of it
	}
	if w.seen&session != 0 && (w.seen&(fileSession|otherSession) != fileSession) {
		f.Class |= CallControl
	}
	if w.seen&session != 0 && w.seen&foreignSession != 0 {
		f.Class |= CallVideo // what it shows, nobody knows
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

	labels, ownLabels, markings int // how many there are, how many that are the stanza's own, and how many that show something
	marking                     []byte
	markedLabel                 int  // which of the labels the newest marking is of
	doubtful                    bool // a label has several markings
	broken                      bool // a marking has several lines

	seen    sign
	disco   int    // depth of what tells of a program; 0: the cursor is in none
	body    []byte // what was read of the present one
	bodyAt  int    // its depth
	ciphers int    // that are elements
	otr     bool   // a body is one
	hints   int    // bodies that tell of a cipher
	words   bool   // that can be read
}

// sign is a set of what makes a class, or a method, only together with something else.
type sign uint8

const (
	session        sign = 1 << iota // of Jingle
	fileSession                     // something in a session that is about a file
	otherSession                    // and something that is about no file,
	foreignSession                  // nor about sound and pictures
	omemoCipher
	openPGPCipher
)

// place is an element whose text counts.
type place uint8

const (
	elsewhere place = iota // where programs write, in a way of their own
	inNote                 // whose a message is and why it is late, which is no message beside a cipher
	inShow
	inPriority
	inProse // where people can write
	inWords // what people read, and no body, with all that is in it
	inBody
	inThread
	inLabel
	inMarking
	inStanza // a nested one
)

func (w *walk) tag() {
	depth := w.cursor.Depth()
	if depth == 0 {
		return
	}
	if depth <= w.bodyAt {
		w.endBody()
	} else if w.bodyAt > 0 {
		w.facts.Class, w.words = w.facts.Class|Unknown, true // a body has no elements in it (RFC 6121 §5.2.3)
	}
	if depth <= w.disco {
		w.disco = 0
	}
	if depth >= len(w.inside) {
		w.facts.Class |= Unknown
	}
	space, local := w.cursor.Name()
	at, core := elsewhere, serverOrClient(space)
	if core || w.topmost(depth) && Shown(string(local)) { // there are clients that look for a body by its name alone
		at = w.core(local, depth)
	}
	if !core {
		at = max(at, w.extension(space, local, depth))
	}
	if at == elsewhere && depth <= len(w.inside) && w.inside[depth-1] == inWords {
		at = inWords
	}
	if depth < len(w.inside) {
		w.inside[depth] = at
	} else if at != elsewhere {
		w.facts.Class, w.words = w.facts.Class|Text, true // nobody looks so deep
	}
}

// extension is what an element of any other namespace makes of the stanza.
func (w *walk) extension(space, local []byte, depth int) place {
	m, known := of(space)
	class, sign := m.class, m.sign
	if m.special != plain {
		said, tells := m.special.of(local, &w.cursor)
		class, sign = class|said, sign|tells
	}
	w.facts.Class, w.seen = w.facts.Class|class, w.seen|sign
	if sign&(omemoCipher|openPGPCipher) != 0 {
		w.ciphers++
	}
	if m.special == isDisco && w.disco == 0 {
		w.disco = depth
	}
	switch {
	case !known && w.topmost(depth):
		w.facts.Class |= Unknown
	case !known && string(local) == "description":
		w.seen |= otherSession | foreignSession
	case string(space) != nsLabel:
	case string(local) == "securitylabel":
		w.labels++
		if depth == 1 {
			w.ownLabels++
		}
		return inLabel
	case string(local) == "displaymarking" && depth <= len(w.inside) && w.inside[depth-1] == inLabel:
		w.doubtful = w.doubtful || w.markedLabel == w.labels // the second of a label
		w.markedLabel = w.labels
		if w.markings++; len(w.marking) > 0 {
			w.marking = append(w.marking[:len(w.marking):len(w.marking)], '\n')
		}
		return inMarking
	}
	switch {
	case string(space) == nsNick, string(space) == "urn:xmpp:delay", string(space) == "jabber:x:delay":
		return inNote
	case string(space) == nsForm && w.disco > 0: // what a program says of itself (XEP-0128)
		return elsewhere
	case class&Text != 0:
		return inWords
	case string(space) == nsInvite && len(bytes.TrimSpace(w.cursor.Attr("reason"))) > 0:
		w.facts.Class, w.words = w.facts.Class|Text, true
	case machine(m, string(local)):
		return elsewhere
	}
	return inProse
}

// labelled is what the labels show, a line each: those of the stanza and of what is nested in it. A label that shows nothing is NoMarking, and
// where the stanza itself has none there is an empty line before those of others. No label at all is an empty text.
func (w *walk) labelled() string {
	shown := string(w.marking)
	if w.labels == 0 || w.labels == 1 && w.ownLabels == 1 && w.markings == 1 && strings.TrimSpace(shown) != "" && !strings.Contains(shown, "\n") {
		return shown
	}
	lines := strings.Split(shown, "\n")
	lines = slices.DeleteFunc(lines, func(s string) bool { return strings.TrimSpace(s) == "" })
	if w.doubtful || w.broken && w.labels > 1 || len(lines) != max(w.labels, w.markings) { // a line for each label cannot be told
		lines = append(lines, NoMarking)
	}
	if w.ownLabels == 0 {
		lines = append([]string{""}, lines...)
	}
	return strings.Join(lines, "\n")
}

// topmost tells whether what stands at the depth is a payload of a stanza, be it a nested one.
func (w *walk) topmost(depth int) bool {
	return depth == 1 || depth <= len(w.inside) && w.inside[depth-1] == inStanza
}

// core is what an element of the core namespaces makes of the stanza.
func (w *walk) core(local []byte, depth int) place {
	switch string(local) {
	case "body":
		w.facts.Class |= Text
		w.facts.Body = w.facts.Body || depth == 1
		if w.bodyAt == 0 {
			w.bodyAt = depth
		}
		return inBody
	case "subject", "status":
		w.facts.Class |= Text
		return inWords
	case "thread":
		if depth == 1 {
			return inThread
		}
	case "show":
		return inShow
	case "priority":
		return inPriority
	case "error":
	case "message", "presence", "iq":
		if depth > 1 {
			return inStanza
		}
		w.facts.Class |= Unknown
	default:
		if w.topmost(depth) {
			w.facts.Class |= Unknown
		}
	}
	return inProse
}

func serverOrClient(space []byte) bool {
	return string(space) == "jabber:server" || string(space) == "jabber:client"
}

// text takes what is told by the text of an element.
func (w *walk) text() {
	depth := w.cursor.Depth() - 1 // of the element
	if depth < 0 || depth >= len(w.inside) {
		return
	}
	switch w.inside[depth] {
	case inBody:
		w.body = w.more(w.body)
	case inThread:
		w.facts.Thread = w.more(w.facts.Thread)
	case inMarking:
		before := len(w.marking)
		w.marking = w.more(w.marking)
		w.broken = w.broken || bytes.IndexByte(w.marking[before:], '\n') >= 0
	case elsewhere:
	default:
		w.prose(w.inside[depth])
	}
}

// prose takes text that stands where people can write it to one another, beside bodies.
func (w *walk) prose(at place) {
	text := bytes.TrimSpace(w.more(nil))
	if len(text) == 0 || at == inShow && shows(text) || at == inPriority && len(text) <= len("-128") && number(bytes.TrimPrefix(text, []byte("-"))) {
		return
	}
	w.facts.Class |= Text
	w.words = w.words || at != inNote && !otrCipher(text)
}

// shows tells what RFC 6121 §4.7.2.1 has for the availability of people.
func shows(text []byte) bool {
	switch string(text) {
	case "away", "chat", "dnd", "xa":
		return true
	}
	return false
}

// more is what was read before and the character data at the cursor: a view of the stanza where all of it is one plain piece.
func (w *walk) more(read []byte) []byte {
	if text, plain := w.cursor.Plain(); plain && len(read) == 0 {
		return text[:len(text):len(text)]
	}
	return w.cursor.Text(read)
}

// endBody looks for what the words of a body are when they are no words.
func (w *walk) endBody() {
	w.bodyAt = 0
	body := bytes.Trim(w.body, " \t\r\n")
	w.body = nil
	if len(body) == 0 {
		return
	}
	if bytes.HasPrefix(body, []byte("?OTR")) {
		w.facts.Class |= OTR
	}
	switch {
	case otrCipher(body):
		w.otr = true
	case hint(body):
		w.hints++
	default:
		w.words = true
	}
	if namesScheme(body, "aesgcm") { // a file that is encrypted, and its key (XEP-0454); the key is as readable as the address
		w.facts.Class |= OMEMO | File
	}
}

// otrCipher tells what OTR puts in the place of words.
func otrCipher(text []byte) bool {
	return bytes.HasPrefix(text, []byte("?OTR")) && !bytes.ContainsAny(text, " \t\r\n")
}

// hintBytes is how long a hint is at the most. Those of today's clients have up to 140.
const hintBytes = 200

// hint tells the words that clients put beside a cipher, for those who cannot decrypt it: they are few, and name it.
func hint(body []byte) bool {
	if len(body) > hintBytes {
		return false
	}
	for i := range body {
		for _, name := range [...]string{"omemo", "pgp", "encrypt"} {
			if len(body)-i >= len(name) && body[i]|0x20 == name[0] && bytes.EqualFold(body[i:i+len(name)], []byte(name)) {
				return true
			}
		}
	}
	return false
}

// method is that of the ciphers which were found, where nothing beside them can be read. Each may have a hint.
func (w *walk) method() string {
	switch {
	case w.words || w.hints > w.ciphers || w.facts.Class&(File|FileInband) != 0:
		return ""
	case w.seen&omemoCipher != 0:
		return "omemo"
	case w.seen&openPGPCipher != 0:
		return "openpgp"
	case w.otr:
		return "otr"
	}
	return ""
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
