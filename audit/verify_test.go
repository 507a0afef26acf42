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
	"time"
)

// sound makes a record of three segments, of 4, 6 and 6 events.
func sound(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, Config{Dir: dir, SegmentBytes: 1})
	delivery := func(seq uint64) Event {
		return Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{seq, seq}}}
	}
	s := stanzas(0, 10)
	appendAll(t, l, []Event{{Kind: NodeStart, Revision: "1.0"}, s[0], s[1], delivery(2)})
	appendAll(t, l, []Event{s[2], s[3], delivery(5), s[4], s[5], delivery(8)})
	appendAll(t, l, []Event{s[6], s[7], delivery(11), s[8], s[9], delivery(14)})
	closeLog(t, l)
	if numbers, err := segments(dir); err != nil || len(numbers) != 3 {
		t.Fatal(numbers, err)
	}
	return dir
}

func TestVerifySoundRecord(t *testing.T) {
	t.Parallel()
	r, err := Verify(sound(t))
	if err != nil || !r.OK() {
		t.Fatal(r.Faults, err)
	}
	if r.Segments != 3 || r.Events != 16 || r.First != 1 || r.Last != 16 || r.Kinds["stanza"] != 10 || r.Kinds["delivery"] != 5 || r.Kinds["node.start"] != 1 ||
		r.Unsettled != 5 || r.Torn != 0 || r.Begin.IsZero() || r.End.Before(r.Begin) {
		t.Errorf("%+v", r)
	}
}

func TestVerifyFindsFaults(t *testing.T) {
	t.Parallel()
	swap := func(lines [][]byte) [][]byte { lines[0], lines[1] = lines[1], lines[0]; return lines }
	replace := func(line int, old, new string) func([][]byte) [][]byte {
		return func(lines [][]byte) [][]byte {
			if !bytes.Contains(lines[line], []byte(old)) {
				panic("the line does not hold " + old)
			}
			lines[line] = bytes.Replace(lines[line], []byte(old), []byte(new), 1)
			return lines
		}
	}
	for _, c := range []struct {
		name string
		edit func(lines [][]byte) [][]byte // of the last segment
		want string
	}{
		{"a line removed", func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) }, "00000003.jsonl:2: seq"},
		{"a line doubled", func(l [][]byte) [][]byte { return slices.Insert(l, 1, l[0]) }, "00000003.jsonl:2: seq"},
		{"lines swapped", swap, "00000003.jsonl:1: seq"},
		{"white space", replace(1, `"seq":`, `"seq": `), "00000003.jsonl:2: not a line"},
		{"an extra brace", replace(1, "}\n", "}}\n"), "00000003.jsonl:2: not a line"},
		{"an empty line", func(l [][]byte) [][]byte { return slices.Insert(l, 1, []byte("\n")) }, "00000003.jsonl:2: not a line"},
		{"an id lowered", replace(1, `"id":"01`, `"id":"00`), "does not come after"},
		{"an id that is none", replace(1, `"id":"0`, `"id":"U`), "00000003.jsonl:2: event id"},
		{"time in the past", replace(1, `"time":"2`, `"time":"1`), "00000003.jsonl:2: time goes back"},
		{"time in the future", replace(1, `"time":"2`, `"time":"3`), "is absurd"},
		{"no time", replace(1, `T`, `t`), "00000003.jsonl:2: time"},
		{"a later version", replace(1, `"v":1`, `"v":2`), "not a line"},
		{"settles what is to come", replace(2, `"of":[[`, `"of":[[1,99],[`), "settles seq 99"},
		{"a range the wrong way", replace(2, `"of":[[`, `"of":[[9,1],[`), "must be [first,last]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := sound(t)
			edit(t, dir, c.edit)
			r, err := Verify(dir)
			if err != nil || r.OK() {
				t.Fatalf("Verify is content: %+v, %v", r, err)
			}
			if all := faultLines(r); !strings.Contains(all, c.want) {
				t.Errorf("found\n%s\nwant %s", all, c.want)
			}
		})
	}
}

