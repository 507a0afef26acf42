package audit

import (
	"testing"
	"time"
)

func TestIDsGrowWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)
	m := newIDMaker(ID{})
	last := ID{}
	for _, step := range []time.Duration{0, 0, time.Millisecond, time.Hour, 0, -2 * time.Hour, time.Second, 24 * time.Hour} {
		start = start.Add(step)
		m.at(start)
		for range 100 {
			id := m.make()
			if id.String() <= last.String() {
				t.Fatalf("after a step of %s: %s does not come after %s", step, id, last)
			}
			last = id
		}
	}
	for range 3 { // the counter runs over within a millisecond
		m.counter = 1<<counterBits - 1
		for range 2 {
			id := m.make()
			if id.String() <= last.String() {
				t.Fatalf("%s does not come after %s", id, last)
			}
			last = id
		}
	}
	if next := newIDMaker(last); next.make().String() <= last.String() {
		t.Error("the ids of the next process do not come after those of this one")
	}
}

func TestIDsOfProcessesDiffer(t *testing.T) {
	t.Parallel()
	now := time.Now()
	seen := map[ID]bool{}
	for range 1000 {
		m := newIDMaker(ID{})
		m.at(now)
		id := m.make()
		if seen[id] {
			t.Fatalf("%s was made twice", id)
		}
		seen[id] = true
	}
}

func TestIDHasTheTimeInFront(t *testing.T) {
	t.Parallel()
	m := newIDMaker(ID{})
	m.at(time.UnixMilli(1469918176385)) // the example of the ULID specification
	if id := m.make().String(); id[:10] != "01ARYZ6S41" {
		t.Errorf("id %s does not begin with 01ARYZ6S41", id)
	}
}

func TestParseID(t *testing.T) {
	t.Parallel()
	m := newIDMaker(ID{})
	m.at(time.Now())
	id := m.make()
	for _, s := range []string{id.String(), "01j8zk3v5n0000000000000000"} {
		if _, err := ParseID(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "01J8", id.String() + "0", "81J8ZK3V5N0000000000000000", "01J8ZK3V5N000000000000000U", "01J8ZK3V5N00000000000000\n0"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q passes for an id", s)
		}
	}
	if (ID{}).String() != "" || !(ID{}).IsZero() || id.IsZero() {
		t.Error("the zero id must be empty")
	}
}
