package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// line encodes one event as the first of a record.
func line(e Event) string {
	e.Seq, e.Time = 1, time.Date(2026, 7, 30, 12, 0, 0, 5, time.UTC)
	copy(e.ID[:], "01K1DVJ9G00000000000000000")
	enc := newEncoder("gate-1")
	var c *chain
	if e.toSeal() {
		c = &chain{name: "default/2026-07-30-1"}
	}
	enc.hasher = newHasher(make([]byte, hashKeySize))
	enc.event(&e, appendTime(nil, e.Time), c)
	return string(enc.buf)
}

func TestLineHasOneOrder(t *testing.T) {
	t.Parallel()
	e := stanzaEvent(1)
	e.Stanza.E2EE, e.Stanza.Label, e.Stanza.Thread = "omemo", "internal", []byte("t1")
	e.Decision.Reason, e.Condition, e.Text = "listed", "forbidden", "no"
	const want = `{"v":1,"seq":1,"time":"2026-07-30T12:00:00.000000005Z","id":"01K1DVJ9G00000000000000000","node":"gate-1","kind":"stanza","code":100,` +
		`"level":"metadata","dir":"out","local":"corp.example","remote":"partner.example","from":"alice@corp.example/desk","to":"bob@partner.example/phone",` +
		`"link":{"id":"o17","channel":"tls","proof":"pkix","tls":"TLS 1.3","cipher":"TLS_AES_128_GCM_SHA256","remote_ip":"198.51.100.7"},` +
		`"stanza":{"kind":"message","type":"chat","id":"purple00000001","size":300,"class":["text"],"e2ee":"omemo","label":"internal","thread":"t1"},` +
		`"decision":{"effect":"allow","rule":"allow-listed","reason":"listed","revision":"5f2c9e10","mode":"enforce","cached":true},` +
		`"condition":"forbidden","text":"no"}` + "\n"
	if got := line(e); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEmptyEventIsALine(t *testing.T) {
	t.Parallel()
	const want = `{"v":1,"seq":1,"time":"2026-07-30T12:00:00.000000005Z","id":"01K1DVJ9G00000000000000000","node":"gate-1","kind":"unknown","code":0}` + "\n"
	for _, k := range []Kind{0, kindEnd, 255} {
		if got := line(Event{Kind: k}); got != want {
			t.Errorf("kind %d: got\n%s\nwant\n%s", k, got, want)
		}
	}
}

// TestLevels: what names a person is not in a line of level link, and a level that cannot be kept yet is not kept in silence.
func TestLevels(t *testing.T) {
	t.Parallel()
	e := stanzaEvent(1)
	e.Stanza.Label, e.Stanza.Thread = "internal", []byte("t1")
	e.Content.Body = []byte("for Frank")
	e.Decision.Reason, e.Text, e.Error = "Carol is of legal", "for Dave", "of Erin"
	for _, c := range []struct {
		level       Level
		has, hasNot []string
	}{
		{LevelLink, []string{`"level":"link"`, `"size":300`, `"kind":"message"`, `"rule":"allow-listed"`, `"remote":"partner.example"`},
			[]string{"alice", "bob", "purple", `"type"`, `"class"`, "internal", "t1", "Carol", "Dave", "Erin"}},
		{LevelDefault, []string{`"level":"metadata"`, "alice", "bob", "purple"}, []string{`"asked"`}},
		{LevelMetadata, []string{`"level":"metadata"`, "alice"}, []string{`"asked"`}},
		{LevelSealed, []string{`"level":"sealed"`, "alice", `"sealed":{"key":"`}, []string{"Frank", `"asked"`}},
		{LevelContent, []string{`"level":"content"`, "alice", `"content":{"body":"for Frank"}`}, []string{`"asked"`}},
	} {
		e.Level = c.level
		got := line(e)
		for _, s := range c.has {
			if !strings.Contains(got, s) {
				t.Errorf("level %s: %s is missing in %s", c.level, s, got)
			}
		}
		for _, s := range c.hasNot {
			if strings.Contains(got, s) {
				t.Errorf("level %s: %s stands in %s", c.level, s, got)
			}
		}
	}
}

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Level{"": LevelDefault, "none": LevelNone, "link": LevelLink, "metadata": LevelMetadata, "sealed": LevelSealed, "content": LevelContent} {
		if got, err := ParseLevel(s); got != want || err != nil {
			t.Errorf("ParseLevel(%q) = %v, %v", s, got, err)
		}
	}
	if got, err := ParseLevel("None"); err == nil || got != LevelDefault {
		t.Errorf("ParseLevel(None) = %v, %v: a typo must neither pass nor hide anything", got, err)
	}
	if !(LevelNone < LevelLink && LevelLink < LevelMetadata && LevelMetadata < LevelSealed && LevelSealed < LevelContent) {
		t.Error("levels are not in order")
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    Event
		want Code
	}{
		{Event{Kind: Stanza, Decision: DecisionPart{Effect: "allow"}}, 100},
		{Event{Kind: Stanza, Decision: DecisionPart{Effect: "deny"}}, 101},
		{Event{Kind: Stanza}, 101},
		{Event{Kind: Stanza, Decision: DecisionPart{Effect: "drop"}}, 102},
		{Event{Kind: Delivery, Outcome: Written}, 110},
		{Event{Kind: Delivery, Outcome: Acked}, 114},
		{Event{Kind: Delivery, Outcome: Bounced}, 111},
		{Event{Kind: Delivery, Outcome: Dropped}, 112},
		{Event{Kind: Delivery, Outcome: Lost}, 113},
		{Event{Kind: Delivery, Outcome: Replaced}, 115},
		{Event{Kind: Delivery, Outcome: Untold}, 116},
		{Event{Kind: Stanza, Again: true, Decision: DecisionPart{Effect: "allow"}}, 103},
		{Event{Kind: Stanza, Again: true}, 104},
		{Event{Kind: Stanza, Again: true, Decision: DecisionPart{Effect: "drop"}}, 105},
		{Event{Kind: PolicyReload}, 500},
		{Event{Kind: PolicyReload, Error: "x"}, 501},
		{Event{Kind: ConfigReload, Error: "x"}, 511},
	} {
		if got := c.e.Code(); got != c.want {
			t.Errorf("%s %s%s: code %d, want %d", c.e.Kind, c.e.Decision.Effect, c.e.Outcome, got, c.want)
		}
	}
	seen := map[Code]string{}
	for k := Kind(1); k < kindEnd; k++ {
		info := k.info()
		if info.name == "" || info.doc == "" || info.code < 100 || info.code > 999 {
			t.Errorf("kind %d: %+v", k, info)
		}
		if other := seen[info.code]; other != "" {
			t.Errorf("%s and %s have code %d", other, info.name, info.code)
		}
		seen[info.code] = info.name
	}
}

