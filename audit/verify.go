package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Report is what Verify found.
type Report struct {
	Segments  int               `json:"segments"`
	Events    uint64            `json:"events"`
	First     uint64            `json:"first"` // seq
	Last      uint64            `json:"last"`  // seq
	Begin     time.Time         `json:"begin"` // of the first event
	End       time.Time         `json:"end"`   // of the last one
	Kinds     map[string]uint64 `json:"kinds"`
	Unsettled uint64            `json:"unsettled"` // allowed stanzas that no delivery event settles, as far as these segments tell
	Deleted   uint64            `json:"deleted"`   // events whose deletion is on the record
	Torn      int               `json:"torn"`      // bytes behind the last whole line: being written just now, or left by a crash

	Gate        string    `json:"gate"`        // whose checkpoints they are
	Checkpoints uint64    `json:"checkpoints"` // in the record, whose signatures are good
	Covered     uint64    `json:"covered"`     // the seq up to which a checkpoint vouches for the lines
	CoveredAt   time.Time `json:"covered_at"`  // when that one was made
	OwnKeys     bool      `json:"own_keys"`    // the signatures were checked by the keys that lie in the record itself: no proof
	Pauses      []Pause   `json:"pauses"`      // spans without a checkpoint, the first maxFaults of them

	Faults []Fault `json:"faults"` // the first maxFaults of them
	Found  uint64  `json:"found"`  // all faults
}

// OK says whether the record is as a gate wrote it.
func (r *Report) OK() bool { return r.Found == 0 }

// Fault is one place where the record is not as a gate wrote it.
type Fault struct {
	Segment string `json:"segment"` // name of the file
	Line    int    `json:"line"`    // from 1; 0: the file itself
	Reason  string `json:"reason"`
}

func (f Fault) String() string {
	if f.Line == 0 {
		return f.Segment + ": " + f.Reason
	}
	return fmt.Sprintf("%s:%d: %s", f.Segment, f.Line, f.Reason)
}

// Pause is a span in which no checkpoint was made, though one was due.
type Pause struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Why  string    `json:"why"`
}

const maxFaults = 100

// Auditor is what somebody brings along who does not take the operator's word: keys and checkpoints from elsewhere. Without keys, those
// that lie beside the record are taken, which finds accidents; who can change the record can change them too.
type Auditor struct {
	Keys        Keys
	Checkpoints [][]byte // signed notes that were kept elsewhere
}

// Each gives an auditor for each of several records, with the checkpoints that are of it. The error is for those that are of none, and for
// a gate whose key is there and of which there is no record among several.
func (a Auditor) Each(dirs []string) (each []Auditor, err error) {
	each = make([]Auditor, len(dirs))
	origins := make([]string, len(dirs))
	for i, dir := range dirs {
		each[i].Keys = a.Keys
		if c, err := LastCheckpoint(dir); err == nil {
			origins[i] = c.Origin
		}
	}
	known := origins
	for _, key := range a.Keys.list {
		if name := key.Name(); len(dirs) > 1 && !slices.Contains(known, name) {
			known = append(slices.Clone(known), name) // it is said once
			err = errors.Join(err, fmt.Errorf("there is a key of %s, and none of these records is its", name))
		}
	}
	for _, signed := range a.Checkpoints {
		c, openErr := a.Keys.OpenPosted(signed)
		found := false
		for i, origin := range origins {
			// A record that has none itself is not excused from those that were kept.
			if openErr != nil || len(dirs) == 1 || origin == c.Origin || origin == "" {
				each[i].Checkpoints = append(each[i].Checkpoints, signed)
				found = true
			}
		}
		if !found {
			err = errors.Join(err, fmt.Errorf("a checkpoint of %s was shown, and no record of it", c.Origin))
		}
	}
	return each, err
}

// Verify is what can be found without an auditor's keys: see [Auditor.Verify].
func Verify(dir string) (Report, error) { return Auditor{}.Verify(dir) }

