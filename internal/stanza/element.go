package stanza

import (
	"iter"
)

// Kind tells stanzas from all other elements, and from one another.
type Kind uint8

// The kinds of first-level elements. Only an element of jabber:server is a stanza.
const (
	Other Kind = iota
	Message
	Presence
	IQ
)

// String returns the name of a stanza's element; "other" for what is none.
func (k Kind) String() string {
	switch k {
	case Message:
		return "message"
	case Presence:
		return "presence"
	case IQ:
		return "iq"
	}
	return "other"
}

func kindOf(local []byte) Kind {
	switch string(local) {
	case "message":
		return Message
	case "presence":
		return Presence
	case "iq":
		return IQ
	}
	return Other
}

// The attributes whose values an Element knows the place of.
const (
	from = iota
	to
	id
	typ
	lang
	recorded // how many
)

// Element is a first-level element: a view of the bytes that a Scanner holds, valid as long as they are. It may be copied.
type Element struct {
	raw      []byte
	root     *Root
	name     name
	tagEnd   int32  // offset behind the start tag
	borrowed uint64 // which of root.declared it uses
	values   [recorded]value
	kind     Kind
	space    known
	unclean  bool // it holds something that only our own writer makes read the same everywhere
	inherits bool // its default namespace is the stream's
}

// Raw returns the element as received, from '<' to '>'.
func (e *Element) Raw() []byte { return e.raw }

// Kind returns which stanza e is; Other for what is not in jabber:server or not a stanza.
func (e *Element) Kind() Kind { return e.kind }

// Is reports whether e has the given expanded name.
func (e *Element) Is(space, local string) bool {
	if string(e.name.local(e.raw)) != local {
		return false
	}
	got, _ := e.Name()
	return got == space
}

// Name returns the namespace and the local name of e.
func (e *Element) Name() (space, local string) {
	local = string(e.name.local(e.raw))
	switch e.space {
	case inNone:
		return "", local
	case inServer:
		return nsServer, local
	case inClient:
		return nsClient, local
	case inStreams:
		return nsStreams, local
	}
	r := reader{b: e.raw[:e.tagEnd]}
	t, _ := r.next()
	return outside(e.root).enter(t).element(t.name)
}

func (e *Element) value(i int) []byte {
	v := e.values[i]
	if v.from == 0 {
		return nil
	}
	return v.read(e.raw)
}

// From returns the value of the from attribute with its references resolved; nil when there is none. It allocates only when there are
// references, as do To, ID, Type and Lang.
func (e *Element) From() []byte { return e.value(from) }

// To returns the value of the to attribute; nil when there is none.
func (e *Element) To() []byte { return e.value(to) }

// ID returns the value of the id attribute; nil when there is none.
func (e *Element) ID() []byte { return e.value(id) }

// Type returns the value of the type attribute; nil when there is none.
func (e *Element) Type() []byte { return e.value(typ) }

// Lang returns the value of the element's own xml:lang attribute; nil when there is none.
func (e *Element) Lang() []byte { return e.value(lang) }

// Verbatim reports whether the scan has proved that the bytes of e read the same, for every parser, on any stream whose default
// namespace is jabber:server. They do not if e uses a prefix that only the peer's header declares, or a default namespace that only the
// header sets, or holds CDATA, carriage returns, or white space in attributes that is to be normalised.
func (e *Element) Verbatim() bool {
	return e.borrowed == 0 && !e.unclean && !e.foreignDefault()
}

// foreignDefault reports whether e takes its default namespace from a header that sets another than ours.
func (e *Element) foreignDefault() bool { return e.inherits && e.root.space != inServer }

// Payloads yields namespace and local name of the first-level children of e.
func (e *Element) Payloads() iter.Seq2[string, string] {
	return func(yield func(space, local string) bool) {
		r := reader{b: e.raw}
		top := outside(e.root)
		depth := 0
		for t, ok := r.next(); ok; t, ok = r.next() {
			switch {
			case t.kind == endToken:
				depth--
				continue
			case t.kind != startToken:
				continue
			case depth == 0:
				top = top.enter(t)
			case depth == 1:
				if !yield(top.enter(t).element(t.name)) {
					return
				}
			}
			if !t.empty {
				depth++
			}
		}
	}
}

// ParseOne scans exactly one first-level element, as it would stand on one of our own streams. The element is a view of b.
func ParseOne(b []byte, l Limits) (*Element, error) { return parseOne(b, l.effective()) }

// Reread is ParseOne for what AppendTo has written. It was within limits when it came, and can have grown by what it lacked.
func Reread(b []byte) (*Element, error) {
	n := len(b)
	return parseOne(b, Limits{Stanza: n, Depth: n, Attributes: n, Namespaces: n, Name: n})
}

func parseOne(b []byte, l Limits) (*Element, error) {
	s := &Scanner{limits: l, buf: b, end: len(b), root: ours(), state: between}
	err := s.resume()
	switch {
	case err == errShort:
		return nil, s.fault(notWellFormed, s.end-s.start, "element is not complete")
	case err != nil:
		return nil, err
	case s.closed:
		return nil, s.fault(notWellFormed, 0, "end tag of no element")
	case s.start != 0 || s.start+s.pos != s.end:
		return nil, s.fault(notWellFormed, s.pos, "more than one element")
	}
	e := s.current
	return &e, nil
}

// ours is the header of the streams that AppendTo writes for.
func ours() *Root {
	const nsDialback = "jabber:server:dialback"
	return &Root{
		Prefix: "stream", Space: nsStreams, Local: "stream", DefaultNS: nsServer, space: inServer,
		name:     []byte("stream:stream"),
		declared: []declaration{{"stream", nsStreams, meaningOf([]byte(nsStreams))}, {"db", nsDialback, meaningOf([]byte(nsDialback))}},
	}
}
