package stanza

import (
	"bytes"
	"iter"
)

// tokenKind tells the tokens of a reader apart.
type tokenKind uint8

const (
	startToken tokenKind = iota
	endToken
	textToken
	cdataToken
)

// token is a piece of an element.
type token struct {
	kind  tokenKind
	name  []byte // of a tag, as written
	attrs []byte // of a start tag: what stands behind the name
	empty bool   // start tag of an empty element, which no end tag follows
	text  []byte // as written, CDATA without its brackets
}

// reader reads an element that the Scanner has accepted, token by token. So it checks nothing.
type reader struct {
	b []byte
	i int
}

// next returns the next token, and false at the end.
func (r *reader) next() (t token, ok bool) {
	ok = r.read(&t)
	return t, ok
}

// read is next into a token that is there already.
func (r *reader) read(t *token) bool {
	b := r.b[r.i:]
	switch {
	case len(b) == 0:
		return false
	case b[0] != '<':
		n := until(b, '<')
		r.i += n
		t.kind, t.text = textToken, b[:n]
	case b[1] == '/':
		n := until(b, '>')
		r.i += n + 1
		t.kind, t.name = endToken, withoutSpaceBehind(b[2:n])
	case b[1] == '!':
		b = b[len("<!"+cdataOpen):]
		text, _, _ := bytes.Cut(b, []byte("]]>"))
		r.i += len("<!"+cdataOpen) + len(text) + len("]]>")
		t.kind, t.text = cdataToken, text
	default:
		r.start(t, b)
	}
	return true
}

// start reads the start tag that b begins with.
func (r *reader) start(t *token, b []byte) {
	n := tagLen(b)
	r.i += n
	tag := b[1 : n-1]
	t.kind, t.empty = startToken, len(tag) > 0 && tag[len(tag)-1] == '/'
	if t.empty {
		tag = tag[:len(tag)-1]
	}
	end := 0
	for end < len(tag) && !isSpace(tag[end]) {
		end++
	}
	t.name, t.attrs = tag[:end], tag[end:]
}

// tagLen returns the length of the tag that b begins with. A '>' may stand in quotes.
func tagLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; c {
		case '>':
			return i + 1
		case '"', '\'':
			i += 1 + until(b[i+1:], c)
		}
	}
	return len(b)
}

// until returns the index of the first c in b, or the length of b.
func until(b []byte, c byte) int {
	if i := bytes.IndexByte(b, c); i >= 0 {
		return i
	}
	return len(b)
}

func withoutSpaceBefore(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

func withoutSpaceBehind(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// attributes yields the attributes of a start tag, as written.
func (t token) attributes() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		b := t.attrs
		for {
			b = withoutSpaceBefore(b)
			equals := bytes.IndexByte(b, '=')
			if equals < 0 {
				return
			}
			name := withoutSpaceBehind(b[:equals])
			b = withoutSpaceBefore(b[equals+1:])
			n := until(b[1:], b[0])
			if !yield(name, b[1:1+n]) {
				return
			}
			b = b[n+2:]
		}
	}
}

// scope is a namespace declaration, with those outside of it.
type scope struct {
	outer       *scope
	prefix, uri string // the default namespace has the empty prefix
}

// outside returns the scope that a stream header makes; of no header, that in which only xml is bound.
func outside(r *Root) *scope {
	s := &scope{uri: nsXML, prefix: "xml"}
	if r == nil {
		return s
	}
	for i := range r.declared {
		s = &scope{s, r.declared[i].prefix, r.declared[i].uri}
	}
	return &scope{s, "", r.DefaultNS}
}

// enter returns the scope within the start tag t.
func (s *scope) enter(t token) *scope {
	for name, raw := range t.attributes() {
		if string(name) == "xmlns" {
			s = &scope{s, "", string(appendValue(nil, raw))}
		} else if prefix, ok := bytes.CutPrefix(name, []byte("xmlns:")); ok {
			s = &scope{s, string(prefix), string(appendValue(nil, raw))}
		}
	}
	return s
}

// lookup returns what a prefix is bound to; none if it is not.
func (s *scope) lookup(prefix string) string {
	for ; s != nil; s = s.outer {
		if s.prefix == prefix {
			return s.uri
		}
	}
	return ""
}

// element returns the expanded name of an element.
func (s *scope) element(name []byte) (space, local string) {
	prefix, local := split(name)
	return s.lookup(prefix), local
}

// attribute returns the expanded name of an attribute, which without prefix is in no namespace.
func (s *scope) attribute(name []byte) (space, local string) {
	prefix, local := split(name)
	if prefix == "" {
		return "", local
	}
	return s.lookup(prefix), local
}

func split(name []byte) (prefix, local string) {
	if before, after, ok := bytes.Cut(name, []byte(":")); ok {
		return string(before), string(after)
	}
	return "", string(name)
}
