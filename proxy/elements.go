package proxy

import (
	"sallyport/audit"
	"sallyport/dialback"
	"sallyport/internal/stanza"
	"sallyport/internal/stream"
)

const nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

// parseDialback reads a db: element of the wire.
func parseDialback(el *stanza.Element) (dialback.Message, error) {
	n := el.Tree()
	m := dialback.Message{Verify: n.Local == "verify", From: n.Attr("from"), To: n.Attr("to"), ID: n.Attr("id"), Type: n.Attr("type"), Key: n.Text}
	if e := n.Child("", "error"); e != nil {
		m.ErrorType = e.Attr("type")
		for _, c := range e.Children {
			switch {
			case c.Space != nsStanzas:
			case c.Local == "text":
				m.Text = c.Text
			default:
				m.Condition = c.Local
			}
		}
	}
	return m, m.Check()
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
	peer := st.s.RemoteAddr().String()
	st.p.Record.Note(audit.Event{Kind: audit.AuthUnsolicited, Address: peer, From: m.From, To: m.To, Text: clip(m.Type, 16)})
	st.p.Log.Warn("unsolicited dialback answer ignored, and any further one on this stream", "peer", peer, "from", m.From, "to", m.To)
}
