package jid

// Address is a parsed address with the strings that the way through needs of it, made once.
type Address struct {
	JID       JID
	Full      string // JID.String()
	Bare      string // JID.Bare().String()
	Canonical bool   // the bytes on the wire were Full already
}

// Cache maps addresses as they come on the wire to what Parse makes of them, without allocating on a hit. It keeps at most two
// generations of entries: when the young one is full it becomes the old one, and the old one goes; a hit in the old one moves the
// entry over. So what is in use stays, and a flood of new addresses costs no more than its own parsing. Faulty addresses are not kept,
// nor are those of more than 512 bytes, which nobody has: they would only fill the memory.
//
// A Cache belongs to one goroutine. The zero Cache keeps nothing.
type Cache struct {
	entries    int
	young, old map[string]*Address
}

// maxKept is the longest address that a Cache keeps, in bytes, as it comes and in canonical form.
const maxKept = 512

// NewCache returns a Cache of up to twice as many addresses as entries says; with none, it keeps nothing.
func NewCache(entries int) *Cache { return &Cache{entries: entries} }

// Parse returns the address that raw spells, with the errors of the function Parse. The Address is shared and must not be changed; raw may be.
func (c *Cache) Parse(raw []byte) (*Address, error) {
	if a, ok := c.young[string(raw)]; ok {
		return a, nil
	}
	if a, ok := c.old[string(raw)]; ok {
		c.keep(string(raw), a)
		return a, nil
	}
	wire := string(raw)
	j, err := Parse(wire)
	if err != nil {
		return nil, err
	}
	a := &Address{JID: j, Full: j.String(), Bare: j.Bare().String()}
	if a.Canonical = a.Full == wire; a.Canonical {
		wire = a.Full
	}
	c.keep(wire, a)
	return a, nil
}

func (c *Cache) keep(wire string, a *Address) {
	if c.entries <= 0 || len(wire) > maxKept || len(a.Full) > maxKept {
		return
	}
	if c.young == nil || len(c.young) >= c.entries {
		c.old, c.young = c.young, make(map[string]*Address)
	}
	c.young[wire] = a
}
