package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// Unsettled lists the stanzas that were allowed and recorded, and of which no delivery event says what became of them, in the
// order of seq. After a crash these are the ones whose senders have to be told; in a running gate, those on their way.
//
// It reads back only as far as the newest delivery event says that something may be open. A *DamageError comes with what could
// be read nevertheless.
func Unsettled(dir string) ([]Record, error) {
	open, damage := unsettledRanges(dir)
	if len(open) == 0 {
		return nil, damage
	}
	numbers, err := segments(dir)
	if err != nil {
		return nil, err
	}
	from, err := segmentOf(dir, numbers, open[0].First)
	if err != nil {
		return nil, err
	}
	var found []Record
	err = eachLine(context.Background(), dir, numbers[from:], func(line []byte, h head) error {
		if !h.code.passes() || !open.has(h.seq) {
			return nil
		}
		r, err := ParseRecord(line)
		if err != nil {
			return errBadLine
		}
		found = append(found, r)
		return nil
	})
	if err == nil {
		err = damage
	}
	return found, err
}

// unsettledRanges finds the seqs of the allowed stanzas without a delivery event.
func unsettledRanges(dir string) (ranges, error) {
	numbers, err := segments(dir)
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	mark, err := lowMark(dir, numbers)
	if err != nil {
		return nil, err
	}
	from, err := segmentOf(dir, numbers, mark)
	if err != nil {
		return nil, err
	}
	var open ranges
	err = eachLine(context.Background(), dir, numbers[from:], func(line []byte, h head) error {
		switch {
		case h.seq < mark:
		case h.code.passes():
			open.add(h.seq)
		case string(h.kind) == kinds[Delivery].name:
			of, _, err := settles(line)
			if err != nil {
				return errBadLine
			}
			for _, r := range of {
				open.remove(r)
			}
		}
		return nil
	})
	return open, err
}

// lowMark is the seq below which the newest delivery event that can be read says that all is settled; 0 when there is none.
func lowMark(dir string, numbers []int) (mark uint64, err error) {
	for i := len(numbers) - 1; i >= 0 && mark == 0; i-- {
		err := eachLine(context.Background(), dir, numbers[i:i+1], func(line []byte, h head) error {
			if string(h.kind) != kinds[Delivery].name {
				return nil
			}
			_, settled, err := settles(line)
			if err != nil {
				return errBadLine
			}
			mark = max(mark, settled)
			return nil
		})
		if err != nil && !errors.As(err, new(*DamageError)) {
			return 0, err
		}
	}
	return mark, nil
}

// segmentOf gives the index of the segment that holds a seq: the last one that does not begin behind it.
func segmentOf(dir string, numbers []int, seq uint64) (int, error) {
	for i := len(numbers) - 1; i > 0; i-- {
		h, ok, err := firstHead(dir, numbers[i])
		if err != nil {
			return 0, err
		}
		if ok && h.seq <= seq {
			return i, nil
		}
	}
	return 0, nil
}

// firstHead reads the head of a segment's first line; ok is false when there is no whole line of ours.
func firstHead(dir string, number int) (h head, ok bool, err error) {
	r, err := openLines(dir, number, 0)
	if err != nil {
		return h, false, err
	}
	defer r.Close()
	line, _, err := r.next()
	if errors.Is(err, io.EOF) || errors.Is(err, errPassedOver) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	h, ok = parseHead(append([]byte(nil), line...))
	return h, ok, nil
}

// DamageError says that lines of a record could not be read. What could be was.
type DamageError struct {
	Lines int    // that are not lines of ours
	First string // where the first is
}

func (e *DamageError) add(r *lineReader) {
	if e.Lines++; e.Lines == 1 {
		e.First = fmt.Sprintf("%s:%d", r.name, r.number)
	}
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%d lines of the record cannot be read, the first at %s", e.Lines, e.First)
}

// eachLine gives f the whole lines of segments in order. A line that cannot be read is passed over; when all is done, the error
// is a *DamageError that tells of it, and of those that f calls errBadLine. The line and what head keeps of it are valid during
// the call.
func eachLine(ctx context.Context, dir string, numbers []int, f func(line []byte, h head) error) error {
	var damage DamageError
	for _, n := range numbers {
		if err := eachLineOf(ctx, dir, n, wholeSegment, &damage, f); err != nil {
			return err
		}
	}
	if damage.Lines > 0 {
		return &damage
	}
	return nil
}

// wholeSegment is all of one.
var wholeSegment = []extent{{end: math.MaxInt64}}

// eachLineOf does the same for parts of one segment.
func eachLineOf(ctx context.Context, dir string, number int, parts []extent, damage *DamageError, f func(line []byte, h head) error) error {
	if len(parts) == 0 {
		return nil
	}
	r, err := openLines(dir, number, 0)
	if err != nil {
		if gone(err) { // a closed segment that was moved away while we read
			return nil
		}
		return err
	}
	defer r.Close()
	for _, part := range parts {
		r.within(part)
		if err := eachLineHere(ctx, r, damage, f); err != nil {
			if errors.Is(err, errNextSegment) {
				return nil
			}
			return err
		}
	}
	return nil
}

func eachLineHere(ctx context.Context, r *lineReader, damage *DamageError, f func(line []byte, h head) error) error {
	for {
		line, _, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errPassedOver):
			damage.add(r)
			continue
		case err != nil:
			return err
		}
		h, ok := parseHead(line)
		if !ok {
			damage.add(r)
			continue
		}
		if r.number&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch err := f(line, h); {
		case errors.Is(err, errBadLine):
			damage.add(r)
		case err != nil:
			return err
		}
	}
}

// What eachLine's callers can say: the rest of the segment is of no interest; the line begins like ours and is none.
var (
	errNextSegment = errors.New("next segment")
	errBadLine     = errors.New("the line cannot be read")
)
