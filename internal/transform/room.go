package transform

import (
	"regexp"
	"strings"
)

const nsMUC = "http://jabber.org/protocol/muc"

// form is what is left of an element when a presence is folded: its name, these attributes where their values have the form, and these
// elements in it, each once where it is not many.
type form struct {
	attrs  map[string]*regexp.Regexp
	inside map[string]*form
	text   bool
	many   bool
}

var (
	anything    = regexp.MustCompile("")
	count       = regexp.MustCompile(`^[0-9]{1,9}$`)
	moment      = regexp.MustCompile(`^[0-9T:.+Z-]{1,40}$`) // XEP-0082
	code        = regexp.MustCompile(`^[0-9]{3}$`)
	affiliation = regexp.MustCompile("^(?:owner|admin|member|outcast|none)$")
	role        = regexp.MustCompile("^(?:moderator|participant|visitor|none)$")
)

// rooms is what rooms need of a presence: to let somebody in (XEP-0045 §7.2), and to say who somebody is there, and what has changed
// (XEP-0045 §18.3). Not the reasons that people give.
var rooms = map[string]*form{
	nsMUC: {inside: map[string]*form{
		"password": {text: true},
		"history":  {attrs: map[string]*regexp.Regexp{"maxchars": count, "maxstanzas": count, "seconds": count, "since": moment}},
	}},
	nsMUC + "#user": {inside: map[string]*form{
		"item": {attrs: map[string]*regexp.Regexp{"affiliation": affiliation, "role": role, "jid": anything, "nick": anything}, inside: map[string]*form{
			"actor": {attrs: map[string]*regexp.Regexp{"jid": anything, "nick": anything}},
		}},
		"status":  {attrs: map[string]*regexp.Regexp{"code": code}, many: true},
		"destroy": {attrs: map[string]*regexp.Regexp{"jid": anything}, inside: map[string]*form{"password": {text: true}}},
	}},
}

// of is what is left of an element.
func (f *form) of(e *element) *element {
	left := &element{space: e.space, local: e.local}
	for _, a := range e.attrs {
		if ok := f.attrs[a.local]; ok != nil && a.space == "" && ok.MatchString(a.value) {
			left.attrs = append(left.attrs, a)
		}
	}
	if text := strings.TrimSpace(e.words()); f.text && text != "" {
		left.inside = append(left.inside, node{text: text})
	}
	seen := map[string]bool{}
	for _, n := range e.inside {
		if n.element == nil || n.element.space != e.space {
			continue
		}
		name := n.element.local
		if in := f.inside[name]; in != nil && (in.many || !seen[name]) {
			seen[name] = true
			left.inside = append(left.inside, node{element: in.of(n.element)})
		}
	}
	return left
}
