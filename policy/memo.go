package policy

import (
	"hash/maphash"
	"sync"
)

const shards = 32

// memo remembers decisions under their keys. It holds two generations: a decision that is asked for moves to the young
// one, and when the young one is full the old one is forgotten. So it is bounded, keeps what is in use, and needs no list.
// It belongs to one revision of the policy and goes with it.
type memo[D answered] struct {
	seed  maphash.Seed
	shard [shards]shard[D]
}

// answered is a decision of either kind.
type answered interface{ Decision | LinkDecision }

// shard finds decisions by the hash of their key. The key itself is compared; of two with one hash the later stays.
type shard[D answered] struct {
	mu         sync.Mutex
	young, old map[uint64]*remembered[D]
	limit      int // entries of one generation
}

type remembered[D answered] struct {
	key      string
	decision D
}

// newMemo makes a memo of the given number of entries at the most.
func newMemo[D answered](entries int) *memo[D] {
	m := &memo[D]{seed: maphash.MakeSeed()}
	for i := range m.shard {
		m.shard[i] = shard[D]{young: map[uint64]*remembered[D]{}, old: map[uint64]*remembered[D]{}, limit: entries / shards / 2}
	}
	return m
}

// get does not allocate, but for the growth of a map when an old decision moves. What it returns is shared.
func (m *memo[D]) get(key []byte) *remembered[D] {
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

// put remembers a decision, which must be brief.
func (m *memo[D]) put(key []byte, d D) {
	hash := maphash.Bytes(m.seed, key)
	s := &m.shard[hash%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(hash, &remembered[D]{key: string(key), decision: d})
}

// answerSpace bounds what is remembered of a decision, in bytes of its texts. A policy that writes more is evaluated each time.
const answerSpace = 2048

// brief says whether these texts are short enough to be remembered.
func brief(texts ...[]string) bool {
	size := 0
	for _, list := range texts {
		for _, t := range list {
			size += len(t) + 16
		}
	}
	return size <= answerSpace
}

func (d *Decision) brief() bool {
	also := []string{d.Rule, d.Reason, d.Message, d.Retention}
	for i := range d.Transforms {
		t := &d.Transforms[i]
		also = append(also, t.Rule, t.With, t.Text)
		also = append(also, t.Payloads...)
	}
	for _, n := range d.Notify {
		also = append(also, n.Rule, n.To, n.Text)
	}
	return brief(also, d.Labels)
}

func (s *shard[D]) add(hash uint64, r *remembered[D]) {
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
func (m *memo[D]) len() (n int) {
	for i := range m.shard {
		s := &m.shard[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
