package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// kept is what an auditor has of a record from before: its keys, and its last checkpoint.
func kept(t testing.TB, dir string) Auditor {
	t.Helper()
	keys, err := RecordKeys(dir)
	if err != nil || keys.None() {
		t.Fatal(keys, err)
	}
	notes, _, err := readCheckpoints(dir)
	if err != nil || len(notes) == 0 {
		t.Fatal(len(notes), err)
	}
	return Auditor{Keys: keys, Checkpoints: notes[len(notes)-1:]}
}

// change rewrites a file of a record.
func change(t testing.TB, dir, name string, f func(b []byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b = f(b); b == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// changeLines rewrites the lines of a file.
func changeLines(t testing.TB, dir, name string, f func(lines [][]byte) [][]byte) {
	t.Helper()
	change(t, dir, name, func(b []byte) []byte {
		return bytes.Join(f(bytes.SplitAfter(b, []byte("\n"))), nil)
	})
}

// notesOf rewrites the checkpoints.
func changeNotes(t testing.TB, dir string, f func(notes [][]byte) [][]byte) {
	t.Helper()
	change(t, dir, checkpointsName, func(b []byte) []byte {
		notes, _ := SplitNotes(b)
		return append([]byte{}, bytes.Join(f(notes), nil)...)
	})
}

// rehash makes the tree's file anew from the lines, as somebody can who has no key.
func rehash(t testing.TB, dir string) {
	t.Helper()
	var stored []byte
	var tr tree
	leaf := newLeafHasher()
	numbers, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := eachLine(context.Background(), dir, numbers, func(line []byte, _ head) error {
		stored = tr.add(leaf.of(line), stored)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, treeName), stored)
}

func swap(old, new string) func(b []byte) []byte {
	return func(b []byte) []byte {
		if !bytes.Contains(b, []byte(old)) {
			panic("nothing has " + old)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
}

// TestVerifyFindsTampering: whatever is done to a record by somebody without its key is found, and where (AUDIT "The proof"). The record has
// lines 1 to 4, 5 to 10 and 11 to 16, and checkpoints of 0, 4, 10 and 16 lines.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	const one, two, three = "00000001.jsonl", "00000002.jsonl", "00000003.jsonl"
	for _, c := range []struct {
		name string
		do   func(t *testing.T, dir string)
		want string
	}{
		{"a line edited", func(t *testing.T, dir string) { change(t, dir, two, swap("purple00000004", "purple00000009")) },
			"00000002.jsonl:4: not the line that was recorded as seq 8: checkpoint 3 of "},
		{"a line edited, and its hash", func(t *testing.T, dir string) {
			change(t, dir, two, swap("purple00000004", "purple00000009"))
			b, _ := os.ReadFile(filepath.Join(dir, two))
			change(t, dir, treeName, func(tree []byte) []byte {
				h := tlog.RecordHash(bytes.Split(b, []byte("\n"))[3])
				copy(tree[tlog.StoredHashIndex(0, 7)*tlog.HashSize:], h[:])
				return tree
			})
		}, "00000002.jsonl:6: of the lines from seq 5 to 10, from behind 00000001.jsonl:4 on, one or more are not those that checkpoint 3 of "},
		{"a line edited, and the whole tree", func(t *testing.T, dir string) {
			change(t, dir, two, swap("purple00000004", "purple00000009"))
			rehash(t, dir)
		}, "00000002.jsonl:6: of the lines from seq 5 to 10, from behind 00000001.jsonl:4 on, one or more are not those that checkpoint 3 of "},
		{"a line edited, and no tree", func(t *testing.T, dir string) {
			change(t, dir, one, swap("purple00000001", "purple00000009"))
			change(t, dir, treeName, func([]byte) []byte { return nil })
		}, "00000001.jsonl:4: of the lines from seq 1 to 4, from the beginning on, one or more"},
		{"a line removed", func(t *testing.T, dir string) {
			changeLines(t, dir, two, func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) })
		}, "00000002.jsonl:2: seq 7 follows 5"},
		{"a line replaced by nonsense", func(t *testing.T, dir string) {
			changeLines(t, dir, two, func(l [][]byte) [][]byte { l[1] = []byte("{}\n"); return l })
		}, "00000002.jsonl:2: not a line that a gate wrote"},
		{"lines swapped", func(t *testing.T, dir string) {
			changeLines(t, dir, two, func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l })
		}, "00000002.jsonl:2: seq 7 follows 5"},
		{"a line doubled", func(t *testing.T, dir string) {
			changeLines(t, dir, two, func(l [][]byte) [][]byte { return slices.Insert(l, 1, l[0]) })
		}, "00000002.jsonl:2: seq 5 follows 5"},
		{"a line moved to the next segment", func(t *testing.T, dir string) {
			var last []byte
			changeLines(t, dir, one, func(l [][]byte) [][]byte { last = l[3]; return l[:3] })
			change(t, dir, two, func(b []byte) []byte { return slices.Concat(last, b) })
		}, "00000002.jsonl:2: a segment was to begin with this line"},
		{"a line moved to the segment before", func(t *testing.T, dir string) {
			var first []byte
			changeLines(t, dir, two, func(l [][]byte) [][]byte { first = l[0]; return l[1:] })
			change(t, dir, one, func(b []byte) []byte { return slices.Concat(b, first) })
		}, "00000001.jsonl:5: a segment was to begin with this line"},
		{"a segment doubled", func(t *testing.T, dir string) {
			b, _ := os.ReadFile(filepath.Join(dir, two))
			write(t, filepath.Join(dir, segmentName(4)), b)
		}, "00000004.jsonl:1: seq 5 follows 16"},
		{"segments swapped", func(t *testing.T, dir string) {
			a, _ := os.ReadFile(filepath.Join(dir, one))
			b, _ := os.ReadFile(filepath.Join(dir, two))
			write(t, filepath.Join(dir, one), b)
			write(t, filepath.Join(dir, two), a)
		}, "00000001.jsonl:1: the record begins with seq 5"},
		{"the first segment removed", func(t *testing.T, dir string) { change(t, dir, one, func([]byte) []byte { return nil }) },
			"00000002.jsonl:1: the record begins with seq 5: the lines before it are not here"},
		{"a segment removed", func(t *testing.T, dir string) { change(t, dir, two, func([]byte) []byte { return nil }) },
			"00000003.jsonl: the segment before it is missing"},
		{"the last segment removed", func(t *testing.T, dir string) { change(t, dir, three, func([]byte) []byte { return nil }) },
			"00000002.jsonl:6: the record ends here with seq 10, and checkpoint 4 of "},
		{"lines cut off", func(t *testing.T, dir string) {
			changeLines(t, dir, three, func(l [][]byte) [][]byte { return l[:4] })
		}, "has 16 lines: its end is cut off"},
		{"lines cut off, with tree and checkpoints", func(t *testing.T, dir string) {
			change(t, dir, three, func([]byte) []byte { return nil })
			rehash(t, dir)
			changeNotes(t, dir, func(n [][]byte) [][]byte { return n[:3] })
		}, "00000002.jsonl:6: the record ends here with seq 10, and checkpoint 4 of "},
		{"everything cut off", func(t *testing.T, dir string) {
			for _, name := range []string{one, two, three} {
				change(t, dir, name, func([]byte) []byte { return nil })
			}
			change(t, dir, treeName, func([]byte) []byte { return nil })
			changeNotes(t, dir, func(n [][]byte) [][]byte { return n[:1] })
		}, "00000001.jsonl: the record ends here with seq 0, and checkpoint 4 of "},
		{"segments renamed", func(t *testing.T, dir string) {
			for n := 3; n > 0; n-- {
				if err := os.Rename(filepath.Join(dir, segmentName(n)), filepath.Join(dir, segmentName(n+1))); err != nil {
					t.Fatal(err)
				}
			}
		}, "00000002.jsonl: the record begins in this segment, and should in 00000001.jsonl"},
		{"nonsense among the checkpoints", func(t *testing.T, dir string) {
			changeNotes(t, dir, func(n [][]byte) [][]byte { return slices.Insert(n, 1, bytes.Repeat([]byte("x"), 2*maxNote)) })
		}, "checkpoints:11: not a note: it has no signature"},
		{"a checkpoint removed", func(t *testing.T, dir string) {
			changeNotes(t, dir, func(n [][]byte) [][]byte { return slices.Delete(n, 1, 2) })
		}, "checkpoints:11: checkpoint 3 follows 1"},
		{"the last checkpoint removed", func(t *testing.T, dir string) {
			changeNotes(t, dir, func(n [][]byte) [][]byte { return n[:3] })
		}, "checkpoints:31: it ends with number 3; number 4, of "},
		{"all checkpoints removed", func(t *testing.T, dir string) {
			changeNotes(t, dir, func([][]byte) [][]byte { return nil })
		}, "checkpoints: there is a tree and no checkpoint"},
		{"a checkpoint doubled", func(t *testing.T, dir string) {
			changeNotes(t, dir, func(n [][]byte) [][]byte { return slices.Insert(n, 1, n[1]) })
		}, "checkpoints:21: checkpoint 2 follows 2"},
		{"checkpoints swapped", func(t *testing.T, dir string) {
			changeNotes(t, dir, func(n [][]byte) [][]byte { n[1], n[2] = n[2], n[1]; return n })
		}, "checkpoints:11: checkpoint 3 follows 1"},
		{"a checkpoint edited", func(t *testing.T, dir string) { change(t, dir, checkpointsName, swap("\n10\n", "\n11\n")) },
			"checkpoints:21: invalid signature for key gate-1+"},
		{"a checkpoint of somebody else's", func(t *testing.T, dir string) {
			secret, _, _ := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{9}, 64)), "gate-1")
			by, _ := note.NewSigner(secret)
			changeNotes(t, dir, func(n [][]byte) [][]byte {
				text, _ := noteText(n[2])
				n[2], _ = note.Sign(&note.Note{Text: text}, by)
				return n
			})
		}, "none of the keys given"},
		{"a leaf of the tree", func(t *testing.T, dir string) {
			change(t, dir, treeName, func(b []byte) []byte { b[tlog.StoredHashIndex(0, 7)*tlog.HashSize] ^= 1; return b })
		}, "tree: the hash of seq 8 (00000002.jsonl:4) is wrong, the line is right"},
		{"a node of the tree", func(t *testing.T, dir string) {
			change(t, dir, treeName, func(b []byte) []byte { b[tlog.StoredHashIndex(2, 1)*tlog.HashSize] ^= 1; return b })
		}, "tree: a hash over the lines up to seq 8 is wrong"},
		{"a short tree", func(t *testing.T, dir string) {
			change(t, dir, treeName, func(b []byte) []byte { return b[:5*tlog.HashSize] })
		}, "tree: it has 3 lines of 16"},
		{"everything made anew, with another key", func(t *testing.T, dir string) {
			change(t, dir, two, swap("purple00000004", "purple00000009"))
			for _, name := range []string{treeName, checkpointsName, publicKeysName} {
				change(t, dir, name, func([]byte) []byte { return nil })
			}
			closeLog(t, open(t, Config{Dir: dir, Secrets: t.TempDir()}))
		}, "checkpoints:1: signed by gate-1+"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := sound(t)
			a := kept(t, dir)
			if r, err := a.Verify(dir); err != nil || !r.OK() || r.Covered != 16 || r.Checkpoints != 4 || r.OwnKeys {
				t.Fatalf("before: %+v, %v", r, err)
			}
			c.do(t, dir)
			r, err := a.Verify(dir)
			if err != nil || r.OK() || !strings.Contains(faultLines(r), c.want) {
				t.Errorf("found\n%s\n%v\nwant %s", faultLines(r), err, c.want)
			}
		})
	}
}

