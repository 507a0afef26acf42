package stanza

import (
	"bytes"
	"hash/maphash"
)

// Namespaces that this package has to tell apart.
const (
	nsServer  = "jabber:server"
	nsClient  = "jabber:client"
	nsStreams = "http://etherx.jabber.org/streams"
	nsXML     = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS   = "http://www.w3.org/2000/xmlns/"
)

// known is a namespace, as far as the scan must know it.
type known uint8

const (
	inOther known = iota
	inNone        // no namespace: xmlns=''
	inServer
	inClient
	inStreams
	inXML
	inXMLNS
)

func knownSpace(uri []byte) known {
	switch string(uri) {
	case "":
		return inNone
	case nsServer:
		return inServer
	case nsClient:
		return inClient
	case nsStreams:
		return inStreams
	case nsXML:
		return inXML
	case nsXMLNS:
		return inXMLNS
	}
	return inOther
}

// meaning is what a prefix stands for.
type meaning struct {
	space known
	sum   uint64 // of the namespace name as it reads: names with different sums differ
}

// sums is the same for all streams, and another in each process: nobody can make names whose sums collide.
var sums = maphash.MakeSeed()

func meaningOf(uri []byte) meaning { return meaning{knownSpace(uri), maphash.Bytes(sums, uri)} }

// binding is a prefix declared within the element in hand, or on the stream header while that is in hand.
type binding struct {
	prefix span
	uri    value
	meaning
}

// defaultSpace returns the default namespace where the next start tag stands.
func (s *Scanner) defaultSpace() known {
	switch n := len(s.frames); {
	case n > 0:
		return s.frames[n-1].space
	case s.root != nil:
		return s.root.space
	}
	return inNone
}

// declare takes up the namespace declarations of the start tag in hand; unprefixed is the default namespace that they may change.
func (s *Scanner) declare(w []byte, unprefixed *known) error {
	for i := range s.attrs {
		a := &s.attrs[i]
		at := int(a.name.from)
		isDefault := a.name.colon == 0
		if isDefault && string(a.name.of(w)) != "xmlns" || !isDefault && string(a.name.prefix(w)) != "xmlns" {
			continue
		}
		uri := a.value.read(w)
		space := knownSpace(uri)
		if space == inOther && !plausible(uri) {
			return s.fault(notWellFormed, at, "namespace name is no URI")
		}
		prefix := a.name.local(w)
		switch {
		case isDefault && (space == inXML || space == inXMLNS):
			return s.fault(notWellFormed, at, "reserved namespace as default")
		case isDefault:
			*unprefixed = space
			continue
		case space == inNone:
			return s.fault(notWellFormed, at, "prefix undeclared")
		case string(prefix) == "xmlns" || space == inXMLNS || (string(prefix) == "xml") != (space == inXML):
			return s.fault(notWellFormed, at, "reserved prefix or namespace redeclared")
		}
		declared := span{a.name.colon + 1, a.name.to}
		if len(s.bound)+s.root.declarations() >= s.limits.Namespaces {
			return s.fault(policyViolation, at, "too many namespace prefixes in scope")
		}
		s.bound = append(s.bound, binding{prefix: declared, uri: a.value, meaning: meaningOf(uri)})
	}
	return nil
}

// plausible reports whether uri consists of characters that a URI or IRI may have. Parsers join namespace and name with one that it may
// not ('|', '}', a space, a line feed), and could be made to see the boundary elsewhere (ABUSE 30).
func plausible(uri []byte) bool {
	for i := skipURI(uri); i < len(uri); i++ {
		switch c := uri[i]; c {
		case '"', '<', '>', '\\', '^', '`', '{', '|', '}', 0x7F:
			return false
		default:
			if c <= ' ' {
				return false
			}
		}
	}
	return true
}

