package transform

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/content"
	"sallyport/internal/stanza"
)

func read(t testing.TB, xml string) *Stanza {
	t.Helper()
	el, err := stanza.ParseOne([]byte(xml), stanza.Limits{})
	if err != nil {
		t.Fatalf("%v: %s", err, xml)
	}
	return Read(el)
}

var digits = regexp.MustCompile(`\b(?:\d[ -]?){12,18}\d\b`)

func TestChanges(t *testing.T) {
	t.Parallel()
	mask := func(s *Stanza) error { return s.Mask(digits, "[number]") }
	for _, test := range []struct {
		name, in string
		do       func(*Stanza) error
		want     string
		err      error
	}{
		{"presence", `<presence from='a@x.example/1'><show>dnd</show><status>in Rome</status><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' node='n' ver='v' hash='h'/><x xmlns='vcard-temp:x:update'><photo>1</photo></x></presence>`,
			func(s *Stanza) error { s.FoldPresence(); return nil }, `<presence from='a@x.example/1'><show>away</show><priority>5</priority></presence>`, nil},
		{"presence that is there to talk", `<presence><show>chat</show></presence>`, func(s *Stanza) error { s.FoldPresence(); return nil }, `<presence/>`, nil},
		{"presence in a room", `<presence><x xmlns='http://jabber.org/protocol/muc'><password>p</password></x><status>s</status></presence>`,
			func(s *Stanza) error { s.FoldPresence(); return nil }, `<presence><x xmlns='http://jabber.org/protocol/muc'><password>p</password></x></presence>`, nil},
		{"what nobody needs to join", `<presence><x xmlns='http://jabber.org/protocol/muc' y='1'>t<password y='1'>p<b/></password><password>q</password><history maxstanzas='20' seconds='soon' since='2026-01-01T00:00:00Z'>t</history><z/><password xmlns='urn:z'/></x><x xmlns='http://jabber.org/protocol/muc'><password>r</password></x><y xmlns='http://jabber.org/protocol/muc'/></presence>`,
			func(s *Stanza) error { s.FoldPresence(); return nil }, `<presence><x xmlns='http://jabber.org/protocol/muc'><password>p</password><history maxstanzas='20' since='2026-01-01T00:00:00Z'/></x></presence>`, nil},
		{"what a room says of somebody", `<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='king' nick='n' jid='a@x.example/1' z='1'><actor nick='m'>t</actor><reason>go away</reason></item><status code='110'/><status code='307'>t</status><status code='words'/><destroy jid='r@y.example' z='1'><password>p</password><reason>t</reason></destroy><invite to='b@y.example'/></x></presence>`,
			func(s *Stanza) error { s.FoldPresence(); return nil }, `<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' nick='n' jid='a@x.example/1'><actor nick='m'/></item><status code='110'/><status code='307'/><status/><destroy jid='r@y.example'><password>p</password></destroy></x></presence>`, nil},
		{"a message is no presence", `<message><status>s</status></message>`, func(s *Stanza) error { s.FoldPresence(); return nil }, `<message><status>s</status></message>`, nil},

		{"strip", `<message><body>b</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>b</body></html></message>`,
			func(s *Stanza) error { return s.Strip([]string{nsXHTMLIM}) }, `<message><body>b</body></message>`, nil},
		{"strip by name", `<message><a xmlns='urn:x'/><b xmlns='urn:x'/></message>`, func(s *Stanza) error { return s.Strip([]string{"urn:x|b"}) }, `<message><a xmlns='urn:x'/></message>`, nil},
		{"strip what is nested", `<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>b</body><active xmlns='http://jabber.org/protocol/chatstates'/></message></forwarded></message>`,
			func(s *Stanza) error { return s.Strip([]string{"http://jabber.org/protocol/chatstates"}) }, `<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>b</body></message></forwarded></message>`, nil},
		{"strip in the namespace of clients", `<message><subject xmlns='jabber:client'>s</subject><body>b</body></message>`, func(s *Stanza) error { return s.Strip([]string{"jabber:server|subject"}) }, `<message><body>b</body></message>`, nil},
		{"strip until nothing is left", `<message><active xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread></message>`,
			func(s *Stanza) error { return s.Strip([]string{"http://jabber.org/protocol/chatstates"}) }, "", ErrIdle},
		{"a message that was empty", `<message/>`, func(s *Stanza) error { return s.Strip([]string{"urn:x"}) }, `<message/>`, nil},

		{"mask", `<message><body>pay 4111 1111 1111 1111 now</body><body xml:lang='de'>4111-1111-1111-1111</body><subject>4111111111111111</subject></message>`, mask,
			`<message><body>pay [number] now</body><body xml:lang='de'>[number]</body><subject>[number]</subject></message>`, nil},
		{"mask across markup", `<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>pay 4111<b>11111111</b>1111</p><p>now</p></body></html></message>`, mask,
			`<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>pay [number]<b/></p><p>now</p></body></html></message>`, nil},
		{"mask across references and CDATA", `<message><body>4111&#x31;11<![CDATA[1111]]>11111</body></message>`, mask, `<message><body>[number]</body></message>`, nil},
		{"mask full-width digits", `<message><body>４１１１１１１１１１１１１１１１</body></message>`, mask, `<message><body>[number]</body></message>`, nil},
		{"mask what is nested", `<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>4111111111111111</body></message></forwarded></message>`, mask,
			`<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>[number]</body></message></forwarded></message>`, nil},
		{"mask nothing", `<message><body>a&lt;b</body></message>`, mask, `<message><body>a&lt;b</body></message>`, nil},
		{"mask what cannot be", `<message><x xmlns='jabber:x:conference' jid='r@c.example' reason='4111111111111111'/></message>`, mask, "", ErrElsewhere},
		{"mask beside a cipher", `<message><body>4111111111111111</body><encrypted xmlns='urn:xmpp:omemo:2'/></message>`, mask, "", ErrSealed},
		{"mask what is signed", `<message><body>4111111111111111</body><x xmlns='jabber:x:signed'>QQ==</x></message>`, mask, "", ErrSealed},
		{"a cipher without a number", `<message><body>old client</body><encrypted xmlns='urn:xmpp:omemo:2'/></message>`, mask, `<message><body>old client</body><encrypted xmlns='urn:xmpp:omemo:2'/></message>`, nil},

		{"first line", `<message><body>hi</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>hi</body></html></message>`,
			func(s *Stanza) error { return s.FirstLine("[external] ") }, `<message><body>[external] hi</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>[external]</p>hi</body></html></message>`, nil},
		{"first line of nothing", `<message><active xmlns='http://jabber.org/protocol/chatstates'/></message>`, func(s *Stanza) error { return s.FirstLine("x") }, `<message><active xmlns='http://jabber.org/protocol/chatstates'/></message>`, nil},
		{"first line of a cipher", `<message><body>?OTR:AAMC</body></message>`, func(s *Stanza) error { return s.FirstLine("x") }, "", ErrSealed},

		{"label", `<message><body>b</body></message>`, func(s *Stanza) error { return s.Label("PUBLIC <1>") },
			`<message><body>b</body><securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking>PUBLIC &lt;1&gt;</displaymarking><label/></securitylabel></message>`, nil},
		{"label that is there", `<message><securitylabel xmlns='urn:xmpp:sec-label:0'/></message>`, func(s *Stanza) error { return s.Label("PUBLIC") }, `<message><securitylabel xmlns='urn:xmpp:sec-label:0'/></message>`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := read(t, test.in)
			if err := test.do(s); !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			} else if err != nil {
				return
			}
			if got := string(s.Append(nil, stanza.Rewrite{})); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// What stands in the start tag is written as without a change.
func TestStartTag(t *testing.T) {
	t.Parallel()
	s := read(t, `<message to='B@Y.example' xmlns:q='urn:q' q:a='1' q:b="2&lt;"><body>b</body></message>`)
	got := string(s.Append(nil, stanza.Rewrite{From: "a@x.example", To: "b@y.example", Lang: "en"}))
	want := `<message to='b@y.example' xmlns:a1='urn:q' a1:a='1' xmlns:a2='urn:q' a2:b='2&lt;' from='a@x.example' xml:lang='en'><body>b</body></message>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// FuzzTransform: whatever is asked for, what comes out passes the scan, is read by a second parser as by ours, and says the same
// when nothing was to change. Read again, it has nothing left in it that was to go.
func FuzzTransform(f *testing.F) {
	for _, seed := range []string{
		`<message from='a@x.example'><body>4111 1111 1111 1111</body><x xmlns='jabber:x:oob'><url>u</url></x></message>`,
		`<m:message xmlns:m='jabber:server' xml:lang='en' m:a='1'><m:body>x<![CDATA[<]]>&#13;</m:body><p xmlns='' b='&quot;'/></m:message>`,
		`<message><body>4111 11<b xmlns='urn:b'>11 1111</b>&#x200B; 1111</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>４１１１<i>1111</i>1111<br/>11111</body></html></message>`,
		`<presence q='1'>x<show q='1'>dnd</show><priority>1<x xmlns='urn:x'/></priority></presence>`, `<iq type='set'><query xmlns='jabber:x:oob'/></iq>`,
		`<presence><x xmlns='http://jabber.org/protocol/muc'> p<password> 4111 <b/>1</password><history seconds='9' since='x'/></x><x xmlns='http://jabber.org/protocol/muc#user'><item role='visitor' nick='n'><reason>r</reason></item><status code='110'/></x></presence>`,
		`<message>4<x xmlns='jabber:x:data'><title>4111111111111111</title><field><value>4111 1111<y/> 1111 1111</value></field></x><nick xmlns='http://jabber.org/protocol/nick'>4111111111111111</nick></message>`,
		`<iq><candidate xmlns='urn:xmpp:jingle:transports:ice-udp:1' ip='10.0.0.1' rel-addr='10.0.0.1'/></iq>`,
		`<iq><candidate xmlns='urn:xmpp:jingle:transports:s5b:1' host='2001:db8::1' rel-addr='fe80::1' jid='a@x.example/10.0.0.1'/></iq>`,
	} {
		f.Add([]byte(seed), byte(63))
	}
	f.Fuzz(func(t *testing.T, b []byte, what byte) {
		el, err := stanza.ParseOne(b, stanza.Limits{})
		if err != nil || el.Kind() == stanza.Other { // what is no stanza never comes here
			return
		}
		s := Read(el)
		for i, change := range changesOf(s) {
			if what&(1<<i) != 0 && change() != nil {
				return
			}
		}
		out := s.Append(nil, stanza.Rewrite{})
		again, err := stanza.Reread(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		second := tokens(t, out)
		if what == 0 && second != tokens(t, b) {
			t.Errorf("%q became %q: the second parser reads another stanza", b, out)
		}
		if what&2 != 0 && strings.Contains(second, "<jabber:x:oob|") {
			t.Errorf("%q became %q, which still has what was to be stripped", b, out)
		}
		if w := content.Extract(again); what&32 != 0 && digits.MatchString(w.Text) {
			t.Errorf("%q became %q, in which is read %q", b, out, w.Text)
		}
		s = Read(again)
		for i, change := range changesOf(s) {
			if adds := i == 3 || i == 4; what&(1<<i) == 0 || adds {
				continue
			} else if err := change(); err != nil {
				t.Errorf("%q became %q: once more: %v", b, out, err)
			}
		}
		if twice := s.Append(nil, stanza.Rewrite{}); string(twice) != string(out) {
			t.Errorf("%q is read as %q", out, twice)
		}
	})
}

// changesOf are changes of each kind. Masks come last, for what is taken out can bring text together.
func changesOf(s *Stanza) []func() error {
	return []func() error{
		func() error { s.FoldPresence(); return nil },
		func() error { return s.Strip([]string{"jabber:x:oob"}) },
		s.StripCandidates,
		func() error { return s.FirstLine("<&") },
		func() error { return s.Label("]]>") },
		func() error { return s.Mask(digits, "#") },
	}
}

var spaces = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")

// tokens is what encoding/xml reads, without how it is spelled.
func tokens(t *testing.T, b []byte) string {
	d := xml.NewDecoder(io.MultiReader(strings.NewReader("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>"), strings.NewReader(string(b)), strings.NewReader("</stream:stream>")))
	var out strings.Builder
	for {
		token, err := d.Token()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			out.WriteString("<" + token.Name.Space + "|" + token.Name.Local)
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					out.WriteString(" " + a.Name.Space + "|" + a.Name.Local + "=" + spaces.Replace(a.Value)) // which Go leaves (XML 1.0 §3.3.3)
				}
			}
			out.WriteString(">")
		case xml.EndElement:
			out.WriteString("</>")
		case xml.CharData:
			out.Write(token)
		}
	}
}
