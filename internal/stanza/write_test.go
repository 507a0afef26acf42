package stanza

import (
	"fmt"
	"strings"
	"testing"
)

func TestAppendTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, header, in string
		o              Rewrite
		want           string
	}{
		{"unchanged", plainHeader, `<iq from='a' to='b'/>`, Rewrite{From: "a", To: "b"}, `<iq from='a' to='b'/>`},
		{"[A10] verbatim", plainHeader, `<iq  a = "b" ><x xmlns='u' c='"'/>&#65;</iq >`, Rewrite{}, `<iq  a = "b" ><x xmlns='u' c='"'/>&#65;</iq >`},
		{"[A06] canonical addresses", plainHeader, `<iq from="A@B." id='1' to='C'>x</iq>`, Rewrite{From: "a@b", To: "c"}, `<iq from="a@b" id='1' to='c'>x</iq>`},
		{"[A06] to before from", plainHeader, `<iq to='C' from='A'/>`, Rewrite{From: "a", To: "c"}, `<iq to='c' from='a'/>`},
		{"only to", plainHeader, `<iq to='C' from='A'/>`, Rewrite{To: "c"}, `<iq to='c' from='A'/>`},
		{"addresses to escape", plainHeader, `<iq to="C" from='A'/>`, Rewrite{To: `c/"'<&`}, `<iq to="c/&quot;&apos;&lt;&amp;" from='A'/>`},
		{"absent addresses", plainHeader, `<iq/>`, Rewrite{From: "a", To: "b"}, `<iq from='a' to='b'/>`},
		{"empty address", plainHeader, `<iq from=''/>`, Rewrite{From: "a"}, `<iq from='a'/>`},
		{"address spelled with a reference", plainHeader, `<iq from='&#97;'/>`, Rewrite{From: "a"}, `<iq from='a'/>`},
		{"address that spells another", plainHeader, `<iq to='b/&amp;lt;'/>`, Rewrite{To: "b/&amp;lt;"}, `<iq to='b/&amp;amp;lt;'/>`},
		{"[C16] language inherited", plainHeader, `<iq><x xml:lang='en'/></iq>`, Rewrite{Lang: "de"}, `<iq xml:lang='de'><x xml:lang='en'/></iq>`},
		{"[C16] language of its own", plainHeader, `<iq xml:lang='en'/>`, Rewrite{Lang: "de"}, `<iq xml:lang='en'/>`},
		{"[C16] language of its own, empty", plainHeader, `<iq xml:lang=''/>`, Rewrite{Lang: "de"}, `<iq xml:lang=''/>`},
		{"[C06] prefix of the header", extraHeader, `<iq><q:x q:y='1'/></iq>`, Rewrite{}, `<iq xmlns:q='urn:q'><q:x q:y='1'/></iq>`},
		{"[C06] prefix of the header, on the root", extraHeader, `<iq q:y='1'/>`, Rewrite{}, `<iq xmlns:q='urn:q' q:y='1'/>`},
		{"[C06] prefix of the header, redeclared in part", extraHeader, `<iq><q:x xmlns:q='u'/><q:x/></iq>`, Rewrite{}, `<iq xmlns:q='urn:q'><q:x xmlns:q='u'/><q:x/></iq>`},
		{"[C06] prefix of the header, redeclared", extraHeader, `<iq xmlns:q='u'><q:x/></iq>`, Rewrite{}, `<iq xmlns:q='u'><q:x/></iq>`},
		{"[C06] prefix db of the header", extraHeader, `<iq><db:x/></iq>`, Rewrite{}, `<iq xmlns:db='urn:db'><db:x/></iq>`},
		{"[C06] client's prefix of the header", extraHeader, `<iq><client:message/></iq>`, Rewrite{}, `<iq xmlns:client='jabber:client'><client:message/></iq>`},
		{"[C06] namespace to escape", `<s:stream xmlns:s='u' xmlns='jabber:server' xmlns:q='urn:&amp;&apos;'>`, `<iq><q:x/></iq>`, Rewrite{}, `<iq xmlns:q='urn:&amp;&apos;'><q:x/></iq>`},
		{"[C04] header with another default", streamsHeader, `<iq xmlns='jabber:server'/>`, Rewrite{}, `<iq xmlns='jabber:server'/>`},
		{"[X06] CDATA", plainHeader, `<iq from='A'><x><![CDATA[<&]]]]><![CDATA[>]]>&lt;</x></iq>`, Rewrite{From: "a"}, `<iq from='a'><x>&lt;&amp;]]&gt;&lt;</x></iq>`},
		{"[X06] CDATA with header's prefix and language", extraHeader, `<iq><q:x><![CDATA[]]></q:x></iq>`, Rewrite{Lang: "de"}, `<iq xmlns:q='urn:q' xml:lang='de'><q:x></q:x></iq>`},
		{"line ends", plainHeader, "<iq\r\na='b\r\nc\td&#9;'\r>e\r\nf\rg&#xd;<h\r/></iq\r>", Rewrite{}, "<iq a='b c d&#x9;'>e\nf\ng&#xD;<h/></iq>"},
		{"nested from", plainHeader, "<iq from='A'><x from='A\r'/></iq>", Rewrite{From: "a"}, "<iq from='a'><x from='A '/></iq>"},
	} {
		s := NewScanner(strings.NewReader(c.header+c.in), Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		e, err := s.Next()
		if err != nil {
			t.Errorf("%s: %s: %v", c.id, c.in, err)
			continue
		}
		if got := string(e.AppendTo([]byte("-"), c.o)); got != "-"+c.want {
			t.Errorf("%s: %s:\ngot  %s\nwant -%s", c.id, c.in, got, c.want)
		}
	}
}