// Verify reads a whole record once and holds it against its tree and checkpoints: an edit, a line that was put in, removed, doubled or
// moved, a segment that is missing and a tail that was cut off show, up to the last checkpoint that it is shown, and each with its place.
// The signed statements of days are counted again. It also checks that seq goes on without a gap from 1 to the last, that ids grow, and that within a segment time does not go back.
//
// The error is that of the file system; all that is wrong with the record is in the report.
func (a Auditor) Verify(dir string) (Report, error) {
	v, err := a.begin(dir)
	if err != nil {
		return v.report, fmt.Errorf("verifying the record: %w", err)
	}
	defer v.proof.close()
	v.deleted = sync.OnceValue(func() ranges {
		gone, by, err := deletedSeqs(dir)
		if err != nil {
			v.fault(segmentName(1), 0, err.Error())
		}
		v.excuse = by
		return gone
	})
	numbers, err := segments(dir)
	if err != nil {
		return v.report, err
	}
	v.report.Segments = len(numbers)
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 && !v.deletedBefore(dir, n) {
			v.fault(segmentName(n), 0, fmt.Sprintf("the segment before it is missing: the last one is %s", segmentName(numbers[i-1])))
		}
		err := v.segment(dir, n, i == len(numbers)-1)
		if err != nil && !errors.As(err, new(*fs.PathError)) { // not the disk's fault: what stands there is no segment
			v.here("%v", err)
			err = nil
		}
		if err != nil {
			return v.report, fmt.Errorf("verifying the record: %w", err)
		}
	}
	if v.report.First == 1 && numbers[0] != 1 {
		v.fault(segmentName(numbers[0]), 0, "the record begins in this segment, and should in "+segmentName(1))
	}
	err = v.finish()
	v.finishDays()
	v.report.Unsettled = v.open.count()
	for kind, n := range v.kinds {
		v.report.Kinds[kind] = *n
	}
	return v.report, err
}

// verifier goes through a record from the first line to the last.
type verifier struct {
	report Report
	now    time.Time
	any    bool
	id     ID
	time   []byte // of the line before, in the same segment
	minute []byte // of the last time that was looked at as a whole
	at     time.Time
	open   ranges
	kinds  map[string]*uint64
	proof  proof
	days   statedDays
	place  Fault // where it is: a segment and a line

	deleted func() ranges // what is gone by order, read when first asked for
	excuse  uint64        // seq of the line that says so
}

func (v *verifier) fault(segment string, line int, reason string) {
	if v.report.Found++; len(v.report.Faults) < maxFaults {
		v.report.Faults = append(v.report.Faults, Fault{segment, line, reason})
	}
}

// here is a fault at the line in hand.
func (v *verifier) here(format string, args ...any) {
	v.fault(v.place.Segment, v.place.Line, fmt.Sprintf(format, args...))
}

