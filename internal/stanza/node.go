package stanza

// Node is an element with all that is in it, for elements that are looked into: features, stream errors, SASL, dialback.
type Node struct {
	Space, Local string
	Attrs        []Attr // without namespace declarations
	Children     []*Node
	Text         string // the character data directly in it, taken together
	At           int    // how much of its parent's Text stands before it
}

// Attr is an attribute.
type Attr struct{ Space, Local, Value string }

// Child returns the first child of the given name; nil if there is none. A nil Node has no children.
func (n *Node) Child(space, local string) *Node {
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if c.Space == space && c.Local == local {
			return c
		}
	}
	return nil
}

// Attr returns the value of an attribute without namespace; empty when there is none.
func (n *Node) Attr(local string) string {
	value, _ := n.Lookup("", local)
	return value
}

// Lookup returns the value of an attribute and whether there is one.
func (n *Node) Lookup(space, local string) (string, bool) {
	if n == nil {
		return "", false
	}
	for _, a := range n.Attrs {
		if a.Space == space && a.Local == local {
			return a.Value, true
		}
	}
	return "", false
}

// Tree returns e as a tree that does not share its bytes.
func (e *Element) Tree() *Node {
	r := reader{b: e.raw}
	top := &Node{}
	build(&r, top, outside(e.root))
	if len(top.Children) == 0 {
		return top // the zero Element
	}
	return top.Children[0]
}

// build reads the content of parent up to its end tag. It recurses no deeper than Limits.Depth has allowed.
func build(r *reader, parent *Node, outer *scope) {
	var text []byte
	for t, ok := r.next(); ok && t.kind != endToken; t, ok = r.next() {
		if t.kind != startToken {
			text = appendCharacters(text, t.text, t.kind == cdataToken)
			continue
		}
		inner := outer.enter(t)
		n := &Node{At: len(text)}
		n.Space, n.Local = inner.element(t.name)
		for name, raw := range t.attributes() {
			if declares(name) {
				continue
			}
			space, local := inner.attribute(name)
			n.Attrs = append(n.Attrs, Attr{space, local, string(appendValue(nil, raw))})
		}
		if !t.empty {
			build(r, n, inner)
		}
		parent.Children = append(parent.Children, n)
	}
	parent.Text = string(text)
}

// declares reports whether an attribute of this name is a namespace declaration.
func declares(name []byte) bool {
	prefix, local := split(name)
	return prefix == "xmlns" || prefix == "" && local == "xmlns"
}
