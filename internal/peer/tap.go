package peer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Tap is a relay on a wire between servers that looks at every byte passing and tells what a listener could have read. It
// follows each direction through the part in clear (headers, features, STARTTLS), and from <starttls/> and <proceed/> on it
// asks that every byte belong to a TLS record.
type Tap struct {
	ln     net.Listener
	target string
	ctx    context.Context // of the relayed connections; ends with Close
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu  sync.Mutex
	sum Crossed
}

// Crossed counts what went over a tapped wire, both directions together.
type Crossed struct {
	Connections int
	Secured     int64    // bytes inside TLS records
	Clear       int64    // bytes in clear
	Exposed     int64    // of those in clear: bytes of stanzas, of dialback keys, and of whatever has no place outside TLS
	Samples     []string // the beginnings of the first few that were exposed
}

// Add returns the sum of two taps.
func (c Crossed) Add(d Crossed) Crossed {
	c.Connections += d.Connections
	c.Secured += d.Secured
	c.Clear += d.Clear
	c.Exposed += d.Exposed
	c.Samples = append(c.Samples, d.Samples...)
	return c
}

// NewTap relays what connects to listen (ip:port; default: a free port of 127.0.0.1) to target, until Close.
func NewTap(listen, target string) (*Tap, error) {
	ln, err := net.Listen("tcp", cmp.Or(listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("tapping %s: %w", target, err)
	}
	t := &Tap{ln: ln, target: target}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.work.Go(t.accept)
	return t, nil
}

// Addr is where the tap listens, ip:port.
func (t *Tap) Addr() string { return t.ln.Addr().String() }

// Close ends the relayed connections and stops.
func (t *Tap) Close() error {
	t.stop()
	t.work.Wait()
	return nil
}

// Crossed tells what has passed up to now. A direction whose last element is incomplete is judged when it ends.
func (t *Tap) Crossed() Crossed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Crossed{}.Add(t.sum)
}

func (t *Tap) accept() {
	defer context.AfterFunc(t.ctx, func() { t.ln.Close() })()
	for {
		conn, err := t.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			t.work.Go(func() { t.relay(conn) })
		}
	}
}

// relay passes one connection on, and each direction's end by itself.
func (t *Tap) relay(caller net.Conn) {
	defer caller.Close()
	called, err := new(net.Dialer).DialContext(t.ctx, "tcp", t.target)
	if err != nil {
		return
	}
	defer called.Close()
	defer context.AfterFunc(t.ctx, func() { caller.Close(); called.Close() })()
	t.count(Crossed{Connections: 1})
	var both sync.WaitGroup
	both.Go(func() { t.pump(called, caller) })
	both.Go(func() { t.pump(caller, called) })
	both.Wait()
}

// pump copies one direction. What was seen is counted before it is passed on, so that a count taken after a stanza arrived
// has that stanza in it.
func (t *Tap) pump(to, from net.Conn) {
	var w watcher
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		t.count(w.look(buf[:n]))
		if n > 0 {
			if _, e := to.Write(buf[:n]); e != nil {
				err = e
			}
		}
		if err != nil {
			break
		}
	}
	t.count(w.finish())
	if half, ok := to.(*net.TCPConn); ok {
		half.CloseWrite()
	}
}

func (t *Tap) count(c Crossed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum = t.sum.Add(c)
	t.sum.Samples = t.sum.Samples[:min(len(t.sum.Samples), 5)]
}

// watcher follows one direction of one connection.
type watcher struct {
	begun   bool // a byte was seen
	secured bool // TLS has begun: records only
	broken  bool // what came was no record; everything since is exposed
	split   Splitter

	head []byte // of the record that is being read, until it is whole
	left int    // bytes still to come of that record
}

// look classifies the next bytes.
func (w *watcher) look(b []byte) (c Crossed) {
	if !w.begun && len(b) > 0 {
		w.begun = true
		w.secured = b[0] == recordHandshake // direct TLS, XEP-0368
	}
	if !w.secured {
		before := len(b)
		b = w.split.Feed(b, func(item []byte) bool {
			if !harmless(item) {
				c.expose(item)
			}
			name := string(Name(item))
			w.secured = name == "starttls" || name == "proceed"
			return !w.secured
		})
		c.Clear += int64(before - len(b))
	}
	w.records(b, &c)
	return c
}

// finish judges what was left incomplete.
func (w *watcher) finish() (c Crossed) {
	rest := w.split.Incomplete()
	if !w.secured && len(bytes.TrimSpace(rest)) > 0 && !harmless(rest) {
		c.expose(rest)
	}
	return c
}

func (c *Crossed) expose(b []byte) {
	c.Exposed += int64(len(b))
	c.Samples = append(c.Samples, string(b[:min(len(b), 80)]))
}

// harmless says whether an item may be seen by all the world: what the two servers must say before TLS, and answers of dialback
// that carry no key.
func harmless(item []byte) bool {
	switch string(Name(item)) {
	case "?xml", "stream", "features", "starttls", "proceed", "failure", "error":
		return true
	case "result", "verify":
		text, _, _ := bytes.Cut(item[bytes.IndexByte(item, '>')+1:], []byte("<"))
		return bytes.Contains(item, []byte("type=")) && len(bytes.TrimSpace(text)) == 0
	}
	return false
}

// The record types of TLS, RFC 8446 §5.1.
const (
	recordChangeCipherSpec = 20
	recordHandshake        = 22
	recordApplicationData  = 23
	recordOverhead         = 2048 // what TLS 1.2 may add to 2^14 bytes of content
)

// records walks over TLS records. The first thing that is none ends the walk: no later byte is trusted to be one.
func (w *watcher) records(b []byte, c *Crossed) {
	for len(b) > 0 && !w.broken {
		if w.left > 0 {
			n := min(w.left, len(b))
			w.left -= n
			c.Secured += int64(n)
			b = b[n:]
			continue
		}
		n := min(5-len(w.head), len(b))
		w.head = append(w.head, b[:n]...)
		b = b[n:]
		if len(w.head) < 5 {
			return
		}
		w.left = int(w.head[3])<<8 | int(w.head[4])
		w.broken = w.head[0] < recordChangeCipherSpec || w.head[0] > recordApplicationData || w.head[1] != 3 || w.left > 1<<14+recordOverhead
		if w.broken {
			c.Clear += int64(len(w.head))
			c.expose(w.head)
		} else {
			c.Secured += 5
		}
		w.head = w.head[:0]
	}
	if len(b) > 0 {
		c.Clear += int64(len(b))
		c.expose(b)
	}
}