func (v *verifier) segment(dir string, number int, last bool) error {
	v.place = Fault{Segment: segmentName(number)}
	if err := v.twoForms(dir, number); err != nil {
		return err
	}
	r, err := openLines(dir, number, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	v.time = v.time[:0]
	for {
		line, torn, err := r.next()
		v.place = Fault{Segment: r.name, Line: r.number}
		switch {
		case errors.Is(err, io.EOF):
			if torn > 0 && !last {
				v.fault(r.name, r.number+1, "the last line has no end")
			}
			v.report.Torn = torn
			return nil
		case errors.Is(err, errPassedOver):
			v.here("%v", err)
			continue
		case err != nil:
			return err
		}
		if err := v.line(line); err != nil {
			return err
		}
	}
}

// twoForms holds the compressed form of a segment against the plain one where both are there, as after a crash: readers take the plain
// one, and other programs might not.
func (v *verifier) twoForms(dir string, number int) error {
	path := filepath.Join(dir, segmentName(number))
	if _, err := os.Lstat(path + packedSuffix); gone(err) {
		return nil
	}
	plain, err := openRegular(path)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := same(context.Background(), plain, path+packedSuffix); err != nil && !gone(err) {
		v.fault(segmentName(number)+packedSuffix, 0, fmt.Sprintf("beside the plain form: %v", err))
	}
	return nil
}

// line checks one line against those before it and the tree. One whose hash is the recorded one is what a gate wrote, and need not be
// read further than its head.
func (v *verifier) line(line []byte) error {
	h, ok := parseHead(line)
	if !ok {
		v.here("not a line that a gate wrote")
		return nil
	}
	v.leave(h)
	proved, err := v.prove(line, h)
	if err != nil {
		return err
	}
	if !proved && !json.Valid(line) {
		v.here("not a line that a gate wrote")
		return nil
	}
	t, err := v.moment(h.time)
	if err != nil {
		v.here("time %q: %v", h.time, err)
		return nil
	}
	v.order(h, t)
	v.settle(line, h)
	v.day(line, h)
	rep := &v.report
	if !v.any {
		rep.First, rep.Begin, v.any = h.seq, t, true
	}
	rep.Last, rep.End, v.id = h.seq, t, h.id
	v.time = append(v.time[:0], h.time...)
	rep.Events++
	n := v.kinds[string(h.kind)]
	if n == nil {
		n = new(uint64)
		v.kinds[string(h.kind)] = n
	}
	*n++
	return nil
}

// order checks what grows from line to line.
func (v *verifier) order(h head, t time.Time) {
	rep := &v.report
	switch {
	case h.seq > rep.Last+1 && v.gone(SeqRange{rep.Last + 1, h.seq - 1}):
		rep.Deleted += h.seq - 1 - rep.Last
	case v.any && h.seq != rep.Last+1:
		v.here("seq %d follows %d", h.seq, rep.Last)
	case !v.any && h.seq != 1:
		v.here("the record begins with seq %d: the lines before it are not here", h.seq)
	}
	if bytes.Compare(h.id[:], v.id[:]) <= 0 {
		v.here("id %s does not come after %s", h.id, v.id)
	}
	if !isID(h.id) {
		_, err := ParseID(h.id.String())
		v.here("%v", err)
	}
	if bytes.Compare(h.time, v.time) < 0 {
		v.here("time goes back from %s to %s within a segment", v.time, h.time)
	}
	if t.Year() < 2000 || t.After(v.now.Add(24*time.Hour)) {
		v.here("time %s is absurd", h.time)
	}
}

// gone says whether the record itself tells of the deletion of lines.
func (v *verifier) gone(r SeqRange) bool { return v.deleted().covers(r) }

// deletedBefore says whether all lines between the last one and those of a segment were deleted as recorded.
func (v *verifier) deletedBefore(dir string, number int) bool {
	h, ok, err := firstHead(dir, number)
	return err == nil && ok && h.seq > v.report.Last+1 && v.gone(SeqRange{v.report.Last + 1, h.seq - 1})
}

// isID says whether a head's id is one as a gate makes it.
func isID(id ID) bool {
	for _, c := range id {
		if !isIDDigit(c) {
			return false
		}
	}
	return id[0] <= '7'
}

// moment reads a time. Most lines are of the same minute as the one before, and only their seconds are looked at.
func (v *verifier) moment(text []byte) (time.Time, error) {
	const minute, seconds = len("2006-01-02T15:04"), len("2006-01-02T15:04:05")
	if len(v.minute) == minute && bytes.Equal(text[:minute], v.minute) && text[minute] == ':' && text[seconds] == '.' && text[len(text)-1] == 'Z' {
		s, rest, _ := digits(text[minute+1 : seconds])
		ns, rest2, _ := digits(text[seconds+1 : len(text)-1])
		if len(rest) == 0 && len(rest2) == 0 && s < 60 {
			return v.at.Add(time.Duration(s)*time.Second + time.Duration(ns)), nil
		}
	}
	t, err := time.Parse(timeLayout, string(text))
	if err == nil {
		v.minute, v.at = append(v.minute[:0], text[:minute]...), t.Truncate(time.Minute)
	}
	return t, err
}

// settle follows which stanzas have got their delivery event.
func (v *verifier) settle(line []byte, h head) {
	switch {
	case h.code.passes() && h.seq > v.report.Last:
		v.open.add(h.seq)
	case string(h.kind) == kinds[Delivery].name:
		of, _, err := settles(line)
		if err != nil {
			v.here("%v", err)
		}
		for _, r := range of {
			if r.Last >= h.seq {
				v.here("settles seq %d, which comes after it", r.Last)
				return
			}
			v.open.remove(r)
		}
	}
}
