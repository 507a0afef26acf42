package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// search gives the seqs of what a query finds.
func search(t *testing.T, dir string, q Query) []uint64 {
	t.Helper()
	var seqs []uint64
	if err := Search(context.Background(), dir, q, func(line []byte, r Record) error {
		if !strings.HasPrefix(string(line), fmt.Sprintf(`{"v":1,"seq":%d,`, r.Seq)) {
			t.Errorf("record %d comes with the line %s", r.Seq, line)
		}
		seqs = append(seqs, r.Seq)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return seqs
}

func TestSearch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)
	clock := &hand{at: start}
	l := openWith(t, Config{Dir: dir, SegmentBytes: 1200}, newTestDisk(), clock.now)
	st := func(from, to, remote string, d DecisionPart, class ...string) Event {
		return Event{Kind: Stanza, Dir: "out", Local: "corp.example", Remote: remote, From: from, To: to, Stanza: StanzaPart{Kind: "message", Size: 9, Class: class}, Decision: d}
	}
	events := []Event{
		{Kind: NodeStart, Revision: "1.0"},
		st("alice@corp.example/desk", "bob@partner.example/phone", "partner.example", DecisionPart{Effect: "allow", Rule: "listed"}, "text"),
		st("bob@partner.example/phone", "alice@corp.example/desk", "partner.example", DecisionPart{Effect: "deny", Rule: "no-files", Reason: "Kontonummer \"7\""}, "text", "file"),
		st("alice@corp.example/lap\x1btop", "conference.chat.partner.example", "chat.partner.example", DecisionPart{Effect: "allow", Rule: "listed"}, "muc"),
		st("žofie@corp.example", "eve@rival.example", "rival.example", DecisionPart{Effect: "drop", Rule: "listed-not"}, "presence"),
		{Kind: LinkFail, Step: "tls", Local: "corp.example", Remote: "rival.example", Error: "Handshake FAILED: alert 40"},
		{Kind: LinkClose, Link: "o1", Dir: "out", Local: "corp.example", Remote: "partner.example"},
	}
	for i := range events {
		clock.turn(time.Minute)
		appendAll(t, l, events[i:i+1])
	}
	closeLog(t, l)
	if numbers, _ := segments(dir); len(numbers) < 2 {
		t.Fatalf("segments %v", numbers)
	}
	for _, c := range []struct {
		name string
		q    Query
		want []uint64
	}{
		{"everything", Query{}, []uint64{1, 2, 3, 4, 5, 6, 7}},
		{"from a user", Query{From: "Alice@Corp.example"}, []uint64{2, 4}},
		{"from a user's resource", Query{From: "alice@corp.example/desk"}, []uint64{2}},
		{"a resource with a control character", Query{From: "alice@corp.example/lap\x1btop"}, []uint64{4}},
		{"from a domain", Query{From: "partner.example"}, []uint64{3}},
		{"to a user", Query{To: "alice@corp.example"}, []uint64{3}},
		{"part of a name is not the name", Query{From: "lice@corp.example"}, nil},
		{"user either way", Query{User: "alice@corp.example"}, []uint64{2, 3, 4}},
		{"user of another script", Query{User: "žofie@corp.example"}, []uint64{5}},
		{"domain", Query{Domain: "partner.example"}, []uint64{2, 3, 7}},
		{"domain and below", Query{Domain: "*.partner.example"}, []uint64{2, 3, 4, 7}},
		{"class", Query{Class: "file"}, []uint64{3}},
		{"effect", Query{Effect: "allow"}, []uint64{2, 4}},
		{"rule exactly", Query{Rule: "listed"}, []uint64{2, 4}},
		{"kind", Query{Kind: "link.fail"}, []uint64{6}},
		{"kinds", Query{Kind: "link.*"}, []uint64{6, 7}},
		{"id", Query{ID: events[4].ID.String()}, []uint64{5}},
		{"id in lower case", Query{ID: strings.ToLower(events[4].ID.String())}, []uint64{5}},
		{"since", Query{Since: events[4].Time}, []uint64{5, 6, 7}},
		{"since a time zone", Query{Since: events[4].Time.In(time.FixedZone("", 7200))}, []uint64{5, 6, 7}},
		{"until, which is not in", Query{Until: events[2].Time}, []uint64{1, 2}},
		{"span", Query{Since: events[1].Time, Until: events[3].Time}, []uint64{2, 3}},
		{"since the future", Query{Since: clock.now().Add(time.Hour)}, nil},
		{"text in any case", Query{Text: "handshake failed"}, []uint64{6}},
		{"text with a quote", Query{Text: `kontonummer "7"`}, []uint64{3}},
		{"limit", Query{User: "alice@corp.example", Limit: 2}, []uint64{2, 3}},
		{"all of it at once", Query{User: "alice@corp.example", Effect: "allow", Class: "muc", Kind: "stanza"}, []uint64{4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := search(t, dir, c.q); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

// TestShortCutsFindTheSame: what Search sees in a line's bytes spares it most lines, and none that the query asks for. Values have
// all that is escaped, cut, or not UTF-8; queries are made of what was recorded, as a reader shows it, and of parts of it.
func TestShortCutsFindTheSame(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	parts := []string{"alice", "Bob", "žofie", "a\"b", `c\d`, "\x1b[2J", "\u202e", "\xff", "\ufffd", "👍", "e\u0301", "<&>", strings.Repeat("x", maxText+5), "\U000e0041"}
	part := func() string { return parts[random.IntN(len(parts))] }
	address := func() string {
		return lowerBare(part() + "@" + part() + ".example" + []string{"", "/" + part()}[random.IntN(2)])
	}
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, SegmentBytes: 20_000})
	for range 150 {
		appendAll(t, l, []Event{{Kind: Stanza, Local: part(), Remote: part(), From: address(), To: address(), Text: part(),
			Stanza: StanzaPart{Class: []string{part(), part()}}, Decision: DecisionPart{Effect: part(), Rule: part()}}})
	}
	closeLog(t, l)
	all := records(t, dir)
	found := 0
	for range 150 {
		r := all[random.IntN(len(all))]
		var q Query
		for _, set := range []func(){
			func() { q.From = r.From }, func() { q.To = domainOf(r.To) }, func() { q.User, _, _ = strings.Cut(r.From, "/") },
			func() { q.Domain = r.Local }, func() { q.Domain = "*.example" }, func() { q.Class = r.Stanza.Class[1] },
			func() { q.Effect = r.Decision.Effect }, func() { q.Rule = r.Decision.Rule }, func() { q.Text = part() },
		} {
			if random.IntN(4) == 0 {
				set()
			}
		}
		var want []uint64
		m := newMatcher(q)
		for i := range all {
			if m.record(&all[i]) {
				want = append(want, all[i].Seq)
			}
		}
		if got := search(t, dir, q); !slices.Equal(got, want) {
			t.Errorf("%+v\nfinds %v, want %v", q, got, want)
		}
		found += len(want)
	}
	if found < 400 {
		t.Errorf("only %d events were found: the test shows nothing", found)
	}
}

// TestTextIsLookedForEverywhere: each text that a record can hold is found by words of it.
func TestTextIsLookedForEverywhere(t *testing.T) {
	t.Parallel()
	var look func(r *Record, v reflect.Value, path string) int
	look = func(r *Record, v reflect.Value, path string) (texts int) {
		switch {
		case v.Type() == reflect.TypeFor[time.Time]():
		case v.Kind() == reflect.String:
			v.SetString("The Needle")
		case v.Type() == reflect.TypeFor[[]string]():
			v.Set(reflect.ValueOf([]string{"hay", "The Needle"}))
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				texts += look(r, v.Field(i), path+"."+v.Type().Field(i).Name)
			}
			return texts
		}
		if v.IsZero() {
			return 0
		}
		if path != ".Sealed.Box" && !r.mentions("needle") { // nobody can read that
			t.Errorf("%s is not looked at", path)
		}
		v.SetZero()
		return 1
	}
	var r Record
	if n := look(&r, reflect.ValueOf(&r).Elem(), ""); n < 40 {
		t.Errorf("only %d texts were found in a record", n)
	}
	r.ID, _ = ParseID("01K1DVJ9G0AAAAAAAAAA000000")
	if !r.mentions("9g0aaa") {
		t.Error("the id is not looked at")
	}
}

func TestSearchEnds(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: t.TempDir()})
	appendAll(t, l, stanzas(0, 3000))
	stop := errors.New("stop")
	if err := Search(context.Background(), l.cfg.Dir, Query{}, func([]byte, Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("yield's error: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Search(ctx, l.cfg.Dir, Query{Text: "nothing"}, func([]byte, Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	if err := Search(context.Background(), filepath.Join(l.cfg.Dir, "none"), Query{}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// TestReadersAndWriter: reading never disturbs a running gate, and never shows half a line.
func TestReadersAndWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, SegmentBytes: 30_000, Durability: Async})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			if err := l.Append(context.Background(), stanzas(5*i, 5)); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		last := uint64(0)
		if err := Search(context.Background(), dir, Query{}, func(_ []byte, r Record) error {
			if r.Seq != last+1 {
				t.Errorf("seq %d after %d", r.Seq, last)
			}
			last = r.Seq
			return nil
		}); err != nil {
			t.Error(err)
		}
		if _, err := Unsettled(dir); err != nil {
			t.Error(err)
		}
		if r, err := Verify(dir); err != nil || !r.OK() {
			t.Error(r.Faults, err)
		}
	}
	closeLog(t, l)
	if r, err := Verify(dir); err != nil || r.Events != 1000 || r.Torn != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestUnsettled: an allowed stanza is open until a delivery event names it, over restarts and segments.