func TestEscaping(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, text, attr string }{
		{"", "", ""},
		{"plain é€😀", "plain é€😀", "plain é€😀"},
		{`<a b='c' d="e">&`, `&lt;a b='c' d="e"&gt;&amp;`, `&lt;a b=&apos;c&apos; d=&quot;e&quot;&gt;&amp;`},
		{"]]>", "]]&gt;", "]]&gt;"},
		{"a\tb\nc\rd", "a\tb\nc&#xD;d", "a&#x9;b&#xA;c&#xD;d"},
		{"\x00\x1f\x7f", "\uFFFD\uFFFD\x7f", "\uFFFD\uFFFD\x7f"},
		{"\uFFFE\uFFFF", strings.Repeat("\uFFFD", 6), strings.Repeat("\uFFFD", 6)},
		{"a\xC3(b\xED\xA0\x80", "a\uFFFD(b\uFFFD\uFFFD\uFFFD", "a\uFFFD(b\uFFFD\uFFFD\uFFFD"},
		{"end\xE2\x82", "end\uFFFD\uFFFD", "end\uFFFD\uFFFD"},
	} {
		if got := string(AppendText(nil, c.in)); got != c.text {
			t.Errorf("[X07] text %q: got %q, want %q", c.in, got, c.text)
		}
		if got := string(AppendAttr(nil, c.in)); got != c.attr {
			t.Errorf("[X07] attribute %q: got %q, want %q", c.in, got, c.attr)
		}
	}
}

// A stanza that came up to the limits can be read again once it is written, to be bounced out of a queue (DESIGN §5, 3).
func TestRereadAtTheLimits(t *testing.T) {
	t.Parallel()
	most := Limits{Stanza: 20000, Depth: 200, Attributes: 100, Namespaces: 64, Name: 1000}
	header := "<s:stream xmlns:s='" + nsStreams + "' xmlns='" + nsServer + "'" + manyPrefixes(31) + ">"
	var inner, uses strings.Builder
	for i := range 31 {
		fmt.Fprintf(&inner, " xmlns:q%d='v'", i)
		fmt.Fprintf(&uses, " p%d:x=''", i)
	}
	name := strings.Repeat("n", 1000)
	in := "<iq" + manyAttributes(69) + uses.String() + "><a" + inner.String() + "/>" + strings.Repeat("<b>", 198) + "<" + name + "/>" + strings.Repeat("</b>", 198)
	in += "<c>" + strings.Repeat("x", 20000-len(in)-len("<c></c></iq>")) + "</c></iq>"
	s := NewScanner(strings.NewReader(header+in), most)
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	e, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	out := e.AppendTo(nil, Rewrite{From: "a@b", To: "c", Lang: "de"})
	if len(out) <= most.Stanza {
		t.Fatalf("it is written in %d bytes", len(out))
	}
	if back, err := Reread(out); err != nil || back.Kind() != IQ || string(back.To()) != "c" {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", "<iq>", "<iq/><iq/>", "<iq/> ", "<p:iq/>", "<!-- -->"} {
		if _, err := Reread([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
