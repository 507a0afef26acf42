package transform

import (
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/content"
	"sallyport/internal/stanza"
)

// Mask writes with over what the pattern finds in bodies, subjects, statuses and XHTML, copies that are nested included, and in messages
// and presences in whatever else people write (see [content.Prose]). What programs write, what an iq asks or answers beside those, and
// attributes cannot be masked. The rest is left as it is spelled. It finds what [content.Plain] makes of the text, as the rule did that asked for it. The errors are ErrEndless,
// ErrSealed and ErrElsewhere.
func (s *Stanza) Mask(pattern *regexp.Regexp, with string) error {
	if pattern.MatchString(content.Plain(with)) {
		return ErrEndless
	}
	if found, err := s.shows(pattern); err != nil || !found {
		return err
	}
	if s.seal() != unsealed {
		return ErrSealed
	}
	m := masking{pattern: pattern, with: with, all: s.kind != stanza.IQ}
	m.element(s.top, false)
	found, err := s.shows(pattern)
	if err == nil && found {
		err = ErrElsewhere
	}
	return err
}

// shows tells whether the pattern finds something in the stanza as it is now: in all of its text, in a piece of it, or in an attribute.
func (s *Stanza) shows(pattern *regexp.Regexp) (bool, error) {
	el, err := stanza.Reread(s.top.append(nil, nsServer))
	if err != nil {
		return false, err
	}
	w := content.Extract(el)
	texts := w.Pieces
	for _, all := range []string{w.Text, w.Body, w.Subject} {
		if !slices.Contains(texts, all) {
			texts = append(texts, all)
		}
	}
	if slices.ContainsFunc(texts, pattern.MatchString) {
		return true, nil
	}
	found := false
	look := func(e *element) {
		for _, a := range e.attrs {
			own := e == s.top && ownAttr(a)
			found = found || !own && !machines[a.local] && pattern.MatchString(content.Plain(a.value))
		}
	}
	look(s.top)
	s.top.each(look)
	return found, nil
}

// machines are the attributes that name and number for programs. Long numbers are usual in them, and no numbers of cards.
var machines = map[string]bool{"id": true, "sid": true, "stamp": true}

// masking is one Mask.
type masking struct {
	pattern *regexp.Regexp
	with    string
	all     bool // that people write
}

// element masks what programs show as one text: what stands in a body, also read through elements in it, and a line of XHTML. What is within
// a body was read through already.
func (m *masking) element(e *element, within bool) {
	for _, n := range e.inside {
		c := n.element
		switch {
		case c == nil:
		case content.Markup(c.space):
			for _, foreign := range []bool{false, true} {
				for _, line := range c.lines(foreign) {
					m.pieces(line)
				}
			}
		case content.Shown(c.local):
			own := c.own()
			m.pieces(own)
			if through := c.through(nil); !within && len(through) > len(own) {
				m.pieces(through)
			}
			m.element(c, true)
		default:
			if m.all && content.Prose(c.space, c.local) {
				m.pieces(c.own())
			}
			m.element(c, within)
		}
	}
}

// own are the pieces of text directly in e.
func (e *element) own() (pieces []*node) {
	for i := range e.inside {
		if e.inside[i].element == nil {
			pieces = append(pieces, &e.inside[i])
		}
	}
	return pieces
}

// through are all pieces of text in e, in the order of the document.
func (e *element) through(pieces []*node) []*node {
	for i := range e.inside {
		n := &e.inside[i]
		if n.element != nil {
			pieces = n.element.through(pieces)
		} else {
			pieces = append(pieces, n)
		}
	}
	return pieces
}

// lines are the pieces of text in e, by the lines that XHTML shows them in: with those in elements of other namespaces, or without.
func (e *element) lines(foreign bool) (lines [][]*node) {
	lines = [][]*node{nil}
	end := func(e *element) {
		if content.Markup(e.space) && content.EndsLine(e.local) {
			lines = append(lines, nil)
		}
	}
	var into func(e *element)
	into = func(e *element) {
		end(e)
		for i := range e.inside {
			switch n := &e.inside[i]; {
			case n.element == nil:
				lines[len(lines)-1] = append(lines[len(lines)-1], n)
			case foreign || content.Markup(n.element.space):
				into(n.element)
			}
		}
		end(e)
	}
	into(e)
	return lines
}

// pieces masks in what is read as one. What replaces a match is in the first of its pieces.
func (m *masking) pieces(pieces []*node) {
	var b strings.Builder
	for _, n := range pieces {
		b.WriteString(n.text)
	}
	places := content.Find(m.pattern, b.String())
	if len(places) == 0 {
		return
	}
	begin := 0
	for _, n := range pieces {
		text, end := n.text, begin+len(n.text)
		var left strings.Builder
		at := begin
		for _, p := range places {
			from, to := max(p[0], begin), min(p[1], end)
			if from >= to {
				continue
			}
			left.WriteString(text[at-begin : from-begin])
			if from == p[0] {
				left.WriteString(m.with)
			}
			at = to
		}
		left.WriteString(text[at-begin:])
		n.text, begin = left.String(), end
	}
}
