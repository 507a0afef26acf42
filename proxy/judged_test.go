package proxy

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/content"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

const sieve = `package sallyport.stanza
deny contains {"rule": "no-version", "reason": "not told"} if "disclosure" in input.stanza.class
deny contains {"rule": "not-named", "reason": "is not named outside"} if "board@corp.example" in input.stanza.jids
transform contains {"rule": "states", "do": "strip", "payloads": ["http://jabber.org/protocol/chatstates"]}
transform contains {"rule": "numbers", "do": "mask", "pattern": "[0-9]{4}", "with": "*"} if regex.match("[0-9]{4}", input.stanza.text)
transform contains {"rule": "presence", "do": "fold-presence"} if input.stanza.kind == "presence"
transform contains {"rule": "candidates", "do": "strip-candidates"} if input.stanza.kind == "iq"
transform contains {"rule": "marking", "do": "label", "text": "PUBLIC"} if {
	input.stanza.kind == "message"
	input.stanza.label == ""
}`

// FuzzJudged: any stanza goes through scan, classification, decision and transform. Nothing panics, policy does not fail, and what comes
// out is read by ours and by a second parser as what was judged, with attributes, and is let through as it is by whoever judges it next.
// What programs make of it, as the second parser reads it, has nothing in it that was to be masked: nothing was shown that was not judged.
func FuzzJudged(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sieve.rego"), []byte(sieve), 0o600); err != nil {
		f.Fatal(err)
	}
	engine, err := policy.New(policy.Config{Dir: dir, Watch: -1, Timeout: time.Minute}, policy.Data{"federation": "open", "files": map[string]any{"default": "both"}, "calls": map[string]any{"default": "audio"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`<message from='Juliet@remote.example' to='romeo@corp.example'><body>4111</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
		`<presence><status>x</status><c xmlns='http://jabber.org/protocol/caps'/></presence>`, `<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>`,
		`<message><p:body xmlns:p='jabber:client'>a<![CDATA[b]]>&#13;</p:body><x xmlns='jabber:x:conference' jid='BOARD@corp.example.'/></message>`,
		`<message><body>41<b xmlns='urn:b'>1</b>&#x200B;1</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>４<i>1</i>11<br/>1</body></html></message>`,
		`<message><subject>4111</subject><x xmlns='jabber:x:signed'>QQ==</x></message>`, `<presence x='1'>x<show>dnd<y xmlns='urn:y'/></show><priority>1</priority></presence>`,
		`<iq type='set' id='1'><query xmlns='http://jabber.org/protocol/bytestreams'><streamhost jid='a.example/10.0.0.1' host='192.0.2.1'/><streamhost jid='b' host='fec0::1'/></query></iq>`,
		`<message xml:lang='en'><body xmlns='urn:x'>4111</body><subject xmlns='' a='x&#10;y'>4111</subject></message>`, `<message><body>41<data xmlns='urn:xmpp:bob' q:a='1' xmlns:q='urn:q'>11</data></body></message>`,
		`<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body>41<b>11</b></body><z:body xmlns:z='urn:z'>4<z:i>111</z:i></z:body></html></message>`,
		`<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='board@corp.example'><body xml:lang='de'>４１１１</body></message></forwarded></message>`,
		`<presence><status>41<BINVAL>11</BINVAL></status><x xmlns='http://jabber.org/protocol/muc#user'><status code='4111'/></x></presence>`,
		`<iq><jingle xmlns='urn:xmpp:jingle:1'><content><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></content></jingle></iq>`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, anew bool) {
		el, err := stanza.ParseOne(b, stanza.Limits{})
		if err != nil {
			return
		}
		c := through(t, engine, el, anew)
		if c.decision.Rule == policy.RuleEngineError {
			t.Fatalf("%q: %s", b, c.decision.Reason)
		}
		if slices.Contains(c.facts.Class.Names(), "disclosure") && c.decision.Effect == policy.Allow {
			t.Fatalf("%q is allowed as %q", b, c.facts.Class.Names())
		}
		if c.decision.Effect != policy.Allow {
			return
		}
		out := c.changed
		if out == nil {
			out = el.AppendTo(nil, c.rewrite(spoken.added))
		}
		again, err := stanza.Reread(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		if theirs, err := payloads(out); err != nil || theirs != walked(again) {
			t.Fatalf("%q became %q, which a second parser reads as %s (%v), ours as %s", b, out, theirs, err, walked(again))
		}
		for program, text := range programs(t, out) {
			if fourDigits.MatchString(content.Plain(text)) {
				t.Fatalf("%q leaves as %q, of which %s shows %q", b, out, program, text)
			}
		}
		if c.changed == nil {
			unchanged(t, b, out, c, again)
		} else {
			changed(t, b, out, c, again)
		}
		if next := through(t, engine, again, false); next.decision.Effect != policy.Allow || next.changed != nil && string(next.changed) != string(out) {
			t.Errorf("%q leaves as %q, which is then judged %+v and becomes %q", b, out, next.decision, next.changed)
		}
	})
}

// through takes a stanza as far as the record. anew has it written by us where it is not changed, as one of other spelling is.
func through(t *testing.T, engine *policy.Engine, el *stanza.Element, anew bool) *crossing {
	in, c := arriving(t, engine, el)
	c.from.Canonical, c.to.Canonical = !anew, !anew
	in.p.judge(context.Background(), engine.Snapshot(), in, c)
	stanzaEvent(in, c)
	return c
}

// arriving is a stanza that comes in on a link that is proved.
func arriving(t *testing.T, engine *policy.Engine, el *stanza.Element) (*inbound, *crossing) {
	p := &Proxy{Policy: engine}
	p.settings.Store(&Settings{Limits: Limits{Stanza: stanza.DefaultLimits()}})
	from, to := address(t, "juliet@remote.example/x"), address(t, "romeo@corp.example")
	c := &crossing{el: el, dir: In, pair: Pair{Local: to.JID.Domain, Remote: from.JID.Domain}, from: from, to: to,
		proof: &proof{facts: policy.LinkFacts{Channel: "tls", TLSVersion: "1.3", Proof: "pkix"}}}
	c.facts = content.Classify(el, from.JID.Local, to.JID.Local)
	return &inbound{p: p, door: Outside, load: &load{}, lang: spoken}, c
}

// spoken is the language that stanzas inherit.
var spoken = languageOf("de")

func address(t *testing.T, s string) *jid.Address {
	a, err := new(jid.Cache).Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// unchanged holds what leaves against what was judged.
func unchanged(t *testing.T, before, after []byte, c *crossing, again *stanza.Element) {
	facts := content.Classify(again, c.from.JID.Local, c.to.JID.Local)
	if facts.Class != c.facts.Class || facts.E2EE != c.facts.E2EE || facts.Label != c.facts.Label {
		t.Errorf("%q was judged as %+v, %q leaves as %+v", before, c.facts, after, facts)
	}
	if was, is := content.Extract(c.el), content.Extract(again); !reflect.DeepEqual(was, is) {
		t.Errorf("%q was judged as %+v, %q leaves as %+v", before, was, after, is)
	}
	was, err := payloads(before)
	is, _ := payloads(after)
	if err != nil || was != is {
		t.Errorf("%q holds %s, %q holds %s to a second parser (%v)", before, was, after, is, err)
	}
}

// changed looks for what was to go in what leaves.
func changed(t *testing.T, before, after []byte, c *crossing, again *stanza.Element) {
	theirs, _ := payloads(after)
	words := content.Extract(again)
	for _, rule := range c.change.Rules {
		switch {
		case rule == "states" && strings.Contains(theirs, "<http://jabber.org/protocol/chatstates|"),
			rule == "numbers" && fourDigits.MatchString(words.Text+"\n"+words.Body+"\n"+words.Subject),
			rule == "presence" && (len(words.Pieces) > 2 || strings.Contains(theirs, "<jabber:server|status>")):
			t.Errorf("%q leaves as %q: rule %s is not obeyed", before, after, rule)
		}
	}
}

var fourDigits = regexp.MustCompile("[0-9]{4}")

// walked is what our own walk over a stanza sees, in the form of payloads.
func walked(el *stanza.Element) string {
	var c stanza.Cursor
	var out strings.Builder
	open := 0
	closed := func(depth int) {
		for ; open > depth; open-- {
			out.WriteString("</>")
		}
	}
	c.Begin(el)
	for c.Next() {
		closed(c.Depth())
		if !c.Start() {
			out.Write(c.Text(nil))
			continue
		}
		space, local := c.Name()
		out.WriteString("<" + string(space) + "|" + string(local))
		c.Attrs(func(space, local, value []byte) {
			out.WriteString(said(open, string(space), string(local), string(value)))
		})
		out.WriteString(">")
		open++
	}
	closed(0)
	return out.String()
}

// said is an attribute in the form of payloads. Those that our writer may set in the stanza's own tag are left out.
func said(depth int, space, local, value string) string {
	if own := space == "" && (local == "from" || local == "to") || space == nsXML && local == "lang"; depth == 0 && own {
		return ""
	}
	return " " + space + "|" + local + "=" + whitespace.Replace(value)
}

const nsXML = "http://www.w3.org/XML/1998/namespace"

// whitespace is normalised in values (XML 1.0 §3.3.3), which Go leaves to others.
var whitespace = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")

// payloads are the elements, attributes and texts of a stanza as encoding/xml reads them.
func payloads(b []byte) (string, error) {
	d := secondReader(b)
	var out strings.Builder
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; depth == 1 {
				continue // the stream
			}
			out.WriteString("<" + token.Name.Space + "|" + token.Name.Local)
			for _, a := range token.Attr {
				if a.Name.Space == "xml" {
					a.Name.Space = nsXML // which Go does not look up
				}
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					out.WriteString(said(depth-2, a.Name.Space, a.Name.Local, a.Value))
				}
			}
			out.WriteString(">")
		case xml.EndElement:
			if depth--; depth > 0 {
				out.WriteString("</>")
			}
		case xml.CharData:
			out.Write(token)
		}
	}
}

