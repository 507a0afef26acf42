package transform

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"sallyport/internal/stanza"
)

// FirstLine puts text before each body, and the XHTML of it. What counts places in the body counts on; what does not count is taken out.
// The error is ErrSealed.
func (s *Stanza) FirstLine(text string) error {
	if s.kind != stanza.Message {
		return nil
	}
	var bodies, markups []*element
	for _, n := range s.top.inside {
		e := n.element
		switch {
		case e == nil:
		case e.local == "body": // of whatever namespace: there are clients that do not look
			bodies = append(bodies, e)
		case e.space == nsXHTMLIM && e.local == "html":
			for _, in := range e.inside {
				if in.element != nil && in.element.local == "body" {
					markups = append(markups, in.element)
				}
			}
		}
	}
	if len(bodies)+len(markups) == 0 {
		return nil
	}
	if s.seal() != unsealed {
		return ErrSealed
	}
	for _, e := range bodies {
		e.inside = append([]node{{text: text}}, e.inside...)
	}
	for _, e := range markups {
		line := &element{space: e.space, local: "p", inside: []node{{text: strings.TrimSpace(text)}}}
		e.inside = append([]node{{element: line}}, e.inside...)
	}
	n := uint64(utf8.RuneCountInString(text)) // XEP-0426 §3
	s.top.keep(func(e *element) bool { return !e.counts() || e.shift(n) })
	return nil
}

// counts tells elements that name places in the body: XEP-0372, XEP-0394, XEP-0428.
func (e *element) counts() bool {
	for _, family := range []string{"urn:xmpp:reference:", "urn:xmpp:markup:", "urn:xmpp:fallback:"} {
		if strings.HasPrefix(e.space, family) {
			return true
		}
	}
	return false
}

// shift moves the places that e and what is in it name. It fails where one is no number: a program could take it for the line's own.
func (e *element) shift(n uint64) bool {
	for i, a := range e.attrs {
		switch a.local {
		case "begin", "start", "end":
			at, err := strconv.ParseUint(strings.TrimSpace(a.value), 10, 31)
			if err != nil {
				return false
			}
			e.attrs[i].value = strconv.FormatUint(at+n, 10)
		}
	}
	if begins := e.attr("start") != "" || e.attr("begin") != ""; !begins && e.attr("end") != "" {
		e.set("start", strconv.FormatUint(n, 10)) // which is 0 where it is left out
	}
	for _, in := range e.inside {
		if in.element != nil && !in.element.shift(n) {
			return false
		}
	}
	return true
}
