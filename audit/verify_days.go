package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// statedDays counts the days that have signed statements again, while their lines go by.
type statedDays struct {
	dir    string
	keys   Keys
	signed map[string]bool // days (2026-11-25) of which there are statements; false: they were checked
	last   []byte          // the day of the line before
	open   []*counting     // the days that lines were of lately, the latest last
}

// openDays is how many days are counted at a time: a clock that is set back makes lines of one that was over.
const openDays = 3

// maxStatements bounds the statements of a day that are read.
const maxStatements = 64 << 20

func openDaysOf(dir string, keys Keys) (statedDays, error) {
	d := statedDays{dir: dir, keys: keys, signed: map[string]bool{}}
	entries, err := os.ReadDir(filepath.Join(dir, statementsName))
	for _, e := range entries {
		if day, ok := strings.CutSuffix(e.Name(), statementsSuffix); ok {
			d.signed[day] = true
		}
	}
	return d, ignoreGone(err)
}

// day counts a line. What cannot be read of it is told of elsewhere.
func (v *verifier) day(line []byte, h head) {
	d := &v.days
	if day := h.time[:len(time.DateOnly)]; !bytes.Equal(day, d.last) {
		v.turnTo(string(day))
		d.last = append(d.last[:0], day...)
	}
	if n := len(d.open); n > 0 && d.signed[string(d.last)] {
		_ = d.open[n-1].line(line, h)
	}
}

// turnTo makes a day the latest that is counted.
func (v *verifier) turnTo(day string) {
	d := &v.days
	if still, has := d.signed[day]; !still {
		if has {
			v.here("a line of %s, whose statement was held against the lines before: the clock went back", day)
		}
		return
	}
	i := slices.IndexFunc(d.open, func(c *counting) bool { return c.total.Day.Format(time.DateOnly) == day })
	if i >= 0 {
		d.open = append(slices.Delete(d.open, i, i+1), d.open[i])
		return
	}
	on, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return
	}
	if d.open = append(d.open, newCounting(on)); len(d.open) > openDays {
		v.recount(d.open[0])
		d.open = d.open[1:]
	}
}

// leave remembers the root behind the last line of a day, before the one in hand is in it.
func (v *verifier) leave(h head) {
	d, p := &v.days, &v.proof
	if n := len(d.open); n > 0 && !bytes.Equal(h.time[:len(time.DateOnly)], d.last) && d.open[n-1].total.Last == uint64(p.lines.size) {
		d.open[n-1].total.Root, d.open[n-1].behind = p.lines.root(), uint64(p.lines.size)
	}
}

// finishDays checks what is left, days without a line too.
func (v *verifier) finishDays() {
	d := &v.days
	v.leave(head{time: []byte("9999-12-31")})
	for _, c := range d.open {
		v.recount(c)
	}
	d.open = nil
	left := make([]string, 0, len(d.signed))
	for day, still := range d.signed {
		if still {
			left = append(left, day)
		}
	}
	slices.Sort(left)
	for _, day := range left {
		on, err := time.Parse(time.DateOnly, day)
		if err != nil {
			v.fault(filepath.Join(statementsName, day+statementsSuffix), 0, "its name is no day")
			continue
		}
		v.recount(newCounting(on))
	}
}

// recount holds the statements of a day against what its lines give.
func (v *verifier) recount(c *counting) {
	day := c.total.Day.Format(time.DateOnly)
	v.days.signed[day] = false
	s := stated{v: v, name: filepath.Join(statementsName, day+statementsSuffix), day: day, seen: map[string]bool{}}
	b, err := readStatements(statementsPath(v.days.dir, c.total.Day))
	if err != nil {
		v.fault(s.name, 0, err.Error())
		return
	}
	notes, rest := SplitNotes(b)
	if len(notes) == 0 || len(rest) > 0 {
		v.fault(s.name, 0, "it is not whole")
	}
	line := 1
	for _, signed := range notes {
		s.check(line, signed, c)
		line += bytes.Count(signed, []byte("\n"))
	}
	for _, one := range s.counted {
		if !s.seen[one.Peer] {
			v.fault(s.name, 0, fmt.Sprintf("there is no statement about %s in it, and lines are", Visible(one.Peer)))
		}
	}
}

func readStatements(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxStatements+1))
	if err == nil && len(b) > maxStatements {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d MiB", maxStatements>>20)}
	}
	return b, err
}

// stated is a file of statements that is being checked.
type stated struct {
	v         *verifier
	name, day string
	counted   []Statement // anew
	seen      map[string]bool
}

func (s *stated) check(line int, signed []byte, c *counting) {
	fault := func(format string, args ...any) { s.v.fault(s.name, line, fmt.Sprintf(format, args...)) }
	n, err := s.v.days.keys.open(signed)
	if err != nil {
		fault("%v", err)
		return
	}
	node, day, peer, ok := statementHead(n.Text)
	if !ok || day != s.day || node != n.Sigs[0].Name {
		fault("not a statement of this day and gate")
		return
	}
	if s.seen[peer] {
		fault("a second statement about %s", Visible(peer))
	}
	s.seen[peer] = true
	if s.counted == nil {
		if s.counted, err = c.finish(s.v.days.dir, node); err != nil {
			fault("the day cannot be counted again: %v", err)
			return
		}
	}
	lines := ""
	if i := slices.IndexFunc(s.counted, func(one Statement) bool { return one.Peer == peer }); i >= 0 {
		lines = s.counted[i].Text()
	}
	if n.Text == lines {
		return
	}
	if err := deletedOf(s.v.days.dir, n.Text, s.counted[0]); !errors.Is(err, ErrDeleted) {
		said, is := firstDifference(n.Text, lines)
		fault("the statement about %s says %q, and the lines give %q", Visible(peer), said, is)
	}
}

// firstDifference is the first line in which two texts differ, of either.
func firstDifference(a, b string) (x, y string) {
	for a != b && x == y {
		x, a, _ = strings.Cut(a, "\n")
		y, b, _ = strings.Cut(b, "\n")
	}
	return x, y
}
