package content

import (
	"strings"
	"testing"
)

// [C03] A body is a body in every dress, and is read in all of its languages.
func TestBodiesInEveryDress(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ in, body, subject string }{
		{"<message><subject>s</subject><body>b</body></message>", "b", "s"},
		{"<message><body>b</body><body xml:lang='de'>c</body></message>", "b\nc", ""},
		{"<message><body xmlns='jabber:client'>b</body><subject xmlns='jabber:client'>s</subject></message>", "b", "s"},
		{"<message><c:body xmlns:c='jabber:client'>b</c:body></message>", "b", ""},
		{"<message><body>b</body><body xmlns='jabber:client'>hidden</body></message>", "b\nhidden", ""},
		{"<message><body xmlns='urn:x'>b</body><subject xmlns=''>s</subject></message>", "b", "s"},
		{"<message><x xmlns='urn:x'><body>b</body><body xmlns='jabber:server'>b</body></x></message>", "", ""},
	} {
		w := Extract(parsed(t, v.in))
		if w.Body != v.body || w.HasBody != (v.body != "") || w.Subject != v.subject {
			t.Errorf("%s: the body is %q (%v), the subject %q", v.in, w.Body, w.HasBody, w.Subject)
		}
	}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, inner, text, urls, jids string }{
		{"body", "<body>hello</body>", "hello", "", ""},
		{"nothing", "<active xmlns='http://jabber.org/protocol/chatstates'/>", "", "", ""},
		{"a word across markup", "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>4111<b>1111</b></p><p>two</p></body></html>", "4111|1111|two", "", ""},
		{"full-width and invisible", "<body>４１１１\u200b１１１１\u202e</body>", "41111111", "", ""},
		{"reason of an invitation", "<x xmlns='jabber:x:conference' jid='Board@Conference.Corp.Example' reason='come'/>", "come", "", "board@conference.corp.example"},
		{"a forwarded copy", "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='carol@corp.example/desk' to='sam@corp.example'><body>secret</body></message></forwarded>", "secret", "", "carol@corp.example sam@corp.example"},
		{"links", "<body>see https://Host.example/Path, www.Example.org/a and aesgcm://up.example/f#00.</body>", "see https://Host.example/Path, www.Example.org/a and aesgcm://up.example/f#00.", "aesgcm://up.example/f#00 http://www.example.org/a https://host.example/Path", ""},
		{"a link in an element", "<x xmlns='jabber:x:oob'><url>HTTPS://up.example/f</url></x>", "HTTPS://up.example/f", "https://up.example/f", ""},
		{"a backslash", `<body>https://evil.example\@www.corp.example/</body>`, `https://evil.example\@www.corp.example/`, "https://evil.example/@www.corp.example/ https://www.corp.example/", ""},
		{"users, ports, dots, labels", "<body>https://u:p@WWW.Corp.example.:8443/x https://xn--mller-kva.example/</body>", "https://u:p@WWW.Corp.example.:8443/x https://xn--mller-kva.example/", "https://müller.example/ https://www.corp.example:8443/x", ""},
		{"hosts alone", "<body>evil.example/x, (Evil.Example:8080/y) evil.example?z sub.xn--mller-kva.example#f 192.0.2.1/a evil。example/b www.evil.example:81</body>", "evil.example/x, (Evil.Example:8080/y) evil.example?z sub.xn--mller-kva.example#f 192.0.2.1/a evil。example/b www.evil.example:81",
			"http://192.0.2.1/a http://evil.example/b http://evil.example/x http://evil.example:8080/y http://evil.example?z http://sub.müller.example#f http://www.evil.example:81", ""},
		{"no hosts", "<body>and/or 12.30/13 e.g./i.e. main.go main.go:12: v1.2.3/4 really.? see evil.example.</body>", "and/or 12.30/13 e.g./i.e. main.go main.go:12: v1.2.3/4 really.? see evil.example.", "", ""},
		{"somebody's address", "<body>write to a@x.example/r</body>", "write to a@x.example/r", "", ""},
		{"a host beside a link", "<body>https://a.example/b.example/c b.example/d</body>", "https://a.example/b.example/c b.example/d", "http://b.example/d https://a.example/b.example/c", ""},
		{"slashes", "<body>https:evil.example https:///a.example _https://b.example/_ averyveryverylonghttps://c.example</body>", "https:evil.example https:///a.example _https://b.example/_ averyveryverylonghttps://c.example", "averyveryverylonghttps://c.example https://a.example https://b.example/_ https://c.example https://evil.example", ""},
		{"one in another", "<body>https://a.example/,https://b.example/</body>", "https://a.example/,https://b.example/", "https://a.example/,https://b.example/ https://b.example/", ""},
		{"percent", "<body>https://%65vil.example/ https://a.example%2f.evil.example/ https://[2001:DB8::1]:80/</body>", "https://%65vil.example/ https://a.example%2f.evil.example/ https://[2001:DB8::1]:80/", "https://[2001:db8::1]:80/ https://a.example%2f.evil.example/ https://evil.example/", ""},
		{"an address in a link", "<body>xmpp:Room@c.example?join</body>", "xmpp:Room@c.example?join", "xmpp:room@c.example?join", "room@c.example"},
		{"vCard", "<vCard xmlns='vcard-temp'><FN>A B</FN><JABBERID>a@x.example</JABBERID><PHOTO><BINVAL>QUJD</BINVAL></PHOTO></vCard>", "A B|a@x.example", "", "a@x.example"},
		{"a domain where one belongs", "<item xmlns='http://jabber.org/protocol/disco#items' jid='irc.corp.example' name='n'/>", "n", "", "irc.corp.example"},
		{"a form", "<x xmlns='jabber:x:data' type='submit'><field var='who' type='jid-single'><value>a@x.example/r</value></field></x>", "a@x.example/r", "", "a@x.example"},
		{"A-label, case and final dot", "<x xmlns='jabber:x:conference' jid='r@XN--MLLER-KVA.example.'/>", "", "", "r@müller.example"},
		{"XEP-0106", "<x xmlns='jabber:x:conference' jid='d\\27artagnan@x.example'/>", "", "", "d\\27artagnan@x.example"},
		{"no address", "<body>me@ and @you</body>", "me@ and @you", "", ""},
		{"ciphers are not text", "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>QUJD</payload></encrypted><body>fallback</body>", "fallback", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := Extract(parsed(t, "<message>"+test.inner+"</message>"))
			lines := strings.Join(strings.Split(w.Text, "\n"), "|")
			if strings.ReplaceAll(lines, "|", "") != strings.ReplaceAll(test.text, "|", "") || strings.Join(w.URLs, " ") != test.urls || strings.Join(w.JIDs, " ") != test.jids {
				t.Errorf("text %q, addresses %q and %q; want %q, %q and %q", lines, w.URLs, w.JIDs, test.text, test.urls, test.jids)
			}
		})
	}
}