func TestUnsettled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seqs := func() []uint64 {
		t.Helper()
		left, err := Unsettled(dir)
		if err != nil {
			t.Fatal(err)
		}
		var s []uint64
		for _, r := range left {
			s = append(s, r.Seq)
			if r.From != "alice@corp.example/desk" || r.Stanza.Kind != "message" {
				t.Errorf("unsettled: %+v", r)
			}
		}
		return s
	}
	want := func(when string, want ...uint64) {
		t.Helper()
		if got := seqs(); !slices.Equal(got, want) {
			t.Errorf("%s: unsettled %v, want %v", when, got, want)
		}
	}
	settle := func(l *Log, outcome string, of ...SeqRange) {
		l.Note(Event{Kind: Delivery, Outcome: outcome, Of: of})
	}
	want("an empty record")
	c := Config{Dir: dir, SegmentBytes: 2000}
	l := open(t, c)
	batch := stanzas(0, 6)
	batch[1].Decision.Effect, batch[2].Decision.Effect = "deny", "drop"
	appendAll(t, l, batch)
	want("none is delivered", 1, 4, 5, 6)
	settle(l, Written, SeqRange{1, 1})
	settle(l, Bounced, SeqRange{2, 2}, SeqRange{5, 5})
	closeLog(t, l)
	want("two are", 4, 6)

	l = open(t, c)
	if n := l.Stats().Unsettled; n != 2 {
		t.Errorf("a restarted gate knows of %d", n)
	}
	for i := range 20 { // some segments on
		batch := stanzas(10+i, 1)
		appendAll(t, l, batch)
		settle(l, Written, SeqRange{batch[0].Seq, batch[0].Seq})
	}
	closeLog(t, l)
	want("much later", 4, 6)
	var marks []uint64
	for _, r := range records(t, dir) {
		if r.Kind == "delivery" {
			marks = append(marks, r.Settled)
		}
	}
	if !slices.IsSorted(marks) || marks[0] != 4 || marks[len(marks)-1] != 4 {
		t.Errorf("deliveries say that all is settled below %v", marks)
	}

	l = open(t, c)
	settle(l, Lost, SeqRange{4, 4}, SeqRange{6, 6})
	closeLog(t, l)
	want("the senders were told")

	// What is settled need not be read any more, nor even be there.
	numbers, err := segments(dir)
	if err != nil || len(numbers) < 4 {
		t.Fatal(numbers, err)
	}
	for _, n := range numbers[:len(numbers)-1] {
		if err := os.Remove(filepath.Join(dir, segmentName(n))); err != nil {
			t.Fatal(err)
		}
	}
	want("the old segments are gone")
	l = open(t, c)
	batch = stanzas(100, 1)
	appendAll(t, l, batch)
	closeLog(t, l)
	want("a crash after that", batch[0].Seq)
}

