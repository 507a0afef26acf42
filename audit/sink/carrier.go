package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
)

const (
	pollEvery  = 200 * time.Millisecond // how often a carrier looks for new events
	drainEvery = 20 * time.Millisecond  // how often Drain looks whether all is through
	saveEvery  = time.Second            // how often a cursor goes to the disk
	sendTime   = 30 * time.Second       // for one batch
	dialTime   = 10 * time.Second
	firstWait  = 250 * time.Millisecond // after a failure; doubled up to lastWait
	lastWait   = 30 * time.Second
	batchBytes = 4 << 20
)

// event is one event on its way: what it says, and the line itself.
type event struct {
	audit.Record
	line []byte
}

// receiver is a connection to the other end.
type receiver interface {
	// send delivers events, none when it only looks how far things are; at is the place behind the last. It returns the place before
	// which all has surely arrived.
	send(ctx context.Context, events []event, at audit.Place) (audit.Place, error)
	// post delivers a signed checkpoint.
	post(ctx context.Context, c checkpoint) error
	close()
}

// checkpoint is a signed checkpoint on its way.
type checkpoint struct {
	node, id, text string
	time           time.Time
}

// carrier runs one sink.
type carrier struct {
	// Set at birth.
	cfg  Config
	rec  Record
	log  *slog.Logger
	news chan struct{} // there is a checkpoint
	told chan struct{} // closed when the first attempt has ended, well or not

	checkpoint atomic.Pointer[string] // the newest
	posted     atomic.Pointer[string]
	oldest     atomic.Int64 // Unix nanoseconds of the oldest event that was not taken; 0: none
	sent       atomic.Uint64
	answered   atomic.Bool   // the receiver has taken something since the start
	seq        atomic.Uint64 // taken up to here

	// Owned by run.
	opened bool
	tried  bool        // told is closed
	done   audit.Place // all before it has arrived
	saved  cursor
	savedA time.Time

	mu sync.Mutex
	// Guarded by mu.
	err    string
	since  time.Time
	postAt time.Time
}

// open takes up the cursor.
func (c *carrier) open() error {
	cur, err := readCursor(c.rec.Dir, c.cfg.Name)
	if err != nil {
		return err
	}
	cur.Required = c.cfg.Required
	if err := cur.write(c.rec.Dir, c.cfg.Name); err != nil {
		return err
	}
	c.saved, c.done, c.opened = cur, cur.Place, true
	c.seq.Store(c.done.Seq)
	return nil
}