// A word is not cut where XHTML marks a part of it, wherever in the document that is; lines are.
func TestMarkupCutsNoWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<p><i>4111</i><b>1111</b></p><p>two</p>": "41111111|two",
		"<p>se<b>cr</b>et</p>":                    "secret",
		"a<p>b</p>c":                              "a|b|c",
		"a<br/>b":                                 "a|b",
		"<p>see <a href='https://h/p'>the</a> page</p>":   "see the page|https://h/p",
		"<p>se<z xmlns='urn:z'>cr<p>e</p></z>t</p>":       "secret|set|cr|e",
		"<p>se<data xmlns='urn:xmpp:bob'>cr</data>et</p>": "secret|seet|cr",
		"<p>caf<b>e</b>&#x301;</p>":                       "caf\u00E9",
		"<ul><li>a</li><li>b</li></ul>":                   "a|b",
	} {
		w := Extract(parsed(t, "<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"+in+"</body></html></message>"))
		if got := strings.Join(w.Pieces, "|"); got != want || w.Text != strings.Join(w.Pieces, "\n") {
			t.Errorf("%s: %q, text %q, want %q", in, got, w.Text, want)
		}
	}
}

// A body has no elements in it (RFC 6121 §5.2.3). Programs that meet one there read on behind it, or through it: both are judged.
func TestElementsInBodies(t *testing.T) {
	t.Parallel()
	for _, within := range []string{"<b xmlns='urn:b'>cr</b>", "<BINVAL>cr</BINVAL>"} {
		w := Extract(parsed(t, "<message><body>se"+within+"et</body><subject>a<body/>b</subject></message>"))
		if got := strings.Join(w.Pieces, "|"); got != "seet|secret|cr|ab" || w.Body != "seet\nsecret" || w.Subject != "ab" {
			t.Errorf("%s: pieces %q, body %q, subject %q", within, got, w.Body, w.Subject)
		}
	}
	// What is a file or a cipher elsewhere is shown here.
	for _, within := range []string{"<data xmlns='urn:xmpp:bob'>cr</data>", "<BINVAL xmlns='vcard-temp'>cr</BINVAL>", "<openpgp xmlns='urn:xmpp:openpgp:0'>cr</openpgp>"} {
		if w := Extract(parsed(t, "<message><body>se"+within+"et</body></message>")); w.Body != "seet\nsecret" {
			t.Errorf("%s: body %q", within, w.Body)
		}
	}
}

// There are programs that take the first body in XHTML's envelope for it, of whatever namespace, and show all that is in it.
func TestMarkupOfAnyNamespace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<body>se<b>cr</b>et</body>":                          "secret",
		"<body><p>a</p><p>b</p></body>":                       "a|b",
		"<body xmlns='urn:x'>se<b>cr</b>et</body>":            "secret|seet|cr",
		"<body xmlns='jabber:client'>se<b>cr</b>et</body>":    "secret|seet|cr",
		"<z:body xmlns:z='urn:z'>se<z:b>cr</z:b>et</z:body>x": "secretx|x|seet|cr",
	} {
		w := Extract(parsed(t, "<message><html xmlns='http://jabber.org/protocol/xhtml-im'>"+in+"</html></message>"))
		if got := strings.Join(w.Pieces, "|"); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
