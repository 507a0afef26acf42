package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Deletion is what is to go, segment by segment, and what stays and why.
type Deletion struct {
	Due  []ClosedSegment
	Kept []KeptSegment

	dir  string
	disk disk
	gone ranges // the seqs that were deleted before, as recorded
}

// ClosedSegment is one that may be deleted.
type ClosedSegment struct {
	Segment     string
	Seqs        SeqRange
	Begin, End  time.Time
	number      int
	rootAtClose tlog.Hash
}

// KeptSegment is one that the order speaks of, and that stays.
type KeptSegment struct {
	Segment string
	Why     string
	until   time.Time // not to be looked at again before
}

// Order says which segments shall be deleted. Before zero: those whose retention is over.
type Order struct {
	Before time.Time // all lines are older
	Now    time.Time
	Wait   map[string]time.Time // segments that are known to be due at that time at the earliest
}

// Delete deletes closed segments. Each is brought into the record by note before it goes; with a nil note nothing is done, and the
// answer says what would be. No hold can be placed meanwhile. What stays, stays for one of these reasons: a line of it has its retention
// before it; it is under a hold; a sink still has to carry it (Config.Needed); a stanza of it is still on its way; or no checkpoint covers
// it yet. While lines of the record are missing, or are not those that its checkpoints cover, nothing is deleted: see provedHolds.
func Delete(ctx context.Context, c Config, o Order, note func(Event) error) (d Deletion, err error) {
	return deleteOn(ctx, osDisk{}, c, o, note)
}

func deleteOn(ctx context.Context, on disk, c Config, o Order, note func(Event) error) (d Deletion, err error) {
	c = c.withDefaults()
	if o.Before.After(o.Now) {
		return d, fmt.Errorf("%s is still to come", o.Before.Format(time.DateOnly))
	}
	find := func() error {
		d, err = plan(ctx, c, o)
		d.dir, d.disk = c.Dir, on
		if err != nil || note == nil {
			return err
		}
		for _, s := range d.Due {
			if err := d.delete(s, note); err != nil {
				return fmt.Errorf("deleting %s: %w", s.Segment, err)
			}
		}
		if o.Before.IsZero() {
			return looked(c.Dir, o.Now)
		}
		return nil
	}
	if note != nil {
		err = withHoldLock(c.Dir, find)
	} else {
		err = find()
	}
	return d, err
}

// delete notes one segment, and removes it. The event lists all seqs that are gone by order, those of earlier events too: these may be
// deleted themselves one day.
func (d *Deletion) delete(s ClosedSegment, note func(Event) error) error {
	d.gone = d.gone.with(s.Seqs)
	e := Event{Kind: AuditDelete, Of: d.gone, Segment: s.Segment, Count: s.Seqs.Last - s.Seqs.First + 1, Since: s.Begin, Until: s.End, SHA256: hex.EncodeToString(s.rootAtClose[:])}
	if err := note(e); err != nil {
		return err
	}
	plain := filepath.Join(d.dir, s.Segment)
	index := filepath.Join(d.dir, fmt.Sprintf("%08d.idx", s.number))
	for _, path := range []string{plain, plain + packedSuffix, index} {
		if err := ignoreGone(d.disk.remove(path)); err != nil {
			return err
		}
	}
	return d.disk.syncDir(d.dir)
}

