package peer

import (
	"fmt"
	"strings"
)

// Stanza is one message, presence or iq between two users.
type Stanza struct {
	Kind    string // message, presence, iq
	Type    string
	ID      string
	From    string
	To      string
	Lang    string
	Body    string       // of a message
	Payload string       // namespace of the first child that has one of its own
	Error   *StanzaError // of type='error'
	Inner   string       // everything inside, as it came or is to leave
}

// StanzaError is what a bounce says, RFC 6120 §8.3.
type StanzaError struct {
	Type, Condition, Text, By, Code string
}

func (e *StanzaError) Error() string {
	if e.Text == "" {
		return e.Condition
	}
	return e.Condition + ": " + e.Text
}

// XML writes the stanza by hand.
func (s Stanza) XML() string {
	var b strings.Builder
	b.WriteString("<" + s.Kind)
	attribute(&b, "type", s.Type)
	attribute(&b, "id", s.ID)
	attribute(&b, "from", s.From)
	attribute(&b, "to", s.To)
	attribute(&b, "xml:lang", s.Lang)
	inner := s.Inner
	if inner == "" && s.Body != "" {
		inner = "<body>" + escape(s.Body) + "</body>"
	}
	if inner == "" {
		b.WriteString("/>")
	} else {
		b.WriteString(">" + inner + "</" + s.Kind + ">")
	}
	return b.String()
}

// bounce is the error reply to s with a server's own words; ok is false for what is never answered: errors, results, presence.
func (s Stanza) bounce(by string, e StanzaError) (reply Stanza, ok bool) {
	if s.Kind == "presence" || s.Type == "error" || s.Type == "result" {
		return Stanza{}, false
	}
	e.By = by
	reply = Stanza{Kind: s.Kind, Type: "error", ID: s.ID, From: s.To, To: s.From, Error: &e}
	reply.Inner = fmt.Sprintf("<error type='%s' by='%s'><%s xmlns='%s'/><text xmlns='%s' xml:lang='en'>%s</text></error>",
		e.Type, escape(by), e.Condition, nsStanzas, nsStanzas, escape(e.Text))
	return reply, true
}

func isStanza(el *element) bool {
	return el.is(nsServer, "message") || el.is(nsServer, "presence") || el.is(nsServer, "iq")
}

func parseStanza(el *element) Stanza {
	s := Stanza{Kind: el.XMLName.Local, Type: el.attr("type"), ID: el.attr("id"), From: el.attr("from"), To: el.attr("to"), Inner: el.Inner}
	for _, a := range el.Attrs {
		if a.Name.Local == "lang" && a.Name.Space != "" {
			s.Lang = a.Value
		}
	}
	if body := el.child(nsServer, "body"); body != nil {
		s.Body = body.Text
	}
	for i := range el.Children {
		if space := el.Children[i].XMLName.Space; space != nsServer && s.Payload == "" {
			s.Payload = space
		}
	}
	if s.Type == "error" {
		s.Error = parseStanzaError(el.child(nsServer, "error"))
	}
	return s
}

func parseStanzaError(el *element) *StanzaError {
	e := &StanzaError{Condition: "undefined-condition"}
	if el == nil {
		return e
	}
	e.Type, e.By, e.Code = el.attr("type"), el.attr("by"), el.attr("code")
	for i := range el.Children {
		c := &el.Children[i]
		switch {
		case c.is(nsStanzas, "text"):
			e.Text = c.Text
		case c.XMLName.Space == nsStanzas:
			e.Condition = c.XMLName.Local
		}
	}
	return e
}

// domainOf is the part of an address between @ and /.
func domainOf(address string) string {
	bare, _, _ := strings.Cut(address, "/")
	if _, domain, ok := strings.Cut(bare, "@"); ok {
		return domain
	}
	return bare
}
