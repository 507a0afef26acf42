package transform

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/content"
	"sallyport/internal/stanza"
)

// Errors of changes.
var (
	// ErrSealed: the change would have to reach into what is signed or encrypted.
	ErrSealed = errors.New("it is signed or encrypted from end to end, and cannot be changed in part")
	// ErrEmpty: nothing is left of the message.
	ErrEmpty = errors.New("nothing is left of it")
	// ErrElsewhere: what is to be masked stands where it cannot be.
	ErrElsewhere = errors.New("what is to be masked also stands where it cannot be")
)

const (
	nsXHTMLIM = "http://jabber.org/protocol/xhtml-im"
	nsXHTML   = "http://www.w3.org/1999/xhtml"
	nsMUC     = "http://jabber.org/protocol/muc"
	nsLabel   = "urn:xmpp:sec-label:0"
)

// FoldPresence leaves of a presence its type, whether its sender is away, and its priority, and what rooms need; of other stanzas all.
func (s *Stanza) FoldPresence() {
	if s.kind != stanza.Presence {
		return
	}
	s.top.keep(func(e *element) bool {
		switch {
		case e.core("priority"), e.core("error"), e.space == nsMUC, strings.HasPrefix(e.space, nsMUC+"#"):
			return true
		case e.core("show"):
			return fold(e)
		}
		return false
	})
}

// fold makes all ways of being away one, and tells whether anything is left to say.
func fold(show *element) bool {
	away := slices.Contains([]string{"away", "xa", "dnd"}, strings.TrimSpace(show.words()))
	show.inside = []node{{text: "away"}}
	return away
}

// words is the text directly in e.
func (e *element) words() string {
	var b strings.Builder
	for _, n := range e.inside {
		b.WriteString(n.text)
	}
	return b.String()
}

// Strip takes out what is named, by namespace or namespace|element, wherever it stands within the stanza. The error is ErrEmpty.
func (s *Stanza) Strip(payloads []string) error {
	had := s.payloads()
	want := func(e *element) bool {
		space := e.space
		if space == nsClient {
			space = nsServer
		}
		return !slices.Contains(payloads, space) && !slices.Contains(payloads, space+"|"+e.local)
	}
	s.top.keep(want)
	s.top.each(func(e *element) { e.keep(want) })
	if s.kind == stanza.Message && had > 0 && s.payloads() == 0 {
		return ErrEmpty
	}
	return nil
}

// payloads counts the children that say something: a thread alone does not.
func (s *Stanza) payloads() (n int) {
	for _, in := range s.top.inside {
		if in.element != nil && !in.element.core("thread") {
			n++
		}
	}
	return n
}

// sealed tells whether the words of the stanza are signed or encrypted.
func (s *Stanza) sealed() (yes bool) {
	s.top.each(func(e *element) {
		switch {
		case e.space == "jabber:x:signed", e.space == "jabber:x:encrypted", strings.HasPrefix(e.space, "urn:xmpp:openpgp:"):
			yes = true
		case e.local == "encrypted" && (e.space == "eu.siacs.conversations.axolotl" || strings.HasPrefix(e.space, "urn:xmpp:omemo:")):
			yes = true
		case e.core("body") && strings.HasPrefix(strings.TrimSpace(e.words()), "?OTR"):
			yes = true
		}
	})
	return yes
}

// FirstLine puts text before each body, and the XHTML of it. The error is ErrSealed.
func (s *Stanza) FirstLine(text string) error {
	if s.kind != stanza.Message || !s.has("body") {
		return nil
	}
	if s.sealed() {
		return ErrSealed
	}
	for _, n := range s.top.inside {
		e := n.element
		switch {
		case e == nil:
		case e.core("body"):
			e.inside = append([]node{{text: text}}, e.inside...)
		case e.space == nsXHTMLIM && e.local == "html":
			for _, body := range e.inside {
				if body.element != nil && body.element.space == nsXHTML && body.element.local == "body" {
					line := &element{space: nsXHTML, local: "p", inside: []node{{text: strings.TrimSpace(text)}}}
					body.element.inside = append([]node{{element: line}}, body.element.inside...)
				}
			}
		}
	}
	return nil
}

// has tells whether a child of the core namespaces is there.
func (s *Stanza) has(local string) bool {
	return slices.ContainsFunc(s.top.inside, func(n node) bool { return n.element != nil && n.element.core(local) })
}

// Label adds a security label that shows text to a message that has none (XEP-0258).
func (s *Stanza) Label(text string) {
	labelled := slices.ContainsFunc(s.top.inside, func(n node) bool {
		return n.element != nil && n.element.space == nsLabel && n.element.local == "securitylabel"
	})
	if s.kind != stanza.Message || labelled {
		return
	}
	s.top.inside = append(s.top.inside, node{element: &element{space: nsLabel, local: "securitylabel", inside: []node{
		{element: &element{space: nsLabel, local: "displaymarking", inside: []node{{text: text}}}},
		{element: &element{space: nsLabel, local: "label"}},
	}}})
}

// Mask writes with over what the pattern finds in bodies, subjects, statuses and XHTML, copies that are nested included. It finds what
// [content.Plain] makes of the text, as the rule did that asked for it. The errors are ErrSealed and ErrElsewhere.
func (s *Stanza) Mask(pattern *regexp.Regexp, with string) error {
	if !pattern.MatchString(s.text()) {
		return nil
	}
	if s.sealed() {
		return ErrSealed
	}
	s.top.each(func(e *element) {
		switch {
		case e.core("body"), e.core("subject"), e.core("status"):
			mask(pattern, with, e.run(nil, false))
		case e.space == nsXHTML:
			mask(pattern, with, e.run(nil, true))
		}
	})
	if pattern.MatchString(s.text()) && !pattern.MatchString(with) {
		return ErrElsewhere
	}
	return nil
}

// text is what a rule would read in the stanza as it is now.
func (s *Stanza) text() string {
	el, err := stanza.Reread(s.top.append(nil, nsServer))
	if err != nil {
		return ""
	}
	return content.Extract(el).Text
}

// run collects the pieces of text in e that are read as one: down into markup, where that is asked for, but not into what ends a line.
func (e *element) run(pieces []*node, markup bool) []*node {
	for i := range e.inside {
		n := &e.inside[i]
		switch {
		case n.element == nil:
			pieces = append(pieces, n)
		case markup && !content.EndsLine(n.element.local):
			pieces = n.element.run(pieces, markup)
		}
	}
	return pieces
}

// mask masks a run. Where something is found the whole run becomes one piece, for what is found may lie across markup.
func mask(pattern *regexp.Regexp, with string, run []*node) {
	var b strings.Builder
	for _, n := range run {
		b.WriteString(n.text)
	}
	text := content.Plain(b.String())
	if !pattern.MatchString(text) {
		return
	}
	for i, n := range run {
		n.text = ""
		if i == 0 {
			n.text = pattern.ReplaceAllLiteralString(text, with)
		}
	}
}
