package stanza

import "bytes"

// Cursor goes through what is in an element, tag by tag, with namespaces resolved. It does not allocate, but where a namespace is
// spelled with references or more than a few are declared at once. What it returns is valid as long as the element is.
type Cursor struct {
	r     reader
	t     token
	root  *Root
	depth int // of the tag; the element itself is at 0
	open  int // elements that are open behind it

	bound  int
	few    [8]naming
	beyond []naming // behind few
}

// naming is a namespace declaration, good down to the end of the element at its depth.
type naming struct {
	prefix, uri []byte
	depth       int
}

// Begin puts a cursor that was not used yet before the start tag of e.
func (c *Cursor) Begin(e *Element) { c.r.b, c.root = e.raw, e.root }

// Next goes to the next start tag, or to character data. It returns false at the end.
func (c *Cursor) Next() bool {
	for c.r.read(&c.t) {
		switch c.t.kind {
		case endToken:
			c.open--
			continue
		case startToken:
			c.depth = c.open
			c.enter()
			if !c.t.empty {
				c.open++
			}
		default:
			c.depth = c.open
		}
		return true
	}
	return false
}

// Start reports whether the cursor is at a start tag; else it is at character data.
func (c *Cursor) Start() bool { return c.t.kind == startToken }

// Depth is how deep the tag stands: 0 is the element itself. Of character data it is one more than that of the element it is in.
func (c *Cursor) Depth() int { return c.depth }

// enter takes in what the start tag declares, and forgets what elements that have ended declared.
func (c *Cursor) enter() {
	for c.bound > 0 && c.at(c.bound-1).depth >= c.depth {
		c.bound--
	}
	if !bytes.Contains(c.t.attrs, []byte("xmlns")) {
		return
	}
	for name, raw := range c.t.attributes() {
		prefix, declared := bytes.CutPrefix(name, []byte("xmlns"))
		if !declared || len(prefix) > 0 && prefix[0] != ':' {
			continue
		}
		if len(prefix) > 0 {
			prefix = prefix[1:]
		}
		c.bind(naming{prefix, plainValue(raw), c.depth})
	}
}

func (c *Cursor) bind(b naming) {
	if c.bound < len(c.few) {
		c.few[c.bound] = b
	} else {
		c.beyond = append(c.beyond[:c.bound-len(c.few)], b)
	}
	c.bound++
}

func (c *Cursor) at(i int) *naming {
	if i < len(c.few) {
		return &c.few[i]
	}
	return &c.beyond[i-len(c.few)]
}

// Name returns the namespace and the local name of the tag.
func (c *Cursor) Name() (space, local []byte) {
	prefix, local := []byte(nil), c.t.name
	if i := bytes.IndexByte(local, ':'); i >= 0 {
		prefix, local = local[:i], local[i+1:]
	}
	return c.resolve(prefix), local
}

// resolve gives what a prefix is bound to; the empty one stands for the default namespace.
func (c *Cursor) resolve(prefix []byte) []byte {
	for i := c.bound - 1; i >= 0; i-- {
		if b := c.at(i); bytes.Equal(b.prefix, prefix) {
			return b.uri
		}
	}
	return c.header(prefix)
}

// header looks a prefix up in the stream's header.
func (c *Cursor) header(prefix []byte) []byte {
	if string(prefix) == "xml" {
		return []byte(nsXML)
	}
	if c.root == nil {
		return nil
	}
	if len(prefix) == 0 {
		if c.root.space == inServer {
			return serverSpace
		}
		return []byte(c.root.DefaultNS)
	}
	for i := range c.root.declared {
		if d := &c.root.declared[i]; d.prefix == string(prefix) {
			return []byte(d.uri)
		}
	}
	return nil
}

var serverSpace = []byte(nsServer)

// Attr returns the value of an attribute without namespace of the start tag; nil when there is none.
func (c *Cursor) Attr(local string) []byte {
	for name, raw := range c.t.attributes() {
		if string(name) == local {
			return grown(plainValue(raw))
		}
	}
	return nil
}

// Attrs yields the attributes of the start tag but for declarations: namespace, local name, value.
func (c *Cursor) Attrs(yield func(space, local, value []byte)) {
	for name, raw := range c.t.attributes() {
		if declares(name) {
			continue
		}
		space, local := []byte(nil), name
		if i := bytes.IndexByte(name, ':'); i >= 0 {
			space, local = c.resolve(name[:i]), name[i+1:]
		}
		yield(space, local, grown(plainValue(raw)))
	}
}

// plainValue is appendValue without a copy where the value is spelled as it reads.
func plainValue(raw []byte) []byte {
	for _, c := range raw {
		if c == '&' || c < ' ' {
			return appendValue(nil, raw)
		}
	}
	return raw
}

// Text appends the character data as it reads.
func (c *Cursor) Text(dst []byte) []byte {
	return appendCharacters(dst, c.t.text, c.t.kind == cdataToken)
}

// Plain returns the character data as it is spelled, and whether that is as it reads.
func (c *Cursor) Plain() (text []byte, ok bool) {
	return c.t.text, c.t.kind == textToken && bytes.IndexByte(c.t.text, '&') < 0 && bytes.IndexByte(c.t.text, '\r') < 0
}
