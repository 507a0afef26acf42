package proxy

import (
	"sallyport/dialback"
	"sallyport/internal/stanza"
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
