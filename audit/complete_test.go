package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestStatements: each day that is over has a signed statement for all peers and for each, which agrees to the stanza with what the gate
// did: what it let pass with an event and without one, what it refused, what became of it, and what it could not record (AUDIT "The proof").
func TestStatements(t *testing.T) {
	t.Parallel()
	for _, pack := range []string{"none", Zstd} {
		t.Run(pack, func(t *testing.T) {
			t.Parallel()
			dir, secrets := t.TempDir(), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				testStatements(t, Config{Dir: dir, Secrets: secrets, Compress: pack, OnFailure: Pass, SegmentBytes: 4000})
			})
		})
	}
}

func testStatements(t *testing.T, c Config) {
	time.Sleep(48*time.Hour + 20*time.Hour)
	d := newTestDisk()
	l := openWith(t, c, d, time.Now)
	pass := func(peer, dir, effect string, level Level, n int) {
		t.Helper()
		batch := stanzas(0, n)
		for i := range batch {
			batch[i].Remote, batch[i].Dir, batch[i].Level, batch[i].Decision.Effect = peer, dir, level, effect
		}
		appendAll(t, l, batch)
		if effect == "allow" && batch[0].Seq > 0 {
			l.Note(Event{Kind: Delivery, Dir: dir, Local: "corp.example", Remote: peer, Outcome: Acked, Of: []SeqRange{{batch[0].Seq, batch[n-1].Seq}}})
		}
	}
	pass("a.example", "in", "allow", LevelDefault, 5)
	pass("a.example", "out", "allow", LevelLink, 7)
	pass("a.example", "out", "deny", LevelDefault, 2)
	pass("a.example", "in", "drop", LevelDefault, 1)
	pass("a.example", "in", "allow", LevelNone, 11)
	pass("a.example", "in", "deny", LevelNone, 3)
	pass("b\\c.example", "in", "allow", LevelDefault, 2) // has to be unescaped
	twice := stanzas(0, 3)                               // let pass already, and judged again before they left: no stanzas beside the others
	for i, effect := range []string{"allow", "deny", "allow"} {
		twice[i].Remote, twice[i].Dir, twice[i].Again, twice[i].Decision.Effect = "a.example", "in", true, effect
	}
	twice[2].Level = LevelNone
	appendAll(t, l, twice)
	l.Note(Event{Kind: Delivery, Dir: "in", Local: "corp.example", Remote: "a.example", Outcome: Replaced, Of: []SeqRange{{1, 1}}})
	l.Note(Event{Kind: Delivery, Dir: "in", Local: "corp.example", Remote: "a.example", Outcome: Untold, Of: []SeqRange{{2, 2}}})
	time.Sleep(2 * time.Minute)
	d.set(func(d *testDisk) { d.failed = errors.New("no disk") })
	pass("a.example", "in", "allow", LevelDefault, 4)
	pass("a.example", "in", "deny", LevelDefault, 3) // cannot be recorded either, and does not cross
	time.Sleep(time.Second)
	d.set(func(d *testDisk) { d.failed = nil })
	time.Sleep(time.Second)
	pass("a.example", "in", "allow", LevelDefault, 1)
	synctest.Wait()
	day := time.Now()
	keys, err := RecordKeys(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := keys.Stated(t.Context(), c.Dir, day, AllPeers)
	if !errors.Is(err, ErrUnsigned) || !strings.HasSuffix(text, "30 crossed, 26 recorded, 7 gaps\n") {
		t.Errorf("before the day is over: %v\n%s", err, text)
	}
	time.Sleep(4 * time.Hour)
	pass("a.example", "in", "allow", LevelDefault, 100) // the next day
	synctest.Wait()
	stored, closer, err := openHashes(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	var first, last uint64
	for _, r := range records(t, c.Dir) {
		if r.Time.Day() == day.Day() {
			if last = r.Seq; first == 0 {
				first = r.Seq
			}
		}
	}
	root, err := tlog.TreeHash(int64(last), stored)
	if err != nil {
		t.Fatal(err)
	}
	head := func(peer string) string {
		return fmt.Sprintf("sallyport statement v1\ngate-1\nday %s\npeer %s\nlines %d from %d to %d, 0 missing\nroot %s\n", day.Format(time.DateOnly), peer, last, first, last, root)
	}
	for peer, want := range map[string]string{
		AllPeers:       "in 19 crossed, 8 with an event, 11 counted only, 4 refused, 2 judged again\nout 7 crossed, 7 with an event, 0 counted only, 2 refused\nsettled 15 acked, 0 written, 0 bounced, 0 dropped, 0 lost\n30 crossed, 26 recorded, 7 gaps\n",
		"a.example":    "in 17 crossed, 6 with an event, 11 counted only, 4 refused, 2 judged again\nout 7 crossed, 7 with an event, 0 counted only, 2 refused\nsettled 13 acked, 0 written, 0 bounced, 0 dropped, 0 lost\n24 crossed, 24 recorded, 7 gaps\n",
		"b\\c.example": "in 2 crossed, 2 with an event, 0 counted only, 0 refused\nout 0 crossed, 0 with an event, 0 counted only, 0 refused\nsettled 2 acked, 0 written, 0 bounced, 0 dropped, 0 lost\n2 crossed, 2 recorded, 7 gaps\n",
	} {
		got, err := keys.Stated(t.Context(), c.Dir, day, peer)
		if want := head(peer) + want + "\n— gate-1 "; err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", peer, err, got, want)
		}
	}
	if _, err := keys.Stated(t.Context(), c.Dir, day, "nobody.example"); err == nil {
		t.Error("a statement about nobody")
	}
	if _, err := (Keys{}).Stated(t.Context(), c.Dir, day, AllPeers); err == nil || !strings.Contains(err.Error(), "none of the keys") {
		t.Errorf("without a key: %v", err)
	}
	path := statementsPath(c.Dir, day)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Dir(path), filepath.Base(path), swap("30 crossed", "31 crossed"))
	if _, err := keys.Stated(t.Context(), c.Dir, day, AllPeers); err == nil || !strings.Contains(err.Error(), "invalid signature") {
		t.Errorf("changed: %v", err)
	}
	write(t, path, before)
	closeLog(t, l)
	verifyStatements(t, c, filepath.Base(path), day)
	changeLines(t, c.Dir, segmentName(lastPlain(t, c.Dir)), func(lines [][]byte) [][]byte { return lines[1:] })
	if _, err := keys.Stated(t.Context(), c.Dir, time.Now(), AllPeers); !errors.Is(err, ErrUnsigned) {
		t.Error(err)
	}
}

