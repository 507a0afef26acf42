package audit

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// ID names one event among those of all gates, in 26 characters: 48 bits of time in milliseconds, 50 bits that this process drew
// at random, 30 bits of a counter within the millisecond, in Crockford's base 32. It has the form of a ULID, sorts by age, and
// within one record grows strictly with seq. The zero ID is none.
type ID [26]byte

const (
	idDigits    = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	idTime      = 10 // characters
	idRandom    = 10
	counterBits = 30
)

// String gives the 26 characters; the zero ID gives "".
func (id ID) String() string {
	if id == (ID{}) {
		return ""
	}
	return string(id[:])
}

// IsZero says whether this is no id.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads an id; lower case is accepted, as people type it.
func (id *ID) UnmarshalText(b []byte) error {
	parsed, err := ParseID(string(b))
	*id = parsed
	return err
}

// ParseID reads an id, as it stands in a line or in a bounce. The error is for anything else.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != len(id) || s[0] > '7' {
		return ID{}, fmt.Errorf("event id %q: must be 26 characters, as in 01J8ZK3V5N0000000000000000", clip(s))
	}
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if !isIDDigit(c) {
			return ID{}, fmt.Errorf("event id %q: %q is not a digit of it", clip(s), c)
		}
		id[i] = c
	}
	return id, nil
}

func isIDDigit(c byte) bool {
	switch {
	case '0' <= c && c <= '9':
		return true
	case c == 'I', c == 'L', c == 'O', c == 'U':
		return false
	}
	return 'A' <= c && c <= 'Z'
}

// clip bounds what an error repeats of its input.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// idMaker makes strictly growing ids, also when the clock stands still or goes back.
type idMaker struct {
	random  [idRandom]byte // of this process
	millis  int64
	counter uint32
	next    ID // the part before the counter stands ready
}

// newIDMaker makes ids greater than last, which may be zero.
func newIDMaker(last ID) idMaker {
	var m idMaker
	var seed [8]byte
	rand.Read(seed[:])
	putDigits(m.random[:], binary.BigEndian.Uint64(seed[:]))
	for _, c := range last[:idTime] {
		m.millis = m.millis<<5 | int64(digitValue(c))
	}
	m.forward(m.millis + 1)
	return m
}

// at moves the ids' time forward to now.
func (m *idMaker) at(now time.Time) {
	if ms := now.UnixMilli(); ms > m.millis {
		m.forward(ms)
	}
}

func (m *idMaker) forward(millis int64) {
	m.millis, m.counter = millis, 0
	putDigits(m.next[:idTime], uint64(millis))
	copy(m.next[idTime:], m.random[:])
}

func (m *idMaker) make() ID {
	if m.counter == 1<<counterBits {
		m.forward(m.millis + 1)
	}
	putDigits(m.next[idTime+idRandom:], uint64(m.counter))
	m.counter++
	return m.next
}

// putDigits writes the lowest bits of v, five a character.
func putDigits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = idDigits[v&31]
		v >>= 5
	}
}

func digitValue(c byte) byte {
	for i := range len(idDigits) {
		if idDigits[i] == c {
			return byte(i)
		}
	}
	return 0
}