// run carries until ctx ends, from the cursor anew after each failure.
func (c *carrier) run(ctx context.Context) {
	wait := firstWait
	for ctx.Err() == nil {
		before := c.sent.Load()
		err := c.carry(ctx)
		if ctx.Err() != nil {
			break
		}
		if c.sent.Load() != before {
			wait = firstWait
		}
		c.fail(err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
	if err := c.save(true); err != nil {
		c.log.Error("the cursor of a sink was not written; events will be sent again", "error", err)
	}
}

// carry delivers over one connection until something fails.
func (c *carrier) carry(ctx context.Context) error {
	if !c.opened {
		if err := c.open(); err != nil {
			return err
		}
	}
	r := audit.NewReader(c.rec.Dir, c.done)
	defer func() { r.Close() }()
	// The events first: how far behind the sink is, is known also while nobody answers.
	events, err := c.collect(r)
	if err != nil {
		return err
	}
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	out, from, err := c.dial(dialing)
	cancel()
	if err != nil {
		return err
	}
	defer out.close()
	if from != c.done {
		c.done = from
		r.Close()
		r = audit.NewReader(c.rec.Dir, from)
		events = nil
	}
	for {
		if err := c.deliver(ctx, out, events, r.Place()); err != nil {
			return err
		}
		if events, err = c.collect(r); err != nil {
			return err
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.news:
		case <-time.After(pollEvery):
		}
	}
}

// dial connects, and says from which place the receiver wants the events.
func (c *carrier) dial(ctx context.Context) (receiver, audit.Place, error) {
	switch c.cfg.Type {
	case Postgres:
		return dialPostgres(ctx, c.cfg, c.rec.Node)
	case Syslog:
		return dialSyslog(ctx, c.cfg, c.rec.Node, c.done)
	case NATS:
		return dialNATS(ctx, c.cfg, c.rec.Node, c.done)
	case OTLP:
		return dialOTLP(ctx, c.cfg, c.rec.Node, c.done)
	}
	return nil, c.done, fmt.Errorf("type %q: not known", c.cfg.Type)
}

// collect reads what is there, at most a batch.
func (c *carrier) collect(r *audit.Reader) ([]event, error) {
	var events []event
	size := 0
	for len(events) < c.cfg.Batch && size < batchBytes {
		line, rec, err := r.Next(c.rec.Committed())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.oldest.CompareAndSwap(0, time.Now().UnixNano()) // what it lacks is not known
			return nil, fmt.Errorf("reading the record: %w", err)
		}
		// A damaged line, which no receiver of text would ever take, must not hold up all that come after it.
		events = append(events, event{rec, bytes.ToValidUTF8(line, []byte("\uFFFD"))})
		size += len(line)
	}
	if len(events) > 0 {
		c.oldest.Store(events[0].Time.UnixNano())
	} else {
		c.oldest.Store(0)
	}
	return events, nil
}

// deliver sends a batch, and the newest checkpoint if it is news.
func (c *carrier) deliver(ctx context.Context, out receiver, events []event, at audit.Place) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if len(events) > 0 || c.done != at {
		done, err := out.send(ctx, events, at)
		if err != nil {
			return fmt.Errorf("sending events: %w", err)
		}
		c.done = done
		c.seq.Store(at.Seq)
		c.sent.Add(uint64(len(events)))
	}
	took := len(events) > 0
	if text := c.checkpoint.Load(); text != nil && text != c.posted.Load() {
		if err := out.post(ctx, newCheckpoint(c.rec.Node, *text)); err != nil {
			return fmt.Errorf("posting a checkpoint: %w", err)
		}
		c.posted.Store(text)
		took = true
		c.mu.Lock()
		c.postAt = time.Now()
		c.mu.Unlock()
	}
	if took {
		c.answered.Store(true)
	}
	c.fail(nil)
	return c.save(false)
}

// save writes the cursor, if it is time to or must be now.
func (c *carrier) save(now bool) error {
	if c.done == c.saved.Place || !now && time.Since(c.savedA) < saveEvery {
		return nil
	}
	c.saved.Place, c.savedA = c.done, time.Now()
	return c.saved.write(c.rec.Dir, c.cfg.Name)
}

// fail remembers and tells what is wrong, once for each failure of another kind; nil: it works.
func (c *carrier) fail(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if !c.tried && (err != nil || c.answered.Load()) {
		c.tried = true
		defer close(c.told)
	}
	c.mu.Lock()
	before := c.err
	if c.err = text; before == "" || text == "" {
		c.since = time.Now()
	}
	c.mu.Unlock()
	switch {
	case before == "" && err != nil:
		c.log.Warn("a sink does not take the record; it is tried again", "type", c.cfg.Type, "required", c.cfg.Required, "error", err)
	case before != "" && err == nil:
		c.log.Info("the sink takes the record again", "type", c.cfg.Type)
	}
}

func (c *carrier) lastError() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err == "" && !c.answered.Load():
		return "it is being tried"
	case c.err == "":
		return "it is too slow"
	}
	return c.err
}

// goesOn says whether the sink works and is not through.
func (c *carrier) goesOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == "" && (c.rec.Committed() > c.seq.Load() || c.checkpoint.Load() != c.posted.Load())
}

// behind is the age of the oldest event that was not taken.
func (c *carrier) behind() time.Duration {
	oldest := c.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(time.Since(time.Unix(0, oldest)), 0)
}

func (c *carrier) status() Status {
	s := Status{Name: c.cfg.Name, Type: c.cfg.Type, Required: c.cfg.Required, Seconds: c.behind().Seconds(), Sent: c.sent.Load()}
	if seq, committed := c.seq.Load(), c.rec.Committed(); committed > seq {
		s.Records = committed - seq
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Error, s.Posted = c.err, c.postAt
	if s.Error != "" {
		s.Since = c.since
	}
	return s
}
