package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Statement says of one day (UTC) how much crossed between this gate and one remote domain, and how much of that is in the record. All of
// it can be counted again from the lines. Its text is what the gate signs.
type Statement struct {
	Node        string
	Day         time.Time
	Peer        string // remote domain; AllPeers
	First, Last uint64 // seq of the day's lines, of all peers; 0: there are none
	Lines       uint64 // that the record has of them
	Missing     uint64 // that it should have between First and Last, and has not; what was deleted as recorded does not count
	Unrecorded  uint64 // events that the gate itself says it could not record (audit.gap), of all peers
	Passed      uint64 // of them: stanzas that were let pass
	Root        tlog.Hash
	In, Out     Crossings
	Settled     Settled
}

// AllPeers is the peer of the statement about all together.
const AllPeers = "*"

// Crossings counts the stanzas of one direction.
type Crossings struct {
	Recorded uint64 // let pass, with an event each
	Counted  uint64 // let pass at level none: in audit.count events only
	Refused  uint64 // not let pass
	Again    uint64 // that were let pass, and have another event since, for policy said otherwise before they left
}

// Settled counts what became of stanzas, by the delivery events of the day.
type Settled struct{ Acked, Written, Bounced, Dropped, Lost uint64 }

// crossed is all that was let pass.
func (s *Statement) crossed() uint64 {
	n := s.In.Recorded + s.In.Counted + s.Out.Recorded + s.Out.Counted
	if s.Peer == AllPeers {
		n += s.Passed
	}
	return n
}

// statementHead reads whose statement a text is, of which day and about whom.
func statementHead(text string) (node, day, peer string, ok bool) {
	lines := strings.SplitN(text, "\n", 5)
	if len(lines) < 5 || lines[0] != statementBegins {
		return "", "", "", false
	}
	day, ok = strings.CutPrefix(lines[2], "day ")
	peer, ok2 := strings.CutPrefix(lines[3], "peer ")
	return lines[1], day, peer, ok && ok2
}

const statementBegins = "sallyport statement v1"

// Text is the statement as it is signed. Its last line is the sum for people.
func (s *Statement) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nday %s\npeer %s\n", statementBegins, s.Node, s.Day.Format(time.DateOnly), s.Peer)
	fmt.Fprintf(&b, "lines %d from %d to %d, %d missing\nroot %s\n", s.Lines, s.First, s.Last, s.Missing, s.Root)
	for _, d := range []struct {
		name string
		c    Crossings
	}{{"in", s.In}, {"out", s.Out}} {
		fmt.Fprintf(&b, "%s %d crossed, %d with an event, %d counted only, %d refused", d.name, d.c.Recorded+d.c.Counted, d.c.Recorded, d.c.Counted, d.c.Refused)
		if d.c.Again > 0 {
			fmt.Fprintf(&b, ", %d judged again", d.c.Again)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "settled %d acked, %d written, %d bounced, %d dropped, %d lost\n", s.Settled.Acked, s.Settled.Written, s.Settled.Bounced, s.Settled.Dropped, s.Settled.Lost)
	recorded := s.In.Recorded + s.In.Counted + s.Out.Recorded + s.Out.Counted
	fmt.Fprintf(&b, "%d crossed, %d recorded, %d gaps\n", s.crossed(), recorded, s.Missing+s.Unrecorded)
	return b.String()
}

// Complete counts one day of a record, for all peers together and then for each. It streams through the segments of that day.
func Complete(ctx context.Context, dir, node string, day time.Time) ([]Statement, error) {
	day = day.UTC().Truncate(24 * time.Hour)
	c := newCounting(day)
	since, until := string(appendTime(nil, day)), string(appendTime(nil, day.Add(24*time.Hour)))
	numbers, err := segmentsBetween(dir, since, until)
	if err != nil {
		return nil, err
	}
	err = eachLine(ctx, dir, numbers, func(line []byte, h head) error {
		switch {
		case string(h.time) < since:
			return nil
		case string(h.time) >= until:
			return errNextSegment
		}
		return c.line(line, h)
	})
	if err != nil && !errors.As(err, new(*DamageError)) {
		return nil, err
	}
	return c.finish(dir, node)
}

// finish gives the statements of a day that was counted.
func (c *counting) finish(dir, node string) ([]Statement, error) {
	t := &c.total
	t.Node, t.Missing = node, 0
	if t.Lines > 0 {
		t.Missing = t.Last - t.First + 1 - t.Lines
	}
	if t.Missing > 0 {
		deleted, _, err := deletedSeqs(dir)
		if err != nil {
			return nil, err
		}
		t.Missing -= min(t.Missing, deleted.within(SeqRange{t.First, t.Last}))
	}
	if c.behind != t.Last {
		stored, closer, err := openHashes(dir)
		if err != nil {
			return nil, err
		}
		defer closer.Close()
		if t.Root, err = tlog.TreeHash(int64(t.Last), stored); err != nil {
			return nil, treeless(err)
		}
	}
	all := []Statement{*t}
	for _, s := range c.peers {
		s.Node, s.Day, s.First, s.Last, s.Lines, s.Missing, s.Unrecorded, s.Root = t.Node, t.Day, t.First, t.Last, t.Lines, t.Missing, t.Unrecorded, t.Root
		all = append(all, *s)
	}
	slices.SortFunc(all[1:], func(a, b Statement) int { return strings.Compare(a.Peer, b.Peer) })
	return all, nil
}

