package crash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/xmpptest/receivers"
)

// receiver is what a sink carries the record to.
type receiver struct {
	name        string // of the sink
	yaml        string
	start, stop func()
	ids         func() map[string]int
	once        bool // it has each event once, however often it is sent
}

// all makes one of each kind, and starts it.
func all(t *testing.T) []receiver {
	t.Helper()
	pg, siem, bus, otlp := receivers.Postgres(t), receivers.Syslog(t), receivers.NATS(t), receivers.OTLP(t)
	kill := func(s *receivers.Server) func() { return func() { s.Stop(syscall.SIGKILL) } }
	for _, start := range []func(){pg.Start, siem.Start, bus.Start, otlp.Start} {
		start()
	}
	pg.SetUp("../../docs/audit-postgres.md")
	return []receiver{
		{"archive", fmt.Sprintf("{name: archive, type: postgres, url: %q, secret_file: %q, roots: %q}", pg.URL, pg.Secret, pg.Roots), pg.Start, kill(pg.Server), pg.IDs, true},
		{"siem", fmt.Sprintf("{name: siem, type: syslog, url: %q, roots: %q}", siem.URL, siem.Roots), siem.Start, kill(siem.Server), siem.IDs, false},
		{"bus", fmt.Sprintf("{name: bus, type: nats, url: %q, roots: %q}", bus.URL, bus.Roots), bus.Start, kill(bus.Server), bus.IDs, true},
		{"collector", fmt.Sprintf("{name: collector, type: otlp, url: %q}", otlp.URL), otlp.Start, otlp.Stop, otlp.IDs, false},
	}
}

// TestSinks: a gate under traffic carries its record to a receiver of each kind. Each of them is killed and comes back, and so is the gate;
// nothing that passes is stopped by it, the lag that is measured rises and falls, and in the end each receiver has every event of the record.
func TestSinks(t *testing.T) {
	t.Parallel()
	rs := all(t)
	var sinks []string
	for _, r := range rs {
		sinks = append(sinks, r.yaml)
	}
	w := newWorld(t, "dir: audit, segment_bytes: 65536, sinks: ["+strings.Join(sinks, ", ")+"]")
	talking, cancel := context.WithCancel(t.Context())
	finish := w.talk(talking)
	w.start()
	for _, r := range rs {
		w.await(patience, "event in "+r.name, func() bool { s := w.sink(r.name); return s.Sent > 0 && s.Error == "" })
	}
	for i, r := range rs {
		r.stop()
		w.await(patience, "lag of "+r.name, func() bool { return w.lag(r.name) >= 2 })
		if s := w.sink(r.name); s.Error == "" || s.Records == 0 || s.Since.IsZero() {
			t.Errorf("status of a dead sink: %+v", s)
		}
		w.says("status", `sink `+r.name+` \([a-z]+\): [1-9][0-9]* events behind, by .*, failing for .*: `)
		before := w.count()
		w.await(patience, "stanza past a dead sink", func() bool { return w.count() > before+5 })
		if i == 1 {
			w.kill()
			w.start()
		}
		r.start()
		w.await(patience, "recovery of "+r.name, func() bool { return w.sink(r.name).Error == "" && w.sink(r.name).Sent > 0 && w.lag(r.name) == 0 })
	}
	cancel()
	finish()
	w.await(patience, "rest of the record in all sinks", func() bool {
		for _, r := range rs {
			if s := w.sink(r.name); s.Records > 0 || s.Error != "" {
				return false
			}
		}
		return true
	})
	w.stop()
	dir := filepath.Join(w.dir, "audit")
	if out, err := exec.Command(w.binary, "audit", "verify", dir).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	for _, r := range rs {
		w.complete(dir, r)
	}
}

