package content

import (
	"slices"
	"strings"
	"testing"

	"sallyport/internal/stanza"
)

func parsed(t testing.TB, xml string) *stanza.Element {
	t.Helper()
	el, err := stanza.ParseOne([]byte(xml), stanza.Limits{})
	if err != nil {
		t.Fatalf("%v: %s", err, xml)
	}
	return el
}

const usual = `<message from='juliet@corp.example/balcony' to='romeo@partner.example' type='chat' id='3f0c1b9a-5f7e-4c55-a7b4-6d0f9d1f6c9e'><body>Art thou not Romeo, and a Montague?</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread></message>`

// Each class of POLICY, by what clients send and by what an attacker would (PROTOCOL §9).
func TestClassify(t *testing.T) {
	t.Parallel()
	m := func(inner string) string {
		return `<message type='chat' from='a@x.example' to='b@y.example'>` + inner + `</message>`
	}
	iq := func(inner string) string {
		return `<iq type='set' id='1' from='a@x.example/1' to='b@y.example/2'>` + inner + `</iq>`
	}
	nested := func(inner string) string {
		return m(`<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/><message xmlns='jabber:client' from='c@z.example' to='a@x.example'>` + inner + `</message></forwarded>`)
	}
	session := func(description string) string {
		return iq(`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'><content creator='initiator' name='n'>` + description + `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></content></jingle>`)
	}
	for _, test := range []struct{ name, xml, want string }{
		{"nothing", m(""), ""},
		{"words directly in it", m("hi"), "text"},
		{"form", m(`<x xmlns='jabber:x:data' type='form'><title>hi</title><field var='a'><value>hi</value></field></x>`), "text"},
		{"form without words", m(`<x xmlns='jabber:x:data' type='submit'/>`), ""},
		{"form that tells of a program", iq(`<query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data'><field var='os'><value>Linux</value></field></x></query>`), ""},
		{"form behind one that does", iq(`<query xmlns='http://jabber.org/protocol/disco#info'/><x xmlns='jabber:x:data'><field var='os'><value>Linux</value></field></x>`), "text"},
		{"nickname", m(`<nick xmlns='http://jabber.org/protocol/nick'>hi</nick>`), "text"},
		{"text of an error", `<message type='error' from='a@x.example' to='b@y.example'><error type='cancel'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>hi</text></error></message>`, "text"},
		{"error without words", `<message type='error' from='a@x.example' to='b@y.example'><error type='cancel'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`, ""},
		{"mood", m(`<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='m'><item><mood xmlns='http://jabber.org/protocol/mood'><happy/><text>hi</text></mood></item></items></event>`), "pubsub text"},
		{"end of a call with words", iq(`<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'><reason><success/><text>hi</text></reason></jingle>`), "call.control text"},
		{"direct invitation with words", m(`<x xmlns='jabber:x:conference' jid='r@c.example' reason='hi'/>`), "invite text"},
		{"what is said of a file", m(`<x xmlns='jabber:x:oob'><url>u</url><desc>hi</desc></x>`), "file text"},
		{"words where none belong", m(`<active xmlns='http://jabber.org/protocol/chatstates'>hi</active>`), "signal text"},
		{"words for a conversation", m(`<thread>call me</thread>`), "text"},
		{"real-time text", m(`<rtt xmlns='urn:xmpp:rtt:0'><t>hi</t></rtt>`), "rtt text"},
		{"availability in words", `<presence from='a@x.example/1' to='b@y.example'><show>call me</show></presence>`, "presence text"},
		{"a priority in words", `<presence from='a@x.example/1' to='b@y.example'><show>xa</show><priority>12345</priority></presence>`, "presence text"},
		{"a photo's name", `<presence from='a@x.example/1' to='b@y.example'><priority>-5</priority><x xmlns='vcard-temp:x:update'><photo>99</photo></x></presence>`, "presence"},
		{"body", m(`<body>hi</body>`), "text"},
		{"body in the namespace of clients", m(`<body xmlns='jabber:client'>hi</body>`), "text"},
		{"body of another namespace", m(`<body xmlns='urn:example:x'>hi</body>`), "text unknown"},
		{"body of a namespace without words", m(`<body xmlns='urn:xmpp:ping'>hi</body>`), "text"},
		{"subject of none", m(`<subject xmlns=''>hi</subject>`), "text unknown"},
		{"OTR of another namespace", m(`<body xmlns='urn:example:x'>?OTR:AAMC</body>`), "e2ee.otr text unknown"},
		{"XHTML by the name of its envelope", m(`<html xmlns='http://jabber.org/protocol/xhtml-im'><body>hi<img src='https://h/p'/></body></html>`), "file text"},
		{"as clients send it", usual, "signal text"},
		{"XHTML alone", m(`<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>hi</p></body></html>`), "text"},
		{"correction", m(`<body>hi</body><replace xmlns='urn:xmpp:message-correct:0' id='1'/>`), "text"},
		{"a later version of what is known", m(`<reactions xmlns='urn:xmpp:reactions:7' id='1'/>`), "text"},
		{"chat state", m(`<composing xmlns='http://jabber.org/protocol/chatstates'/>`), "signal"},
		{"unknown beside known", m(`<body>x</body><x xmlns='urn:example:x'/>`), "text unknown"},
		{"unknown within known", m(`<x xmlns='jabber:x:data'><y xmlns='urn:example:x'/></x>`), ""},
		{"a prefix", m(`<p:query xmlns:p='jabber:iq:version'/>`), "disclosure"},

		{"presence", `<presence from='a@x.example/1' to='b@y.example'><show>away</show><c xmlns='http://jabber.org/protocol/caps' node='n' ver='v' hash='sha-1'/></presence>`, "presence"},
		{"presence with words", `<presence from='a@x.example/1' to='b@y.example'><status>out</status></presence>`, "presence text"},
		{"subscription", `<presence type='subscribe' from='a@x.example' to='b@y.example'/>`, "subscribe"},
		{"joining a room", `<presence from='a@x.example/1' to='r@c.example/nick'><x xmlns='http://jabber.org/protocol/muc'/></presence>`, "muc presence"},
		{"direct invitation", m(`<x xmlns='jabber:x:conference' jid='r@c.example'/>`), "invite"},
		{"invitation by a room", m(`<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@x.example'><reason>come</reason></invite></x>`), "invite muc text"},

		{"audio", session(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>`), "call.audio call.control"},
		{"audio and video", session(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/>`), "call.audio call.control call.video"},
		{"media of no name", session(`<description xmlns='urn:xmpp:jingle:apps:rtp:1'/>`), "call.control call.video"},
		{"end of a call", iq(`<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'><reason><success/></reason></jingle>`), "call.control"},
		{"proposal of a call", m(`<propose xmlns='urn:xmpp:jingle-message:0' id='1'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>`), "call.audio call.control"},
		{"invitation to a call", m(`<invite xmlns='urn:xmpp:call-invites:0' video='true'/>`), "call.audio call.video"},
		{"Google's", iq(`<session xmlns='http://www.google.com/session' type='initiate'><description xmlns='http://www.google.com/session/phone'/></session>`), "call.audio call.control"},

		{"file by Jingle", session(`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>n</name></file></description>`), "file"},
		{"file by Jingle, older", session(`<description xmlns='urn:xmpp:jingle:apps:file-transfer:3'/>`), "file"},
		{"file by SI", iq(`<si xmlns='http://jabber.org/protocol/si' profile='http://jabber.org/protocol/si/profile/file-transfer'/>`), "file"},
		{"bytes in band", iq(`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>QQ==</data>`), "file.inband"},
		{"link", m(`<body>https://x</body><x xmlns='jabber:x:oob'><url>https://x</url></x>`), "file text"},
		{"slot for an upload", iq(`<request xmlns='urn:xmpp:http:upload:0' filename='f' size='1'/>`), "file"},
		{"bits of binary", m(`<data xmlns='urn:xmpp:bob' cid='c'>QQ==</data>`), "file.inband"},
		{"stateless sharing", m(`<file-sharing xmlns='urn:xmpp:sfs:0'/>`), "file"},
		{"photo in a vCard", iq(`<vCard xmlns='vcard-temp'><PHOTO><BINVAL>QQ==</BINVAL></PHOTO></vCard>`), "file"},
		{"vCard", iq(`<vCard xmlns='vcard-temp'><FN>A</FN></vCard>`), "text"},
		{"avatar", m(`<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:avatar:data'><item><data xmlns='urn:xmpp:avatar:data'>QQ==</data></item></items></event>`), "file pubsub"},

		{"OMEMO", m(`<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted><body>your client is old</body>`), "e2ee.omemo text"},
		{"OMEMO 2", m(`<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/></encrypted>`), "e2ee.omemo"},
		{"keys of OMEMO", m(`<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='eu.siacs.conversations.axolotl.devicelist'><item><list xmlns='eu.siacs.conversations.axolotl'><device id='1'/></list></item></items></event>`), "pubsub"},
		{"media of OMEMO", m(`<body>AESGCM://host/f#00</body>`), "e2ee.omemo file text"},
		{"media of OMEMO in pieces", m(`<body>aes<![CDATA[gcm:/]]>/host/f#00</body>`), "e2ee.omemo file text"},
		{"OpenPGP", m(`<openpgp xmlns='urn:xmpp:openpgp:0'>QQ==</openpgp>`), "e2ee.openpgp"},
		{"OpenPGP of old", m(`<body>encrypted</body><x xmlns='jabber:x:encrypted'>QQ==</x>`), "e2ee.openpgp text"},
		{"OTR", m(`<body>?OTR:AAMC</body>`), "e2ee.otr text"},
		{"OTR in pieces", m(`<body> &#x3f;O<![CDATA[TR]]>:AAMC</body>`), "e2ee.otr text"},
		{"OTR in a second language", m(`<body>hi</body><body xml:lang='de'>?OTRv3?</body>`), "e2ee.otr text"},
		{"a hint that proves nothing", m(`<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2'/>`), ""},

		{"pubsub", iq(`<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>`), "pubsub"},
		{"register", iq(`<query xmlns='jabber:iq:register'/>`), "register"},
		{"gateway", iq(`<query xmlns='jabber:iq:gateway'/>`), "gateway"},
		{"archive", iq(`<query xmlns='urn:xmpp:mam:2'/>`), "archive"},
		{"what an archive answers", m(`<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>x</body></message></forwarded></result>`), "text"},
		{"how long somebody is away", `<presence from='a@x.example/1' to='b@y.example'><query xmlns='jabber:iq:last' seconds='9'/><idle xmlns='urn:xmpp:idle:1' since='2026-01-01T00:00:00Z'/></presence>`, "presence"},
		{"command", iq(`<command xmlns='http://jabber.org/protocol/commands' node='n'/>`), "admin"},
		{"roster", iq(`<query xmlns='jabber:iq:roster'/>`), "admin"},
		{"privileged", m(`<privilege xmlns='urn:xmpp:privilege:2'/>`), "admin"},
		{"version", iq(`<query xmlns='jabber:iq:version'/>`), "disclosure"},
		{"last", iq(`<query xmlns='jabber:iq:last'/>`), "disclosure"},
		{"time", iq(`<time xmlns='urn:xmpp:time'/>`), "disclosure"},
		{"disco", iq(`<query xmlns='http://jabber.org/protocol/disco#info'/>`), ""},

		{"carbon", m(`<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>x</body></message></forwarded></received>`), "forged-envelope text"},
		{"not to be copied", m(`<body>x</body><private xmlns='urn:xmpp:carbons:2'/>`), "signal text"},
		{"what is forwarded counts", nested(`<encrypted xmlns='urn:xmpp:omemo:2'/>`), "e2ee.omemo signal"},
		{"OTR that is forwarded", nested(`<body>?OTR:AAMC</body>`), "e2ee.otr signal text"},
		{"a file that is forwarded", nested(`<x xmlns='jabber:x:oob'><url>u</url></x>`), "file signal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(Classify(parsed(t, test.xml), "a", "b").Class.Names(), " ")
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestForeignUsers(t *testing.T) {
	t.Parallel()
	el := parsed(t, `<message><body>x</body></message>`)
	for local, want := range map[string]bool{"romeo": false, "romeo%msn.example": true, `romeo\40msn.example`: true, `rom\20eo`: false} {
		for _, f := range []Facts{Classify(el, local, "x"), Classify(el, "x", local)} {
			if got := f.Class&Gateway != 0; got != want {
				t.Errorf("%s: behind a gateway %t, want %t", local, got, want)
			}
		}
	}
}

func TestLabelAndThread(t *testing.T) {
	t.Parallel()
	marking := func(s string) string {
		return `<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking fgcolor='black'>` + s + `</displaymarking><label><x xmlns='urn:example:x'>displaymarking</x></label></securitylabel>`
	}
	for inner, want := range map[string]string{
		``:                            "",
		marking("SECRET"):             "SECRET",
		marking("SE<![CDATA[CR]]>ET"): "SECRET",
		marking(""):                   NoMarking,
		`<securitylabel xmlns='urn:xmpp:sec-label:0'><label/></securitylabel>`:                                                                     NoMarking,
		marking("PUBLIC") + marking("SECRET"):                                                                                                      "PUBLIC\nSECRET",
		`<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>` + marking("SECRET") + `</message></forwarded>`:                     "\nSECRET",
		`<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>` + marking("PUBLIC") + `</message></forwarded>` + marking("SECRET"): "PUBLIC\nSECRET",
		marking("PUBLIC") + marking(""):         "PUBLIC\n?",
		marking("") + marking("PUBLIC"):         "PUBLIC\n?",
		marking(" ") + marking("\n"):            NoMarking,
		marking("\n SECRET\n"):                  " SECRET",
		marking("PUBLIC\nPUBLIC") + marking(""): "PUBLIC\nPUBLIC\n?",
		`<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking>PUBLIC</displaymarking><displaymarking>PUBLIC</displaymarking></securitylabel>` + marking(""): "PUBLIC\nPUBLIC\n?",
		`<securitylabel xmlns='urn:xmpp:sec-label:0'><label/></securitylabel>` + marking("PUBLIC"):                                                                 "PUBLIC\n?",
		`<x xmlns='urn:example:x'><displaymarking xmlns='urn:xmpp:sec-label:0'>SECRET</displaymarking></x>`:                                                        "",
	} {
		if f := Classify(parsed(t, `<message><thread>t1</thread>`+inner+`</message>`), "", ""); f.Label != want || string(f.Thread) != "t1" {
			t.Errorf("%s: label %q, thread %q; want %q", inner, f.Label, f.Thread, want)
		}
	}
}

func TestNamesAreSortedAndShared(t *testing.T) {
	t.Parallel()
	if all := Class(1<<classes - 1).Names(); !slices.IsSorted(all) || !slices.Equal(all, AllClasses()) {
		t.Errorf("all classes are %v", all)
	}
	a, b := (Text | File).Names(), (Text | File).Names()
	if &a[0] != &b[0] {
		t.Error("a list is made anew each time")
	}
	for c := range Class(1 << 13) {
		c.Names()
	}
	if n := len(listed.of); n > listsKept {
		t.Errorf("%d lists are kept", n)
	}
}

// The walk is linear in what came: a body in many pieces, many declarations.
func TestPiecesAreNotCopied(t *testing.T) {
	xml := `<message><body>` + strings.Repeat("x<![CDATA[y]]>", 10000) + `</body></message>`
	el := parsed(t, xml)
	if n := testing.AllocsPerRun(10, func() { Classify(el, "", "") }); n > 40 {
		t.Errorf("%v allocations for a body in 20,000 pieces", n)
	}
}

func TestClassifyAlloc(t *testing.T) {
	for name, xml := range map[string]string{
		"message":  usual,
		"presence": `<presence from='a@x.example/1' to='b@y.example'><show>away</show><c xmlns='http://jabber.org/protocol/caps' node='n' ver='v' hash='sha-1'/></presence>`,
		"iq":       `<iq type='get' id='1' from='a@x.example/1' to='b@y.example/2'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`,
	} {
		el := parsed(t, xml)
		if n := testing.AllocsPerRun(100, func() { Classify(el, "a", "b").Class.Names() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	el := parsed(b, usual)
	b.SetBytes(int64(len(usual)))
	b.ReportAllocs()
	for b.Loop() {
		Classify(el, "juliet", "romeo").Class.Names()
	}
}
