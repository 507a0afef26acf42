package content

import (
	"fmt"
	"strings"
	"testing"
)

// What makes a class is found where somebody wants it not to be found (PROTOCOL §9, [C03]).
func TestEvasion(t *testing.T) {
	t.Parallel()
	deep := func(inner string) string {
		return strings.Repeat("<x xmlns='jabber:x:data'>", 20) + inner + strings.Repeat("</x>", 20)
	}
	forwarded := func(inner string) string {
		return `<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>` + inner + `</message></forwarded>`
	}
	session := func(inner string) string {
		return `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'><content creator='initiator' name='n'>` + inner + `</content></jingle>`
	}
	for _, test := range []struct{ name, xml, want string }{
		{"OTR around an element", `<body>?O<ping xmlns='urn:xmpp:ping'/>TR:AAMC</body>`, "e2ee.otr text unknown"},
		{"OTR around another body", `<body>?O<body/>TR:AAMC</body>`, "e2ee.otr text unknown"},
		{"OTR behind a body", `<body>hi</body><ping xmlns='urn:xmpp:ping'/><body>?OTR:AAMC</body>`, "e2ee.otr text"},
		{"OTR deep down", deep(`<body xmlns='jabber:client'>?OTR:AAMC</body>`), "text unknown"},
		{"a link with a key, around an element", `<body>aesgcm<ping xmlns='urn:xmpp:ping'/>://h/f#0</body>`, "e2ee.omemo file text unknown"},

		{"a payload of one's own within a known family", `<x xmlns='urn:xmpp:ping:mine'/>`, "unknown"},
		{"signals of one's own", `<x xmlns='urn:xmpp:hints:mine'/>`, "signal unknown"},
		{"a part of a family that is known", `<client-join xmlns='urn:xmpp:mix:pam:2'/>`, "muc"},
		{"a version that is none", `<x xmlns='urn:xmpp:ping:'/>`, "unknown"},
		{"another label", `<securitylabel xmlns='urn:xmpp:sec-label:1'><displaymarking>SECRET</displaymarking></securitylabel>`, "text unknown"},
		{"unknown in a forwarded copy", forwarded(`<x xmlns='urn:example:x'/>`), "unknown"},
		{"known in a forwarded copy", forwarded(`<ping xmlns='urn:xmpp:ping'/>`), ""},
		{"a stanza that nothing forwards", `<message xmlns='jabber:client'><show/></message>`, "unknown"},

		{"a proposal beside a link", `<propose xmlns='urn:xmpp:jingle-message:0' id='1'/><x xmlns='jabber:x:oob'><url>u</url></x>`, "call.control file"},
		{"a session of another application beside a link", session(`<description xmlns='urn:example:voice'/>`) + `<x xmlns='jabber:x:oob'/>`, "call.control call.video file"},
		{"a session of two applications", session(`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'/><description xmlns='urn:example:voice'/>`), "call.control call.video file"},
		{"a session of a file", session(`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'/><transport xmlns='urn:xmpp:jingle:transports:ibb:1'/>`), "file file.inband"},

		{"candidates of a call behind a transport of files", `<jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='s'><content creator='initiator' name='n'><transport xmlns='urn:xmpp:jingle:transports:s5b:1'/></content></jingle><jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s'><description xmlns='urn:xmpp:jingle:apps:rtp:info:1'/></jingle>`, "call.control call.video file"},
		{"pictures that come later", `<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='s'><content creator='initiator' name='v'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></content></jingle>`, "call.control call.video"},
		{"a medium in capitals", session(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='AUDIO'/>`), "call.control call.video"},
		{"a call of a version to come", session(`<description xmlns='urn:xmpp:jingle:apps:rtp:2' media='audio'/>`), "call.audio call.control"},
		{"a call with the transport of files", session(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><transport xmlns='urn:xmpp:jingle:transports:s5b:1'/>`), "call.audio call.control file"},
		{"a call in a forwarded copy", forwarded(session(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/>`)), "call.control call.video"},
		{"bytes that nobody has negotiated", `<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>QQ==</data>`, "file.inband"},
		{"a slot in a forwarded copy", forwarded(`<slot xmlns='urn:xmpp:http:upload:0'><put url='https://h/p'/><get url='https://h/g'/></slot>`), "file"},
		{"an offer of another profile", `<si xmlns='http://jabber.org/protocol/si' profile='urn:example:mine'/>`, "file"},
		{"a photo in the vCard of today", `<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><photo><uri>data:image/png;base64,QQ==</uri></photo></vcard>`, "file text"},
		{"a picture in XHTML", `<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><img src=' DATA:image/png;base64,QQ=='/></body></html>`, "file.inband text"},
		{"a picture elsewhere", `<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><img src='https://h/p'/></body></html>`, "file text"},
		{"a slot of old", `<request xmlns='eu:siacs:conversations:http:upload'/>`, "file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := Classify(parsed(t, "<message>"+test.xml+"</message>"), "", "")
			if got := strings.Join(f.Class.Names(), " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Encrypted is what a cipher is in. What only looks like it to forbid has the class, and passes for no cipher where one is required.
func TestMethodNeedsItsPayload(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ xml, method, class string }{
		{"<encrypted xmlns='urn:xmpp:omemo:2'/><body>[This message is OMEMO encrypted]</body>", "omemo", "e2ee.omemo text"},
		{"<body>I sent you a PGP encrypted message but your client doesn’t seem to support that.</body><x xmlns='jabber:x:encrypted'>QQ==</x>", "openpgp", "e2ee.openpgp text"},
		{"<encrypted xmlns='urn:xmpp:omemo:2'/><replace xmlns='urn:xmpp:message-correct:0' id='1'/><active xmlns='http://jabber.org/protocol/chatstates'/>", "omemo", "e2ee.omemo signal text"},
		{"<encrypted xmlns='urn:xmpp:omemo:2'><payload>QQ==</payload></encrypted><body> \n</body>", "omemo", "e2ee.omemo text"},
		{"<x xmlns='jabber:x:encrypted'>QQ==</x>", "openpgp", "e2ee.openpgp"},
		{"<encrypted xmlns='urn:xmpp:omemo:2'/><nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick><delay xmlns='urn:xmpp:delay'>late</delay>", "omemo", "e2ee.omemo signal text"},
		{"<encrypted xmlns='urn:xmpp:omemo:2'/><x xmlns='jabber:x:data'><title>in clear</title></x>", "", "e2ee.omemo text"},
		{"<encrypted xmlns='urn:xmpp:omemo:2'/><active xmlns='http://jabber.org/protocol/chatstates'>in clear</active>", "", "e2ee.omemo signal text"},
		{"<encrypted xmlns='urn:xmpp:omemo:2'/><x xmlns='jabber:x:conference' jid='r@c' reason='in clear'/>", "", "e2ee.omemo invite text"},
		{"<body>in clear, aesgcm://h/f#00</body>", "", "e2ee.omemo file text"},
		{"<body>?OTR:AAMC.</body>", "otr", "e2ee.otr text"},
		{"<body>\n ?OTR,1,2,AAMC, </body>", "otr", "e2ee.otr text"},
		{"<body>?OTRv23?</body>", "otr", "e2ee.otr text"},
		{"<body>?OTR in clear</body>", "", "e2ee.otr text"},
		{"<body>?OTR:AAMC.</body><body xml:lang='de'>in clear</body>", "", "e2ee.otr text"},
		{"<body>in clear</body><body xml:lang='de'>?OTR:AAMC.</body>", "", "e2ee.otr text"},
		{"<body>?OTR:AAMC.</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>?OTR:AAMC.</body></html>", "otr", "e2ee.otr text"},
		{"<body>?OTR:AAMC.</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>in clear</body></html>", "", "e2ee.otr text"},
		{"<start xmlns='urn:xmpp:otr:0'/>", "", "e2ee.otr"},
		{"<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2'/><body>in clear</body>", "", "text"},
	} {
		f := Classify(parsed(t, "<message>"+test.xml+"</message>"), "", "")
		if got := strings.Join(f.Class.Names(), " "); f.E2EE != test.method || got != test.class {
			t.Errorf("%s: method %q of %q, want %q of %q", test.xml, f.E2EE, got, test.method, test.class)
		}
	}
}

// A cipher that is there for show makes nothing encrypted that can be read beside it.
func TestNothingIsReadBesideACipher(t *testing.T) {
	t.Parallel()
	const cipher, hint = "<encrypted xmlns='urn:xmpp:omemo:2'/>", "<body>encrypted with OMEMO</body>"
	html := func(inner string) string {
		return "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>" + inner + "</body></html>"
	}
	nested := func(inner string) string {
		return "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>" + inner + "</message></forwarded>"
	}
	for name, xml := range map[string]string{
		"words":                           "<body>see you at five</body>",
		"words of the namespace of c2s":   "<body xmlns='jabber:client'>see you at five</body>",
		"a hint that goes on":             "<body>encrypted with OMEMO" + strings.Repeat(" and", 50) + "</body>",
		"two hints":                       hint + "<body xml:lang='de'>mit OMEMO verschlüsselt: um fünf</body>",
		"words in another language":       hint + "<body xml:lang='de'>um fünf</body>",
		"a hint around an element":        "<body>encrypted<ping xmlns='urn:xmpp:ping'>at five</ping></body>",
		"a subject":                       hint + "<subject>at five</subject>",
		"XHTML":                           hint + html("<p>at <em>five</em></p>"),
		"XHTML in an envelope of its own": hint + "<html xmlns='http://jabber.org/protocol/xhtml-im'><encrypted xmlns='urn:xmpp:omemo:2'>at five</encrypted></html>",
		"a body of another namespace":     hint + "<body xmlns='urn:example:x'>at five</body>",
		"XHTML around what is no XHTML":   html("<p><x xmlns='urn:example:x'>at five</x></p>"),
		"a reaction":                      "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>at five</reaction></reactions>",
		"text in real time":               "<rtt xmlns='urn:xmpp:rtt:0'><t>at five</t></rtt>",
		"words in a forwarded copy":       nested("<body>at five</body>"),
		"words beside a forwarded copy":   nested(hint) + "<body>at five</body>",
		"a body deep down":                strings.Repeat("<x xmlns='jabber:x:data'>", 20) + "<body xmlns='jabber:client'>at five</body>" + strings.Repeat("</x>", 20),
		"the address of a file":           hint + "<x xmlns='jabber:x:oob'><url>https://h/f</url></x>",
		"a file in band":                  "<data xmlns='urn:xmpp:bob' cid='c'>QQ==</data>",
		"a hint with a key to somewhere":  "<body>encrypted aesgcm://h/f#00</body>",
	} {
		for _, all := range []string{xml + cipher, cipher + xml} {
			if f := Classify(parsed(t, "<message>"+all+"</message>"), "", ""); f.E2EE != "" || f.Class&OMEMO == 0 {
				t.Errorf("%s: %q of %v", name, f.E2EE, f.Class.Names())
			}
		}
	}
	for name, xml := range map[string]string{
		"a copy with its own cipher": hint + nested(hint+cipher),
		"a copy with a hint":         nested(hint),
	} {
		if f := Classify(parsed(t, "<message>"+xml+cipher+"</message>"), "", ""); f.E2EE != "omemo" {
			t.Errorf("%s: %q of %v", name, f.E2EE, f.Class.Names())
		}
	}
}

// ABUSE 35, [A06]: an address that is named is the same one in all its spellings, and is another one when it only looks alike.
func TestAddressesInEverySpelling(t *testing.T) {
	t.Parallel()
	forms := []string{
		"<x xmlns='jabber:x:conference' jid='%s'/>",
		"<x xmlns='jabber:x:conference' jid=' %s/Nick '/>",
		"<x xmlns='http://jabber.org/protocol/muc#user'><invite from='%s'/></x>",
		"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' to='%s/x'/></forwarded>",
		"<vCard xmlns='vcard-temp'><JABBERID> %s </JABBERID></vCard>",
		"<x xmlns='jabber:x:data'><field var='f'><value>%s</value></field></x>",
		"<body>xmpp:%s?join</body>",
		"<body>see XMPP:%s#x.</body>",
		"<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:%s'/>",
		"<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp://guest@other.example/%s'/>",
	}
	for want, spellings := range map[string][]string{
		"müller@bücher.example": {
			"müller@bücher.example", "MÜLLER@BÜCHER.EXAMPLE", "mu\u0308ller@bu\u0308cher.example", "müller@xn--bcher-kva.example", "müller@XN--BCHER-KVA.example.",
			"ｍüller@bücher\u3002example", "mü\u200Bller@bü\u00ADcher.example",
		},
		`d\27artagnan@corp.example`: {`d\27artagnan@corp.example`, `D\27Artagnan@Corp.Example.`},
		"bоard@corp.example":        {"bоard@corp.example", "Bоard@corp.example"}, // its second letter is Cyrillic
		"board@corp.example":        {"board@corp.example", "board@corp.example/\u0378", "board\u202E@corp.example"},
	} {
		for _, spelling := range spellings {
			for _, form := range forms {
				w := Extract(parsed(t, "<message>"+fmt.Sprintf(form, spelling)+"</message>"))
				got := strings.Join(w.JIDs, " ")
				if strings.Contains(form, "guest@") {
					got = strings.TrimSpace(strings.Replace(got, "guest@other.example", "", 1))
				}
				if strings.Join(strings.Fields(got), " ") != want {
					t.Errorf("%q in %s: %q, want %q", spelling, form, w.JIDs, want)
				}
			}
		}
	}
	for _, spelling := range []string{"b%6Fard@corp.example", "board%40corp.example", "//board@corp.example"} {
		if w := Extract(parsed(t, "<message><body>xmpp:"+spelling+"?join</body></message>")); strings.Join(w.JIDs, " ") != "board@corp.example" {
			t.Errorf("RFC 5122 §2.7.1: %s: %q", spelling, w.JIDs)
		}
	}
}