// TestUnsettledAtDamage: a line that cannot be read costs its own answer and no other; in particular it does not make the gate
// read the whole archive again.
func TestUnsettledAtDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, SegmentBytes: 1})
	settle := func(seq uint64) Event {
		return Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{seq, seq}}}
	}
	appendAll(t, l, stanzas(0, 1))
	appendAll(t, l, append([]Event{settle(1)}, stanzas(1, 3)...))
	appendAll(t, l, append(stanzas(4, 1), settle(3), settle(4)))
	closeLog(t, l)
	// Whoever reads the first segment takes its stanza for a later one, which nobody has settled.
	first := filepath.Join(dir, segmentName(1))
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	write(t, first, bytes.Replace(content, []byte(`"seq":1,`), []byte(`"seq":0,`), 1))
	edit(t, dir, func(lines [][]byte) [][]byte {
		lines[2] = bytes.Replace(lines[2], []byte(`"of":[`), []byte(`"of":7,"x":[`), 1)
		return lines
	})
	var damage *DamageError
	left, err := Unsettled(dir)
	if !errors.As(err, &damage) || damage.Lines != 1 || damage.First != "00000003.jsonl:3" {
		t.Errorf("Unsettled says %v", err)
	}
	var seqs []uint64
	for _, r := range left {
		seqs = append(seqs, r.Seq)
	}
	if !slices.Equal(seqs, []uint64{4, 5, 6}) {
		t.Errorf("unsettled %v", seqs)
	}
	l = open(t, Config{Dir: dir})
	if n := l.Stats().Unsettled; n != 3 {
		t.Errorf("the gate starts with %d unsettled", n)
	}
}
