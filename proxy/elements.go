package proxy

import (
	"sallyport/audit"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
)

const nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

// parseDialback reads a db: element of the wire. The domains of a question stay as they are spelled, since its sender will look for
// them in our answer; those of an answer are brought to the form in which we asked ([A06], [B13]).
func parseDialback(el *stanza.Element) (dialback.Message, error) {
	n := el.Tree()
	m := dialback.Message{Verify: n.Local == "verify", From: n.Attr("from"), To: n.Attr("to"), ID: n.Attr("id"), Type: n.Attr("type"), Key: n.Text}
	for _, child := range n.Children {
		if child.Local == "error" { // in the content namespace, whatever the peer's header makes of that
			m.ErrorType = child.Attr("type")
			for _, c := range child.Children {
				switch {
				case c.Space != nsStanzas:
				case c.Local == "text":
					m.Text = c.Text
				default:
					m.Condition = c.Local
				}
			}
		}
	}
	if m.Type != "" {
		m.From, m.To = canonical(m.From), canonical(m.To)
	}
	return m, m.Check()
}

// spaceOf gives the namespace of an element.
func spaceOf(el *stanza.Element) string {
	space, _ := el.Name()
	return space
}

// canonical brings a domain to its canonical form. What is no domain stays what it is.
func canonical(s string) string {
	if d, err := jid.ParseDomain(s); err == nil {
		return d.String()
	}
	return s
}

// strays are the elements that a peer sends on a stream of ours although nobody asked for them. They change nothing ([B13], [B21]).
type strays struct {
	p    *Proxy
	s    *stream.Stream
	told bool
}

// pass lets one go by. The first of a stream that claims to be an answer is recorded; if each were, the peer could fill the disk.
func (st *strays) pass(el *stanza.Element) {
	if st.told || !el.Is(dialback.Namespace, "result") && !el.Is(dialback.Namespace, "verify") {
		return
	}
	m, err := parseDialback(el)
	if err != nil || m.Type == "" {
		return
	}
	st.told = true
	if !st.p.loudAt(st.s.RemoteAddr().Addr()) {
		return
	}
	peer := st.s.RemoteAddr().String()
	st.p.Record.Note(audit.Event{Kind: audit.AuthUnsolicited, Address: peer, From: m.From, To: m.To, Text: clip(m.Type, 16)})
	st.p.Log.Warn("unsolicited dialback answer ignored, and any further one on this stream", "peer", peer, "from", m.From, "to", m.To)
}