// TestVerifyPackedSegments: of a compressed segment, too, each byte that is changed is found, or the lines are what they were; a part that
// cannot be read does not keep the rest from being verified.
func TestVerifyPackedSegments(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)))
		l := openWith(t, Config{Dir: dir, Compress: Zstd}, osDisk{}, time.Now)
		synctest.Wait()
		closeLog(t, l)
	})
	if err := os.RemoveAll(filepath.Join(dir, statementsName)); err != nil { // that of the day would be counted and its signature checked each time
		t.Fatal(err)
	}
	a := kept(t, dir)
	name := segmentName(2) + packedSuffix
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for at := range b {
		damaged := bytes.Clone(b)
		damaged[at] ^= 0x41
		write(t, filepath.Join(dir, name), damaged)
		r, err := a.Verify(dir)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if !r.OK() {
			found++
			if r.Faults[0].Segment != segmentName(2) && r.Faults[0].Segment != name && !strings.Contains(faultLines(r), "seq 11 follows 4") {
				t.Errorf("byte %d: found\n%s", at, faultLines(r))
			}
			continue
		}
		if r.Events != 16 || r.Covered != 16 { // the key says that they are the lines that were recorded
			t.Errorf("byte %d: %+v", at, r)
		}
	}
	if found < len(b)/2 {
		t.Errorf("%d of %d changes were found", found, len(b))
	}
}

