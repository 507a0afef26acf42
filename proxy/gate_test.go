package proxy

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"sallyport/certs"
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
		until time.Time
		want  time.Time // zero: never; within a minute where it is before hour
	}{
		"never":                        {facts: &policy.LinkFacts{Proof: "dialback+tls", CertNotAfter: hour.Format(time.RFC3339)}},
		"terms":                        {d: policy.LinkDecision{Until: hour}, facts: &policy.LinkFacts{}, want: hour},
		"certificate":                  {d: policy.LinkDecision{Until: hour.Add(time.Hour)}, facts: expires(hour), want: hour},
		"what DNS said":                {facts: &policy.LinkFacts{Proof: "dane"}, until: hour, want: hour},
		"a revocation list":            {facts: &policy.LinkFacts{Revocation: "unknown"}, want: time.Now().Add(time.Hour)},
		"the clock was read":           {d: policy.LinkDecision{Until: hour, Uncacheable: true}, facts: &policy.LinkFacts{}, want: time.Now().Add(time.Minute)},
		"terms that have passed":       {d: policy.LinkDecision{Until: past}, facts: &policy.LinkFacts{}, want: time.Now().Add(time.Minute)},
		"a certificate that has ended": {facts: expires(past), want: time.Now().Add(time.Minute)},
	} {
		got := dueAfter(test.d, test.facts, test.until)
		if diff := got.Sub(test.want); got.IsZero() != test.want.IsZero() || diff < -time.Second || diff > 10*time.Second {
			t.Errorf("%s: due at %v, want %v", name, got, test.want)
		}
	}
}

// What DNS or the web said of a certificate is not believed for ever; what was not proved by a certificate cannot be lost with it.
func TestReviewed(t *testing.T) {
	t.Parallel()
	v := certs.Result{Proved: true, Proof: certs.ProofDANE, SPKI: "k"}
	gone := certs.Result{SPKI: "k", Err: certs.ErrDANE}
	for name, test := range map[string]struct {
		proof string
		v     certs.Result
		until time.Time
		err   bool
	}{
		"as before":                           {"dane", v, time.Now().Add(time.Hour), false},
		"too old":                             {"dane", v, time.Now().Add(-time.Second), true},
		"gone":                                {"dane", gone, time.Time{}, true},
		"dialback, with a certificate":        {"dialback+tls", gone, time.Time{}, false},
		"dialback, with a certificate of now": {"dialback+tls", v, time.Time{}, false},
		"a server that proved nothing":        {"none", v, time.Time{}, false},
	} {
		got, err := new(Proxy).reviewed(policy.LinkFacts{Proof: test.proof}, &tls.ConnectionState{}, judged{again: func() certs.Result { return test.v }, until: test.until})
		if (err != nil) != test.err || got.Proof != test.proof {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
