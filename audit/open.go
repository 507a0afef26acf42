package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Open opens the record of c.Dir for appending, and makes the directory if there is none. What a crash left half written at the
// end is cut off, and recorded as an audit.repair event. Numbers, ids and time go on where the record ends.
//
// The error is a *LockedError when another process writes to the record; all faults of c; or that of the file system.
func Open(c Config) (*Log, error) {
	return openOn(c, osDisk{}, time.Now)
}

// openOn is Open on a disk and with a clock of the caller's choice.
func openOn(c Config, d disk, now func() time.Time) (_ *Log, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if err := makeDir(d, c.Dir); err != nil {
		return nil, fmt.Errorf("opening the audit record: %w", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the audit record: %w", err)
	}
	defer func() {
		if err != nil {
			lock.Close()
			err = fmt.Errorf("opening the audit record: %w", err)
		}
	}()
	end, err := findEnd(c.Dir)
	if err != nil {
		return nil, err
	}
	sealing, err := newSealer(c, d)
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg: c, now: now, lock: lock, sealer: sealing,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		enc: newEncoder(c.Node), ids: newIDMaker(end.id), at: end.position, committed: end.position,
		filling: &group{}, spare: &group{},
		w: writer{disk: d, dir: c.Dir, log: c.Log, limit: c.SegmentBytes, age: c.SegmentAge, lowMark: uint64(c.LowSpace)},
	}
	l.enc.most = int(c.Content)
	if l.enc.hasher, err = LoadHasher(c); err != nil {
		return nil, err
	}
	repairs, err := l.w.start(end)
	if err != nil {
		return nil, err
	}
	say, err := l.appoint(end.seq)
	if err != nil {
		l.w.close()
		return nil, err
	}
	var damage *DamageError
	if l.unsettled, err = unsettledRanges(c.Dir); errors.As(err, &damage) {
		c.Log.Error("the audit record is damaged", "error", damage, "advice", "sallyport audit verify says where; the gate goes on behind it")
	} else if err != nil {
		l.w.close()
		return nil, err
	}
	left, err := l.takeLeftover()
	if err != nil {
		l.w.close()
		return nil, err
	}
	l.segment = l.w.name
	l.checkpoint(CheckpointStart)
	if c.Compress == Zstd {
		l.w.packer = startPacker(c, d, l.w.number)
	}
	if l.hasLeftover { // committed before anybody asks what is unsettled
		if len(left) == 0 && l.missed.count == 0 { // all of it is in the record already
			l.dropLeftover()
		}
		l.Note(left...)
		l.turn()
	}
	go l.run()
	l.keeper = l.startKeeper()
	l.Note(say...)
	for _, repair := range repairs {
		c.Log.Warn("the end of the audit record was cut off in a crash, and has been repaired", "segment", repair.Segment, "bytes", repair.Bytes)
		l.Note(repair)
	}
	return l, nil
}

// ending describes where a record ends.
type ending struct {
	position
	id      ID
	segment int   // 0: there is none
	packed  bool  // and it is compressed: closed for good
	whole   int64 // bytes of that segment up to the end of its last good line
	size    int64 // bytes of it
	began   time.Time
	before  *ending // where the segment before it ends, if it got no line itself
}

// findEnd reads the last segment. What stands at its end and is no line, for want of an end or because it is not JSON, is what a
// crash leaves when it cuts a write in two: it counts as not written. A bad line with good ones behind it is not a crash's work,
// and is left for Verify; so is a line of somebody else's.
func findEnd(dir string) (ending, error) {
	numbers, err := segments(dir)
	if err != nil || len(numbers) == 0 {
		return ending{}, err
	}
	end, err := endOf(dir, numbers[len(numbers)-1])
	if err != nil {
		return ending{}, err
	}
	// The last segment may have been begun and got no line: the one before it then has the last event.
	for i := len(numbers) - 2; i >= 0 && end.seq == 0; i-- {
		before, err := endOf(dir, numbers[i])
		if err != nil {
			return ending{}, err
		}
		end.position, end.id = before.position, before.id
		if end.whole == 0 && !before.packed {
			end.before = &before
		}
	}
	return end, nil
}

