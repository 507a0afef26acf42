package audit

// ContentPart is what a stanza says, as it crossed or as it was tried. It is recorded at levels sealed and content alone.
type ContentPart struct {
	Body, Subject []byte // as they read
	Lang          string
	XML           []byte // the whole stanza, where body and subject are not all that it says
}

func (c *ContentPart) empty() bool {
	return len(c.Body) == 0 && len(c.Subject) == 0 && len(c.XML) == 0
}

// ContentRecord is what a stanza says: in a line of level content, or out of the box of one of level sealed.
type ContentRecord struct {
	Body    string `json:"body,omitempty" doc:"text of the first body"`
	Subject string `json:"subject,omitempty" doc:"text of the first subject"`
	Lang    string `json:"lang,omitempty" doc:"xml:lang of the first body, its own or inherited"`
	XML     string `json:"xml,omitempty" doc:"the whole stanza, where it has more to say than body and subject"`
}

// contentKey is where the content stands at level content. In a box stands the object without the key.
const contentKey = `,"content":`

// content writes what a stanza says.
func (n *encoder) content(c *ContentPart) {
	start := n.open(contentKey)
	n.words(`,"body":"`, c.Body)
	n.words(`,"subject":"`, c.Subject)
	n.str(`,"lang":"`, c.Lang)
	n.words(`,"xml":"`, c.XML)
	n.close(start)
}
