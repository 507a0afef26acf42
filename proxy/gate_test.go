package proxy

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/policy"
)

// Limits by address hold the network that one IPv6 host has to itself ([M13]).
func TestOrigin(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1",
		"::ffff:192.0.2.1":        "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::",
		"2001:db8:1:2:ffff:4:5:6": "2001:db8:1:2::",
		"2001:db8:1:3::1":         "2001:db8:1:3::",
		"fe80::1%lo":              "fe80::",
	} {
		in := &inbound{peer: netip.AddrPortFrom(netip.MustParseAddr(addr).Unmap(), 5269)}
		if got := in.origin().String(); got != want {
			t.Errorf("[M13] %s is held as %s, want %s", addr, got, want)
		}
	}
}

// What has passed is not waited for again at once: the gate would do nothing else.
func TestDueAfter(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour).Truncate(time.Second)
	past := time.Now().Add(-time.Hour)
	expires := func(at time.Time) *policy.LinkFacts {
		return &policy.LinkFacts{Proof: "pkix", CertNotAfter: at.UTC().Format(time.RFC3339)}
	}
	for name, test := range map[string]struct {
		d     policy.LinkDecision
		facts *policy.LinkFacts
		want  time.Time // zero: never; within a minute where it is before hour
	}{
		"never":                        {policy.LinkDecision{}, &policy.LinkFacts{Proof: "dialback+tls", CertNotAfter: hour.Format(time.RFC3339)}, time.Time{}},
		"terms":                        {policy.LinkDecision{Until: hour}, &policy.LinkFacts{}, hour},
		"certificate":                  {policy.LinkDecision{Until: hour.Add(time.Hour)}, expires(hour), hour},
		"the clock was read":           {policy.LinkDecision{Until: hour, Uncacheable: true}, &policy.LinkFacts{}, time.Now().Add(time.Minute)},
		"terms that have passed":       {policy.LinkDecision{Until: past}, &policy.LinkFacts{}, time.Now().Add(time.Minute)},
		"a certificate that has ended": {policy.LinkDecision{}, expires(past), time.Now().Add(time.Minute)},
	} {
		got := dueAfter(test.d, test.facts, time.Time{})
		if diff := got.Sub(test.want); got.IsZero() != test.want.IsZero() || diff < -time.Second || diff > 10*time.Second {
			t.Errorf("%s: due at %v, want %v", name, got, test.want)
		}
	}
}