func secondReader(b []byte) *xml.Decoder {
	return xml.NewDecoder(strings.NewReader("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>" + string(b) + "</stream:stream>"))
}

// programs are what programs show of a stanza, which do not read alike.
func programs(t *testing.T, b []byte) map[string]string {
	type node struct {
		XMLName  xml.Name
		Own      string `xml:",chardata"`
		Inner    string `xml:",innerxml"`
		Children []node `xml:",any"`
	}
	var stream struct {
		Stanza node `xml:",any"`
	}
	d := secondReader(b)
	if err := d.Decode(&stream); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	shown := map[string]string{}
	for _, n := range stream.Stanza.Children {
		name := n.XMLName.Local
		switch {
		case name == "body" || name == "subject" || name == "status":
			shown["one that reads "+name+" by its name"] += n.Own + "\n"
			shown["one that reads through "+name] += within(t, n.Inner, false) + "\n"
		case name == "html" && n.XMLName.Space == "http://jabber.org/protocol/xhtml-im":
			for _, body := range n.Children {
				shown["one that shows any markup"] += within(t, body.Inner, true) + "\n"
			}
		case name == "forwarded":
			for _, copied := range n.Children {
				for _, body := range copied.Children {
					if body.XMLName.Local == "body" {
						shown["one that shows copies"] += body.Own + "\n"
					}
				}
			}
		}
	}
	return shown
}

// within is the text of what is in an element, whatever the elements in it, but that those of markup end lines. Prefixes that are bound outside
// do not matter for it.
func within(t *testing.T, inner string, markup bool) string {
	d := xml.NewDecoder(strings.NewReader("<x>" + inner + "</x>"))
	var b strings.Builder
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatalf("%q: %v", inner, err)
		}
		switch token := token.(type) {
		case xml.CharData:
			b.Write(token)
		case xml.StartElement:
			if markup && content.EndsLine(token.Name.Local) {
				b.WriteByte('\n')
			}
		case xml.EndElement:
			if markup && content.EndsLine(token.Name.Local) {
				b.WriteByte('\n')
			}
		}
	}
}
