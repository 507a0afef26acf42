package audit

import (
	"encoding/base64"
	"strconv"
)

// SealedRecord is content that the officers alone can open: the object that would stand as content, encrypted with
// ChaCha20-Poly1305, with the line up to here as associated data.
type SealedRecord struct {
	Key string `json:"key,omitempty" doc:"name of the key, and of its file below keys: CLASS/PERIOD-N"`
	N   uint64 `json:"n,omitempty" doc:"how far the key's ratchet had gone, from 1"`
	Box string `json:"box,omitempty" doc:"ciphertext and tag, base64"`
}

// sealedKey is where a box stands, last in its line. Inside of a value its quotes would be escaped, so that it is found nowhere else.
const sealedKey = `,"sealed":{"key":"`

// box is what stands ready to be sealed.
type box struct {
	plain  []byte
	cipher []byte
}

// fill puts an event's content aside, to be sealed when all the rest of the line stands.
func (n *encoder) fill(c *ContentPart) {
	line := n.buf
	n.buf = n.box.plain[:0]
	n.content(c)
	n.box.plain, n.buf = n.buf, line
}

// seal writes the box. start is where the line begins.
func (n *encoder) seal(c *chain, start int) {
	if len(n.box.plain) == 0 {
		return
	}
	step, key := c.next()
	plain := n.box.plain[len(contentKey):]
	n.box.cipher = aeadOf(key).Seal(n.box.cipher[:0], boxNonce[:], plain, n.buf[start:])
	clear(n.box.plain)
	n.buf = appendSealed(n.buf, c.name, step)
	n.buf = base64.RawStdEncoding.AppendEncode(n.buf, n.box.cipher)
	n.buf = append(n.buf, `"}`...)
	if cap(n.box.cipher) > bigBuffer {
		n.box = box{}
	}
}

// appendSealed writes what stands before the box's text.
func appendSealed(b []byte, key string, n uint64) []byte {
	b = append(appendText(append(b, sealedKey...), key), `","n":`...)
	return append(strconv.AppendUint(b, n, 10), `,"box":"`...)
}

// ends says whether a line ends with the box, written as we do.
func (s *SealedRecord) ends(rest []byte) bool {
	b := appendSealed(make([]byte, 0, len(rest)), s.Key, s.N)
	return string(rest) == string(append(append(b, s.Box...), `"}}`...))
}
