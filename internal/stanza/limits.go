package stanza

// MinStanza is the least that Limits.Stanza can be: every server must be able to receive this much (RFC 6120 §13.12).
const MinStanza = 10000

// Limits bound what a peer can make a Scanner do. A field that is zero takes its value from DefaultLimits, except where zero is
// said to mean none.
type Limits struct {
	Stanza int // bytes of one first-level element from '<' to '>', counted while it is being read; at least MinStanza
	Header int // bytes up to the end of the stream header
	Total  int // bytes since the Scanner was made, the budget of a peer that has proved nothing yet; 0 = none

	Depth      int // elements open inside one another, the first-level one included
	Attributes int // of one start tag, namespace declarations included
	Namespaces int // prefixes declared and in scope at one place; at most 64
	Name       int // bytes of an element's or attribute's name, prefix included

	Elements int // first-level elements since the Scanner was made; 0 = none
}

// DefaultLimits returns the limits of an authenticated stream.
func DefaultLimits() Limits {
	return Limits{
		Stanza:     512 << 10,
		Header:     8 << 10,
		Depth:      64,
		Attributes: 64,
		Namespaces: 32,
		Name:       256,
	}
}

// maxStanza keeps offsets within an element in 32 bits.
const maxStanza = 1 << 30

// effective returns l with the defaults filled in and the bounds of each field kept.
func (l Limits) effective() Limits {
	d := DefaultLimits()
	l.Stanza = min(max(orDefault(l.Stanza, d.Stanza), MinStanza), maxStanza)
	l.Header = min(orDefault(l.Header, d.Header), maxStanza)
	l.Depth = orDefault(l.Depth, d.Depth)
	l.Attributes = orDefault(l.Attributes, d.Attributes)
	l.Namespaces = min(orDefault(l.Namespaces, d.Namespaces), 64)
	l.Name = orDefault(l.Name, d.Name)
	return l
}

func orDefault(n, d int) int {
	if n <= 0 {
		return d
	}
	return n
}
