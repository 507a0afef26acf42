package load

import (
	"bytes"
	"fmt"
	"strings"
)

// Route is where the stanzas of one direction go.
type Route struct{ From, To string } // domains

// users is how many pairs of users the stanzas of a batch are from and to.
const users = 20

// Stanza returns a message of exactly size bytes.
func Stanza(r Route, n, size int) []byte {
	user := n % users
	head := fmt.Sprintf("<message type='chat' id='%06d' from='user%d@%s/load' to='user%d@%s'><body>", n, user, r.From, user, r.To)
	const tail = "</body></message>"
	return []byte(head + strings.Repeat("All work and no play makes Jack a dull boy. ", size/40+1)[:max(0, size-len(head)-len(tail))] + tail)
}

// batch is a run of stanzas, ready to be written at once or one by one.
type batch struct {
	stanzas [][]byte
	whole   []byte
}

// batchBytes is about what one write of a batch carries, and one TLS record can.
const batchBytes = 16 << 10

// newBatch fills batchBytes, with one stanza at the least.
func newBatch(r Route, size int) batch {
	var b batch
	for n := range max(1, batchBytes/size) {
		b.stanzas = append(b.stanzas, Stanza(r, n, size))
	}
	b.whole = bytes.Join(b.stanzas, nil)
	return b
}