// verifyStatements: Verify counts each stated day again, and finds statements that were changed, taken away, doubled or put in the place of
// others, and such as the gate's own key has signed and that are not true.
func verifyStatements(t *testing.T, c Config, name string, day time.Time) {
	t.Helper()
	signed, err := openSigner(c.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(c.Dir, statementsName)
	before, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	notes, _ := SplitNotes(before)
	sign := func(text string) []byte {
		b, err := note.Sign(&note.Note{Text: text}, signed)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	text := func(i int) string { s, _ := noteText(notes[i]); return s }
	lie := func(i int, old, new string) []byte { return sign(strings.Replace(text(i), old, new, 1)) }
	for _, w := range []struct {
		what  string
		notes [][]byte
		want  string
	}{
		{"nothing", notes, ""},
		{"a lie", [][]byte{notes[0], lie(1, "24 crossed, 24", "23 crossed, 23"), notes[2]}, `the statement about a.example says "23 crossed`},
		{"a false root", [][]byte{lie(0, "root ", "root A"), notes[1], notes[2]}, `:1: the statement about * says "root A`},
		{"edited", [][]byte{notes[0], bytes.Replace(notes[1], []byte("24 crossed, 24"), []byte("23 crossed, 23"), 1), notes[2]}, ":13: invalid signature"},
		{"one less", notes[:2], ": there is no statement about b\\\\c.example in it, and lines are"},
		{"one more", [][]byte{notes[0], notes[1], notes[2], lie(1, "a.example", "x.example")}, `:37: the statement about x.example says`},
		{"one twice", [][]byte{notes[0], notes[1], notes[2], notes[1]}, ":37: a second statement about a.example"},
		{"another day's", [][]byte{lie(0, "day "+day.Format(time.DateOnly), "day 2000-01-01")}, ":1: not a statement of this day and gate"},
		{"half of one", [][]byte{notes[0], notes[1], notes[2][:20]}, ": it is not whole"},
		{"none", nil, ": it is not whole"},
	} {
		write(t, filepath.Join(folder, name), bytes.Join(w.notes, nil))
		r, err := Verify(c.Dir)
		if err != nil || r.OK() != (w.want == "") || !strings.Contains(faultLines(r), w.want) {
			t.Errorf("%s: %v, found\n%s\nwant %s", w.what, err, faultLines(r), w.want)
		}
	}
	if err := os.Rename(filepath.Join(folder, name), filepath.Join(folder, "1999-12-31.notes")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "1999-12-31.notes"), before)
	if r, err := Verify(c.Dir); err != nil || !strings.Contains(faultLines(r), "1999-12-31.notes:1: not a statement of this day and gate") {
		t.Errorf("of another day: %v, found\n%s", err, faultLines(r))
	}
	if err := os.Rename(filepath.Join(folder, "1999-12-31.notes"), filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
}

// lastPlain is the number of the last segment, which is never compressed.
func lastPlain(t *testing.T, dir string) int {
	t.Helper()
	numbers, err := segments(dir)
	if err != nil || len(numbers) == 0 {
		t.Fatal(numbers, err)
	}
	return numbers[len(numbers)-1]
}

// TestStatementsOfDaysOff: a day on which the gate was down has one too, written at the next start; a record that changed since is found.
func TestStatementsOfDaysOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		c := Config{Dir: dir}
		day := time.Now()
		l := openWith(t, c, newTestDisk(), time.Now)
		appendAll(t, l, stanzas(0, 3))
		closeLog(t, l)
		time.Sleep(72 * time.Hour)
		l = openWith(t, c, newTestDisk(), time.Now)
		synctest.Wait()
		keys, err := RecordKeys(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"3 crossed, 3 recorded, 0 gaps", "0 crossed, 0 recorded, 0 gaps", "0 crossed, 0 recorded, 0 gaps"} {
			if text, err := keys.Stated(t.Context(), dir, day.AddDate(0, 0, i), AllPeers); err != nil || !strings.Contains(text, want) {
				t.Errorf("day %d: %v\n%s", i, err, text)
			}
		}
		closeLog(t, l)
		changeLines(t, dir, segmentName(1), func(lines [][]byte) [][]byte { return append(lines[:1:1], lines[2:]...) })
		if _, err := keys.Stated(t.Context(), dir, day, AllPeers); err == nil || !strings.Contains(err.Error(), "lines 2 from 1 to 3, 1 missing") {
			t.Errorf("a line removed: %v", err)
		}
	})
}

