package proxy

import (
	"strings"
	"testing"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// What a stanza says is recorded as it leaves; what has more to say than one body and one subject is there whole.
func TestSaid(t *testing.T) {
	t.Parallel()
	const open, shut = `<message from='a@b.example' to='c@d.example' type='chat'>`, `</message>`
	for _, c := range []struct {
		inner, changed      string
		body, subject, lang string
		whole               bool
	}{
		{inner: `<body>hello</body>`, body: "hello", lang: "en"},
		{inner: `<subject>s</subject><body xml:lang='de'>R&amp;D &lt;<![CDATA[<b>]]>&#x1F44D;</body><thread>t</thread>`, body: "R&D <<b>👍", subject: "s", lang: "de"},
		{inner: `<body>one</body><body xml:lang='fr'>deux</body>`, body: "one", lang: "en", whole: true},
		{inner: `<body>x</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>y</p></body></html>`, body: "x", lang: "en", whole: true},
		{inner: `<body/><body>second</body>`, lang: "en", whole: true},
		{inner: `<body xmlns='urn:other'>elsewhere</body>`, lang: "en", whole: true},
		{inner: `<body>card 4111111111111111</body>`, changed: `<body>card ****</body>`, body: "card ****", lang: "en"},
	} {
		el, err := stanza.ParseOne([]byte(open+c.inner+shut), stanza.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		in := &inbound{load: &load{}, lang: language{spoken: "en"}}
		cross := &crossing{el: el, from: &jid.Address{Canonical: true}, to: &jid.Address{Canonical: true}}
		sent := open + c.inner + shut
		if c.changed != "" {
			sent = open + c.changed + shut
			cross.changed = []byte(sent)
		}
		got := in.said(cross)
		if string(got.Body) != c.body || string(got.Subject) != c.subject || got.Lang != c.lang {
			t.Errorf("%s: body %q, subject %q, lang %q", c.inner, got.Body, got.Subject, got.Lang)
		}
		if whole := string(got.XML); (whole != "") != c.whole || c.whole && whole != sent {
			t.Errorf("%s: whole %q", c.inner, whole)
		}
	}
}

// What crosses in plain words costs the record's reader no memory of its own.
func TestSaidDoesNotAllocate(t *testing.T) {
	el, err := stanza.ParseOne([]byte(`<message from='a@b.example' to='c@d.example'><body>`+strings.Repeat("word ", 60)+`&amp; more</body><x xmlns='urn:x'/></message>`), stanza.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	in := &inbound{load: &load{}}
	cross := &crossing{el: el, from: &jid.Address{Canonical: true}, to: &jid.Address{Canonical: true}}
	var got audit.ContentPart
	if n := testing.AllocsPerRun(50, func() { in.load.said = in.load.said[:0]; got = in.said(cross) }); n > 0 {
		t.Errorf("%v allocations; body of %d bytes", n, len(got.Body))
	}
}