func endOf(dir string, number int) (ending, error) {
	end := ending{segment: number}
	r, err := openLines(dir, number, 0)
	if err != nil {
		return end, err
	}
	defer r.Close()
	_, end.packed = r.src.(*packed)
	for {
		line, torn, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			end.size = r.offset + int64(torn)
			return end, nil
		case err != nil && !errors.Is(err, errPassedOver):
			return end, err
		case !json.Valid(line):
			continue
		}
		end.whole = r.offset
		h, t, err := lineOfOurs(line)
		if err != nil {
			return end, fmt.Errorf("%s, line %d: %w", r.name, r.number, err)
		}
		if h.seq == 0 {
			continue
		}
		if end.began.IsZero() {
			end.began = t
		}
		end.position, end.id = position{h.seq, t}, h.id
	}
}

// lineOfOurs reads the head of a line; its seq is 0 when the line is not ours. The error is for a line that a later version of
// the program wrote: this one cannot know how to go on behind it.
func lineOfOurs(line []byte) (h head, t time.Time, err error) {
	h, ok := parseHead(line)
	if !ok {
		var later struct {
			V int `json:"v"`
		}
		if json.Unmarshal(line, &later) == nil && later.V > version {
			err = fmt.Errorf("written by a later version of the program (format %d)", later.V)
		}
		return head{}, t, err
	}
	t, err = time.Parse(timeLayout, string(h.time))
	if _, idErr := ParseID(h.id.String()); err != nil || idErr != nil {
		return head{}, t, nil
	}
	return h, t, nil
}

// start opens the last segment, or makes the first one. The events tell of what had to be cut off. What a process that was killed had
// written and not synced is synced now, name and all: from here on it counts as durable. So does what it had written to the segment
// before, when it was about to begin this one.
func (w *writer) start(end ending) (repairs []Event, err error) {
	if end.segment == 0 || end.packed {
		w.number, w.name = end.segment+1, segmentName(end.segment+1)
		w.file, err = newSegment(w.disk, w.path(w.number))
		return nil, err
	}
	if end.before != nil {
		f, err := w.mended(*end.before, &repairs)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	w.number, w.name, w.durable, w.reach, w.began = end.segment, segmentName(end.segment), end.whole, end.whole, end.began
	w.file, err = w.mended(end, &repairs)
	return repairs, err
}

// mended opens a segment and cuts off what is no line at its end.
func (w *writer) mended(end ending, repairs *[]Event) (file, error) {
	if end.size > end.whole {
		repair, err := describeTail(w.path(end.segment), end)
		if err != nil {
			return nil, err
		}
		*repairs = append(*repairs, *repair)
	}
	f, err := w.disk.open(w.path(end.segment))
	if err != nil {
		return nil, err
	}
	if end.size > end.whole {
		err = f.Truncate(end.whole)
	}
	if err == nil {
		err = f.sync()
	}
	if err == nil {
		err = w.disk.syncDir(w.dir)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("taking up %s: %w", segmentName(end.segment), err)
	}
	return f, nil
}

// describeTail says what is about to be cut off.
func describeTail(path string, end ending) (*Event, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tail := io.NewSectionReader(f, end.whole, end.size-end.whole)
	start := make([]byte, min(tail.Size(), maxText/2))
	if _, err := tail.ReadAt(start, 0); err != nil {
		return nil, fmt.Errorf("reading the end of %s: %w", filepath.Base(path), err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, tail); err != nil {
		return nil, fmt.Errorf("reading the end of %s: %w", filepath.Base(path), err)
	}
	return &Event{Kind: AuditRepair, Segment: filepath.Base(path), Bytes: uint64(tail.Size()), SHA256: hex.EncodeToString(sum.Sum(nil)), Text: string(start)}, nil
}
