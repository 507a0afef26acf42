package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// pollEvery is how often Tail looks for new lines.
const pollEvery = 200 * time.Millisecond

// Tail gives yield the last n events of several records, all when n is negative, and with follow each new one as it comes, until ctx
// ends; that is then no error. Events come in order of time, as far as they are there when it looks. It follows into new segments, and waits
// for the first one. An error of yield ends it and is returned.
func Tail(ctx context.Context, dirs []string, follow bool, n int, yield func(Hit) error) error {
	var tails []*tail
	there := 0
	for _, dir := range dirs {
		t := &tail{dir: dir}
		defer t.close()
		lines, err := t.start(n)
		if err != nil {
			return err
		}
		tails, there = append(tails, t), there+lines
	}
	before := 0 // of those that are there: they are older than the last n
	if n >= 0 {
		before = max(there-n, 0)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var streams []*stream
		for _, t := range tails {
			streams = append(streams, streaming(t.dir, func(yield func([]byte, Record) error) error { return t.drain(ctx, yield) }))
		}
		err := merge(streams, func(h Hit) error {
			if before > 0 {
				before--
				return nil
			}
			return yield(h)
		})
		if err != nil || !follow {
			return err
		}
		before = 0
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tail reads on behind the writer.
type tail struct {
	dir    string
	r      *lineReader // of the segment it is in; nil: there is none yet
	number int
	last   ID // of the newest event given
}

func (t *tail) close() {
	if t.r != nil {
		t.r.Close()
	}
}

// start opens the segment in which the last n lines begin, at the first of them, and says how many there are.
func (t *tail) start(n int) (there int, err error) {
	numbers, err := segments(t.dir)
	if err != nil {
		return 0, err
	}
	if n < 0 && len(numbers) > 0 {
		return 0, t.enter(numbers[0], 0)
	}
	for i := len(numbers) - 1; i >= 0; i-- {
		offset, lines, err := lastLines(t.dir, numbers[i], n-there)
		if err != nil {
			return 0, err
		}
		if there += lines; there >= n || i == 0 {
			return there, t.enter(numbers[i], offset)
		}
	}
	return 0, nil
}

func (t *tail) enter(number int, offset int64) error {
	r, err := openLines(t.dir, number, offset)
	if err != nil {
		return err
	}
	t.close()
	t.r, t.number = r, number
	return nil
}

// drain gives all that is there, over as many segments as there are.
func (t *tail) drain(ctx context.Context, yield func(line []byte, r Record) error) error {
	for {
		next, more, err := t.following()
		if err != nil {
			return err
		}
		// The writer begins a segment when it has finished the one before it: what is there after next has been seen is all.
		if t.r != nil {
			if err := t.read(ctx, yield); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		if err := t.enter(next, 0); err != nil {
			return err
		}
	}
}

// following looks for the segment after the present one.
func (t *tail) following() (number int, ok bool, err error) {
	numbers, err := segments(t.dir)
	if err != nil {
		return 0, false, err
	}
	for _, n := range numbers {
		if n > t.number {
			return n, true, nil
		}
	}
	return 0, false, nil
}

// read gives what the present segment has got since the last time.
func (t *tail) read(ctx context.Context, yield func(line []byte, r Record) error) error {
	if err := t.regain(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		line, _, err := t.r.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errPassedOver):
			continue
		case err != nil:
			return err
		}
		h, ok := parseHead(line)
		if !ok || bytes.Compare(h.id[:], t.last[:]) <= 0 {
			continue
		}
		r, err := ParseRecord(line)
		if err != nil {
			continue // Verify tells of it
		}
		t.last = h.id
		if err := yield(line, r); err != nil {
			return err
		}
	}
	return nil
}

// regain goes on where the last whole line ended. When the writer has taken lines back (see doc.go), that place may be in the
// middle of another line; reading then begins anew, and ids tell what was given already: they grow, and are never used again.
func (t *tail) regain() error {
	if t.r.offset > 0 {
		var end [1]byte
		if _, err := t.r.src.ReadAt(end[:], t.r.offset-1); err != nil || end[0] != '\n' {
			return t.enter(t.number, 0)
		}
	}
	t.r.again()
	return nil
}

// lastLines finds where the last n whole lines of a segment begin, and how many there are if they are fewer.
func lastLines(dir string, number, n int) (offset int64, lines int, err error) {
	src, err := openSegment(dir, number)
	if err != nil {
		return 0, 0, err
	}
	defer src.Close()
	size, err := src.size()
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 64<<10)
	end := int64(-1) // of the last whole line
	for at := size; at > 0; {
		from := max(at-int64(len(buf)), 0)
		part := buf[:at-from]
		if _, err := src.ReadAt(part, from); err != nil {
			return 0, 0, fmt.Errorf("reading %s: %w", segmentName(number), err)
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] != '\n' {
				continue
			}
			if end < 0 {
				end = from + int64(i) + 1
			} else {
				lines++
			}
			if lines == n {
				return from + int64(i) + 1, n, nil
			}
		}
		at = from
	}
	if end < 0 {
		return 0, 0, nil
	}
	return 0, lines + 1, nil
}
