package stanza

import (
	"bytes"
	"strings"
)

// Root is the stream header of the peer: the root's start tag.
type Root struct {
	Prefix, Space, Local string // of the root itself: its prefix, the namespace that this is bound to, its local name
	DefaultNS            string // the namespace of elements without prefix; empty when none is declared
	Raw                  string // the start tag as received, without XML declaration

	name     []byte // as the end tag has to repeat it
	attrs    []Attr
	declared []declaration
	space    known // of DefaultNS
}

// declaration is a prefix that the stream header declares.
type declaration struct {
	prefix, uri string
	meaning
}

// Attr returns the value of an attribute and whether there is one. Without space it is an attribute without prefix.
func (r *Root) Attr(space, local string) (string, bool) {
	for _, a := range r.attrs {
		if a.Space == space && a.Local == local {
			return a.Value, true
		}
	}
	return "", false
}

// Declares reports whether the header binds uri to a prefix, or makes it the default namespace.
func (r *Root) Declares(uri string) bool {
	for i := range r.declared {
		if r.declared[i].uri == uri {
			return true
		}
	}
	return r.DefaultNS == uri && uri != ""
}

// DeclaresPrefix returns the namespace that the header binds a prefix to.
func (r *Root) DeclaresPrefix(prefix string) (uri string, ok bool) {
	for i := range r.declared {
		if r.declared[i].prefix == prefix {
			return r.declared[i].uri, true
		}
	}
	return "", false
}

// declarations returns how many prefixes the header has put in scope; none before it is read.
func (r *Root) declarations() int {
	if r == nil {
		return 0
	}
	return len(r.declared)
}

