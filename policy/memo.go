package policy

import (
	"hash/maphash"
	"sync"
)

const shards = 32

// memo remembers decisions under their keys. It holds two generations: a decision that is asked for moves to the young
// one, and when the young one is full the old one is forgotten. So it is bounded, keeps what is in use, and needs no list.
// It belongs to one revision of the policy and goes with it.
type memo struct {
	seed  maphash.Seed
	shard [shards]shard
}

// shard finds decisions by the hash of their key. The key itself is compared; of two with one hash the later stays.
type shard struct {
	mu         sync.Mutex
	young, old map[uint64]*remembered
	limit      int // entries of one generation
}

type remembered struct {
	key      string
	decision Decision
}

// newMemo makes a memo of the given number of entries at the most.
func newMemo(entries int) *memo {
	m := &memo{seed: maphash.MakeSeed()}
	for i := range m.shard {
		m.shard[i] = shard{young: map[uint64]*remembered{}, old: map[uint64]*remembered{}, limit: entries / shards / 2}
	}
	return m
}

// get does not allocate, but for the growth of a map when an old decision moves. What it returns is shared.
func (m *memo) get(key []byte) *remembered {
	hash := maphash.Bytes(m.seed, key)
	s := &m.shard[hash%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.young[hash]
	if r == nil {
		if r = s.old[hash]; r != nil {
			s.add(hash, r)
		}
	}
	if r == nil || r.key != string(key) {
		return nil
	}
	return r
}

// answerSpace bounds what is remembered of a decision, in bytes of its texts. A policy that writes more is evaluated each time.
const answerSpace = 2048

func (m *memo) put(key []byte, d Decision) {
	size := len(d.Rule) + len(d.Reason) + len(d.Message)
	for _, l := range d.Labels {
		size += len(l)
	}
	if size > answerSpace || len(d.Labels) > answerSpace/16 {
		return
	}
	hash := maphash.Bytes(m.seed, key)
	s := &m.shard[hash%shards]
	d.Cached = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(hash, &remembered{key: string(key), decision: d})
}

func (s *shard) add(hash uint64, r *remembered) {
	if s.limit == 0 {
		return
	}
	if len(s.young) >= s.limit {
		clear(s.old)
		s.young, s.old = s.old, s.young
	}
	s.young[hash] = r
}

// len counts the entries. One that moved counts twice, as it takes two places.
func (m *memo) len() (n int) {
	for i := range m.shard {
		s := &m.shard[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
