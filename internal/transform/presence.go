package transform

import (
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/stanza"
)

// FoldPresence leaves of a presence its type, whether its sender is away, and its priority, and what rooms need; of other stanzas all.
// What is left is written anew, so that it carries nothing else.
func (s *Stanza) FoldPresence() {
	if s.kind != stanza.Presence {
		return
	}
	s.top.attrs = slices.DeleteFunc(s.top.attrs, func(a attr) bool { return !ownAttr(a) })
	failed := s.top.attr("type") == "error"
	var left []node
	seen := map[string]bool{}
	for _, n := range s.top.inside {
		e := n.element
		switch {
		case e == nil: // text is no part of a presence
		case failed && e.core("error"):
			left = append(left, n)
		case e.local == "x" && rooms[e.space] != nil && !seen[e.space]:
			seen[e.space] = true
			left = append(left, node{element: rooms[e.space].of(e)})
		case (e.core("show") || e.core("priority")) && !seen[e.local]:
			seen[e.local] = true
			if text := folded(e); text != "" {
				left = append(left, node{element: &element{space: e.space, local: e.local, inside: []node{{text: text}}}})
			}
		}
	}
	s.top.inside = left
}

// ownAttr tells the attributes that RFC 6120 §8.1 gives to stanzas.
func ownAttr(a attr) bool {
	return a.space == "" && slices.Contains([]string{"from", "to", "id", "type"}, a.local) || a.space == nsXML && a.local == "lang"
}

// folded makes all ways of being away one, and a number of what is to be one; empty where nothing is left to say (RFC 6121 §4.7.2).
func folded(e *element) string {
	text := strings.TrimSpace(e.words())
	if e.local == "show" {
		if slices.Contains([]string{"away", "xa", "dnd"}, text) {
			return "away"
		}
		return ""
	}
	n, err := strconv.ParseInt(text, 10, 8)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