// Header reads the stream header: an XML declaration, if there is one, and the root's start tag. Its errors are those of Next. What
// the root is called and which namespaces it declares is for the caller to judge. Further calls return the same header.
func (s *Scanner) Header() (*Root, error) {
	for s.root == nil {
		if s.err != nil {
			return nil, s.err
		}
		err := s.resume()
		if err == errShort {
			if err := s.fill(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			s.err = err
			return nil, err
		}
		s.start += s.pos
		s.pos, s.state = 0, between
	}
	return s.root, nil
}

// prolog scans what stands before the root's '<'.
func (s *Scanner) prolog(w []byte) error {
	switch i := s.pos; {
	case s.state == inDecl:
		return s.declaration(w)
	case w[i] == 0 || i == 0 && w[i] >= 0xFE:
		return s.fault(unsupportedEncoding, i, "not UTF-8") // it looks like UTF-16
	case w[i] == '<' && i == 0:
		s.state = inDecl // perhaps: the next byte tells
		s.pos++
	case w[i] == '<':
		s.mark, s.state = i, atMarkup
		s.pos++
	case isSpace(w[i]):
		s.state = inProlog
		s.pos++
	default:
		return s.unexpected(w, i, "text before the stream header")
	}
	return nil
}

const declOpen = "<?xml"

// declaration scans the XML declaration, which can be nowhere but at the very beginning.
func (s *Scanner) declaration(w []byte) error {
	i := s.pos
	switch c := w[i]; {
	case i == 1 && c != '?':
		s.mark, s.state = 0, atMarkup
		return nil
	case i < len(declOpen) && c != declOpen[i], i == len(declOpen) && !isSpace(c):
		return s.fault(restrictedXML, i, "processing instruction")
	case c == '>':
		s.state = inProlog
		s.pos++
		return s.checkDeclaration(string(w[len(declOpen):s.pos]))
	case c == '<':
		return s.fault(notWellFormed, i, "'<' in the XML declaration")
	}
	s.pos++
	return nil
}

// checkDeclaration judges an XML declaration from behind "<?xml" to its '>': version, encoding and standalone in this order, the last
// two optional (XML 1.0 §2.8).
func (s *Scanner) checkDeclaration(decl string) error {
	at := s.pos - 1
	decl, ok := strings.CutSuffix(decl, "?>")
	if !ok {
		return s.fault(notWellFormed, at, "XML declaration does not end in ?>")
	}
	version, rest, ok := pseudoAttr(decl, "version")
	if !ok {
		return s.fault(notWellFormed, at, "XML declaration without version")
	}
	encoding, rest, hasEncoding := pseudoAttr(rest, "encoding")
	standalone, rest, hasStandalone := pseudoAttr(rest, "standalone")
	switch {
	case strings.Trim(rest, " \t\r\n") != "":
		return s.fault(notWellFormed, at, "malformed XML declaration")
	case hasStandalone && standalone != "yes" && standalone != "no":
		return s.fault(notWellFormed, at, "malformed XML declaration")
	case version != "1.0":
		return s.fault(badFormat, at, "XML version other than 1.0")
	case hasEncoding && !strings.EqualFold(encoding, "utf-8"):
		return s.fault(unsupportedEncoding, at, "encoding other than UTF-8")
	}
	return nil
}

// pseudoAttr cuts ` name="value"` from the front of s.
func pseudoAttr(s, name string) (value, rest string, ok bool) {
	const white = " \t\r\n"
	after := strings.TrimLeft(s, white)
	if len(after) == len(s) || !strings.HasPrefix(after, name) {
		return "", s, false
	}
	after = strings.TrimLeft(after[len(name):], white)
	after, ok = strings.CutPrefix(after, "=")
	after = strings.TrimLeft(after, white)
	if !ok || after == "" || after[0] != '"' && after[0] != '\'' {
		return "", s, false
	}
	if value, rest, ok = strings.Cut(after[1:], after[:1]); !ok {
		return "", s, false
	}
	return value, rest, true
}

// openStream makes the Root of the start tag in hand.
func (s *Scanner) openStream(w []byte, empty bool) error {
	if empty {
		return s.fault(badFormat, s.pos-1, "stream that ends with its header")
	}
	// The document outlives the buffer's bytes, and what it says is looked up as strings from here on: parts of one, for it stays as
	// long as the stream.
	doc := string(w[:s.pos])
	prefixOf := func(n name) string { return doc[n.from:max(n.from, n.colon)] }
	localOf := func(n name) string {
		if n.colon == 0 {
			return doc[n.from:n.to]
		}
		return doc[n.colon+1 : n.to]
	}
	valueOf := func(v value) string {
		if v.decode {
			return string(v.read(w))
		}
		return doc[v.from:v.to]
	}
	r := &Root{Prefix: prefixOf(s.name), Local: localOf(s.name), Raw: doc[s.name.from-1:], name: bytes.Clone(s.name.of(w)),
		declared: make([]declaration, 0, len(s.bound)), attrs: make([]Attr, 0, len(s.attrs)-len(s.bound))}
	for i := range s.bound {
		b := &s.bound[i]
		r.declared = append(r.declared, declaration{doc[b.prefix.from:b.prefix.to], valueOf(b.uri), b.meaning})
	}
	for i := range s.attrs {
		a := &s.attrs[i]
		prefix, local := prefixOf(a.name), localOf(a.name)
		switch {
		case prefix == "xmlns":
		case prefix == "" && local == "xmlns":
			r.DefaultNS = valueOf(a.value)
		default:
			r.attrs = append(r.attrs, Attr{Space: r.spaceOf(prefix), Local: local, Value: valueOf(a.value)})
		}
	}
	r.space = knownSpace([]byte(r.DefaultNS))
	r.Space = r.DefaultNS
	if r.Prefix != "" {
		r.Space = r.spaceOf(r.Prefix)
	}
	s.root, s.state = r, complete
	s.bound = s.bound[:0]
	return nil
}

// spaceOf returns the namespace of a prefix, which is known to be declared; none without prefix.
func (r *Root) spaceOf(prefix string) string {
	uri, _ := r.DeclaresPrefix(prefix)
	if prefix == "xml" {
		return nsXML
	}
	return uri
}
