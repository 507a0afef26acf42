package main

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/config"
	"sallyport/policy"
)

func TestReminders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // begins at midnight on 2000-01-01, in UTC
		e, err := policy.New(policy.Config{EndsSoon: 72 * time.Hour}, policy.Data{"peers": map[string]any{
			"a.example": map[string]any{"until": "2000-01-03T12:00:00Z"}, "b.example": map[string]any{"until": "2000-01-05"}, "c.example": map[string]any{},
		}})
		must(t, err)
		var out told
		log := slog.New(slog.NewTextHandler(&out, nil))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- reminders(ctx, log, e) }()
		synctest.Wait()
		for i, want := range []string{
			"",      // the first day: whoever starts tells it
			"a+",    // 01-02
			"a+ b+", // 01-03
			"a- b+", // 01-03 at noon, when it ends
			"a- b+", // 01-04 at noon
			"a- b+", // 01-05 at noon
			"a- b-", // 01-06 at midnight
			"a- b-", // 01-07
		} {
			if got := out.all(); got != want {
				t.Errorf("step %d, at %s: told %q, want %q", i, time.Now().UTC(), got, want)
			}
			time.Sleep(untilNext(e, time.Now()))
			synctest.Wait()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// told is a log of exceptions.
type told struct {
	mu  sync.Mutex
	log strings.Builder
}

func (l *told) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(line)
}

// all names those that were told since it was asked last, with + before their end and - after it.
func (l *told) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for line := range strings.Lines(l.log.String()) {
		_, name, _ := strings.Cut(line, `data.peers[\"`)
		name, _, _ = strings.Cut(name, ".")
		sign := "+"
		if strings.Contains(line, "no longer counts") && strings.Contains(line, "has ended") {
			sign = "-"
		}
		all = append(all, name+sign)
	}
	l.log.Reset()
	return strings.Join(all, " ")
}

// What the configuration gives has its line there.
func TestPlacedEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("rival.example: {deny: true}", "old.example: {channel: plaintext, until: 2020-01-01}")
	c, err := config.Load(h.config)
	must(t, err)
	for want, x := range map[string]policy.Exception{
		h.config + `:12: peers[old.example]: has ended: until x`: {Document: "peers", Name: "old.example", Ended: true, About: "until x"},
		`data.observe.peers["old.example"] ends: until x`:        {Document: "observe.peers", Name: "old.example", About: "until x"},
		`data.peers["other.example"] ends: until x`:              {Document: "peers", Name: "other.example", About: "until x"},
	} {
		if got := placedEnd(c, x); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// All places tell the same of one grant: check, policy check, the log at the start, status and metrics.
func TestGrantThatEndsIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	soon := time.Now().UTC().AddDate(0, 0, 3).Format(time.DateOnly)
	h.write("policy/grants.yaml", "grants:\n  deal: {rules: [files], peers: [x.example], owner: legal, ticket: OPS-7, reason: merger, until: "+soon+"}\n"+
		"  old: {rules: [files], peers: [x.example], owner: legal, ticket: OPS-6, reason: merger, until: 2020-01-01}\n")
	ends, ended := `data.grants["deal"] ends: until "`+soon+`", owner "legal", ticket "OPS-7"`, `data.grants["old"] has ended: until "2020-01-01", owner "legal", ticket "OPS-6"`
	g := h.start()
	g.await(`level=WARN msg="an exception has ended and no longer counts" reason="data.grants.*old`)
	g.await(`level=WARN msg="an exception ends soon" reason="data.grants.*deal.*advice=`)
	for _, command := range [][]string{{"check"}, {"policy", "check"}, {"status"}} {
		code, out, stderr := call(append(command, "-c", h.config)...)
		if code != 0 || !strings.Contains(out, "\n"+ends+"\n") || !strings.Contains("\n"+out, "\n"+ended+"\n") {
			t.Errorf("%v: exit %d\n%s%s", command, code, out, stderr)
		}
	}
	text := h.metrics()
	for _, want := range []string{"\nsallyport_policy_exceptions_ended 1\n", "\nsallyport_policy_exception_remaining_seconds ", "# TYPE sallyport_policy_exception_remaining_seconds gauge"} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
	g.signal(syscall.SIGTERM)
	g.end()
}
