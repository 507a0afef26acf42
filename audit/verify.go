package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Torn      int               `json:"torn"`      // bytes behind the last whole line: being written just now, or left by a crash
	Faults    []Fault           `json:"faults"`    // the first maxFaults of them
	Found     uint64            `json:"found"`     // all faults
}

// OK says whether the record is as a gate writes it.
func (r *Report) OK() bool { return r.Found == 0 }

// Fault is one place where the record is not as a gate writes it.
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

const maxFaults = 100

// Verify reads a whole record and checks that each line is JSON as the gate writes it, that seq goes on without a gap from the
// first line to the last, that ids grow, that within a segment time does not go back, and that no segment is missing. It finds
// accidents; an attacker who can write to the directory is found by what comes later, the tree over the lines.
//
// The error is that of the file system; all that is wrong with the record is in the report.
func Verify(dir string) (Report, error) {
	numbers, err := segments(dir)
	if err != nil {
		return Report{}, err
	}
	v := verifier{now: time.Now(), report: Report{Segments: len(numbers), Kinds: map[string]uint64{}, Faults: []Fault{}}}
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			v.fault(segmentName(n), 0, fmt.Sprintf("the segment before it is missing: the last one is %s", segmentName(numbers[i-1])))
		}
		if err := v.segment(dir, n, i == len(numbers)-1); err != nil {
			return v.report, err
		}
	}
	v.report.Unsettled = v.open.count()
	return v.report, nil
}

type verifier struct {
	report Report
	now    time.Time
	any    bool
	id     ID
	time   []byte // of the line before, in the same segment
	open   ranges
}

func (v *verifier) fault(segment string, line int, reason string) {
	if v.report.Found++; len(v.report.Faults) < maxFaults {
		v.report.Faults = append(v.report.Faults, Fault{segment, line, reason})
	}
}

func (v *verifier) segment(dir string, number int, last bool) error {
	r, err := openLines(dir, number, 0)
	if err != nil {
		return fmt.Errorf("verifying the record: %w", err)
	}
	defer r.Close()
	v.time = v.time[:0]
	for {
		line, torn, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			if torn > 0 && !last {
				v.fault(r.name, r.number+1, "the last line has no end")
			}
			v.report.Torn = torn
			return nil
		case errors.Is(err, errLongLine):
			v.fault(r.name, r.number, errLongLine.Error())
			continue
		case err != nil:
			return fmt.Errorf("verifying the record: %w", err)
		}
		for _, reason := range v.line(line) {
			v.fault(r.name, r.number, reason)
		}
	}
}

// line checks one line against those before it.
func (v *verifier) line(line []byte) (faults []string) {
	h, ok := parseHead(line)
	if !ok || !json.Valid(line) {
		return []string{"not a line that a gate wrote"}
	}
	t, err := time.Parse(timeLayout, string(h.time))
	if err != nil {
		return []string{fmt.Sprintf("time %q: %v", h.time, err)}
	}
	rep := &v.report
	if v.any && h.seq != rep.Last+1 {
		faults = append(faults, fmt.Sprintf("seq %d follows %d", h.seq, rep.Last))
	}
	if bytes.Compare(h.id[:], v.id[:]) <= 0 {
		faults = append(faults, fmt.Sprintf("id %s does not come after %s", h.id, v.id))
	}
	if _, err := ParseID(h.id.String()); err != nil {
		faults = append(faults, err.Error())
	}
	if bytes.Compare(h.time, v.time) < 0 {
		faults = append(faults, fmt.Sprintf("time goes back from %s to %s within a segment", v.time, h.time))
	}
	if t.Year() < 2000 || t.After(v.now.Add(24*time.Hour)) {
		faults = append(faults, fmt.Sprintf("time %s is absurd", h.time))
	}
	if reason := v.settle(line, h); reason != "" {
		faults = append(faults, reason)
	}
	if !v.any {
		rep.First, rep.Begin, v.any = h.seq, t, true
	}
	rep.Last, rep.End, v.id = h.seq, t, h.id
	v.time = append(v.time[:0], h.time...)
	rep.Events++
	rep.Kinds[string(h.kind)]++
	return faults
}

// settle follows which stanzas have got their delivery event.
func (v *verifier) settle(line []byte, h head) (fault string) {
	switch {
	case h.code == kinds[Stanza].code && h.seq > v.report.Last:
		v.open.add(h.seq)
	case string(h.kind) == kinds[Delivery].name:
		of, _, err := settles(line)
		if err != nil {
			return err.Error()
		}
		for _, r := range of {
			if r.Last >= h.seq {
				return fmt.Sprintf("settles seq %d, which comes after it", r.Last)
			}
			v.open.remove(r)
		}
	}
	return ""
}
