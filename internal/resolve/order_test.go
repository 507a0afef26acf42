package resolve

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func names(eps []Endpoint) string {
	var out []string
	for _, e := range eps {
		out = append(out, e.Target)
	}
	return strings.Join(out, " ")
}

// [D01], RFC 2782: every number that can be drawn, and the endpoint that it must bring to the front.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		eps   []Endpoint
		draws []uint64
		want  string
	}{
		{"by priority", []Endpoint{{Target: "c", Priority: 3}, {Target: "a", Priority: 1}, {Target: "b", Priority: 2}}, nil, "a b c"},
		{"weight 0 first in the running sum", []Endpoint{{Target: "heavy", Weight: 9}, {Target: "light"}}, []uint64{0}, "light heavy"},
		{"weight 0 has a small chance only", []Endpoint{{Target: "heavy", Weight: 9}, {Target: "light"}}, []uint64{1}, "heavy light"},
		{"up to the first weight", []Endpoint{{Target: "a", Weight: 10}, {Target: "b", Weight: 20}}, []uint64{10}, "a b"},
		{"beyond the first weight", []Endpoint{{Target: "a", Weight: 10}, {Target: "b", Weight: 20}}, []uint64{11}, "b a"},
		{"drawn again among those left", []Endpoint{{Target: "a", Weight: 1}, {Target: "b", Weight: 1}, {Target: "c", Weight: 1}}, []uint64{3, 2}, "c b a"},
		{"lots of one priority only", []Endpoint{{Target: "z", Priority: 2, Weight: 5}, {Target: "y", Priority: 2, Weight: 5}, {Target: "x", Priority: 1}}, []uint64{10}, "x y z"},
		{"nothing", nil, nil, ""},
	} {
		draws := c.draws
		order(c.eps, func(n uint64) uint64 {
			if len(draws) == 0 {
				t.Fatalf("%s: one draw too many", c.name)
			}
			d := draws[0]
			draws = draws[1:]
			if d > n {
				t.Fatalf("%s: draw %d of %d", c.name, d, n)
			}
			return d
		})
		if got := names(c.eps); got != c.want || len(draws) > 0 {
			t.Errorf("%s: order %q, want %q, with %d draws left", c.name, got, c.want, len(draws))
		}
	}
}

// Over many draws each endpoint comes first as often as its weight says.
func TestWeightsShareTheLoad(t *testing.T) {
	t.Parallel()
	first := map[string]int{}
	const n = 20000
	for range n {
		eps := []Endpoint{{Target: "a", Weight: 60}, {Target: "b", Weight: 30}, {Target: "c", Weight: 10}}
		order(eps, lot)
		first[eps[0].Target]++
	}
	for target, want := range map[string]int{"a": 60, "b": 30, "c": 10} {
		if got := first[target] * 100 / n; got < want-3 || got > want+3 {
			t.Errorf("[D01] %s was first in %d%% of the draws, want about %d%%", target, got, want)
		}
	}
}

func TestInterleave(t *testing.T) {
	t.Parallel()
	a := netip.MustParseAddr
	got := interleave([]netip.Addr{a("2a00::1")}, []netip.Addr{a("1.1.1.1"), a("1.1.1.2")})
	if want := []netip.Addr{a("2a00::1"), a("1.1.1.1"), a("1.1.1.2")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