// TestLongValues: what is longer than an address can be is cut, which the line says; addresses are whole.
func TestLongValues(t *testing.T) {
	t.Parallel()
	address := strings.Repeat("a", 1023) + "@" + strings.Repeat("b", 1023) + "/" + strings.Repeat("c", 1023)
	got := line(Event{Kind: Stanza, From: address})
	if !strings.Contains(got, `"`+address+`"`) || strings.Contains(got, `"cut"`) {
		t.Error("an address of the greatest length was cut")
	}
	got = line(Event{Kind: Stanza, From: address, Stanza: StanzaPart{ID: bytes.Repeat([]byte("x"), 100_000)}, Text: strings.Repeat("é", 100_000)})
	var r Record
	if err := json.Unmarshal([]byte(got), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Cut || r.Stanza.ID != strings.Repeat("x", maxText)+"…" || r.Text != strings.Repeat("é", maxText/2)+"…" {
		t.Errorf("cut=%v, id of %d bytes, text of %d bytes", r.Cut, len(r.Stanza.ID), len(r.Text))
	}
	if len(got) > 8<<10 {
		t.Errorf("a line of %d bytes", len(got))
	}
}

// TestEveryByteInALine: each byte at each place of a value, with the buffer full, nearly full and roomy, is read back by
// encoding/json as it was, or as U+FFFD where it is no UTF-8.
func TestEveryByteInALine(t *testing.T) {
	t.Parallel()
	for _, room := range []int{0, 1, 8, 16, 17, 18, 19, 60} {
		for c := range 256 {
			for at := range 17 {
				value := strings.Repeat("x", at) + string([]byte{byte(c)}) + strings.Repeat("y", 16-at)
				n := encoder{buf: make([]byte, 1, 1+len(`,"k":"`)+room)}
				n.buf[0] = '{'
				n.str(`,"k":"`, value)
				n.bytes(`,"b":"`, []byte(value))
				var got struct{ K, B string }
				if err := json.Unmarshal(append([]byte{'{'}, append(n.buf[2:], '}')...), &got); err != nil {
					t.Fatalf("%q in room %d: %v: %s", value, room, err, n.buf)
				}
				if want := strings.ToValidUTF8(value, "\ufffd"); got.K != want || got.B != want {
					t.Fatalf("%q in room %d: read back as %q and %q", value, room, got.K, got.B)
				}
			}
		}
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	e := stanzaEvent(1)
	enc, stamp := newEncoder("gate-1"), appendTime(nil, time.Now())
	enc.event(&e, stamp, nil)
	if n := testing.AllocsPerRun(100, func() { enc.buf = enc.buf[:0]; enc.event(&e, stamp, nil) }); n != 0 {
		t.Errorf("encoding an event allocates %v times", n)
	}
}