func faultLines(r Report) string {
	var lines []string
	for _, f := range r.Faults {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

func TestVerifyMissesSegments(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	if err := os.Remove(filepath.Join(dir, segmentName(2))); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(dir)
	if all := faultLines(r); err != nil || !strings.Contains(all, "00000003.jsonl: the segment before it is missing: the last one is 00000001.jsonl") || !strings.Contains(all, "seq") {
		t.Errorf("found\n%s\n%v", all, err)
	}
}

func TestVerifyTornEnd(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	for _, n := range []int{3, 1} {
		f, err := os.OpenFile(filepath.Join(dir, segmentName(n)), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"v":1`); err != nil {
			t.Fatal(err)
		}
		f.Close()
		r, err := Verify(dir)
		if err != nil || r.Torn != 6 {
			t.Errorf("%+v, %v", r, err)
		}
		if n == 3 && !r.OK() {
			t.Errorf("the end of the newest segment may be being written: %s", faultLines(r))
		}
		if n == 1 && !strings.Contains(faultLines(r), "00000001.jsonl:5: the last line has no end") {
			t.Errorf("found\n%s", faultLines(r))
		}
	}
}

func TestVerifyBoundsItsReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, segmentName(1)), bytes.Repeat([]byte("nonsense\n"), 5000))
	r, err := Verify(dir)
	if err != nil || r.Found != 5000 || len(r.Faults) != maxFaults {
		t.Errorf("%d found, %d listed, %v", r.Found, len(r.Faults), err)
	}
}

// TestReadersSurviveGarbage: whatever stands in a segment, readers say so and come to an end.
func TestReadersSurviveGarbage(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Format(timeLayout)
	for name, content := range map[string]string{
		"nothing":        "",
		"no line end":    strings.Repeat("x", 300<<10),
		"a long line":    strings.Repeat("x", 1<<20) + "\n",
		"too long":       strings.Repeat("x", maxLine+1000) + "\n",
		"too long, torn": strings.Repeat("x", maxLine+1000),
		"bad JSON":       `{"v":1,"seq":1,"time":"` + now + `","id":"01K1DVJ9G00000000000000000","node":"n","kind":"stanza","code":100,}` + "\n",
		"no id":          `{"v":1,"seq":1,"time":"` + now + `","id":"zzzzzzzzzz0000000000000000","node":"n","kind":"stanza","code":100}` + "\n",
		"our first line": line(Event{Kind: LinkFail, Step: "dns"}) + "{}\n" + line(Event{Kind: Delivery})[:100] + "\n",
		"NUL":            strings.Repeat("\x00", 5000) + "\n",
		"head only":      `{"v":1,"seq":1,"time":"` + now + `","id":"01K1DVJ9G00000000000000000","node":"n","kind":"stanza","code":100` + "\n",
		"a delivery":     `{"v":1,"seq":1,"time":"` + now + `","id":"01K1DVJ9G00000000000000000","node":"n","kind":"delivery","code":110,"of":7}` + "\n",
		"a huge seq":     `{"v":1,"seq":99999999999999999999,"time":"` + now + `","id":"01K1DVJ9G00000000000000000","node":"n","kind":"stanza","code":100}` + "\n",
		"a huge code":    `{"v":1,"seq":1,"time":"` + now + `","id":"01K1DVJ9G00000000000000000","node":"n","kind":"stanza","code":100000}` + "\n",
		"no end of node": `{"v":1,"seq":1,"time":"` + now + `","id":"01K1DVJ9G00000000000000000","node":"n}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, segmentName(1)), []byte(content))
			r, err := Verify(dir)
			if err != nil || r.OK() && r.Torn == 0 && content != "" {
				t.Errorf("Verify: %+v, %v", r, err)
			}
			if _, err := Unsettled(dir); err == nil && r.Found > 0 {
				t.Errorf("Unsettled has nothing to say where Verify finds %s", faultLines(r))
			}
			for _, q := range []Query{{}, {Text: "x"}, {Since: time.Now()}} {
				if err := Search(context.Background(), dir, q, func([]byte, Record) error { return nil }); err != nil && !errors.As(err, new(*DamageError)) {
					t.Errorf("Search: %v", err)
				}
			}
			for _, n := range []int{-1, 0, 5} {
				if err := tailOf(context.Background(), dir, false, n, func([]byte, Record) error { return nil }); err != nil {
					t.Errorf("Tail: %v", err)
				}
			}
			// A gate can always go on behind it.
			l := open(t, Config{Dir: dir, SegmentBytes: 1})
			appendAll(t, l, stanzas(0, 1))
			appendAll(t, l, stanzas(1, 1))
			closeLog(t, l)
			found := 0
			err = Search(context.Background(), dir, Query{From: "alice@corp.example"}, func([]byte, Record) error { found++; return nil })
			if found != 2 || err != nil && !errors.As(err, new(*DamageError)) {
				t.Errorf("Search finds %d behind it, and says %v", found, err)
			}
		})
	}
}

// TestFormatLeavesRoom: fields and kinds that a later program adds disturb no reader of this one, and neither does a long line.
func TestFormatLeavesRoom(t *testing.T) {
	t.Parallel()
	dir := sound(t)
	strip(t, dir)
	sealed := `,"sealed":{"to":["age1x"],"body":"` + strings.Repeat("QUJD", 300<<10) + `"}}` + "\n"
	edit(t, dir, func(lines [][]byte) [][]byte {
		lines[0] = append(bytes.TrimSuffix(lines[0], []byte("}\n")), sealed...)
		lines[5] = bytes.Replace(lines[5], []byte(`"kind":"delivery","code":110`), []byte(`"kind":"audit.opened","code":910`), 1)
		return lines
	})
	if r, err := Verify(dir); err != nil || !r.OK() || r.Kinds["audit.opened"] != 1 || r.Unsettled != 6 {
		t.Errorf("Verify: %s, %v, %+v", faultLines(r), err, r)
	}
	if got := search(t, dir, Query{Kind: "audit.*"}); !slices.Equal(got, []uint64{16}) {
		t.Errorf("Search finds %v", got)
	}
	if got := search(t, dir, Query{From: "alice@corp.example"}); len(got) != 10 {
		t.Errorf("Search finds %v", got)
	}
	if left, err := Unsettled(dir); len(left) != 6 || err != nil {
		t.Errorf("%d unsettled, %v", len(left), err)
	}
	l := open(t, Config{Dir: dir})
	batch := stanzas(0, 1)
	appendAll(t, l, batch)
	if batch[0].Seq != 18 { // behind the word that its checkpoints are gone
		t.Errorf("the record goes on with seq %d", batch[0].Seq)
	}
}
