package audit

import (
	"slices"
	"sort"
)

// ranges is a set of sequence numbers: sorted ranges that neither overlap nor touch.
type ranges []SeqRange

// add puts in a number greater than all that are in. Another one, which only a damaged record can have, is left out.
func (rs *ranges) add(seq uint64) {
	n := len(*rs)
	switch {
	case n == 0 || seq > (*rs)[n-1].Last+1:
		*rs = append(*rs, SeqRange{seq, seq})
	case seq == (*rs)[n-1].Last+1:
		(*rs)[n-1].Last = seq
	}
}

// remove takes out every number of r that is in.
func (rs *ranges) remove(r SeqRange) {
	s := *rs
	if r.First > r.Last {
		return
	}
	i := sort.Search(len(s), func(i int) bool { return s[i].Last >= r.First })
	j := i + sort.Search(len(s)-i, func(j int) bool { return s[i+j].First > r.Last })
	if i == j {
		return
	}
	var rest [2]SeqRange
	n := 0
	if s[i].First < r.First {
		rest[n] = SeqRange{s[i].First, r.First - 1}
		n++
	}
	if s[j-1].Last > r.Last {
		rest[n] = SeqRange{r.Last + 1, s[j-1].Last}
		n++
	}
	*rs = slices.Replace(s, i, j, rest[:n]...)
}

// cut takes out all that is above last.
func (rs *ranges) cut(last uint64) {
	s := *rs
	i := sort.Search(len(s), func(i int) bool { return s[i].Last > last })
	if i == len(s) {
		return
	}
	if s[i].First <= last {
		s[i].Last = last
		i++
	}
	*rs = s[:i]
}

// first is the lowest number, or else otherwise.
func (rs ranges) first(otherwise uint64) uint64 {
	if len(rs) == 0 {
		return otherwise
	}
	return rs[0].First
}

// has says whether a number is in.
func (rs ranges) has(seq uint64) bool {
	i := sort.Search(len(rs), func(i int) bool { return rs[i].Last >= seq })
	return i < len(rs) && rs[i].First <= seq
}

// parts are what of some ranges is in.
func (rs ranges) parts(of []SeqRange) (parts []SeqRange) {
	for _, r := range of {
		for i := sort.Search(len(rs), func(i int) bool { return rs[i].Last >= r.First }); i < len(rs) && rs[i].First <= r.Last; i++ {
			parts = append(parts, SeqRange{max(rs[i].First, r.First), min(rs[i].Last, r.Last)})
		}
	}
	return parts
}

// count is how many numbers are in.
func (rs ranges) count() uint64 {
	var n uint64
	for _, r := range rs {
		n += r.Last - r.First + 1
	}
	return n
}
