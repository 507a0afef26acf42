package peer

import "testing"

// Two who are given ports at the same time, and listen later, do not meet.
func TestReserve(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		ports, err := Reserve(4)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			if seen[p] {
				t.Fatalf("%s was given twice", p)
			}
			seen[p] = true
		}
	}
}