// resolve finds the namespaces of all prefixes in the start tag in hand, and returns that of the element; unprefixed is the default. It
// refuses attributes that differ in nothing but a prefix for the same namespace.
func (s *Scanner) resolve(w []byte, unprefixed known) (known, error) {
	space := unprefixed
	if s.name.colon != 0 {
		m, ok := s.lookup(w, s.name.prefix(w))
		if !ok {
			return 0, s.fault(notWellFormed, int(s.name.from), "prefix not declared")
		}
		space = m.space
	}
	if s.prefixed == 0 {
		return space, nil
	}
	for i := range s.attrs {
		a := &s.attrs[i]
		if a.name.colon == 0 || reserved(a.name.prefix(w)) {
			continue
		}
		m, ok := s.lookup(w, a.name.prefix(w))
		if !ok {
			return 0, s.fault(notWellFormed, int(a.name.from), "prefix not declared")
		}
		a.space = m.sum
		for j := range i {
			if b := &s.attrs[j]; b.space == a.space && s.sameName(w, a.name, b.name) {
				return 0, s.fault(notWellFormed, int(a.name.from), "attribute given twice")
			}
		}
	}
	return space, nil
}

// reserved reports whether a prefix of attributes is one that needs no declaration, and whose namespace no other prefix can have.
func reserved(prefix []byte) bool { return string(prefix) == "xml" || string(prefix) == "xmlns" }

// sameName reports whether two prefixed attributes have the same expanded name. It reads the namespace names of both, as often as
// there are pairs of attributes, so it is for those whose sums are equal: names can be long, and attributes many (ABUSE 33).
func (s *Scanner) sameName(w []byte, a, b name) bool {
	return b.colon != 0 && bytes.Equal(a.local(w), b.local(w)) && !reserved(b.prefix(w)) &&
		bytes.Equal(s.uri(w, a.prefix(w)), s.uri(w, b.prefix(w)))
}

// lookup returns the namespace of a prefix where the start tag in hand stands. It notes which prefixes are the stream header's: the
// element cannot be read without them ([C06]).
func (s *Scanner) lookup(w []byte, prefix []byte) (meaning, bool) {
	for i := len(s.bound) - 1; i >= 0; i-- {
		if b := &s.bound[i]; bytes.Equal(b.prefix.of(w), prefix) {
			return b.meaning, true
		}
	}
	if string(prefix) == "xml" {
		return meaning{space: inXML}, true
	}
	if s.root != nil {
		for i := range s.root.declared {
			if d := &s.root.declared[i]; d.prefix == string(prefix) {
				s.current.borrowed |= 1 << i
				return d.meaning, true
			}
		}
	}
	return meaning{}, false
}

// uri is lookup for the namespace name.
func (s *Scanner) uri(w []byte, prefix []byte) []byte {
	for i := len(s.bound) - 1; i >= 0; i-- {
		if b := &s.bound[i]; bytes.Equal(b.prefix.of(w), prefix) {
			s.work += int64(b.uri.to - b.uri.from)
			return b.uri.read(w)
		}
	}
	if s.root == nil {
		return nil
	}
	uri, _ := s.root.DeclaresPrefix(string(prefix))
	return []byte(uri)
}

// admit refuses elements by the namespace they are in; depth counts the open elements around this one.
func (s *Scanner) admit(w []byte, space known, depth int) error {
	at := int(s.name.from)
	prefix := s.name.prefix(w)
	switch {
	case string(s.name.of(w)) == "xmlns":
		return s.fault(notWellFormed, at, "element with the reserved name xmlns") // encoding/xml puts it in no namespace
	case space == inStreams && (depth > 0 || string(s.name.local(w)) == "stream"):
		return s.fault(badFormat, at, "stream tag within the stream") // ABUSE 31
	case space != inStreams && string(prefix) == "stream":
		return s.fault(badNamespacePrefix, at, "stream prefix for another namespace") // ABUSE 34
	case space == inServer && prefix != nil:
		return s.fault(badNamespacePrefix, at, "content namespace with a prefix") // RFC 6120 §4.8.5
	case space == inClient && depth == 0:
		return s.fault(invalidNamespace, at, "client's element on a server's stream") // RFC 6120 §4.8.3
	}
	return nil
}
