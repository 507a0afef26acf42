package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"
)

// FuzzAppend puts arbitrary bytes into every text of an event. Whatever they are: one event is one line, all of it printable,
// and encoding/json reads from it what was put in.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{"alice@corp.example/desk", "\"}\n{\"v\":1", "\u2028\u202e\u0085\x1b[2J", "\xff\xfe\x80", `\u0022\`, "例👍\U000e0041", strings.Repeat("é", 2000)} {
		f.Add(s, "", uint8(Stanza), uint8(0))
		f.Add("x", s, uint8(Delivery), uint8(LevelLink))
		f.Add(s, s, uint8(LinkFail), uint8(LevelContent))
		f.Add(s, "", uint8(AuditDelete), uint8(LevelMetadata))
	}
	f.Fuzz(func(t *testing.T, a, b string, kind, level uint8) {
		e := Event{Kind: Kind(kind), Level: Level(level % 6), Seq: 7, Time: time.Unix(1785412800, 5).UTC()}
		texts := 0
		fillTexts(reflect.ValueOf(&e).Elem(), func() string {
			texts++
			return [...]string{a, b, b + a, a + b}[texts%4]
		})
		e.Stanza.Size, e.Of, e.settled, e.Count = len(a), []SeqRange{{1, 3}, {5, 5}}, 4, uint64(len(b))
		ids := newIDMaker(ID{})
		ids.at(e.Time)
		e.ID = ids.make()
		enc := newEncoder(b)
		enc.event(&e, appendTime(nil, e.Time), nil)
		checkLine(t, enc.buf, recordFor(&e, b))
	})
}

func checkLine(t *testing.T, line []byte, want Record) {
	t.Helper()
	if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
		t.Fatalf("the line ends at %d of %d: %q", n, len(line), line)
	}
	line = line[:len(line)-1]
	for _, r := range string(line) {
		if !unicode.IsPrint(r) {
			t.Fatalf("%U stands in the line %q", r, line)
		}
	}
	var got Record
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("read back as\n%+v\nwant\n%+v", got, want)
	}
	h, ok := parseHead(line)
	if !ok || h.seq != want.Seq || h.id != want.ID || string(h.kind) != want.Kind || h.code != want.Code {
		t.Fatalf("head %+v, %v of %s", h, ok, line)
	}
}

// fillTexts gives every string and byte slice in v a text.
func fillTexts(v reflect.Value, text func() string) {
	switch {
	case !v.CanSet():
	case v.Kind() == reflect.String:
		v.SetString(text())
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			fillTexts(v.Field(i), text)
		}
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes([]byte(text()))
	case v.Type() == reflect.TypeFor[[]string]():
		v.Set(reflect.ValueOf([]string{text(), text()}))
	}
}

// recordFor is what a reader is to find for an event.
func recordFor(e *Event, node string) Record {
	if e.Kind == Stanza && e.Level.effective() < LevelMetadata {
		bare := *e
		bare.From, bare.To, bare.Stanza = "", "", StanzaPart{Kind: e.Stanza.Kind, Size: e.Stanza.Size}
		bare.Decision.Reason, bare.Text, bare.Error, bare.Advice = "", "", "", ""
		e = &bare
	}
	cut := false
	value := func(s string, limit int) string {
		if len(s) > limit {
			cut = true
			return string([]rune(cutText(s, limit))) + "…"
		}
		return string([]rune(s)) // each byte that is not UTF-8 is one U+FFFD
	}
	text := func(s string) string { return value(s, maxText) }
	addr := func(s string) string { return value(s, maxAddress) }
	r := Record{
		V: 1, Seq: e.Seq, Time: e.Time, ID: e.ID, Node: string([]rune(cutTo(node, maxText))), Kind: e.Kind.String(), Code: e.Code(),
		Dir: text(e.Dir), Local: addr(e.Local), Remote: addr(e.Remote),
		Link: LinkRecord{text(e.Link), text(e.Channel), text(e.Proof), text(e.TLS), text(e.Cipher), text(e.ALPN), text(e.RemoteIP), text(e.Route)},
		Decision: DecisionRecord{text(e.Decision.Effect), text(e.Decision.Rule), text(e.Decision.Reason), text(e.Decision.Revision),
			text(e.Decision.Mode), text(e.Decision.Would), e.Decision.Cached, text(e.Decision.Retention)},
		Change: ChangeRecord{nil, text(e.Change.Before), text(e.Change.After)},
		Cert:   CertRecord{text(e.Cert), text(e.CertSPKI), text(e.CertIssuer), text(e.CertNotAfter)},
		Step:   text(e.Step), Address: text(e.Address), Condition: text(e.Condition), Text: text(e.Text), Error: text(e.Error), Advice: text(e.Advice),
		Count: e.Count, Segment: text(e.Segment), SHA256: text(e.SHA256), Revision: text(e.Revision),
		Who: text(e.Deed.Who), As: text(e.Deed.As), Why: text(e.Deed.Why), Query: text(e.Deed.Query), Key: text(e.Key),
	}
	if e.Kind == Stanza {
		r.Level = e.Level.String()
		if e.Level == LevelSealed && !e.Content.empty() { // there is no key
			r.Level, r.Asked = "metadata", "sealed"
		}
		if e.Level == LevelContent {
			words := func(b []byte) string { return value(string(b), defaultContent) }
			r.Content = ContentRecord{words(e.Content.Body), words(e.Content.Subject), text(e.Content.Lang), words(e.Content.XML)}
		}
	}
	if e.Kind == Delivery || e.Kind == AuditDelete {
		r.Of, r.Outcome, r.Settled = e.Of, text(e.Outcome), e.settled
	}
	s := &e.Stanza
	r.From, r.To = addr(e.From), addr(e.To)
	r.Stanza = StanzaRecord{Kind: text(s.Kind), Type: text(s.Type), ID: text(string(s.ID)), Size: s.Size, E2EE: text(s.E2EE), Label: text(s.Label), Thread: text(string(s.Thread))}
	for _, rule := range e.Change.Rules {
		r.Change.Rules = append(r.Change.Rules, string([]rune(cutTo(rule, maxText))))
	}
	for _, c := range s.Class {
		r.Stanza.Class = append(r.Stanza.Class, string([]rune(cutTo(c, maxText))))
	}
	r.Cut = cut
	return r
}

