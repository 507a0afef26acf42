package crash

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sallyport/audit"
)

var kills = flag.Int("kills", 10, "how often the gate is killed")

// TestKilledAtAnyMoment holds DESIGN §5, 3: all that was delivered is in the record, and nothing is lost in silence.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "dir: audit, segment_bytes: 262144") // a kill is to meet every part of a segment's life
	sending, cancel := context.WithCancel(t.Context())
	finish := w.send(sending)
	w.start()
	for n := range *kills {
		// Each third kill meets a gate that may not be done with telling of the last one.
		if before := w.count(); n%3 != 2 {
			w.await(60*time.Second, "stanza through the gate", func() bool { return w.count() > before+20 })
		}
		// Not a wait for something: the moment of a power cut is nobody's to choose.
		<-time.After(moment(400 * time.Millisecond))
		w.kill()
		w.start()
	}
	cancel()
	finish()
	dir := filepath.Join(w.dir, "audit")
	w.await(60*time.Second, "word to all senders of what was lost", func() bool {
		r := w.read(dir)
		return len(r.open()) == 0 && len(w.untold(r)) == 0
	})
	w.stop()
	r := w.read(dir)
	w.compare(r)
	if out, err := exec.CommandContext(t.Context(), w.binary, "audit", "verify", dir).CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	t.Logf("%d kills: %d stanzas recorded, %d delivered, %d lost and told of", *kills, len(r.stanzas), w.count(), len(r.lost))
}

// record is what the record says of stanzas, by their ids.
type record struct {
	stanzas map[string]audit.Record
	ids     map[uint64]string // seq → id
	outcome map[string]string
	lost    map[string]string // id → what the record says of its sender
}

func (w *world) read(dir string) record {
	w.t.Helper()
	r := record{map[string]audit.Record{}, map[uint64]string{}, map[string]string{}, map[string]string{}}
	err := audit.Search(w.t.Context(), dir, audit.Query{}, func(_ []byte, e audit.Record) error {
		switch {
		case e.Kind == "stanza" && e.Decision.Effect == "allow":
			if _, twice := r.stanzas[e.Stanza.ID]; twice {
				return fmt.Errorf("%s is recorded twice", e.Stanza.ID)
			}
			r.stanzas[e.Stanza.ID], r.ids[e.Seq] = e, e.Stanza.ID
		case e.Kind == "delivery":
			for _, of := range e.Of {
				for seq := of.First; seq <= of.Last; seq++ {
					id, ok := r.ids[seq]
					if !ok {
						continue // a range may span other events
					}
					if had := r.outcome[id]; had != "" {
						return fmt.Errorf("%s is settled twice: %s, then %s", id, had, e.Outcome)
					}
					if r.outcome[id] = e.Outcome; e.Outcome == audit.Lost {
						r.lost[id] = e.Text
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// open are the stanzas of which the record does not say what became of them.
func (r record) open() (ids []string) {
	for id := range r.stanzas {
		if r.outcome[id] == "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// untold are the lost stanzas whose senders have no answer.
func (w *world) untold(r record) (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range r.lost {
		if w.told[id] == "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// compare holds the record against what the servers on both sides have seen.
func (w *world) compare(r record) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.arrived {
		if _, ok := r.stanzas[id]; !ok {
			w.t.Errorf("%s was delivered and is not in the record", id)
		}
		if n > 1 {
			w.t.Errorf("%s was delivered %d times", id, n)
		}
	}
	for id := range w.told {
		if r.outcome[id] != audit.Lost {
			w.t.Errorf("the sender of %s was told that it is lost; the record says %q", id, r.outcome[id])
		}
	}
	unseen := 0
	for id := range r.stanzas {
		if r.outcome[id] == audit.Acked && w.arrived[id] == 0 {
			w.t.Errorf("%s is recorded as acked and never arrived", id)
		}
		if r.outcome[id] == audit.Written && w.arrived[id] == 0 {
			unseen++
		}
	}
	if unseen > 0 {
		w.t.Logf("%d stanzas were written to a connection that a kill broke before the peer read them", unseen)
	}
}
