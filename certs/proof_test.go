package certs

import (
	"slices"
	"testing"
)

// TestWhichProofIsLookedFor: the gate and the probe both go by this table.
func TestWhichProofIsLookedFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		required, remembered string
		proved               bool
		want                 []string
	}{
		{"", "", false, nil},
		{"dialback", "", false, nil},
		{"dialback+tls", "dialback", false, nil},
		{"pkix", "", true, nil},
		{"pkix", "", false, []string{"dane", "posh"}},
		{"dane", "", true, []string{"dane"}},
		{"posh", "", true, []string{"posh"}},
		{"posh", "pkix", false, []string{"posh"}}, // of one strength: policy's word counts
		{"pin", "", false, nil},
		{"dialback", "pin", false, []string{"dane", "posh"}}, // held to what it proved, by any proof as strong
		{"dialback", "posh", false, []string{"dane", "posh"}},
		{"dialback", "posh", true, nil},
		{"no such proof", "", false, nil},
	} {
		if got := Further(Needed(test.required, test.remembered), test.proved); !slices.Equal(got, test.want) {
			t.Errorf("required %q, remembered %q, proved by a trust anchor %v: %q, want %q", test.required, test.remembered, test.proved, got, test.want)
		}
	}
}