// FuzzLine holds the readers of single lines against each other and against encoding/json: where the head can be read without
// JSON and the whole with it, both say the same.
func FuzzLine(f *testing.F) {
	for _, e := range examples() {
		f.Add([]byte(strings.TrimSuffix(line(e), "\n")))
	}
	f.Add([]byte(`{"v":1,"seq":18446744073709551616,"time":"2026-07-30T12:00:00.000000005Z","id":"01K1DVJ9G00000000000000000","node":"a\",\"kind\":\"x","kind":"stanza","code":100}`))
	f.Add([]byte(`{"v":1,"seq":1,"time":"2026-07-30T12:00:00.000000005Z","id":"01K1DVJ9G00000000000000000","node":"","kind":"delivery","code":110,"of":[[1,0]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, ok := parseHead(text)
		r, err := ParseRecord(text)
		if of, _, err := settles(text); err == nil {
			for _, r := range of {
				if r.First > r.Last {
					t.Errorf("settles %v", of)
				}
			}
		}
		if !ok || err != nil || repeats(text) {
			return
		}
		if h.seq != r.Seq || h.code != r.Code || string(h.kind) != r.Kind && utf8.Valid(h.kind) && !bytes.Contains(h.kind, []byte{'\\'}) {
			t.Errorf("head %+v, kind %q, of %+v", h, h.kind, r)
		}
		if id, err := ParseID(h.id.String()); err != nil || id != r.ID {
			t.Errorf("head %s, record %s", h.id, r.ID)
		}
		if at, err := time.Parse(timeLayout, string(h.time)); err == nil && !at.Equal(r.Time) {
			t.Errorf("head %s, record %s", h.time, r.Time)
		}
		for _, v := range []string{r.From, r.Text, r.Decision.Rule} {
			if v != "" && !r.mentions(strings.ToLower(v)) {
				t.Errorf("%q is not found in the record that holds it", v)
			}
		}
	})
}

// repeats says whether an object has a key twice, by whatever case: encoding/json then has its own mind.
func repeats(text []byte) bool {
	var top map[string]json.RawMessage
	if json.Unmarshal(text, &top) != nil {
		return true
	}
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.Token()
	for d.More() {
		key, _ := d.Token()
		name := strings.ToLower(key.(string))
		if seen[name] {
			return true
		}
		seen[name] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return true
		}
	}
	return false
}

// FuzzSegment puts arbitrary bytes into a record's last segment. Whatever they are, every reader comes to its end, and the gate
// either goes on behind them, with whole lines of its own, or says why not.
func FuzzSegment(f *testing.F) {
	whole := line(examples()[0]) + line(Event{Kind: Delivery, Outcome: Written, Of: []SeqRange{{1, 1}}})
	for _, s := range []string{"", whole, whole[:len(whole)-7], whole + "\x00\x00\n", "{}\n" + whole, whole + "{\"v\":2}\n", whole + "\n\n", strings.Repeat(whole, 3)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, segmentName(1)), content)
		readAll(t, dir)
		l, err := openOn(Config{Dir: dir, Node: "gate-1"}, hastyDisk{}, time.Now)
		if err != nil {
			if !strings.Contains(err.Error(), "later version") {
				t.Fatal(err)
			}
			return
		}
		batch := stanzas(7, 2)
		appendAll(t, l, batch)
		closeLog(t, l)
		_, now := lastSegment(t, dir)
		lines := bytes.Split(bytes.TrimSuffix(now, []byte("\n")), []byte("\n"))
		if last, err := ParseRecord(lines[len(lines)-1]); err != nil || last.Seq != batch[1].Seq && last.Kind != "audit.repair" {
			t.Errorf("the last line is %q, %v", lines[len(lines)-1], err)
		}
		readAll(t, dir)
	})
}

// hastyDisk waits for nothing.
type hastyDisk struct{ osDisk }

func (hastyDisk) syncDir(string) error { return nil }

func (d hastyDisk) create(path string) (file, error) {
	f, err := d.osDisk.create(path)
	return hastyFile{f}, err
}

func (d hastyDisk) open(path string) (file, error) {
	f, err := d.osDisk.open(path)
	return hastyFile{f}, err
}

type hastyFile struct{ file }

func (hastyFile) sync() error { return nil }

// readAll lets every reader read a record.
func readAll(t *testing.T, dir string) {
	t.Helper()
	nothing := func([]byte, Record) error { return nil }
	_, err := Verify(dir)
	errs := []error{err, tailOf(context.Background(), dir, false, -1, nothing), tailOf(context.Background(), dir, false, 2, nothing)}
	for _, q := range []Query{{}, {Text: "x", Limit: 2}, {User: "alice@corp.example", Since: time.Unix(0, 0), Until: time.Now()}} {
		errs = append(errs, Search(context.Background(), dir, q, nothing))
	}
	_, err = Unsettled(dir)
	for _, err := range append(errs, err) {
		if err != nil && !errors.As(err, new(*DamageError)) {
			t.Error(err)
		}
	}
}

// fuzzedContent is what is kept of a body there: a seed that is longer than the usual bound keeps the fuzzer busy with making it shorter.
const fuzzedContent = 100

// FuzzSealed: whatever a stanza says, and whatever stands in its line, the box gives back what the line of level content would say;
// and one changed byte of the line, wherever, and it gives nothing else.
func FuzzSealed(f *testing.F) {
	f.Add("hello", "s", "en", "<message/>", "alice@corp.example", uint64(3), uint16(40))
	f.Add("\",\"sealed\":{\"key\":\"x", "\x00\xff", "\u202e", strings.Repeat("é", 2*fuzzedContent), "\"}\n", uint64(0), uint16(900))
	dir, id := f.TempDir(), officer(f)
	s := &sealer{cfg: Sealing{}.withDefaults(), recipients: []age.Recipient{id.Recipient()}, disk: hastyDisk{}, dir: filepath.Join(dir, keysDir)}
	first := chain{period: "2026-07-30", key: [keySize]byte{7}}
	if _, err := s.write("default", &first); err != nil {
		f.Fatal(err)
	}
	o := NewOpener(dir, id)
	f.Fuzz(func(t *testing.T, body, subject, lang, xml, from string, steps uint64, at uint16) {
		c := first
		for range steps % 50 {
			c.next()
		}
		e := stanzaEvent(1)
		e.Seq, e.From, e.Level, e.Time = 1, from, LevelSealed, time.Unix(1785412800, 5).UTC()
		copy(e.ID[:], "01K1DVJ9G00000000000000000")
		e.Content = ContentPart{[]byte(body), []byte(subject), lang, []byte(xml)}
		if e.Content.empty() {
			return
		}
		sealed, clear := newEncoder("gate-1"), newEncoder("gate-1")
		sealed.most, clear.most = fuzzedContent, fuzzedContent
		sealed.event(&e, appendTime(nil, e.Time), &c)
		e.Level = LevelContent
		clear.event(&e, appendTime(nil, e.Time), nil)
		line := bytes.TrimSuffix(sealed.buf, []byte("\n"))
		r, err := ParseRecord(line)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ParseRecord(clear.buf)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.Open(line, r); err != nil || got != want.Content || r.Cut != want.Cut {
			t.Fatalf("opened as %+v, %v; want %+v", got, err, want.Content)
		}
		line[int(at)%len(line)] ^= 1
		if r, err = ParseRecord(line); err != nil {
			return
		}
		if got, err := o.Open(line, r); err == nil {
			t.Errorf("byte %d was changed, and it opens as %+v", int(at)%len(line), got)
		}
	})
}