// with is the set and one range more, wherever it lies.
func (rs ranges) with(r SeqRange) ranges {
	all := append(slices.Clone(rs), r)
	slices.SortFunc(all, func(a, b SeqRange) int { return cmp.Compare(a.First, b.First) })
	out := all[:1]
	for _, r := range all[1:] {
		if last := &out[len(out)-1]; r.First <= last.Last+1 {
			last.Last = max(last.Last, r.Last)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// covers says whether all of a range is in.
func (rs ranges) covers(r SeqRange) bool {
	return slices.ContainsFunc(rs, func(in SeqRange) bool { return in.First <= r.First && r.Last <= in.Last })
}

// within counts the seqs of a range that are in.
func (rs ranges) within(r SeqRange) (n uint64) {
	for _, in := range rs {
		if first, last := max(in.First, r.First), min(in.Last, r.Last); first <= last {
			n += last - first + 1
		}
	}
	return n
}

// deletedSeqs reads from the newest audit.delete event, whose seq is by, which seqs are gone by order.
func deletedSeqs(dir string) (gone ranges, by uint64, err error) {
	numbers, err := segments(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, n := range slices.Backward(numbers) {
		err := eachLine(context.Background(), dir, []int{n}, func(line []byte, h head) error {
			if string(h.kind) != kinds[AuditDelete].name {
				return nil
			}
			r, err := ParseRecord(line)
			if err != nil {
				return errBadLine
			}
			gone, by = r.Of, h.seq
			return nil
		})
		if err != nil && !errors.As(err, new(*DamageError)) {
			return nil, 0, err
		}
		if gone != nil {
			return gone, by, nil
		}
	}
	return nil, 0, nil
}

// planner looks at one segment after another.
type planner struct {
	c      Config
	o      Order
	holder *holder // made when there is something to be held
	open   ranges  // stanzas on their way
	stored hashFile
	proved int64  // leaves that the last checkpoint vouches for
	held   ranges // seqs under a hold, of the segments that were looked at
}

func plan(ctx context.Context, c Config, o Order) (d Deletion, err error) {
	p := planner{c: c, o: o}
	if p.open, err = unsettledRanges(c.Dir); err != nil {
		return d, err
	}
	stored, closer, err := openHashes(c.Dir)
	if err != nil {
		return d, err
	}
	defer closer.Close()
	p.stored = stored
	if last, err := LastCheckpoint(c.Dir); err != nil {
		return d, fmt.Errorf("no checkpoint says what the record was: %w", err)
	} else if stored.holds(last) {
		p.proved = last.Size
	}
	if d.gone, _, err = deletedSeqs(c.Dir); err != nil {
		return d, err
	}
	numbers, err := segments(c.Dir)
	if err != nil || len(numbers) == 0 {
		return d, err
	}
	for _, n := range numbers[:len(numbers)-1] { // the last one is being written
		if o.Wait[segmentName(n)].After(o.Now) {
			continue
		}
		s, kept, err := p.segment(ctx, n)
		switch {
		case err != nil:
			return d, err
		case kept.Why != "":
			d.Kept = append(d.Kept, kept)
		case s.number != 0:
			d.Due = append(d.Due, s)
		}
	}
	return d, nil
}

// segment says whether one may go, or why it stays. Neither: the order is not about it.
func (p *planner) segment(ctx context.Context, number int) (s ClosedSegment, kept KeptSegment, err error) {
	kept.Segment = segmentName(number)
	end, ok, err := lastTime(p.c.Dir, number)
	if err != nil || !ok || !p.meant(end) {
		return s, kept, err
	}
	if p.holder == nil {
		if p.holder, err = provedHolder(ctx, p.c); err != nil {
			return s, kept, err
		}
	}
	l := look{p: p, number: number, ends: map[string]*[len(timeLayout)]byte{}}
	var damage DamageError
	if err := eachLineOf(ctx, p.c.Dir, number, wholeSegment, &damage, l.line); err != nil {
		return s, kept, err
	}
	if damage.Lines > 0 || l.seqs.Last-l.seqs.First+1 != l.lines {
		l.why = "it is damaged: audit verify says where"
	}
	if kept.Why, kept.until = l.verdict(); kept.Why != "" {
		return s, kept, nil
	}
	s = ClosedSegment{Segment: kept.Segment, Seqs: l.seqs, Begin: l.begin, End: end, number: number}
	s.rootAtClose, err = tlog.TreeHash(int64(l.seqs.Last), p.stored)
	return s, kept, err
}

// meant says whether the order is about a segment that ends at a time.
func (p *planner) meant(end time.Time) bool {
	if !p.o.Before.IsZero() {
		return end.Before(p.o.Before)
	}
	due, ok := p.c.Retention.shortest(end)
	return ok && !due.After(p.o.Now)
}

// lastTime is that of a segment's last line; ok is false where none can be read.
func lastTime(dir string, number int) (last time.Time, ok bool, err error) {
	offset, _, err := lastLines(dir, number, 1)
	if err != nil {
		return last, false, err
	}
	r, err := openLines(dir, number, offset)
	if err != nil {
		return last, false, err
	}
	defer r.Close()
	line, _, err := r.next()
	if errors.Is(err, io.EOF) || errors.Is(err, errPassedOver) {
		return last, false, nil
	}
	if err != nil {
		return last, false, err
	}
	h, ok := parseHead(line)
	if !ok {
		return last, false, nil
	}
	last, err = time.Parse(timeLayout, string(h.time))
	return last, err == nil, nil
}

// look goes through the lines of a segment.
type look struct {
	p      *planner
	number int
	seqs   SeqRange
	lines  uint64
	begin  time.Time
	ends   map[string]*[len(timeLayout)]byte // by class: the time of its last line
	why    string                            // it stays
}

func (l *look) line(line []byte, h head) error {
	if l.lines++; l.lines == 1 {
		l.seqs.First = h.seq
		l.begin, _ = time.Parse(timeLayout, string(h.time))
	}
	l.seqs.Last = h.seq
	class := classOf(line, h)
	at := l.ends[string(class)]
	if at == nil {
		at = new([len(timeLayout)]byte)
		l.ends[string(class)] = at
	}
	copy(at[:], h.time)
	p := l.p
	if name, held := p.holder.matching(line, h); held {
		p.held.add(h.seq)
		l.stays("hold " + name + " is on it")
	} else if name, placed := p.holder.placed(line, h); placed {
		l.stays("hold " + name + " was placed in it")
	} else if string(h.kind) == kinds[Delivery].name && len(p.held) > 0 && p.settlesHeld(line) {
		l.stays("it tells what became of a stanza under a hold")
	}
	if n := int64(min(h.seq, farthest)) - 1; n < 0 || n >= p.proved {
		l.stays("the tree and its checkpoints do not reach to its end yet")
	}
	return nil
}

func (l *look) stays(why string) {
	if l.why == "" {
		l.why = why
	}
}

func (p *planner) settlesHeld(line []byte) bool {
	of, _, err := settles(line)
	return err != nil || slices.ContainsFunc(of, func(r SeqRange) bool {
		return slices.ContainsFunc(p.held, func(h SeqRange) bool { return h.First <= r.Last && r.First <= h.Last })
	})
}

// verdict says why a segment stays, and until when at least.
func (l *look) verdict() (why string, until time.Time) {
	for class, text := range l.ends {
		last, err := time.Parse(timeLayout, string(text[:]))
		if err != nil {
			return "it is damaged: audit verify says where", until
		}
		term, ends := l.p.c.Retention.of(class)
		switch {
		case ends && term.end(last).After(l.p.o.Now):
			if end := term.end(last); end.After(until) {
				until = end
				why = fmt.Sprintf("its lines of class %s are kept until %s (%s)", class, end.Format(time.DateOnly), term)
			}
		case !ends && l.p.o.Before.IsZero():
			return fmt.Sprintf("its lines of class %s are kept for good: audit.retention has no term for them", class), l.p.o.Now.AddDate(maxTerm, 0, 0)
		}
	}
	on := func(r SeqRange) bool { return r.First <= l.seqs.Last && l.seqs.First <= r.Last }
	switch needed := l.p.c.Needed; {
	case l.why != "":
		return l.why, time.Time{}
	case why != "":
	case slices.ContainsFunc(l.p.open, on):
		why = "what became of a stanza in it is not known yet"
	case needed != nil:
		if from, ok, err := needed(); err != nil {
			why = fmt.Sprintf("how far the sinks are is not known: %v", err)
		} else if ok && l.number >= from {
			why = fmt.Sprintf("a required sink has carried the record only as far as %s", segmentName(from))
		}
	}
	return why, until
}

// classOf is the retention class of a line.
func classOf(line []byte, h head) []byte {
	if h.code/10 != kinds[Stanza].code/10 {
		return []byte(DefaultClass)
	}
	_, rest, ok := bytes.Cut(line, []byte(`,"retention":"`))
	if !ok {
		return []byte(DefaultClass)
	}
	class, _, _ := bytes.Cut(rest, []byte(`"`))
	if bytes.IndexByte(class, '\\') >= 0 {
		if r, err := ParseRecord(line); err == nil {
			return []byte(r.Decision.Retention)
		}
	}
	return class
}