// TestStatementOutlivesDeletion: a day of which a part, or all, was deleted as recorded is told as such, and is no fault. A line that went
// without a word besides is one, and so is a statement that the tree contradicts.
func TestStatementOutlivesDeletion(t *testing.T) {
	t.Parallel()
	dir, secrets := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		c := Config{Dir: dir, Secrets: secrets, SegmentBytes: 1, Checkpoint: time.Hour}
		day := time.Now()
		l := openWith(t, c, newTestDisk(), time.Now)
		for i := range 3 {
			e := stanzaEvent(i)
			e.Decision.Effect, e.Remote = "deny", "partner.example"
			appendAll(t, l, []Event{e})
			time.Sleep(time.Hour)
		}
		time.Sleep(48 * time.Hour)
		appendAll(t, l, stanzas(9, 1))
		keys, err := RecordKeys(dir)
		if err != nil {
			t.Fatal(err)
		}
		stated := func(want error, words string) {
			t.Helper()
			for _, peer := range []string{AllPeers, "partner.example"} {
				text, err := keys.Stated(t.Context(), dir, day, peer)
				if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), words) || !strings.Contains(text, "lines 3 from 1 to 3, 0 missing") {
					t.Errorf("%s: %v\n%s", peer, err, text)
				}
			}
		}
		remove := func(before time.Time) {
			t.Helper()
			if _, err := Delete(t.Context(), c, Order{Before: before, Now: time.Now()}, by(l)); err != nil {
				t.Fatal(err)
			}
		}
		stated(nil, "")
		remove(day.Add(30 * time.Minute))
		stated(ErrDeleted, "2 of its 3 lines are left")
		third, err := os.ReadFile(filepath.Join(dir, segmentName(3)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, segmentName(3)), nil)
		stated(errStatement, "")
		write(t, filepath.Join(dir, segmentName(3)), third)
		remove(day.Add(24 * time.Hour))
		stated(ErrDeleted, "0 of its 3 lines are left")
		time.Sleep(2 * time.Hour)
		if r, err := Verify(dir); err != nil || !r.OK() {
			t.Errorf("after deletion: %s, %v", faultLines(r), err)
		}
		tree, err := os.ReadFile(filepath.Join(dir, treeName))
		if err != nil {
			t.Fatal(err)
		}
		tree[2*tlog.HashSize] ^= 1 // of the first two lines
		write(t, filepath.Join(dir, treeName), tree)
		stated(errStatement, "")
	})
}