// segmentsBetween lists the segments that can have lines of a span. Where the clock went back, a later segment can be of an earlier time.
func segmentsBetween(dir, since, until string) (within []int, err error) {
	numbers, err := segments(dir)
	if err != nil {
		return nil, err
	}
	begins := make([]string, len(numbers))
	for i, n := range numbers {
		h, ok, err := firstHead(dir, n)
		if err != nil {
			return nil, err
		}
		if ok {
			begins[i] = string(h.time)
		}
	}
	for i, n := range numbers {
		ended := i+1 < len(numbers) && begins[i] <= begins[i+1] && begins[i+1] < since
		if begins[i] < until && !ended {
			within = append(within, n)
		}
	}
	return within, nil
}

// counting counts the lines of a day as they go by.
type counting struct {
	total  Statement
	peers  map[string]*Statement
	behind uint64 // the line behind which total.Root was taken, if it is the day's last
}

func newCounting(day time.Time) *counting {
	return &counting{total: Statement{Day: day, Peer: AllPeers}, peers: map[string]*Statement{}, behind: math.MaxUint64}
}

func (c *counting) line(line []byte, h head) error {
	t := &c.total
	if t.First == 0 {
		t.First = h.seq
	}
	t.Last = max(t.Last, h.seq)
	t.Lines++
	switch {
	case h.code >= kinds[Stanza].code && h.code < kinds[Delivery].code:
		dir, ok := bareValue(line, `,"dir":"`)
		remote, ok2 := bareValue(line, `,"remote":"`)
		if !ok || !ok2 {
			return c.parsed(line)
		}
		c.each(string(remote), func(s *Statement) { s.way(string(dir)).event(h.code) })
	case string(h.kind) == kinds[Delivery].name:
		of, _, plain := settlesPlain(line)
		remote, ok := bareValue(line, `,"remote":"`)
		outcome, ok2 := bareValue(line, `,"outcome":"`)
		if !plain || !ok || !ok2 {
			return c.parsed(line)
		}
		c.settled(string(remote), string(outcome), of)
	case string(h.kind) == kinds[AuditCount].name, string(h.kind) == kinds[AuditGap].name:
		return c.parsed(line)
	}
	return nil
}

func (c *counting) settled(peer, outcome string, of []SeqRange) {
	var n uint64
	for _, r := range of {
		n += r.Last - r.First + 1
	}
	c.each(peer, func(s *Statement) { s.Settled.add(outcome, n) })
}

// bareValue finds a value that needs no unescaping. No other value can hold the key: quotes within one are escaped.
func bareValue(line []byte, key string) ([]byte, bool) {
	_, rest, ok := bytes.Cut(line, []byte(key))
	value, _, ok2 := bytes.Cut(rest, []byte(`"`))
	return value, ok && ok2 && bytes.IndexByte(value, '\\') < 0
}

// parsed counts a line that has to be read as a whole.
func (c *counting) parsed(line []byte) error {
	r, err := ParseRecord(line)
	if err != nil {
		return errBadLine
	}
	switch r.Kind {
	case kinds[Stanza].name:
		c.each(r.Remote, func(s *Statement) { s.way(r.Dir).event(r.Code) })
	case kinds[AuditCount].name:
		c.each(r.Remote, func(s *Statement) { s.way(r.Dir).add(r.Decision.Effect == "allow", true, r.Count) })
	case kinds[AuditGap].name:
		c.total.Unrecorded += r.Count
		c.total.Passed += r.Passed
	case kinds[Delivery].name:
		c.settled(r.Remote, r.Outcome, r.Of)
	}
	return nil
}

// each counts for all together, and for a peer if there is one.
func (c *counting) each(peer string, count func(s *Statement)) {
	count(&c.total)
	if peer == "" {
		return
	}
	s := c.peers[peer]
	if s == nil {
		if peer == AllPeers { // beyond maxCounts pairs: counted without their names
			return
		}
		s = &Statement{Peer: peer}
		c.peers[peer] = s
	}
	count(s)
}

func (s *Statement) way(dir string) *Crossings {
	if dir == "in" {
		return &s.In
	}
	return &s.Out
}

// event counts a stanza by the code of its event.
func (c *Crossings) event(code Code) {
	first := kinds[Stanza].code
	if code >= first+again {
		c.Again++
		return
	}
	c.add(code == first, false, 1)
}

