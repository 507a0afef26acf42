package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"sallyport/internal/peer"
)

// Counter counts the stanzas that arrive at an end, over all streams that lead there.
type Counter struct {
	mu      sync.Mutex
	arrived int64
	errors  int64
	last    string        // the latest error stanza
	changed chan struct{} // closed and renewed at every change
	answer  func(n int)   // called with the number of messages of each piece that was read
}

func newCounter() *Counter { return &Counter{changed: make(chan struct{})} }

// Read counts the elements of a proved stream until its closing tag. Its buffer grows only where there is traffic, because an idle
// generator holds thousands of streams.
func (c *Counter) Read(r io.Reader) {
	split := peer.Splitter{Depth: 1}
	buf := make([]byte, 2<<10)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		messages, faults, last, ended := int64(0), int64(0), "", false
		split.Feed(buf[:n], func(item []byte) bool {
			switch {
			case bytes.HasPrefix(item, []byte("</")):
				ended = true
			case !bytes.HasPrefix(item, []byte("<message")):
			case isError(item):
				faults, last = faults+1, string(item)
			default:
				messages++
			}
			return true
		})
		c.add(messages, faults, last)
		if ended {
			return
		}
		if n == len(buf) && n < 64<<10 {
			buf = make([]byte, 4*n)
		}
	}
}

// isError looks for type='error' in a stanza's start tag.
func isError(item []byte) bool {
	tag := item[:bytes.IndexByte(item, '>')]
	return bytes.Contains(tag, []byte("type='error'")) || bytes.Contains(tag, []byte(`type="error"`))
}

func (c *Counter) add(messages, faults int64, last string) {
	if messages+faults == 0 {
		return
	}
	c.mu.Lock()
	c.arrived += messages
	c.errors += faults
	if faults > 0 {
		c.last = last
	}
	answer := c.answer
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	if answer != nil && messages > 0 {
		answer(int(messages))
	}
}

// onArrival has f called with the number of messages of each piece that is read from now on; nil ends that.
func (c *Counter) onArrival(f func(n int)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

func (c *Counter) now() (arrived int64, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived, c.changed
}

// lastError is the latest error stanza that arrived, cut short, and how many there were.
func (c *Counter) lastError() (string, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[:min(len(c.last), 300)], c.errors
}

// stall is how long nothing may arrive before a run is given up.
const stall = 20 * time.Second

// Await waits until n messages have arrived. It gives up when none came for a while: they were lost, or bounced.
func (c *Counter) Await(ctx context.Context, n int64) error {
	patience := time.NewTimer(stall)
	defer patience.Stop()
	for {
		arrived, changed := c.now()
		if arrived >= n {
			return nil
		}
		select {
		case <-changed:
			patience.Reset(stall)
		case <-patience.C:
			return fmt.Errorf("%d of %d stanzas arrived, and no more for %s", arrived, n, stall)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
