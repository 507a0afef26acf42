package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestWildcards(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string][]string{
		"a.b.example": {"*.b.example", "*.example"},
		"localhost":   nil,
		"":            nil,
		"a..b.":       {"*..b.", "*.b.", "*."},
	} {
		if got := wildcards(domain); !slices.Equal(got, want) {
			t.Errorf("%q: %q", domain, got)
		}
	}
	if got := wildcards(strings.Repeat("a.", 1_000_000) + "example"); len(got) > longestDomain || got[len(got)-1] != "*.example" {
		t.Errorf("a name of a million labels has %d wildcards, the last %q", len(got), got[len(got)-1])
	}
}