func (c *Crossings) add(passed, countedOnly bool, n uint64) {
	switch {
	case !passed:
		c.Refused += n
	case countedOnly:
		c.Counted += n
	default:
		c.Recorded += n
	}
}

func (s *Settled) add(outcome string, n uint64) {
	switch outcome {
	case Acked:
		s.Acked += n
	case Written:
		s.Written += n
	case Bounced:
		s.Bounced += n
	case Dropped:
		s.Dropped += n
	case Replaced, Untold: // its other event has an end of its own; it is not one that was let pass
	default:
		s.Lost += n
	}
}

// statementsName is the directory, within that of the record, where the gate puts the signed statements of each day.
const (
	statementsName   = "statements"
	statementsSuffix = ".notes"
)

func statementsPath(dir string, day time.Time) string {
	return filepath.Join(dir, statementsName, day.UTC().Format(time.DateOnly)+statementsSuffix)
}

// state writes the signed statements of a day.
func state(ctx context.Context, dir string, by note.Signer, day time.Time) error {
	all, err := Complete(ctx, dir, by.Name(), day)
	if err != nil {
		return err
	}
	var b []byte
	for i := range all {
		signed, err := note.Sign(&note.Note{Text: all[i].Text()}, by)
		if err != nil {
			return err
		}
		b = append(b, signed...)
	}
	path := statementsPath(dir, day)
	if err := makeDir(osDisk{}, filepath.Dir(path)); err != nil {
		return err
	}
	return replaceFile(path, b)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return osDisk{}.syncDir(filepath.Dir(path))
}

// ErrUnsigned: the gate has not signed a statement of that day, because the day is not over, or older than it looks back.
var ErrUnsigned = errors.New("there is no signed statement of that day")

// ErrDeleted: part of the day was deleted since, as recorded, so that it cannot be counted again. What is left agrees with the statement.
var ErrDeleted = errors.New("lines of that day were deleted since, as the record says")

// Stated gives what the gate signed about a day and a peer, after counting the day again: the error is for a statement that no key of k
// signed, and for one that is not what the record has. ErrUnsigned comes with what was counted, and ErrDeleted with what was signed.
func (k Keys) Stated(ctx context.Context, dir string, day time.Time, peer string) (text string, err error) {
	c, err := LastCheckpoint(dir)
	if err != nil {
		return "", err
	}
	all, err := Complete(ctx, dir, c.Origin, day)
	if err != nil {
		return "", err
	}
	counted := ""
	if i := slices.IndexFunc(all, func(s Statement) bool { return s.Peer == peer }); i >= 0 {
		counted = all[i].Text()
	}
	b, err := readRegular(statementsPath(dir, day))
	if err != nil && !gone(err) {
		return "", err
	}
	notes, _ := SplitNotes(b)
	for _, signed := range notes {
		n, err := k.open(signed)
		if err != nil {
			return "", fmt.Errorf("the statement: %w", err)
		}
		switch _, of, about, ok := statementHead(n.Text); {
		case !ok || of != day.UTC().Format(time.DateOnly):
			return "", fmt.Errorf("%s holds something else than statements of that day", statementsPath(dir, day))
		case about == peer:
			if n.Text != counted {
				err = deletedOf(dir, n.Text, all[0])
			}
			if err != nil && !errors.Is(err, ErrDeleted) {
				err = fmt.Errorf("%w:\n%s", err, counted)
			}
			return string(signed), err
		}
	}
	switch {
	case counted == "":
		return "", fmt.Errorf("nothing crossed to or from %s on %s", peer, day.Format(time.DateOnly))
	case len(notes) == 0:
		return counted, ErrUnsigned
	}
	return counted, fmt.Errorf("%w with %s in it", ErrUnsigned, peer)
}

var errStatement = errors.New("the statement is not what the record has now")

// deletedOf says why a statement is not what is counted: ErrDeleted where deletion explains it, for the lines that are left are no more than
// it says, none is missing without an order, and the tree has still the root that was signed.
func deletedOf(dir, text string, left Statement) error {
	var s Statement
	var root string
	_, rest, _ := strings.Cut(text, "\nlines ")
	if _, err := fmt.Sscanf(rest, "%d from %d to %d, %d missing\nroot %s\n", &s.Lines, &s.First, &s.Last, &s.Missing, &root); err != nil {
		return errStatement
	}
	order, _, err := deletedSeqs(dir)
	if err != nil {
		return err
	}
	deleted := order.within(SeqRange{s.First, s.Last})
	if deleted == 0 || left.Lines > s.Lines || left.Lines+deleted < s.Lines {
		return errStatement
	}
	stored, closer, err := openHashes(dir)
	if err != nil {
		return err
	}
	defer closer.Close()
	if has, err := tlog.TreeHash(int64(s.Last), stored); err != nil || has.String() != root {
		return errors.Join(errStatement, err)
	}
	return fmt.Errorf("%w: %d of its %d lines are left", ErrDeleted, left.Lines, s.Lines)
}
