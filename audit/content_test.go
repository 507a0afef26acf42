package audit

import (
	"strings"
	"testing"
	"time"
)

// TestContent: at level content the line says what the stanza says, in clear and up to the limit; at lower levels it does not.
func TestContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Config{Dir: dir, Content: 100})
	e := stanzaEvent(1)
	e.Content = ContentPart{Body: []byte("hello\n\u202e\"world\""), Subject: []byte("greeting"), Lang: "en", XML: []byte("<message/>")}
	var batch []Event
	for _, level := range []Level{LevelContent, LevelMetadata, LevelDefault, LevelLink} {
		e.Level = level
		batch = append(batch, e)
	}
	long := e
	long.Level, long.Content = LevelContent, ContentPart{Body: []byte(strings.Repeat("é", 51)), XML: []byte(strings.Repeat("x", 100))}
	denied := e
	denied.Level, denied.Decision = LevelContent, DecisionPart{Effect: "deny", Rule: "r"}
	appendAll(t, l, append(batch, long, denied))
	closeLog(t, l)
	all := records(t, dir)
	want := ContentRecord{Body: "hello\n\u202e\"world\"", Subject: "greeting", Lang: "en", XML: "<message/>"}
	if all[0].Content != want || all[5].Content != want || all[0].Level != "content" || all[0].Cut {
		t.Errorf("%+v\n%+v", all[0], all[5])
	}
	for _, r := range all[1:4] {
		if r.Content != (ContentRecord{}) || r.Asked != "" {
			t.Errorf("level %s: %+v", r.Level, r.Content)
		}
	}
	if c := all[4].Content; !all[4].Cut || c.Body != strings.Repeat("é", 50)+"…" || c.XML != strings.Repeat("x", 100) {
		t.Errorf("cut %v: %+v", all[4].Cut, c)
	}
}

// TestHashes: what a line does not tell can be asked, with the key and of the exact text alone.
func TestHashes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Config{Dir: dir, Content: 8, Sealing: Sealing{Recipients: recipients(officer(t))}}
	l := open(t, c)
	onLink, sealed, clear, plain := secretStanza(1, "attack at dawn"), secretStanza(2, "attack at dawn"), secretStanza(3, "attack at dawn"), secretStanza(4, "attack at dawn")
	onLink.Level, clear.Level, plain.Level = LevelLink, LevelContent, LevelMetadata
	appendAll(t, l, []Event{onLink, sealed, clear, plain})
	closeLog(t, l)
	h, err := LoadHasher(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records(t, dir) {
		day := r.Time
		body, from, to := h.Body(day, []byte("attack at dawn")), h.Address(day, "alice@corp.example"), h.Address(day, "bob@partner.example/other")
		want := HashRecord{Body: body} // of the whole body, be it cut
		switch {
		case r.Kind != "stanza":
			continue
		case r.Level == "link":
			want = HashRecord{From: from, To: to}
		case r.Level == "metadata":
			want = HashRecord{}
		}
		if r.Hash != want {
			t.Errorf("level %s has the hashes %+v, want %+v", r.Level, r.Hash, want)
		}
	}
	day := time.Date(2026, 7, 30, 23, 59, 59, 0, time.UTC)
	body, from := h.Body(day, []byte("attack at dawn")), h.Address(day, "alice@corp.example")
	if h.Body(day, []byte("attack at dawn ")) == body || h.Body(day, []byte("alice@corp.example")) == from {
		t.Error("another text has the same hash")
	}
	if next := day.Add(time.Second); h.Body(next, []byte("attack at dawn")) == body || h.Address(next, "alice@corp.example") == from {
		t.Error("what is alike on two days shows without the key")
	}
	other, err := LoadHasher(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if other.Body(day, []byte("attack at dawn")) == body {
		t.Error("another gate's key gives the same hash")
	}
}
