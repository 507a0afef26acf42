package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

func term(t testing.TB, text string) (term Term) {
	t.Helper()
	if err := term.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return term
}

func TestTerm(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	if end := term(t, "2y").end(at); !end.Equal(at.AddDate(2, 0, 0)) || term(t, "2y").String() != "2y" {
		t.Errorf("2y end %s", end)
	}
	if end := term(t, "90d").end(at); !end.Equal(at.AddDate(0, 0, 90)) || term(t, "90d").String() != "90d" {
		t.Errorf("90d end %s", end)
	}
	for _, bad := range []string{"", "d", "0d", "-1y", "1.5y", "24h", "1001y", "99999999d", "2 y"} {
		var x Term
		if x.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken for %s", bad, x)
		}
	}
}

// calendar is a clock that tests set forward.
type calendar struct{ at atomic.Int64 }

func (c *calendar) now() time.Time       { return time.Unix(c.at.Load(), 0) }
func (c *calendar) pass(d time.Duration) { c.at.Add(int64(d / time.Second)) }

// days fills a record with a segment a day, of 25 hours: one stanza, by alice and carol in turn, and what became of it. Every fourth is
// of class seven. Whatever else is recorded gets a segment of its own.
func days(t testing.TB, c Config, n int) (*Log, *calendar) {
	t.Helper()
	c.SegmentBytes = 1
	clock := &calendar{}
	clock.at.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	l := openWith(t, c, newTestDisk(), clock.now)
	for day := range n {
		e := stanzaEvent(day)
		e.From = []string{"alice@corp.example/a", "carol@corp.example/c"}[day%2]
		e.Decision.Retention = []string{"", "", "", "seven"}[day%4]
		appendAll(t, l, []Event{e, {Kind: Delivery, Outcome: Written, Of: []SeqRange{{uint64(2*day + 1), uint64(2*day + 1)}}}})
		clock.pass(25 * time.Hour)
	}
	return l, clock
}

// by is a note for Delete that somebody asked for.
func by(l *Log) func(Event) error {
	return func(e Event) error {
		e.Deed.Who, e.Deed.Why = "root (uid 0)", "case 117"
		return l.Append(context.Background(), []Event{e})
	}
}

// lookNow is the gate's daily look, with one the day before.
func lookNow(l *Log) error {
	if err := looked(l.cfg.Dir, l.now().Add(-keepEvery)); err != nil {
		return err
	}
	return l.keeper.round(context.Background())
}

func there(t testing.TB, dir string) []int {
	t.Helper()
	numbers, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// TestRetention: the gate deletes by itself what has outlived the longest term in a segment, says so in the record before, and what is
// left verifies and proves as before. A segment that vanishes without a word is a fault.
func TestRetention(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Retention: Retention{"default": term(t, "5d"), "seven": term(t, "9d")}}
	l, clock := days(t, c, 8)
	// Nine days and eight hours after the first: segments 1, 2, 3 and 5 are over, the fourth has a line of class seven.
	clock.pass(24 * time.Hour)
	if err := lookNow(l); err != nil {
		t.Fatal(err)
	}
	if got := there(t, dir); got[0] != 4 {
		t.Fatalf("segments %v", got)
	}
	closeLog(t, l)
	all := records(t, dir)
	deleted := 0
	for _, r := range all {
		if r.Kind == "audit.delete" {
			deleted++
			if r.Who == "" || r.Why == "" || r.Segment == "" || r.Count != 2 || r.SHA256 == "" || r.Of[0].First != 1 {
				t.Errorf("%+v", r)
			}
		}
	}
	if deleted != 4 || all[0].Seq != 7 {
		t.Errorf("%d deletions are recorded, the first event left is %d", deleted, all[0].Seq)
	}
	if r, err := Verify(dir); err != nil || !r.OK() || r.Deleted != 8 {
		t.Errorf("%+v, %v", r, err)
	}
	// Opened again, it goes on; and a second round of deletions keeps the word of the first.
	l = openWith(t, c, newTestDisk(), clock.now)
	appendAll(t, l, stanzas(100, 1))
	clock.pass(12 * 24 * time.Hour)
	if err := lookNow(l); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	records(t, dir)
	if got := there(t, dir); got[0] < 8 {
		t.Errorf("segments %v", got)
	}
	victim := there(t, dir)[0]
	if err := os.Remove(filepath.Join(dir, segmentName(victim))); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || r.OK() {
		t.Errorf("a segment vanished without a word, and the record verifies: %+v, %v", r, err)
	}
}

