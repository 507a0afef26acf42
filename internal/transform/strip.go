package transform

import (
	"slices"
	"strings"

	"sallyport/internal/stanza"
)

// Strip takes out what is named, by namespace or namespace|element, wherever it stands within the stanza. The errors are ErrSealed,
// ErrEmpty, ErrIdle and ErrHollow.
func (s *Stanza) Strip(payloads []string) error {
	t := stripping{seal: s.seal()}
	for _, p := range payloads {
		if space, local, ok := strings.Cut(p, "|"); !ok {
			t.spaces = append(t.spaces, server(space))
		} else {
			t.elements = append(t.elements, server(space)+"|"+local)
		}
	}
	weighed, children, failed := s.weight(), s.children(), s.has("error")
	t.strip(s.top, false)
	switch {
	case t.broken:
		return ErrSealed
	case s.kind == stanza.Message && weighed == substance && s.weight() < substance:
		return ErrEmpty
	case s.kind == stanza.Message && weighed == signal && s.weight() < signal:
		return ErrIdle
	case s.kind == stanza.IQ && asks(s.top.attr("type")) && s.children() != children && s.children() != 1,
		s.top.attr("type") == "error" && failed && !s.has("error"):
		return ErrHollow
	}
	return nil
}

// asks tells an iq that has exactly one child (RFC 6120 §8.2.3).
func asks(typ string) bool { return typ == "get" || typ == "set" }

// server takes the namespace of clients for that of servers, as rules read it.
func server(space string) string {
	if space == nsClient {
		return nsServer
	}
	return space
}

// stripping is one Strip.
type stripping struct {
	spaces, elements []string
	seal             seal
	broken           bool // what is sealed would be changed
}

func (t *stripping) named(e *element) bool {
	space := server(e.space)
	return slices.Contains(t.spaces, space) || slices.Contains(t.elements, space+"|"+e.local)
}

// strip takes out of e what is named. Beside a seal of words only that may go which is about the message and no part of it.
func (t *stripping) strip(e *element, inside bool) {
	e.keep(func(c *element) bool {
		if !t.named(c) {
			return true
		}
		if inside || t.seal == whole || t.seal == words && (c.weight() == substance || c.sealed()) {
			t.broken = true
		}
		return false
	})
	for _, n := range e.inside {
		if n.element != nil {
			t.strip(n.element, inside || n.element.seal() != unsealed)
		}
	}
}

// sealed tells whether a seal is e or anywhere in it.
func (e *element) sealed() bool {
	found := e.seal() != unsealed
	e.each(func(in *element) { found = found || in.seal() != unsealed })
	return found
}

// children counts the elements directly in the stanza.
func (s *Stanza) children() (n int) {
	for _, in := range s.top.inside {
		if in.element != nil {
			n++
		}
	}
	return n
}
