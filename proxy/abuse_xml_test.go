package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// badXML is what no stream may carry. It stands inside an element, or with first between elements.
type badXML struct {
	id, bytes, condition string
	first                bool
}

// nested is the document of ABUSE 19: nine levels of ten references each.
func nested() string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE lolz [<!ENTITY lol0 'lol'>")
	for i := range 9 {
		fmt.Fprintf(&b, "<!ENTITY lol%d '%s'>", i+1, strings.Repeat(fmt.Sprintf("&lol%d;", i), 10))
	}
	return b.String() + "]>"
}

// badXMLs are also what [X01], [X03] and [X04] name.
func badXMLs() []badXML {
	return []badXML{
		{"ABUSE 19 billion laughs between elements", nested(), "restricted-xml", true},
		{"ABUSE 19 billion laughs in an element", nested(), "restricted-xml", false},
		{"ABUSE 19 reference to an entity", "&lol9;", "restricted-xml", false},
		{"ABUSE 20 reference to an entity in an attribute", "<a b='&lol9;'/>", "restricted-xml", false},
		{"ABUSE 20 reference to no character", "&#0;", "not-well-formed", false},
		{"ABUSE 20 reference to no character in an attribute", "<a b='&#xFFFF;'/>", "not-well-formed", false},
		{"ABUSE 21 comment", "<!-- x -->", "restricted-xml", false},
		{"ABUSE 21 comment between elements", "<!-- x -->", "restricted-xml", true},
		{"ABUSE 21 processing instruction", "<?php x?>", "restricted-xml", false},
		{"ABUSE 21 second XML declaration", "<?xml version='1.0'?>", "restricted-xml", true},
		{"ABUSE 21 CDATA between elements", "<![CDATA[ ]]>", "restricted-xml", true},
		{"ABUSE 29 overlong", "\xC0\xBCmessage/>", "unsupported-encoding", false},
		{"ABUSE 29 lead byte ahead of a quote", "<a b='\xEB'/>", "unsupported-encoding", false},
		{"ABUSE 29 lead byte ahead of a tag", "\xEB<a/>", "unsupported-encoding", false},
		{"ABUSE 29 surrogates", "\xED\xA0\x80\xED\xB0\x80", "unsupported-encoding", false},
		{"ABUSE 29 in a name", "<a\xC3\x28/>", "unsupported-encoding", false},
		{"ABUSE 29 in CDATA", "<![CDATA[\xC3]]>", "unsupported-encoding", false},
		{"ABUSE 30 line feed in a namespace", "<a xmlns='jabber:server&#10;message'/>", "not-well-formed", false},
		{"ABUSE 30 space in a namespace", "<a xmlns='jabber:server message'/>", "not-well-formed", false},
		{"ABUSE 30 U+FFFF in a namespace", "<a xmlns='jabber:server\uFFFF'/>", "not-well-formed", false},
		{"ABUSE 30 brace in a namespace", "<a xmlns='jabber:server}message'/>", "not-well-formed", false},
		{"ABUSE 31 stream in an element", "<stream:stream>", "bad-format", false},
		{"ABUSE 31 error in an element", "<stream:error/>", "bad-format", false},
		{"ABUSE 31 by another prefix", "<z:features xmlns:z='http://etherx.jabber.org/streams'/>", "bad-format", false},
		{"ABUSE 31 second header", "<stream:stream xmlns='jabber:server'>", "bad-format", true},
		{"ABUSE 31 end of the stream in an element", "</stream:stream>", "not-well-formed", false},
		{"ABUSE 32 two colons", "<a xmlns:x:y='u'/>", "not-well-formed", false},
		{"ABUSE 32 prefix that nothing declares", "<p:a/>", "not-well-formed", false},
		{"ABUSE 32 attribute twice by its namespace", "<a xmlns:x='u' xmlns:y='u' x:b='c' y:b='d'/>", "not-well-formed", false},
		{"ABUSE 32 xmlns declared", "<a xmlns:xmlns='u'/>", "not-well-formed", false},
		{"ABUSE 34 stream prefix for another namespace", "<stream:error xmlns:stream='urn:x'/>", "bad-namespace-prefix", false},
		{"ABUSE 34 client's stanza", "<message xmlns='jabber:client'/>", "invalid-namespace", true},
		{"ABUSE 34 stanza by a prefix", "<p:message xmlns:p='jabber:server'/>", "bad-namespace-prefix", true},
	}
}

// xmlState is a state of a stream in which the gate reads what a peer sends. part is whose stream it is.
type xmlState struct {
	name, part   string
	once, script string // how to get there: for all cases, for each
	open, close  string // the element around the bad bytes
	inner        string // what the gate's other side hears of it
}

const (
	dbOpen  = "<db:result from='remote.example' to='corp.example'>"
	dbClose = "</db:result>"
)

