package content

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/stanza"
)

// FuzzContent gives arbitrary stanzas. A second parser sees the same elements in the same namespaces as the walk that classes come from,
// and nothing panics.
func FuzzContent(f *testing.F) {
	for _, seed := range []string{
		usual, "<iq xmlns:a='urn:a'><a:x xmlns='urn:b' b='1'><y xmlns:a='urn:c'><a:z/></y><a:z/></a:x></iq>",
		"<message><body>?OTR</body><x xmlns='urn:xmpp:sec-label:0'/><encrypted xmlns='urn:xmpp:omemo:2'/></message>",
		"<message><a xmlns='jabber:client'>t<![CDATA[u]]>&lt;</a><thread>x</thread></message>",
		"<presence type='subscribe'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x></presence>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		el, err := stanza.ParseOne(b, stanza.Limits{})
		if err != nil {
			return
		}
		var c stanza.Cursor
		c.Begin(el)
		var got []string
		for c.Next() {
			if c.Start() {
				space, local := c.Name()
				got = append(got, fmt.Sprintf("%d {%s}%s", c.Depth(), space, local))
			}
		}
		if want := secondReading(t, b); !slices.Equal(got, want) {
			t.Errorf("%q: %q, the second parser has %q", b, got, want)
		}
		facts := Classify(el, "", "")
		if !slices.IsSorted(facts.Class.Names()) {
			t.Errorf("%q: %q", b, facts.Class.Names())
		}
		w := Extract(el)
		if !slices.IsSorted(w.JIDs) || !slices.IsSorted(w.URLs) || w.Body != "" && !w.HasBody || w.HasBody != facts.Body {
			t.Errorf("%q: %+v", b, w)
		}
	})
}

func secondReading(t *testing.T, b []byte) (names []string) {
	d := xml.NewDecoder(strings.NewReader("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>" + string(b) + "</stream:stream>"))
	depth := -1
	for {
		token, err := d.Token()
		if err != nil {
			return names
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth >= 0 {
				names = append(names, fmt.Sprintf("%d {%s}%s", depth, token.Name.Space, token.Name.Local))
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
}
