package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// leftoverName is a file beside the record's secrets: what the record does not take while its disk fails, for the next start should the
// gate end before it does.
const leftoverName = "unrecorded.json"

// leftover is what the record still has to get.
type leftover struct {
	Count  uint64    `json:"count"`  // of events that never will be in it
	Passed uint64    `json:"passed"` // of them: stanzas that were let pass
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Error  string    `json:"error"`
	Held   []Event   `json:"held,omitempty"` // that wait for the disk
}

func leftoverPath(c Config) string { return filepath.Join(c.SecretsDir(), leftoverName) }

// keepLeftover writes the file, unless it says that already. held says whether the events that wait go into it too: only the end of the gate
// is worth that.
func (l *Log) keepLeftover(held bool) error {
	l.mu.Lock()
	m := &l.missed
	left := leftover{Count: m.count, Passed: m.passed, Since: m.since, Until: m.until, Error: m.cause}
	if held {
		left.Held = l.held
		for i := range left.Held {
			if left.Held[i].ID.IsZero() {
				left.Held[i].ID = l.ids.make() // an id has to be one to be read
			}
		}
	}
	same := left.Count == l.keptCount && len(left.Held) == 0
	b, err := json.Marshal(left)
	l.mu.Unlock()
	if err != nil || same {
		return err
	}
	if err := replaceFile(leftoverPath(l.cfg), b); err != nil {
		return err
	}
	l.mu.Lock()
	l.keptCount = left.Count
	l.mu.Unlock()
	return nil
}

// dropLeftover removes the file when all of it is in the record.
func (l *Log) dropLeftover() {
	l.mu.Lock()
	done := l.hasLeftover || l.keptCount > 0
	done = done && l.missed.count == 0 && len(l.held) == 0
	if done {
		l.hasLeftover, l.keptCount = false, 0
	}
	l.mu.Unlock()
	if done {
		if err := ignoreGone(os.Remove(leftoverPath(l.cfg))); err != nil {
			l.cfg.Log.Warn("what was left for the record and is in it now is told of again at the next start", "error", err)
		}
	}
}

// takeLeftover takes up what the last run could not record. A gap that is in the record already was written just before a crash.
func (l *Log) takeLeftover() (held []Event, err error) {
	b, err := os.ReadFile(leftoverPath(l.cfg))
	if err != nil {
		return nil, ignoreGone(err)
	}
	var left leftover
	if err := json.Unmarshal(b, &left); err != nil {
		return nil, fmt.Errorf("reading %s, which says what was not recorded: %w", leftoverPath(l.cfg), err)
	}
	l.hasLeftover = true
	err = Search(context.Background(), l.cfg.Dir, Query{Kind: kinds[AuditGap].name, Since: left.Until, Secrets: l.cfg.Secrets}, func(_ []byte, r Record) error {
		if r.Count == left.Count && r.Since.Equal(left.Since) && r.Until.Equal(left.Until) {
			left = leftover{}
		}
		return nil
	})
	if err != nil && !errors.As(err, new(*DamageError)) {
		return nil, err
	}
	l.missed = gap{count: left.Count, passed: left.Passed, since: left.Since, until: left.Until, cause: cmp.Or(left.Error, "the gate ended before the disk took it")}
	return left.Held, nil
}