func xmlStates(t *testing.T) []xmlState {
	asked := opened + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\na accepts remote\na receives header\n"
	answered := asked + "a sends header id='a1'\na receives <db:verify …</db:verify>\n"
	speaks := include(t, "_backend_speaks") + gateCalled + "r closes\n" + include(t, "_backend_takes") + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout")
	failure := "r receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>\n"
	return []xmlState{
		{name: "outside, unproved", script: opened, part: "r", open: dbOpen, close: dbClose},
		{name: "outside, proved", script: include(t, "_remote_proved"), part: "r", open: "<message from='juliet@remote.example/x' to='romeo@corp.example'>", close: "</message>"},
		{name: "inside, unproved", script: openedInside, part: "l", open: "<db:result from='corp.example' to='remote.example'>", close: dbClose},
		{name: "inside, proved", script: include(t, "_backend_speaks"), part: "l", open: "<message from='romeo@corp.example/pc' to='juliet@remote.example'>", close: "</message>"},
		{name: "calling, before features", script: asked + "a sends header id='a1' version='1.0'\n", part: "a", open: "<stream:features>", close: "</stream:features>", inner: failure},
		{name: "calling, before the answer to our key", once: speaks, script: gateCalled + "r sends header id='r1'\nr receives <db:result …</db:result>\n", part: "r",
			open: "<db:result from='remote.example' to='corp.example' type='error'>", close: dbClose, inner: bounced("m1", "juliet@remote.example", "504", "remote-server-timeout")},
		{name: "calling, standing", once: speaks, script: gateCalled + "r sends header id='r1'\nr receives <db:result …</db:result>\nr sends <db:result from='remote.example' to='corp.example' type='valid'/>\nr receives <message …/>\n", part: "r",
			open: "<x>", close: "</x>"},
		{name: "calling, waiting for an answer", script: answered, part: "a", open: "<db:verify from='remote.example' to='corp.example' id='{p}' type='error'>", close: "</db:verify>", inner: failure},
	}
}

// What other parsers might take for something else, or what makes them grow, ends the stream with its condition at once, in each
// state of a stream and in both roles; nothing of it is carried, and the gate goes on.
func TestABUSE19to34BadXML(t *testing.T) {
	t.Parallel()
	for _, state := range xmlStates(t) {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{data: policyData(t, inClear), limits: func(l *proxy.Limits) {
				l.RatePerAddress, l.NegativeMin, l.NegativeMax, l.NegativeVerify = 1e6, 1, 1, 1
			}})
			c := xmpptest.Begin(t, s.Stage)
			c.Play(state.once)
			for _, bad := range badXMLs() {
				t.Log(bad.id)
				before, behind := state.open, state.close
				if bad.first {
					before, behind = "", ""
				}
				if state.once == "" {
					c.End()
					c = xmpptest.Begin(t, s.Stage)
				}
				c.Play(state.script)
				write(t, c, state.part, before+bad.bytes+behind)
				c.Play(failed(state.part, bad.condition) + state.part + " receives </stream:stream>\n" + state.part + " closed\n" + state.part + " closes\n" + state.inner)
			}
			c.Play("record lacks \"kind\":\"stanza\" \"dir\":\"in\"")
			if state.once == "" {
				c.Play("record lacks \"kind\":\"stanza\"")
			}
		})
	}
}

// write sends bytes that a script cannot hold, as far as the gate takes them.
func write(t *testing.T, c *xmpptest.Conversation, part, bytes string) {
	t.Helper()
	conn := c.Conn(part)
	must(t, conn.SetWriteDeadline(time.Now().Add(patience)))
	if _, err := conn.Write([]byte(bytes)); err != nil {
		t.Fatal(err)
	}
}

