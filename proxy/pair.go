package proxy

import (
	"sallyport/internal/jid"
)

// Door says on which side of the gate a link is.
type Door uint8

const (
	// Outside is the door to the internet: strict, encrypted, open to strangers.
	Outside Door = iota
	// Inside is the door to the backends: tolerant of old servers, closed to every address that no backend has.
	Inside
)

func (d Door) String() string {
	if d == Inside {
		return "inside"
	}
	return "outside"
}

// opposite is the door by which something that came in here leaves, and by which its bounce returns.
func (d Door) opposite() Door {
	if d == Inside {
		return Outside
	}
	return Inside
}

// Direction is the way a stanza travels.
type Direction uint8

const (
	// In is from a remote domain to a local one.
	In Direction = iota
	// Out is from a local domain to a remote one.
	Out
)

func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

func (d Direction) reverse() Direction { return d ^ 1 }

// entrance is the door by which stanzas of this direction come in; the exit is the opposite one.
func (d Direction) entrance() Door {
	if d == Out {
		return Inside
	}
	return Outside
}

func (d Direction) exit() Door { return d.entrance().opposite() }

// Pair is a domain pair: one of ours, and one that is not.
type Pair struct{ Local, Remote jid.Domain }

// sender and receiver are the pair's domains as a stanza of direction d names them.
func (p Pair) sender(d Direction) jid.Domain {
	if d == Out {
		return p.Local
	}
	return p.Remote
}

func (p Pair) receiver(d Direction) jid.Domain { return p.sender(d.reverse()) }

// pairOf is the inverse of sender and receiver.
func pairOf(d Direction, from, to jid.Domain) Pair {
	if d == Out {
		return Pair{Local: from, Remote: to}
	}
	return Pair{Local: to, Remote: from}
}

func (p Pair) String() string { return p.Local.String() + " ⇄ " + p.Remote.String() }

// route is a pair with a direction: what one outbound link serves.
type route struct {
	dir  Direction
	pair Pair
}

func (r route) from() jid.Domain { return r.pair.sender(r.dir) }
func (r route) to() jid.Domain   { return r.pair.receiver(r.dir) }