// TestDeleteByHand: a dry run changes nothing; a date in the future, a term that is not over and a sink that is behind all keep.
func TestDeleteByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Retention: Retention{"seven": term(t, "7y")}}
	l, clock := days(t, c, 6)
	ctx := context.Background()
	o := Order{Before: clock.now().Add(-30 * time.Hour), Now: clock.now()}
	d, err := Delete(ctx, c, o, nil)
	if err != nil || len(d.Due) != 4 || len(d.Kept) != 1 || !strings.Contains(d.Kept[0].Why, "class seven are kept until") || len(there(t, dir)) != 6 {
		t.Fatalf("a dry run: %+v, %v, segments %v", d, err, there(t, dir))
	}
	if _, err := Delete(ctx, c, Order{Before: clock.now().Add(time.Hour), Now: clock.now()}, by(l)); err == nil {
		t.Error("what is still to come can be deleted")
	}
	c.Needed = func() (int, bool, error) { return 2, true, nil }
	if d, err := Delete(ctx, c, o, nil); err != nil || len(d.Due) != 1 || !strings.Contains(d.Kept[0].Why, "only as far as 00000002.jsonl") {
		t.Errorf("behind a sink: %+v, %v", d, err)
	}
	c.Needed = func() (int, bool, error) { return 0, false, errors.New("no cursor") }
	if d, err := Delete(ctx, c, o, nil); err != nil || len(d.Due) != 0 {
		t.Errorf("without a cursor: %+v, %v", d, err)
	}
	c.Needed = nil
	// What cannot be recorded is not done.
	broken := errors.New("no room")
	if _, err := Delete(ctx, c, o, func(Event) error { return broken }); !errors.Is(err, broken) || len(there(t, dir)) != 6 {
		t.Errorf("without a record: %v, segments %v", err, there(t, dir))
	}
	if _, err := Delete(ctx, c, o, by(l)); err != nil || !slices.Equal(there(t, dir)[:2], []int{4, 6}) {
		t.Errorf("%v, segments %v", err, there(t, dir))
	}
	closeLog(t, l)
	records(t, dir)
}

