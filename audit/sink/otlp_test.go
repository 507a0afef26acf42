package sink_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/audit/sink"
	"sallyport/internal/xmpptest/receivers"
)

// hasAll says whether records with all these ids were taken, each with its line, and a checkpoint.
func hasAll(s *receivers.Collector, ids map[string]bool) bool {
	seen, checkpoint := map[string]bool{}, false
	for _, r := range s.Taken() {
		// The record's own first one may come after the test's, and then stands for it.
		checkpoint = checkpoint || r.EventName == "sallyport.checkpoint" && strings.HasPrefix(r.Body.GetStringValue(), "gate-1\n")
		for _, a := range r.Attributes {
			if a.Key == "id" && strings.Contains(r.Body.GetStringValue(), a.Value.GetStringValue()) {
				seen[a.Value.GetStringValue()] = true
			}
		}
	}
	for id := range ids {
		if !seen[id] {
			return false
		}
	}
	return checkpoint
}

const signed = "gate-1\n30\nroot\n\n— gate-1 signature\n"

// TestOTLP: a collector that asks to wait, takes a part, and is gone for a while has each event in the end, and a checkpoint.
func TestOTLP(t *testing.T) {
	t.Parallel()
	s := receivers.OTLP(t)
	s.Next(receivers.Answer{Status: http.StatusTooManyRequests}, receivers.Answer{Status: http.StatusServiceUnavailable}, receivers.Answer{Rejected: 1})
	s.Start()
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := openGate(t, sink.Config{Name: "collector", Type: sink.OTLP, URL: s.URL, Secret: secret, Batch: 20})
	g.set.Checkpoint([]byte(signed))
	g.cross(30)
	g.until("a part that was rejected shows", func() bool { return strings.Contains(g.set.Status()[0].Error, "too large") })
	g.until("all that was refused arrives", func() bool { return hasAll(s, g.ids) })
	s.Stop()
	g.cross(30)
	g.until("the failure shows", func() bool { return g.set.Status()[0].Error != "" })
	s.Start()
	g.until("all arrives", func() bool { return hasAll(s, g.ids) })
	g.arrive()
	for _, a := range s.Asked() {
		if a != "Bearer token" {
			t.Errorf("Authorization %q", a)
		}
	}
}