// complete holds a receiver against the record: it has each event, from the gate's first to its last, and the last checkpoint.
func (w *world) complete(dir string, r receiver) {
	w.t.Helper()
	has := r.ids()
	events, twice := 0, 0
	do(w.t, audit.Search(w.t.Context(), dir, audit.Query{}, func(_ []byte, e audit.Record) error {
		events++
		switch n := has[e.ID.String()]; {
		case n == 0:
			w.t.Errorf("%s lacks %s, %s", r.name, e.ID, e.Kind)
		case n > 1:
			twice++
		}
		return nil
	}))
	if r.once && twice > 0 {
		w.t.Errorf("%s has %d events more than once", r.name, twice)
	}
	if ids := w.checkpoints(dir); has[ids[len(ids)-1]] == 0 {
		w.t.Errorf("%s lacks the last checkpoint", r.name)
	}
	w.t.Logf("%s: %d events, %d more than once", r.name, events, twice)
}

// checkpoints are the ids under which checkpoints are posted, in their order.
func (w *world) checkpoints(dir string) (ids []string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "checkpoints"))
	w.must(err)
	notes, _ := audit.SplitNotes(text)
	for _, note := range notes {
		sum := sha256.Sum256(note)
		ids = append(ids, hex.EncodeToString(sum[:16]))
	}
	return ids
}

// TestRequiredSink: without a sink that is required nothing passes, and senders hear why they should wait: when it is dead at the start, and
// when it has been for longer than its lag. When it comes, so do they.
func TestRequiredSink(t *testing.T) {
	t.Parallel()
	otlp := receivers.OTLP(t)
	w := newWorld(t, fmt.Sprintf("dir: audit, sinks: [{name: collector, type: otlp, url: %q, required: true, lag: 2s}]", otlp.URL))
	w.start()
	w.pairs(2, "resource-constraint")
	w.says("status", `sink collector \(otlp, required\): [1-9][0-9]* events behind`)
	if !strings.Contains(w.output.String(), "the required sink collector has not answered since the start") {
		t.Errorf("the log does not say why:\n%s", w.output)
	}
	otlp.Start()
	w.await(patience, "first event in the sink", func() bool { return w.sink("collector").Error == "" && len(otlp.IDs()) > 0 })
	w.pairs(1, "")
	otlp.Stop()
	w.await(patience, "lag", func() bool {
		w.pairs(1, "?")
		return w.lag("collector") >= 2
	})
	w.pairs(1, "resource-constraint")
	otlp.Start()
	w.await(patience, "recovery", func() bool { return w.sink("collector").Error == "" && w.lag("collector") == 0 })
	w.pairs(1, "")
	w.stop()
	if has, ids := otlp.IDs(), w.checkpoints(filepath.Join(w.dir, "audit")); has[ids[0]] == 0 || has[ids[len(ids)-1]] == 0 {
		t.Errorf("the sink lacks the first checkpoint or the last, of %d", len(ids))
	}
}

// talk has users of both servers write to each other, a few messages a second, until ctx ends.
func (w *world) talk(ctx context.Context) (finish func()) {
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_, to := w.local.User("romeo").Send("juliet@"+partner, "Hello.")
			_, back := w.remote.User("juliet").Send("romeo@"+corp, "Hello.")
			if to != nil || back != nil {
				w.t.Error(to, back)
				return
			}
		}
	})
	return work.Wait
}

// sinkStatus is what status says of a sink.
type sinkStatus struct {
	Name    string
	Records uint64 `json:"records_behind"`
	Error   string
	Since   time.Time
	Sent    uint64
}

func (w *world) sink(name string) sinkStatus {
	w.t.Helper()
	out, err := exec.Command(w.binary, "status", "--json", "-c", filepath.Join(w.dir, "sallyport.yaml")).Output()
	w.must(err)
	var st struct{ Sinks []sinkStatus }
	w.must(json.Unmarshal(out, &st))
	for _, s := range st.Sinks {
		if s.Name == name {
			return s
		}
	}
	w.t.Fatalf("status does not name the sink %s", name)
	return sinkStatus{}
}

// lag is how far a sink is behind, as it is measured, in seconds.
func (w *world) lag(name string) float64 {
	w.t.Helper()
	return w.measureOf("sallyport_audit_sink_lag_seconds", `sink="`+name+`"`)
}
