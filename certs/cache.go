package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"
)

// cacheSize is how many proofs one generation holds. Each takes about 1 KiB.
const cacheSize = 2048

// proof names a question: this chain, byte for byte, for this domain.
type proof struct {
	chain  [sha256.Size]byte
	domain string
}

// digest is the hash of all certificates of a chain, in order. Lengths are hashed too, so that no two chains read alike.
func digest(chain []*x509.Certificate) (sum [sha256.Size]byte) {
	h := sha256.New()
	var size [8]byte
	for _, cert := range chain {
		binary.BigEndian.PutUint64(size[:], uint64(len(cert.Raw)))
		h.Write(size[:])
		h.Write(cert.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

// cache remembers what was proved, never what was not: refusals are cheap to repeat and a stranger could fill it with them.
// It holds two generations, so that it is bounded and forgets the unused half when it is full. The zero cache is ready.
type cache struct {
	mu       sync.Mutex
	young    map[proof]Result
	old      map[proof]Result
	capacity int // of one generation; 0 means cacheSize
}

// get returns the proof that was stored, if it holds at now.
func (c *cache) get(p proof, now time.Time) (Result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.young[p]
	if !ok {
		if r, ok = c.old[p]; ok {
			c.store(p, r)
		}
	}
	return r, ok && !now.Before(r.notBefore) && !now.After(r.NotAfter)
}

// put stores a proof.
func (c *cache) put(p proof, r Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store(p, r)
}

func (c *cache) store(p proof, r Result) {
	capacity := c.capacity
	if capacity == 0 {
		capacity = cacheSize
	}
	if c.young == nil || len(c.young) >= capacity {
		c.old, c.young = c.young, make(map[proof]Result)
	}
	c.young[p] = r
}
