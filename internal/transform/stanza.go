package transform

import (
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/stanza"
)

const (
	nsServer = "jabber:server"
	nsClient = "jabber:client"
	nsXML    = "http://www.w3.org/XML/1998/namespace"
)

// Stanza is a stanza that can be changed.
type Stanza struct {
	kind stanza.Kind
	top  *element
}

// element is an element with what is in it, in order.
type element struct {
	space, local string
	attrs        []attr
	inside       []node
}

type attr struct{ space, local, value string }

// node is an element or, where that is nil, a piece of text.
type node struct {
	element *element
	text    string
}

// Read takes a stanza apart.
func Read(el *stanza.Element) *Stanza {
	var c stanza.Cursor
	c.Begin(el)
	var path []*element // those that the cursor is in
	var top *element
	for c.Next() {
		path = path[:c.Depth()]
		if !c.Start() {
			in := path[len(path)-1]
			in.addText(string(c.Text(nil)))
			continue
		}
		space, local := c.Name()
		e := &element{space: string(space), local: string(local)}
		c.Attrs(func(space, local, value []byte) {
			e.attrs = append(e.attrs, attr{string(space), string(local), string(value)})
		})
		if len(path) == 0 {
			top = e
		} else {
			in := path[len(path)-1]
			in.inside = append(in.inside, node{element: e})
		}
		path = append(path, e)
	}
	return &Stanza{kind: el.Kind(), top: top}
}

// addText adds a piece of text; pieces that meet become one.
func (e *element) addText(s string) {
	if n := len(e.inside); n > 0 && e.inside[n-1].element == nil {
		e.inside[n-1].text += s
		return
	}
	e.inside = append(e.inside, node{text: s})
}

// core tells whether the element has the name in one of the core namespaces.
func (e *element) core(local string) bool {
	return e.local == local && (e.space == nsServer || e.space == nsClient)
}

func (e *element) attr(local string) string {
	for _, a := range e.attrs {
		if a.space == "" && a.local == local {
			return a.value
		}
	}
	return ""
}

// words is the text directly in e.
func (e *element) words() string {
	var b strings.Builder
	for _, n := range e.inside {
		b.WriteString(n.text)
	}
	return b.String()
}

// set gives the attribute without namespace a value; empty takes it away.
func (e *element) set(local, value string) {
	for i, a := range e.attrs {
		if a.space == "" && a.local == local {
			if value == "" {
				e.attrs = append(e.attrs[:i:i], e.attrs[i+1:]...)
			} else {
				e.attrs[i].value = value
			}
			return
		}
	}
	if value != "" {
		e.attrs = append(e.attrs, attr{"", local, value})
	}
}

// each visits all elements within e, the outer before the inner.
func (e *element) each(visit func(*element)) {
	for _, n := range e.inside {
		if n.element != nil {
			visit(n.element)
			n.element.each(visit)
		}
	}
}

// keep leaves those elements directly in e of which want holds; text between them goes with the others.
func (e *element) keep(want func(*element) bool) {
	kept := e.inside[:0]
	for _, n := range e.inside {
		if n.element == nil || want(n.element) {
			kept = append(kept, n)
		}
	}
	e.inside = kept
}

// Append writes the stanza as it is to leave on a stream of ours. o is what is to stand in its start tag.
func (s *Stanza) Append(dst []byte, o stanza.Rewrite) []byte {
	if o.From != "" {
		s.top.set("from", o.From)
	}
	if o.To != "" {
		s.top.set("to", o.To)
	}
	if o.Lang != "" && !s.hasLang() {
		s.top.attrs = append(s.top.attrs, attr{nsXML, "lang", o.Lang})
	}
	return s.top.append(dst, nsServer)
}

func (s *Stanza) hasLang() bool {
	for _, a := range s.top.attrs {
		if a.space == nsXML && a.local == "lang" {
			return true
		}
	}
	return false
}

// append writes e where the default namespace is outer.
func (e *element) append(dst []byte, outer string) []byte {
	dst = append(dst, '<')
	dst = append(dst, e.local...)
	if e.space != outer {
		dst = append(dst, " xmlns='"...)
		dst = append(stanza.AppendAttr(dst, e.space), '\'')
	}
	for i, a := range e.attrs {
		dst = append(dst, ' ')
		switch a.space {
		case "":
		case nsXML:
			dst = append(dst, "xml:"...)
		default:
			prefix := "a" + strconv.Itoa(i)
			dst = append(dst, "xmlns:"+prefix+"='"...)
			dst = append(stanza.AppendAttr(dst, a.space), "' "+prefix+":"...)
		}
		dst = append(dst, a.local...)
		dst = append(dst, "='"...)
		dst = append(stanza.AppendAttr(dst, a.value), '\'')
	}
	if !slices.ContainsFunc(e.inside, func(n node) bool { return n.element != nil || n.text != "" }) {
		return append(dst, "/>"...)
	}
	dst = append(dst, '>')
	for _, n := range e.inside {
		if n.element != nil {
			dst = n.element.append(dst, e.space)
		} else {
			dst = stanza.AppendText(dst, n.text)
		}
	}
	dst = append(dst, "</"...)
	dst = append(dst, e.local...)
	return append(dst, '>')
}
