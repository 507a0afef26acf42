package integration_test

import (
	"slices"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// doomed are messages that cannot arrive, and what their sender is to be told ([A08], PROTOCOL 11.6).
var doomed = []struct {
	name, to   string
	conditions []string
	code       string // XEP-0086 §3, for the legacy backend
}{
	{"does not exist", "bob@nowhere.example", []string{"remote-server-not-found"}, "404"},
	{"refuses TLS", "bob@stubborn.example", []string{"remote-server-timeout"}, "504"},
	{"wrong certificate", "bob@liar.example", []string{"remote-server-timeout"}, "504"},
	{"forbidden by policy", "bob@rival.example", []string{"forbidden", "not-allowed"}, ""},
	{"hangs", "bob@tarpit.example", []string{"remote-server-timeout"}, "504"},
	{"nobody listens", "bob@closed.example", []string{"remote-server-timeout", "remote-server-not-found"}, ""},
}

// pending are doomed messages under way.
type pending struct {
	sender *lab.Client
	await  []func(t testing.TB) lab.Stanza
}

func (w *world) sendDoomed(t *testing.T) pending {
	t.Helper()
	p := pending{sender: w.Client(t, w.backend, "bounced")}
	for _, d := range doomed {
		p.await = append(p.await, lab.SendDoomed(t, p.sender, d.to))
	}
	return p
}

// testBounces: each comes back to its sender with a defined condition, as if from whom it was for.
func (w *world) testBounces(t *testing.T, p pending) {
	for i, d := range doomed {
		t.Run(d.name, func(t *testing.T) {
			got := p.await[i](t)
			if !slices.Contains(d.conditions, got.Condition()) {
				t.Errorf("the condition is %q, want one of %q: %s", got.Condition(), d.conditions, got.String())
			}
			if got.Attr("from") != d.to {
				t.Errorf("the error comes from %q, not from %q", got.Attr("from"), d.to)
			}
			if e := got.Child("", "error"); w.kind == lab.Jabberd2 && d.code != "" && e.Attr("code") != d.code {
				t.Errorf("the legacy code is %q, want %q ([A09])", e.Attr("code"), d.code)
			}
			if got.Body() != "" {
				t.Errorf("the error quotes the message ([A07]): %s", got.String())
			}
		})
	}
	t.Run("an iq", func(t *testing.T) {
		p.sender.Send(t, "<iq type='get' id='doomed' to='rival.example'><ping xmlns='urn:xmpp:ping'/></iq>")
		p.sender.Expect(t, "an error for the iq", func(s *lab.Stanza) bool {
			return s.Is("iq", "error") && s.Attr("id") == "doomed"
		})
	})
}

// testIntruders: who is not admitted, or not who he says, gets nothing in ([A02], [T07], POLICY).
func (w *world) testIntruders(t *testing.T) {
	victim := w.Client(t, w.backend, "rita")
	for _, test := range []struct{ name, host, from string }{
		{"not in policy", "rival", "bob@rival.example"},
		{"plaintext not admitted", "stubborn", "bob@stubborn.example"},
		{"says to be another", "mallory", "bob@partner.example"},
		{"says to be us", "mallory", "pat@" + local},
		{"says to be nobody", "mallory", "bob@nowhere.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := w.pretend[test.host].Person(test.from).Try(t, lab.Bare(victim), "let me in"); err == nil {
				t.Errorf("the gate took the word of %s for %s", test.host, test.from)
			} else {
				t.Logf("%s as %s: %v", test.host, test.from, err)
			}
		})
	}
	// What got in would have come before this.
	lab.Message(t, w.pretend["old"].Person("bob@old.example"), victim)
	if got := victim.Received(func(s *lab.Stanza) bool { return s.Body() == "let me in" }); len(got) > 0 {
		t.Errorf("the victim got %v", got)
	}
}