// TestNothingHidesAHold: whoever can write to the record's directory, and has taken the file of holds away, cannot hide a hold from the
// deletion, neither from its event's index, nor by another line in the event's place, nor by taking the event out. Put back, the hold is in
// force and what it is not on goes.
func TestNothingHidesAHold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Retention: Retention{"default": term(t, "10d")}}
	l, clock := days(t, c, 2)
	ctx := t.Context()
	if err := PlaceHold(ctx, dir, Hold{Name: "case-117", Query: Query{User: "alice@corp.example"}}, by(l)); err != nil {
		t.Fatal(err)
	}
	clock.pass(time.Hour)
	appendAll(t, l, stanzas(100, 1)) // the event's segment is closed
	clock.pass(20 * 24 * time.Hour)
	closeLog(t, l)
	if err := os.Remove(filepath.Join(dir, holdsName)); err != nil {
		t.Fatal(err)
	}
	event := segmentName(there(t, dir)[2])
	line, err := os.ReadFile(filepath.Join(dir, event))
	if err != nil || !bytes.Contains(line, []byte(`"audit.hold"`)) {
		t.Fatalf("%s, %v", line, err)
	}
	other := bytes.Replace(line, []byte("alice@"), []byte("mallo@"), 1)
	for _, f := range []struct {
		name, want string
		forge      func(dir string)
	}{
		{"another line", "the lines are not those of checkpoint", func(dir string) { write(t, filepath.Join(dir, event), other) }},
		{"another line, and its hash in the tree", "the lines are not those of checkpoint", func(dir string) {
			write(t, filepath.Join(dir, event), other)
			leaf := newLeafHasher()
			h := leaf.of(bytes.TrimSuffix(other, []byte("\n")))
			tree, err := os.ReadFile(filepath.Join(dir, treeName))
			if err != nil {
				t.Fatal(err)
			}
			copy(tree[tlog.StoredHashIndex(0, 4)*tlog.HashSize:], h[:])
			write(t, filepath.Join(dir, treeName), tree)
		}},
		{"all signed anew", "the lines are not those of checkpoint", func(dir string) {
			write(t, filepath.Join(dir, event), other)
			strip(t, dir)
			closeLog(t, openWith(t, Config{Dir: dir, Secrets: t.TempDir()}, osDisk{}, clock.now))
		}},
		{"no line", "seq 5 to 5 are missing", func(dir string) { os.Remove(filepath.Join(dir, event)) }},
		{"a line twice", "seq 5 is where seq 6 should be", func(dir string) { write(t, filepath.Join(dir, event), append(line, line...)) }},
		{"no line that can be read", "cannot be read", func(dir string) { write(t, filepath.Join(dir, event), []byte("{}\n")) }},
		{"no end", "the record ends with seq", func(dir string) {
			path, _ := lastSegment(t, dir)
			write(t, path, nil)
		}},
		{"no checkpoint", "no checkpoint", func(dir string) { os.Remove(filepath.Join(dir, checkpointsName)) }},
	} {
		c := Config{Dir: t.TempDir(), Secrets: c.SecretsDir(), Retention: c.Retention}
		if err := os.CopyFS(c.Dir, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		f.forge(c.Dir)
		_, err := Delete(ctx, c, Order{Now: clock.now()}, func(e Event) error { t.Errorf("%s: %+v", f.name, e); return ErrUnrecorded })
		if err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	mute(t, dir, there(t, dir)[2])
	if err := Search(ctx, dir, Query{Kind: "audit.*", Secrets: t.TempDir()}, func(_ []byte, r Record) error { t.Errorf("not muted: %+v", r); return nil }); err != nil {
		t.Fatal(err)
	}
	l = openWith(t, c, osDisk{}, clock.now)
	if err := lookNow(l); err != nil || !slices.Equal(there(t, dir)[:2], []int{1, 3}) {
		t.Errorf("%v, segments %v: alice's is held, carol's is not", err, there(t, dir))
	}
}

// mute gives a segment an index with right sums that says of each block that it has nothing.
func mute(t testing.TB, dir string, number int) {
	t.Helper()
	r, err := openLines(dir, number, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := indexer{leaf: newLeafHasher()}
	n.head.segment = uint64(number)
	for {
		line, _, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !n.add(line, r.offset) {
			t.Fatal(err)
		}
	}
	n.cut()
	n.posts = nil
	if err := writeIndex(dir, number, n.encode()); err != nil {
		t.Fatal(err)
	}
}

// TestHold: what is held outlives its term and every order, and so does what became of it; the record alone is enough to know the hold,
// and so is the file.
func TestHold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Retention: Retention{"default": term(t, "10d")}}
	l, clock := days(t, c, 5)
	ctx := context.Background()
	hold := Hold{Name: "case-117", Query: Query{User: "alice@corp.example", Until: clock.now().Add(-40 * time.Hour)}}
	if err := PlaceHold(ctx, dir, hold, by(l)); err != nil {
		t.Fatal(err)
	}
	if err := PlaceHold(ctx, dir, hold, by(l)); err == nil || !strings.Contains(err.Error(), "in force already") {
		t.Errorf("a name twice: %v", err)
	}
	if err := PlaceHold(ctx, dir, Hold{Name: "a b"}, by(l)); err == nil {
		t.Error("a name of two words")
	}
	file := filepath.Join(dir, holdsName)
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil { // the event alone will do
		t.Fatal(err)
	}
	clock.pass(20 * 24 * time.Hour)
	if err := lookNow(l); err != nil {
		t.Fatal(err)
	}
	if got := there(t, dir); got[0] != 1 || slices.Contains(got, 2) || got[1] != 3 || slices.Contains(got, 4) {
		t.Errorf("segments %v: those of alice's first days are held, and no others", got)
	}
	d, err := Delete(ctx, c, Order{Before: clock.now().Add(-26 * time.Hour), Now: clock.now()}, by(l))
	if err != nil || len(d.Kept) < 3 || !strings.Contains(d.Kept[0].Why, "hold case-117 is on it") {
		t.Errorf("by hand: %+v, %v", d, err)
	}
	write(t, file, append(kept, "nonsense\n"...))
	if all, err := Holds(ctx, dir); err != nil || len(all) != 2 || all[0].Text() != hold.Text() || all[1].Query.User != "" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := ReleaseHold(ctx, dir, "case-117", by(l)); err != nil {
		t.Fatal(err)
	}
	if err := ReleaseHold(ctx, dir, "case-117", by(l)); err == nil {
		t.Error("released twice")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	clock.pass(20 * 24 * time.Hour)
	if err := lookNow(l); err != nil {
		t.Fatal(err)
	}
	if got := there(t, dir); got[0] < 5 {
		t.Errorf("segments %v after the release", got)
	}
	closeLog(t, l)
	records(t, dir)
}

// TestHoldAtLevelLink: a hold on a person keeps what the record knows only by the hashes of addresses, and no more of it.
func TestHoldAtLevelLink(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir()}
	l := openWith(t, c, osDisk{}, time.Now)
	e := stanzaEvent(1) // from alice@corp.example to bob@partner.example
	e.Level, e.Dir, e.Local, e.Remote = LevelLink, "out", "corp.example", "partner.example"
	appendAll(t, l, []Event{e})
	closeLog(t, l)
	hasher, err := LoadHasher(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		q    Query
		want bool
	}{
		{Query{User: "alice@corp.example"}, true},
		{Query{User: "alice@corp.example/desk"}, true}, // the resource is not in the hash
		{Query{User: "bob@partner.example"}, true},
		{Query{User: "carol@corp.example"}, false},
		{Query{From: "alice@corp.example", To: "bob@partner.example"}, true},
		{Query{From: "bob@partner.example"}, false},
		{Query{From: "corp.example", To: "partner.example"}, true},
		{Query{To: "corp.example"}, false},
		{Query{User: "alice@corp.example", Domain: "*.example"}, true},
		{Query{User: "alice@corp.example", Domain: "other.example"}, false},
		{Query{User: "alice@corp.example", Until: time.Now().Add(-time.Hour)}, false},
	} {
		k := newHolder([]Hold{{Name: "h", Query: w.q}}, hasher)
		err := eachLine(t.Context(), c.Dir, []int{1}, func(line []byte, h head) error {
			if _, held := k.matching(line, h); held != w.want {
				t.Errorf("%s holds it: %v", Hold{Query: w.q}.Text(), held)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestHoldOnADamagedRecord: a hold can be placed and released when lines of the record cannot be read; nothing is deleted meanwhile.
func TestHoldOnADamagedRecord(t *testing.T) {
	t.Parallel()
	c := Config{Dir: t.TempDir(), Retention: Retention{"default": term(t, "1d")}}
	l, clock := days(t, c, 3)
	path := filepath.Join(c.Dir, segmentName(1))
	b := readFile(t, path)
	write(t, path, append([]byte("#"), b[1:]...))
	if err := PlaceHold(t.Context(), c.Dir, Hold{Name: "case-117", Query: Query{User: "alice@corp.example"}}, by(l)); err != nil {
		t.Error(err)
	}
	clock.pass(10 * 24 * time.Hour)
	if err := lookNow(l); err == nil || len(there(t, c.Dir)) != 4 {
		t.Errorf("%v, segments %v", err, there(t, c.Dir))
	}
	if err := ReleaseHold(t.Context(), c.Dir, "case-117", by(l)); err != nil {
		t.Error(err)
	}
	write(t, path, b)
	if err := lookNow(l); err != nil || there(t, c.Dir)[0] == 1 {
		t.Errorf("%v, segments %v", err, there(t, c.Dir))
	}
}

// TestHoldText: a hold comes back from its event as it was placed, whatever stands in it.
func TestHoldText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 12, 0, 0, 5, time.UTC)
	for _, h := range []Hold{
		{Name: "n"},
		{Name: "n", Query: Query{User: "žofie@corp.example", Domain: "*.partner.example", Since: at, Until: at.Add(time.Hour)}},
		{Name: "n", Query: Query{From: `a b" name=x\ @c/d e`, To: "\"\u202e\x00\n"}},
	} {
		got, err := parseHold(h.Text())
		if err != nil || got != h {
			t.Errorf("%s: %+v, %v", h.Text(), got, err)
		}
	}
	for _, bad := range []string{"name", "since=yesterday", "size=4"} {
		if h, err := parseHold(bad); err == nil {
			t.Errorf("%q: %+v", bad, h)
		}
	}
	// One that cannot be understood holds everything.
	if h := holdOf(Record{Query: "user=a size=4"}); h.Query != (Query{}) {
		t.Errorf("%+v", h)
	}
}

// TestDeletionInterrupted: after a crash between the event and the removal, the segment is there, the record sound, and the order can be
// given again.
func TestDeletionInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir}
	l, clock := days(t, c, 4)
	ctx := context.Background()
	d := newTestDisk()
	d.noRemove = fs.ErrPermission
	o := Order{Before: clock.now().Add(-51 * time.Hour), Now: clock.now()}
	if _, err := deleteOn(ctx, d, c, o, by(l)); !errors.Is(err, fs.ErrPermission) {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || !r.OK() || r.Deleted != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Delete(ctx, c, o, by(l)); err != nil || there(t, dir)[0] != 3 {
		t.Errorf("%v, segments %v", err, there(t, dir))
	}
	closeLog(t, l)
	records(t, dir)
}

// TestKeysExpire: the gate destroys the sealing keys of a class when its term is over, says so before, and leaves those that have sealed
// what is under a hold, and those of a longer term.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := &hand{at: time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)}
	c := Config{Dir: dir, Sealing: Sealing{Recipients: recipients(officer(t))}, Retention: Retention{"default": term(t, "5d"), "Seven": term(t, "7y")}}
	l := openWith(t, c, osDisk{}, clock.now)
	for i, from := range []string{"alice@corp.example/a", "carol@corp.example/c"} {
		e, long := secretStanza(2*i, "gone"), secretStanza(2*i+1, "kept")
		e.From, long.Decision.Retention = from, "Seven"
		appendAll(t, l, []Event{e, long})
		clock.turn(24 * time.Hour)
	}
	if err := PlaceHold(context.Background(), dir, Hold{Name: "case-117", Query: Query{User: "alice@corp.example"}}, by(l)); err != nil {
		t.Fatal(err)
	}
	left := func() (names []string) {
		t.Helper()
		all, err := SealingKeys(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range all {
			if !strings.HasPrefix(k.Name, classFolder("Seven")) && len(k.Files) > 0 {
				names = append(names, k.Name)
			}
		}
		return names
	}
	before := left()
	clock.turn(3 * 24 * time.Hour) // it is the sixth: the first day's key is used until the second, and kept until the seventh
	if err := lookNow(l); err != nil || !slices.Equal(left(), before) {
		t.Errorf("before their time: %v, %v", left(), err)
	}
	clock.turn(2 * 24 * time.Hour)
	if err := lookNow(l); err != nil || !slices.Equal(left(), []string{"default/2026-07-01-1"}) {
		t.Errorf("alice's key is held, carol's is not: %v, %v", left(), err)
	}
	if err := ReleaseHold(context.Background(), dir, "case-117", by(l)); err != nil {
		t.Fatal(err)
	}
	if err := lookNow(l); err != nil || len(left()) > 0 {
		t.Errorf("after the release: %v, %v", left(), err)
	}
	closeLog(t, l)
	destroyed := 0
	for _, r := range records(t, dir) {
		if r.Kind == "audit.destroy" {
			destroyed++
			if r.Who != "the gate" || r.Why == "" || r.Query != "class=default expired" || r.Count != 1 {
				t.Errorf("%+v", r)
			}
		}
	}
	if all, err := SealingKeys(dir); err != nil || destroyed != 2 || len(all) != 4 {
		t.Errorf("%d destructions are recorded, %+v, %v", destroyed, all, err)
	}
}

// TestKeyEndsAsItBegan: when a key's period ends does not depend on what period is configured later.
func TestKeyEndsAsItBegan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := &hand{at: time.Date(2026, 7, 5, 9, 0, 0, 0, time.UTC)}
	c := Config{Dir: dir, Sealing: Sealing{Recipients: recipients(officer(t)), Period: 30 * 24 * time.Hour}}
	l := openWith(t, c, osDisk{}, clock.now)
	appendAll(t, l, []Event{secretStanza(0, "on the first day")})
	clock.turn(9 * 24 * time.Hour)
	appendAll(t, l, []Event{secretStanza(1, "on the tenth")})
	closeLog(t, l)
	c.Sealing.Period = time.Hour
	l = openWith(t, c, osDisk{}, clock.now)
	appendAll(t, l, []Event{secretStanza(2, "with a key of an hour")})
	all, err := SealingKeys(dir)
	if err != nil || len(all) != 2 || !strings.HasSuffix(all[0].Name, "T0000+720h-1") || all[0].End.Sub(all[0].Begin) != 720*time.Hour || !strings.HasSuffix(all[1].Name, "T0900+1h-1") {
		t.Fatalf("%+v, %v", all, err)
	}
	o := KeyOrder{Before: clock.now(), Now: clock.now()}
	if gone, err := DestroyKeys(t.Context(), c, o, by(l)); err == nil {
		t.Errorf("before its period is over: %+v", gone)
	}
	clock.turn(30 * 24 * time.Hour)
	o = KeyOrder{Before: clock.now(), Now: clock.now()}
	if gone, err := DestroyKeys(t.Context(), c, o, by(l)); err != nil || len(gone) != 2 {
		t.Errorf("%+v, %v", gone, err)
	}
	closeLog(t, l)
	if sealed := sealedLines(t, dir); len(sealed) != 3 || sealed[2].Sealed.Key != all[1].Name {
		t.Errorf("%+v", sealed)
	}
}

// TestJumpOfTheClock: a clock that says that years have passed since the last look deletes nothing, until somebody says that it is right.
func TestJumpOfTheClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Retention: Retention{"default": term(t, "5d")}}
	l, clock := days(t, c, 8)
	ctx := context.Background()
	round := func(want string) {
		t.Helper()
		before := there(t, dir)
		err := l.keeper.round(ctx)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
		if first := there(t, dir)[0]; first != before[0] {
			t.Errorf("segments up to %d were deleted", first-1)
		}
	}
	round("") // the first look of all
	clock.pass(maxAway + time.Second)
	round("the clock says")
	clock.pass(5 * 365 * 24 * time.Hour)
	round("audit delete --expired")
	closeLog(t, l)
	l = openWith(t, c, newTestDisk(), clock.now) // a restart changes nothing
	round("the clock says")
	clock.pass(-5*365*24*time.Hour - maxAway)
	write(t, filepath.Join(dir, lookName), []byte("yesterday"))
	round("yesterday")
	if _, err := Delete(ctx, c, Order{Now: clock.now()}, by(l)); err != nil {
		t.Fatal(err)
	}
	first := there(t, dir)[0]
	clock.pass(24 * time.Hour)
	if err := l.keeper.round(ctx); err != nil || first == 1 || there(t, dir)[0] <= first {
		t.Errorf("after the clock was confirmed: %v, segments from %d, then %v", err, first, there(t, dir))
	}
}