// The same holds of the header, in both roles: no DTD, comment or instruction ahead of it, one declaration, one root.
func TestABUSE19to21BadHeader(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, inClear), limits: func(l *proxy.Limits) { l.NegativeVerify = 1 }})
	const root = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' to='corp.example' id='i'"
	for _, bad := range []badXML{
		{id: "ABUSE 19 billion laughs", bytes: "<?xml version='1.0'?>" + nested() + root + ">", condition: "restricted-xml"},
		{id: "ABUSE 19 DTD without a declaration", bytes: "<!DOCTYPE x SYSTEM 'http://127.0.0.1/x'>" + root + ">", condition: "restricted-xml"},
		{id: "ABUSE 20 entity in an attribute", bytes: root + " x='&lol;'>", condition: "restricted-xml"},
		{id: "ABUSE 21 second declaration", bytes: "<?xml version='1.0'?><?xml version='1.0'?>" + root + ">", condition: "restricted-xml"},
		{id: "ABUSE 21 comment", bytes: "<!-- -->" + root + ">", condition: "restricted-xml"},
		{id: "ABUSE 29 other encoding", bytes: "<?xml version='1.0' encoding='iso-8859-1'?>" + root + ">", condition: "unsupported-encoding"},
		{id: "ABUSE 29 bad UTF-8", bytes: root + " x='\xC0\xAF'>", condition: "unsupported-encoding"},
		{id: "ABUSE 30 streams with a line feed", bytes: strings.ReplaceAll(root, "org/streams", "org/streams&#10;") + ">", condition: "not-well-formed"},
		{id: "ABUSE 34 client's stream", bytes: strings.ReplaceAll(root, "'jabber:server'", "'jabber:client'") + ">", condition: "invalid-namespace"},
		{id: "ABUSE 36 from that is too long", bytes: strings.ReplaceAll(root, "remote.example", strings.Repeat("a.", 600)+"example") + ">", condition: "improper-addressing"},
		{id: "ABUSE 36 to that is no domain", bytes: strings.ReplaceAll(root, "'corp.example'", "'romeo@corp.example'") + ">", condition: "improper-addressing"},
	} {
		t.Log(bad.id)
		ending := " receives </stream:stream>\n"
		c := xmpptest.Begin(t, s.Stage)
		c.Play("r connects outside")
		write(t, c, "r", bad.bytes)
		c.Play("r receives header\n" + failed("r", bad.condition) + "r" + ending + "r closed")
		c.Play(opened + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\na accepts remote\na receives header")
		write(t, c, "a", bad.bytes)
		c.Play(failed("a", bad.condition) + "a" + ending + "a closed\na closes\nr receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>")
		c.End()
	}
}

// Header quote confusion: '>' and the other quote within an attribute are its value, and what looks like from and to in there is not.
func TestHeaderQuotes(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	for _, root := range []string{
		`<stream:stream x='from="third.example"' xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' to='corp.example' version='1.0'>`,
		`<stream:stream x='>' y="' from='third.example' to='" xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' to='corp.example' version='1.0'>`,
		`<stream:stream x="/>" y='"' z="'>" xmlns="jabber:server" xmlns:stream="http://etherx.jabber.org/streams" from="remote.example" to="corp.example" version="1.0">`,
	} {
		c := xmpptest.Begin(t, s.Stage)
		c.Play("r connects outside\nr sends " + root + "\nr receives header from='corp.example' to='remote.example'\nr receives <stream:features>…</stream:features>")
		c.End()
	}
}

// ABUSE 20, 29, 31, 32, 34, [X06], [X07], [A10]: what is allowed arrives as one reading of it, written anew, in both directions.
func TestABUSE20to34OneReading(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ id, in, out string }{
		{"ABUSE 20 the five and numbers", "<body>&lt;&gt;&amp;&apos;&quot;&#65;&#x42;</body>", "<body>&lt;&gt;&amp;&apos;&quot;&#65;&#x42;</body>"},
		{"ABUSE 20 in an attribute", "<a xmlns='urn:a' b='&lt;&#39;\"&#10;'/>", "<a xmlns='urn:a' b='&lt;&#39;\"&#10;'/>"},
		{"[X06] CDATA", "<body><![CDATA[<!-- ]] > &lol; -->]]></body>", "<body>&lt;!-- ]] &gt; &amp;lol; --&gt;</body>"},
		{"[X07] ]]> and quotes", "<body>]]&gt;'\"</body>", "<body>]]&gt;'\"</body>"},
		{"ABUSE 32 prefixes and their attributes", "<p:a xmlns:p='urn:p' p:b='c' b='d'><p:e/></p:a>", "<p:a xmlns:p='urn:p' p:b='c' b='d'><p:e/></p:a>"},
		{"ABUSE 34 db: bound to another namespace", "<db:result xmlns:db='urn:x' type='valid'/>", "<db:result xmlns:db='urn:x' type='valid'/>"},
		{"ABUSE 34 dialback deep in a stanza is a payload", "<result xmlns='jabber:server:dialback' type='valid'/>", "<result xmlns='jabber:server:dialback' type='valid'/>"},
		{"ABUSE 31 a namespace that begins like that of streams", "<s xmlns='http://etherx.jabber.org/streams/x'/>", "<s xmlns='http://etherx.jabber.org/streams/x'/>"},
	} {
		in := "<message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'>" + x.in + "</message>"
		out := "<message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'>" + x.out + "</message>"
		t.Run(x.id, func(t *testing.T) {
			t.Parallel()
			c := xmpptest.Begin(t, newStage(t, options{}).Stage)
			c.Play(include(t, "_remote_proved") + "r sends " + in + "\n" + include(t, "_backend_takes"))
			c.Play("b receives " + out)
			back := strings.NewReplacer("from='juliet@remote.example/x' to='romeo@corp.example'", "from='romeo@corp.example' to='juliet@remote.example/x'")
			c.Play(include(t, "_backend_speaks") + "l sends " + back.Replace(in) + "\n" + include(t, "_remote_takes"))
			c.Play("r receives " + back.Replace(out))
		})
	}
}
