package audit

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRanges holds the ranges against a plain set, through many random lives.
func TestRanges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var rs ranges
		set := map[uint64]bool{}
		next := uint64(1)
		for range 200 {
			switch rnd.IntN(5) {
			case 0, 1:
				for range rnd.IntN(6) {
					rs.add(next)
					set[next] = true
					next++
				}
				next += rnd.Uint64N(3)
			case 2, 3:
				first := rnd.Uint64N(next) + 1
				r := SeqRange{first, first + rnd.Uint64N(8)}
				rs.remove(r)
				for s := r.First; s <= r.Last; s++ {
					delete(set, s)
				}
			case 4:
				if rnd.IntN(10) == 0 {
					next -= rnd.Uint64N(min(next, 5))
					rs.cut(next - 1)
					for s := range set {
						if s >= next {
							delete(set, s)
						}
					}
				}
			}
			checkRanges(t, rs, set, next)
		}
	}
}

func checkRanges(t *testing.T, rs ranges, set map[uint64]bool, next uint64) {
	t.Helper()
	var low uint64 = next
	for s := uint64(0); s < next+10; s++ {
		if rs.has(s) != set[s] {
			t.Fatalf("%v: has(%d) = %v", rs, s, rs.has(s))
		}
		if set[s] {
			low = min(low, s)
		}
	}
	if rs.count() != uint64(len(set)) || rs.first(next) != low {
		t.Fatalf("%v: count %d, first %d; want %d, %d", rs, rs.count(), rs.first(next), len(set), low)
	}
	for i := range rs {
		if rs[i].First > rs[i].Last || i > 0 && rs[i].First <= rs[i-1].Last+1 {
			t.Fatalf("%v: range %d is empty, or touches the one before", rs, i)
		}
	}
}

func TestRangesIgnoreNonsense(t *testing.T) {
	t.Parallel()
	rs := ranges{{5, 9}}
	rs.remove(SeqRange{8, 6})
	rs.add(7)
	rs.add(3)
	if !slices.Equal(rs, ranges{{5, 9}}) {
		t.Errorf("got %v", rs)
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	rs := ranges{{2, 4}, {7, 7}, {9, 12}}
	for _, c := range []struct{ of, want []SeqRange }{
		{nil, nil}, {[]SeqRange{{1, 1}, {5, 6}, {13, 20}}, nil}, {[]SeqRange{{1, 3}}, []SeqRange{{2, 3}}},
		{[]SeqRange{{4, 9}}, []SeqRange{{4, 4}, {7, 7}, {9, 9}}}, {[]SeqRange{{10, 11}, {12, 99}}, []SeqRange{{10, 11}, {12, 12}}},
	} {
		if got := rs.parts(c.of); !slices.Equal(got, c.want) {
			t.Errorf("of %v are in %v, want %v", c.of, got, c.want)
		}
	}
}
