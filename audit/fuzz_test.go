package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzAppend puts arbitrary bytes into every text of an event. Whatever they are: one event is one line, all of it printable,
// and encoding/json reads from it what was put in.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{"alice@corp.example/desk", "\"}\n{\"v\":1", "\u2028\u202e\u0085\x1b[2J", "\xff\xfe\x80", `\u0022\`, "例👍\U000e0041", strings.Repeat("é", 2000)} {
		f.Add(s, "", uint8(Stanza), uint8(0))
		f.Add("x", s, uint8(Delivery), uint8(LevelLink))
		f.Add(s, s, uint8(LinkFail), uint8(LevelContent))
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
		enc.event(&e, appendTime(nil, e.Time))
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
			text(e.Decision.Mode), text(e.Decision.Would), e.Decision.Cached},
		Cert: CertRecord{text(e.Cert), text(e.CertSPKI), text(e.CertIssuer), text(e.CertNotAfter)},
		Step: text(e.Step), Address: text(e.Address), Condition: text(e.Condition), Text: text(e.Text), Error: text(e.Error), Advice: text(e.Advice),
		Count: e.Count, Segment: text(e.Segment), SHA256: text(e.SHA256), Revision: text(e.Revision),
	}
	if e.Kind == Stanza {
		r.Level = "metadata"
		if e.Level == LevelLink || e.Level == LevelNone {
			r.Level = e.Level.String()
		}
		if e.Level > LevelMetadata {
			r.Asked = e.Level.String()
		}
	}
	if e.Kind == Delivery {
		r.Of, r.Outcome, r.Settled = e.Of, text(e.Outcome), e.settled
	}
	s := &e.Stanza
	r.From, r.To = addr(e.From), addr(e.To)
	r.Stanza = StanzaRecord{Kind: text(s.Kind), Type: text(s.Type), ID: text(string(s.ID)), Size: s.Size, E2EE: text(s.E2EE), Label: text(s.Label), Thread: text(string(s.Thread))}
	for _, c := range s.Class {
		r.Stanza.Class = append(r.Stanza.Class, string([]rune(cutTo(c, maxText))))
	}
	r.Cut = cut
	return r
}
