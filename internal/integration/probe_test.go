package integration_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// testProbe: what `sallyport probe` makes of the real servers, while the gate runs that answers for its keys.
func (w *world) testProbe(t *testing.T) {
	for domain, want := range map[string]struct {
		grade              string
		external, dialback string
		reason             string
	}{
		"partner.example": {"strong", "accepted", "accepted", "it proves itself by certificate over TLS 1.3"}, // Prosody takes a certificate for servers only
		"ally.example":    {"good", "", "accepted", "it proves itself by certificate"},                        // ejabberd 23.01 does not
		"old.example":     {"weak", "not offered", "accepted", "it has no TLS"},
		"liar.example":    {"refused by our policy", "not tried", "not tried", "certificate is for another domain"},
		"closed.example":  {"broken", "not tried", "not tried", "connection refused"},
		"nowhere.example": {"broken", "not tried", "not tried", "offers no XMPP federation"},
	} {
		t.Run(domain, func(t *testing.T) {
			out, code := w.gate.Command(t, "probe", domain, "--json")
			var r struct {
				Grade, Reason string
				Federates     bool
				Proof         struct{ External, Dialback struct{ Result string } }
			}
			if err := json.NewDecoder(strings.NewReader(out)).Decode(&r); err != nil { // behind it may stand what was said on standard error
				t.Fatalf("%v: %s", err, out)
			}
			external, dialback := r.Proof.External.Result, r.Proof.Dialback.Result
			if r.Grade != want.grade || !strings.Contains(r.Reason, want.reason) || dialback != want.dialback || want.external != "" && external != want.external ||
				r.Federates != (code == 0) {
				t.Errorf("grade %s (%s), EXTERNAL %s, dialback %s, exit %d; want %+v\n%s", r.Grade, r.Reason, external, dialback, code, want, out)
			}
		})
	}
}

// testCheck: our own side is as it should be, and every backend is found to ask the gate when it is shown a key.
func (w *world) testCheck(t *testing.T) {
	out, code := w.gate.Command(t, "check", "--online")
	address := w.hosts["backend"].Addr(lab.Inside).String()
	for _, line := range []string{
		local + ": DNS leads to " + w.outside("gate").String() + " (xmpp." + local + "), where this gate answers for it (TLS 1.3)",
		rooms + ": DNS leads to " + w.outside("gate").String(),
		"leads every domain to " + w.hosts["gate"].Addr(lab.Inside).String() + ":5269",
		address + ":5269 takes streams for " + rooms,
		address + ":5269 was shown a false key and asked this gate about it",
		"no fault found",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("nothing is said of %q", line)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit %d\n%s", code, out)
	}
}
