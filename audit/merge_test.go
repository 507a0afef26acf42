package audit

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSearchAll: the records of two gates, one of them given twice, are one in order of time, and nothing of them is lost.
func TestSearchAll(t *testing.T) {
	t.Parallel()
	clock := &hand{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	var dirs []string
	var logs []*Log
	for _, node := range []string{"gate-a", "gate-b"} {
		dirs = append(dirs, filepath.Join(t.TempDir(), "audit"))
		logs = append(logs, openWith(t, Config{Dir: dirs[len(dirs)-1], Node: node}, osDisk{}, clock.now))
	}
	for n := range 20 {
		clock.turn(time.Millisecond)
		appendAll(t, logs[n%2], stanzas(n*3, 3))
	}
	for _, l := range logs {
		closeLog(t, l)
	}
	all := func(q Query, dirs ...string) (ids []string, hits []Hit) {
		err := SearchAll(context.Background(), dirs, q, func(h Hit) error {
			ids, hits = append(ids, h.Record.Stanza.ID), append(hits, h)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return ids, hits
	}
	var want []string
	for n := range 60 {
		want = append(want, string(stanzaEvent(n).Stanza.ID))
	}
	ids, hits := all(Query{Kind: "stanza"}, dirs[0], dirs[1], dirs[0])
	if !slices.Equal(ids, want) || hits[3].Dir != dirs[1] || hits[3].Record.Node != "gate-b" {
		t.Errorf("found %v", ids)
	}
	if ids, _ := all(Query{Kind: "stanza", Limit: 5}, dirs[1], dirs[0]); !slices.Equal(ids, want[:5]) {
		t.Errorf("the first five are %v", ids)
	}
	stop := errors.New("stop")
	if err := SearchAll(t.Context(), dirs, Query{}, func(Hit) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("yield's error: %v", err)
	}
	path, content := lastSegment(t, dirs[1])
	write(t, path, append(content, "nonsense\n"...))
	var damage *DamageError
	if err := SearchAll(t.Context(), dirs, Query{}, func(Hit) error { return nil }); !errors.As(err, &damage) || damage.Lines != 1 || filepath.Dir(damage.First) != dirs[1] {
		t.Errorf("%v", err)
	}
	if err := SearchAll(t.Context(), []string{dirs[0], "/nonexistent"}, Query{}, func(Hit) error { return nil }); !gone(err) {
		t.Errorf("%v", err)
	}
}
