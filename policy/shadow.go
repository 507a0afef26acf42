package policy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Shadow judges a sample of the traffic by a draft of another policy, beside the way of the stanzas, and keeps where the two differ. Nothing
// comes of its decisions. Its methods may be called from any goroutine; a nil Shadow does nothing.
type Shadow struct {
	draft  atomic.Pointer[Snapshot]
	every  uint64
	came   atomic.Uint64
	queue  chan compared
	missed atomic.Uint64

	mu     sync.Mutex
	judged uint64
	groups map[Difference]*Difference
	others uint64
}

// compared is a crossing and what the policy in force said of it.
type compared struct {
	in Input
	d  Decision
}

// Difference is a group of crossings on which the policies differ alike.
type Difference struct {
	Remote    string `json:"remote"`
	Direction string `json:"direction"`
	Effect    string `json:"effect"` // of the policy in force
	Rule      string `json:"rule"`
	Would     string `json:"would"` // of the draft
	WouldRule string `json:"would_rule"`
	Count     uint64 `json:"count"`
}

// Comparison is what a [Shadow] has found since the draft was loaded.
type Comparison struct {
	Revision    string       `json:"revision"` // of the draft
	Judged      uint64       `json:"judged"`   // stanzas of the sample
	Missed      uint64       `json:"missed"`   // of the sample, but the draft was too slow
	Differ      uint64       `json:"differ"`
	Differences []Difference `json:"differences"` // the most frequent first
}

const (
	shadowQueue  = 256
	shadowGroups = 1000
)

func newShadow(draft *Snapshot, sample int) *Shadow {
	s := &Shadow{every: uint64(max(1, sample)), queue: make(chan compared, shadowQueue)}
	s.use(draft)
	return s
}

// use puts another draft in place, and forgets what was found with the one before.
func (s *Shadow) use(draft *Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.draft.Load(); was != nil && was.revision == draft.revision {
		return
	}
	s.draft.Store(draft)
	s.judged, s.others, s.groups = 0, 0, map[Difference]*Difference{}
	s.missed.Store(0)
}

// Picks tells whether the next stanza is one of the sample, and what the draft reads of it.
func (s *Shadow) Picks() (reads FieldSet, picked bool) {
	if s == nil || s.came.Add(1)%s.every != 0 {
		return 0, false
	}
	return s.draft.Load().stanza.set, true
}

// Offer has a stanza judged by the draft, soon; never waiting.
func (s *Shadow) Offer(in *Input, d *Decision) {
	select {
	case s.queue <- compared{*in, *d}:
	default:
		s.missed.Add(1)
	}
}

// Run judges what is offered until ctx ends.
func (s *Shadow) Run(ctx context.Context) {
	if s == nil {
		return
	}
	for {
		select {
		case c := <-s.queue:
			s.compare(ctx, &c)
		case <-ctx.Done():
			return
		}
	}
}

// compare asks the draft as the gate would: about the link, then about the stanza.
func (s *Shadow) compare(ctx context.Context, c *compared) {
	draft := s.draft.Load()
	would, rule := Deny, ""
	if l := draft.Link(ctx, &c.in); l.Would != Allow {
		would, rule = l.Would, l.Rule
	} else {
		d := draft.Stanza(ctx, &c.in)
		would, rule = d.Would, d.Rule
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draft.Load() != draft {
		return
	}
	s.judged++
	if would == c.d.Would {
		return
	}
	key := Difference{Remote: c.in.Remote, Direction: c.in.Direction, Effect: c.d.Would.String(), Rule: c.d.Rule, Would: would.String(), WouldRule: rule}
	g := s.groups[key]
	if g == nil {
		if len(s.groups) == shadowGroups {
			s.others++
			return
		}
		g = &Difference{}
		*g = key
		s.groups[key] = g
	}
	g.Count++
}

// Comparison tells what was found. Of a nil Shadow there is none.
func (s *Shadow) Comparison() *Comparison {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Comparison{Revision: s.draft.Load().revision, Judged: s.judged, Missed: s.missed.Load(), Differ: s.others}
	for _, g := range s.groups {
		c.Differences = append(c.Differences, *g)
		c.Differ += g.Count
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int {
		switch {
		case a.Count != b.Count:
			return int(int64(b.Count) - int64(a.Count))
		case a.Remote+a.WouldRule < b.Remote+b.WouldRule:
			return -1
		}
		return 1
	})
	return c
}
