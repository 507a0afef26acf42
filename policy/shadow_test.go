package policy

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// A draft says where it differs, and decides nothing.
func TestShadow(t *testing.T) {
	t.Parallel()
	draft := dir(t, map[string]string{"rules.yaml": "files: {default: none}\n"})
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, Config{Candidate: draft, Sample: 2}, Data{"federation": "open"})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go e.Shadow().Run(ctx)
		for i := range 8 {
			in := crossing()
			in.Stanza.Class = []string{"text"}
			if i >= 4 {
				in.Stanza.Class = []string{"file"}
			}
			d := e.Snapshot().Stanza(t.Context(), in)
			if d.Effect != Allow {
				t.Fatalf("the draft decides: %+v", d)
			}
			if reads, picked := e.Shadow().Picks(); picked {
				if !reads.Has(FieldClass) {
					t.Error("what the draft reads is not asked for")
				}
				e.Shadow().Offer(in, &d)
			}
		}
		synctest.Wait()
		c := e.Shadow().Comparison()
		want := Difference{Remote: crossing().Remote, Direction: crossing().Direction, Effect: "allow", Rule: "allow", Would: "deny", WouldRule: "files", Count: 2}
		if c.Judged != 4 || c.Differ != 2 || c.Missed != 0 || len(c.Differences) != 1 || c.Differences[0] != want || c.Revision == e.Snapshot().Revision() {
			t.Errorf("%+v", c)
		}
		// What nobody judges in time is counted.
		stop()
		synctest.Wait()
		for range shadowQueue + 5 {
			e.Shadow().Offer(crossing(), &Decision{})
		}
		if c := e.Shadow().Comparison(); c.Missed != 5 {
			t.Errorf("%d missed, want 5", c.Missed)
		}
	})
}

// A draft that does not load holds nothing back; one that does begins anew.
func TestShadowIsReloaded(t *testing.T) {
	t.Parallel()
	draft := dir(t, map[string]string{"rules.yaml": "files: {default: none}\n"})
	e := engine(t, Config{Candidate: draft}, Data{"federation": "open"})
	first := e.Shadow().Comparison().Revision
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(draft, "rules.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("files: {defult: none}\n")
	before := e.Snapshot().Revision()
	if !e.Stale() {
		t.Error("a change of the draft is not seen")
	}
	if err := e.Reload(Data{"federation": "listed"}); err != nil || e.Snapshot().Revision() == before || e.Shadow().Comparison().Revision != first {
		t.Errorf("%v; revisions %s and %s", err, e.Snapshot().Revision(), e.Shadow().Comparison().Revision)
	}
	write("files: {default: both}\n")
	if err := e.Reload(Data{"federation": "listed"}); err != nil || e.Shadow().Comparison().Revision == first {
		t.Errorf("%v; the draft is still %s", err, first)
	}
	if _, err := New(Config{Candidate: filepath.Join(draft, "nowhere")}, nil); err == nil {
		t.Error("a candidate that is not there is taken at start")
	}
	var none *Shadow
	if _, picked := none.Picks(); picked || none.Comparison() != nil {
		t.Error("no shadow picks")
	}
	none.Run(t.Context())
}