// TestVerifyNeedsNoTree: the tree's file is derived, and a copy without it proves as much.
func TestVerifyNeedsNoTree(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	a := kept(t, dir)
	change(t, dir, treeName, func([]byte) []byte { return nil })
	if r, err := a.Verify(dir); err != nil || !r.OK() || r.Covered != 16 {
		t.Errorf("%+v, %v", r, err)
	}
	change(t, dir, checkpointsName, func([]byte) []byte { return nil })
	if r, err := a.Verify(dir); err != nil || r.Found != 1 || r.Covered != 16 || r.Checkpoints != 0 {
		t.Errorf("by a checkpoint from elsewhere, and those of the record removed: %+v, %v", r, err)
	}
	a.Checkpoints = nil
	if r, err := a.Verify(dir); err != nil || !strings.Contains(faultLines(r), "nothing says what the record was") {
		t.Errorf("with a key and no checkpoint: %+v, %v", r, err)
	}
	change(t, dir, publicKeysName, func([]byte) []byte { return nil })
	if r, err := Verify(dir); err != nil || !r.OK() || r.Covered != 0 {
		t.Errorf("a record from before there was a tree: %+v, %v", r, err)
	}
}

// TestVerifyKnowsOldKeys: what was signed before the key changed is verified by the key of then.
func TestVerifyKnowsOldKeys(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	old := kept(t, dir)
	closeLog(t, open(t, Config{Dir: dir, Secrets: t.TempDir()}))
	both := kept(t, dir)
	if r, err := both.Verify(dir); err != nil || !r.OK() {
		t.Errorf("with both keys: %s, %v", faultLines(r), err)
	}
	if r, err := old.Verify(dir); err != nil || !strings.Contains(faultLines(r), "none of the keys given") {
		t.Errorf("with the old key alone: %+v, %v", r, err)
	}
}

