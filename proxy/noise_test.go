package proxy

import (
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/audit"
)

// kept is a record in memory.
type kept struct {
	Recorder
	mu     sync.Mutex
	events []audit.Event
}

func (k *kept) Note(events ...audit.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, events...)
}

// What strangers make the gate write is bounded for each address and in all; the rest is counted, once a minute, and none of it is lost
// ([B20]).
func TestNoiseIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		record := &kept{}
		p := &Proxy{Record: record, Log: slog.New(slog.DiscardHandler)}
		p.settings.Store(&Settings{Limits: Limits{FailuresPerAddress: 3, Failures: 5}})
		told := func(address string, times int) (n int) {
			for range times {
				if p.noise.loud(p, netip.MustParseAddr(address)) {
					n++
				}
			}
			return n
		}
		if one, two, three := told("192.0.2.1", 100), told("192.0.2.2", 100), told("192.0.2.3", 110); one != 3 || two != 0 || three != 0 {
			t.Errorf("%d, %d and %d are told of three addresses of a network, want 3, 0 and 0", one, two, three)
		}
		if one, two, three := told("198.51.100.1", 10), told("203.0.113.1", 10), told("2001:db8::", 10); one != 1 || two != 1 || three != 0 {
			t.Errorf("%d, %d and %d are told of further networks, want 1, 1 and 0", one, two, three)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if len(record.events) != 1 || record.events[0].Kind != audit.AuthFlood || record.events[0].Count != 335 || record.events[0].Address != "192.0.2.3" ||
			!strings.HasSuffix(record.events[0].Text, ": 110 from 192.0.2.3, 100 from 192.0.2.2, 97 from 192.0.2.1, the rest from others") {
			t.Fatalf("after the minute the record has %+v", record.events)
		}
		if n := told("192.0.2.1", 2); n != 2 {
			t.Errorf("%d of 2 are told in the next minute", n)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if len(record.events) != 1 {
			t.Errorf("a minute in which all was told is told again: %+v", record.events[1:])
		}
		told("192.0.2.1", 4) // one too many
		p.noise.flush(p)     // as the shutdown does
		if len(record.events) != 2 || record.events[1].Count != 1 {
			t.Errorf("at the end the record has %+v", record.events[1:])
		}
		p.noise.flush(p)
		if len(record.events) != 2 {
			t.Error("it is told twice")
		}
	})
}
