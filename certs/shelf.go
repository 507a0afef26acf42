package certs

import (
	"errors"
	"slices"
	"time"
)

// DefaultListBytes is what all revocation lists together may take in memory unless Limit says otherwise.
const DefaultListBytes = 64 << 20

const (
	copyBytes = 4 << 10      // what a list costs beside its numbers: its address, and those of maxMet certificates
	maxMet    = 100          // certificates of one list that are remembered when it makes room
	inUse     = 2 * crlFresh // a list that was asked for within this time makes no room: links that stand ask once an hour
)

var errNoRoom = errors.New("the revocation lists in use take all the room that they may have (limits.revocation_bytes)")

// listKey tells lists apart: one address may be named under several authorities, of which one signed what is there.
type listKey struct{ url, issuer string }

// crlCopy is what is known of one list.
type crlCopy struct {
	list    *crl // nil until one came
	met     []serial
	next    time.Time
	used    time.Time
	pending bool
	err     error
}

func (c *crlCopy) cost() int { return copyBytes + c.list.size() }

// spent says whether nothing is lost with the copy but a time to wait.
func (c *crlCopy) spent(now time.Time) bool {
	return c.list == nil && !now.Before(c.next) || c.list != nil && now.After(c.list.until)
}

// rest is what is kept of a list that makes room: what is known of certificates that were shown. Where nobody knows may pass, they
// would. Nil: nothing has to be kept.
func (c *crlCopy) rest(now time.Time) *crl {
	if len(c.met) == 0 || c.list == nil || now.After(c.list.until) {
		return nil
	}
	return c.list.only(c.met)
}

// gain is the room that comes when the copy makes room.
func (c *crlCopy) gain(now time.Time) int {
	if rest := c.rest(now); rest != nil {
		return c.list.size() - rest.size()
	}
	return c.cost()
}

// shelf holds lists within a number of bytes. It has no lock of its own. The zero shelf is empty.
type shelf struct {
	limit  int // zero: DefaultListBytes
	copies map[listKey]*crlCopy
	bytes  int
}

// at gives the copy of a list, a new one if there is room; nil if there is none.
func (s *shelf) at(key listKey, now time.Time) *crlCopy {
	c := s.copies[key]
	if c == nil {
		if !s.fit(copyBytes, nil, now) {
			return nil
		}
		if s.copies == nil {
			s.copies = make(map[listKey]*crlCopy)
		}
		c = &crlCopy{}
		s.copies[key] = c
		s.bytes += copyBytes
	}
	c.used = now
	return c
}

// put replaces the list of a copy, for which there must be room.
func (s *shelf) put(c *crlCopy, list *crl) {
	s.bytes += list.size() - c.list.size()
	c.list = list
}

// fit makes room for some more bytes: lists that count no longer go first, then those that were not asked for the longest time. What
// is in use stays, and so does own. It reports whether there is room now.
func (s *shelf) fit(more int, own *crlCopy, now time.Time) bool {
	limit := s.limit
	if limit == 0 {
		limit = DefaultListBytes
	}
	over := s.bytes + more - limit
	if over <= 0 {
		return true
	}
	type candidate struct {
		key   listKey
		spent bool
		used  time.Time
	}
	var idle []candidate
	for key, c := range s.copies {
		if spent := c.spent(now); c != own && !c.pending && (spent || now.Sub(c.used) > inUse) && c.gain(now) > 0 {
			idle = append(idle, candidate{key, spent, c.used})
			over -= c.gain(now)
		}
	}
	if over > 0 {
		return false
	}
	slices.SortFunc(idle, func(a, b candidate) int {
		if a.spent != b.spent {
			return map[bool]int{true: -1, false: 1}[a.spent]
		}
		return a.used.Compare(b.used)
	})
	for _, c := range idle {
		if s.bytes+more <= limit {
			break
		}
		s.drop(c.key, now)
	}
	return true
}

// drop gives a list up, but for the rest of it.
func (s *shelf) drop(key listKey, now time.Time) {
	c := s.copies[key]
	if rest := c.rest(now); rest != nil {
		s.put(c, rest)
		c.next = now
		return
	}
	s.bytes -= c.cost()
	delete(s.copies, key)
}
