package proxy

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/stanza"
	"sallyport/policy"
)

const hello = "<message from='juliet@remote.example/x' to='romeo@corp.example'><body>x</body></message>"

// What a link is kept under is the mode too: enforcing is in force at the next stanza of a link that stands.
func TestModeHoldsAtOnce(t *testing.T) {
	t.Parallel()
	open := policy.Data{"federation": "open"}
	engine, err := policy.New(policy.Config{Mode: "observe", Watch: -1, Timeout: time.Minute}, open)
	if err != nil {
		t.Fatal(err)
	}
	el, err := stanza.ParseOne([]byte(hello), stanza.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	in, c := arriving(t, engine, el)
	c.proof.facts = policy.LinkFacts{Channel: "plaintext", Proof: "dialback"} // which stanzas are not asked about
	for _, test := range []struct {
		mode string
		want policy.Effect
	}{{"observe", policy.Allow}, {"enforce", policy.Deny}, {"observe", policy.Allow}} {
		if err := engine.ReloadAs(test.mode, open); err != nil {
			t.Fatal(err)
		}
		if in.p.judge(t.Context(), engine.Snapshot(), in, c); c.decision.Effect != test.want {
			t.Errorf("in mode %s: %+v", test.mode, c.decision)
		}
	}
}

// A draft that lets a domain in is compared on what the policy in force refuses the whole domain.
func TestDraftIsComparedOnRefusedLinks(t *testing.T) {
	t.Parallel()
	draft := t.TempDir()
	if err := os.WriteFile(filepath.Join(draft, "peers.yaml"), []byte("peers: {remote.example: {}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		engine, err := policy.New(policy.Config{Candidate: draft, Sample: 1, Watch: -1}, policy.Data{"federation": "listed"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go engine.Shadow().Run(ctx)
		el, err := stanza.ParseOne([]byte(hello), stanza.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if c := through(t, engine, el, false); c.decision.Rule != "peer-not-listed" {
			t.Fatalf("%+v", c.decision)
		}
		synctest.Wait()
		c := engine.Shadow().Comparison()
		if c.Judged != 1 || len(c.Differences) != 1 || c.Differences[0].Rule != "peer-not-listed" || c.Differences[0].Would != "allow" {
			t.Errorf("%+v", c)
		}
	})
}