// TestTwoCheckpointsOfOneNumber: a gate that signs two histories is found by who holds a checkpoint of either.
func TestTwoCheckpointsOfOneNumber(t *testing.T) {
	t.Parallel()
	dir, secrets := t.TempDir(), t.TempDir()
	c := Config{Dir: dir, Secrets: secrets}
	l := open(t, c)
	appendAll(t, l, stanzas(0, 3))
	closeLog(t, l)
	a := kept(t, dir)
	change(t, secrets, lastName, func([]byte) []byte { return nil }) // or it would go on behind that one's number
	other := Config{Dir: t.TempDir(), Secrets: secrets}
	l = open(t, other)
	appendAll(t, l, stanzas(10, 3))
	closeLog(t, l)
	if r, err := Verify(other.Dir); err != nil || !r.OK() {
		t.Fatal(faultLines(r), err)
	}
	r, err := a.Verify(other.Dir)
	if all := faultLines(r); err != nil || !strings.Contains(all, "two of one number were signed") || !strings.Contains(all, "one or more are not those that checkpoint 2 of") {
		t.Errorf("found\n%s\n%v", all, err)
	}
}

// TestPausesShow: a span without checkpoints is seen, and whether the gate said that it would stop.
func TestPausesShow(t *testing.T) {
	t.Parallel()
	dir, killed := t.TempDir(), t.TempDir()
	secrets := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		c := Config{Dir: dir, Secrets: secrets}
		d := newTestDisk()
		l := openWith(t, c, d, time.Now)
		appendAll(t, l, stanzas(0, 2))
		time.Sleep(10 * time.Minute)
		d.set(func(d *testDisk) { d.noProof = errors.New("no") })
		time.Sleep(10 * time.Minute)
		d.set(func(d *testDisk) { d.noProof = nil })
		time.Sleep(time.Minute)
		synctest.Wait() // for the checkpoint of this moment: it is copied whole
		if err := os.CopyFS(filepath.Join(killed, "audit"), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		copySecrets(t, secrets+".killed", secrets)
		closeLog(t, l)
		time.Sleep(time.Hour)
		closeLog(t, openWith(t, c, d, time.Now))
		r, err := Verify(dir)
		if err != nil || !r.OK() || len(r.Pauses) != 2 || !strings.Contains(r.Pauses[0].Why, "no checkpoint was made") || r.Pauses[1].Why != "the gate was stopped" || r.Pauses[1].To.Sub(r.Pauses[1].From) != time.Hour {
			t.Errorf("%+v, %v", r, err)
		}
		c.Dir, c.Secrets = filepath.Join(killed, "audit"), secrets+".killed"
		r, err = Verify(c.Dir)
		if err != nil || !r.OK() || len(r.Pauses) != 2 || !strings.Contains(r.Pauses[1].Why, "no checkpoint since") {
			t.Errorf("%+v, %v", r, err)
		}
		closeLog(t, openWith(t, c, d, time.Now))
		if r, err := Verify(c.Dir); err != nil || !r.OK() || len(r.Pauses) != 2 || !strings.Contains(r.Pauses[1].Why, "ended without a word") {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// FuzzTamper changes a record in any of its files, at any place: bytes changed, cut out, doubled or moved. An auditor with the key and the
// last checkpoint must object, unless the first lines up to that checkpoint are what they were, in the segments they were in.
func FuzzTamper(f *testing.F) {
	dir := f.TempDir()
	l := open(f, Config{Dir: dir, SegmentBytes: 1500, Secrets: f.TempDir()})
	for i := range 6 {
		appendAll(f, l, stanzas(2*i, 2))
	}
	closeLog(f, l)
	a := kept(f, dir)
	names := []string{checkpointsName, treeName}
	numbers, err := segments(dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range numbers {
		names = append(names, segmentName(n))
	}
	was := map[string][]byte{}
	for _, name := range append(names, publicKeysName) {
		if was[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	for op := range uint8(5) {
		for i := range names {
			f.Add(uint8(i), op, uint16(300), uint16(5), uint16(40), byte(1))
			f.Add(uint8(i), op, uint16(0), uint16(700), uint16(2000), byte(32))
		}
	}
	f.Fuzz(func(t *testing.T, file, op uint8, at, size, to uint16, x byte) {
		name := names[int(file)%len(names)]
		b := mutate(bytes.Clone(was[name]), op, int(at), int(size), int(to), x)
		dir := t.TempDir()
		for other, content := range was {
			if other != name {
				write(t, filepath.Join(dir, other), content)
			}
		}
		if b != nil {
			write(t, filepath.Join(dir, name), b)
		}
		r, err := a.Verify(dir)
		if err != nil {
			t.Fatal(err)
		}
		if harmless := bytes.Equal(b, was[name]) || immaterial(name, b, was[name], a.Keys); r.OK() != harmless {
			t.Errorf("%s, %d bytes of %d: harmless %v, found\n%s", name, len(b), len(was[name]), harmless, faultLines(r))
		}
		if _, err := Verify(dir); err != nil {
			t.Error(err)
		}
	})
}

// mutate changes one thing; nil: the file is gone.
func mutate(b []byte, op uint8, at, size, to int, x byte) []byte {
	at = at % len(b)
	end := min(at+size, len(b))
	part := bytes.Clone(b[at:end])
	switch op % 5 {
	case 0:
		b[at] ^= x
	case 1:
		b = slices.Delete(b, at, end)
	case 2:
		b = slices.Insert(b, to%(len(b)+1), part...)
	case 3:
		b = slices.Delete(b, at, end)
		b = slices.Insert(b, to%(len(b)+1), part...)
	case 4:
		if size%7 == 0 {
			return nil
		}
		b = b[:at]
	}
	return b
}

// immaterial says whether a file still says what it said.
func immaterial(name string, b, was []byte, keys Keys) bool {
	switch name {
	case treeName: // derived: it may be missing; what is behind its last whole leaf is taken off at the next start
		return b == nil || bytes.HasPrefix(b, was) && leavesIn(int64(len(b))) == leavesIn(int64(len(was)))
	case checkpointsName: // the same texts with the same signatures, however they are spelled; at the end half a note
		return b != nil && slices.Equal(textsOf(b, keys), textsOf(was, keys))
	}
	// A last line without an end is being written, or was left by a crash.
	return b != nil && name == "00000006.jsonl" && bytes.HasPrefix(b, was) && !bytes.Contains(b[len(was):], []byte("\n"))
}

func textsOf(b []byte, keys Keys) (texts []string) {
	notes, _ := SplitNotes(b)
	for _, n := range notes {
		opened, err := keys.open(n)
		if err != nil {
			texts = append(texts, err.Error())
			continue
		}
		texts = append(texts, opened.Text)
	}
	return texts
}
