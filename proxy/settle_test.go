package proxy

import (
	"testing"

	"sallyport/audit"
)

// What was refused has its end in its own event. That its sender could not be told is said, and is no stanza that was let pass and dropped.
func TestRefusedAndNotTold(t *testing.T) {
	t.Parallel()
	var record notes
	p := &Proxy{Record: &record}
	p.settle(&answered{seq: 7, denied: true}, true)
	p.settle(&answered{seq: 8, denied: true}, false)
	if len(record.events) != 1 || record.events[0].Outcome != audit.Untold || record.events[0].Of[0].First != 8 {
		t.Errorf("noted %+v", record.events)
	}
}
