package transform

import (
	"errors"
	"regexp"
	"testing"

	"sallyport/internal/stanza"
)

// What is masked is what the pattern finds, wherever programs read it; the rest stays as it is spelled. What cannot be masked whole is an
// error, and no text passes for masked.
func TestMask(t *testing.T) {
	t.Parallel()
	xhtml := func(in string) string {
		return "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>" + in + "</body></html>"
	}
	for _, test := range []struct {
		name, pattern, with, in, want string
		err                           error
	}{
		{"a piece that is all of it", `^secret$`, "#", "<body>secret</body><subject>hi</subject>", "<body>#</body><subject>hi</subject>", nil},
		{"what itself is masked", `secret`, "[secret]", "<body>secret</body>", "", ErrEndless},
		{"what itself is masked, in other characters", `secret`, "\uFF53ecret", "<body>hi</body>", "", ErrEndless},
		{"nothing, which is found everywhere", `x*`, "#", "<body>x</body>", "", ErrEndless},
		{"what becomes it", `secret`, "", "<body>secsecretret</body>", "", ErrElsewhere},
		{"a text over several pieces", `(?s)secret.plan`, "#", "<body>secret</body><body xml:lang='de'>plan</body>", "", ErrElsewhere},
		{"an attribute that people read", `secret`, "#", "<x xmlns='jabber:x:conference' reason='secret'/>", "", ErrElsewhere},
		{"a form", `secret`, "#", "<x xmlns='jabber:x:data' type='form'><title>a secret</title><field var='v'><value>secret</value></field></x>", "<x xmlns='jabber:x:data' type='form'><title>a #</title><field var='v'><value>#</value></field></x>", nil},
		{"a nickname", `secret`, "#", "<nick xmlns='http://jabber.org/protocol/nick'>secret</nick>", "<nick xmlns='http://jabber.org/protocol/nick'>#</nick>", nil},
		{"the text of an error", `secret`, "#", "<error><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>secret</text></error>", "<error><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>#</text></error>", nil},
		{"the reason of an invitation", `secret`, "#", "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b'><reason>secret</reason></invite></x>", "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b'><reason>#</reason></invite></x>", nil},
		{"where nobody knows who writes", `secret`, "#", "<y xmlns='urn:y'>secret</y>", "", ErrElsewhere},
		{"where programs write", `secret`, "#", "<x xmlns='jabber:x:oob'><url>secret</url></x>", "", ErrElsewhere},
		{"where nothing belongs", `secret`, "#", "secret<body>hi</body>", "", ErrElsewhere},
		{"another attribute", `secret`, "#", "<body>secret</body><y xmlns='urn:y' note='secret'/>", "", ErrElsewhere},
		{"an attribute of another namespace", `secret`, "#", "<body xmlns:y='urn:y' y:id2='secret'>hi</body>", "", ErrElsewhere},
		{"an id", `\d{13}`, "#", "<body>1700000000000</body><origin-id xmlns='urn:xmpp:sid:0' id='1700000000000'/>", "<body>#</body><origin-id xmlns='urn:xmpp:sid:0' id='1700000000000'/>", nil},
		{"around an element", `secret`, "#", "<body>sec<b xmlns='urn:b'/>ret</body>", "<body>#<b xmlns='urn:b'/></body>", nil},
		{"through an element", `secret`, "#", "<body>a se<b xmlns='urn:b'>cr</b>et b</body>", "<body>a #<b xmlns='urn:b'/> b</body>", nil},
		{"markup of nobody", `secret`, "#", xhtml("sec<z xmlns='urn:z'/>ret"), xhtml("#<z xmlns='urn:z'/>"), nil},
		{"markup in order", `secret`, "#", xhtml("<p>a <i>b</i> se<b>cr</b>et</p>"), xhtml("<p>a <i>b</i> #<b/></p>"), nil},
		{"not across lines", `xsecret`, "#", xhtml("4111x<p>secret</p>"), xhtml("4111x<p>secret</p>"), nil},
		{"markup without what is not XHTML", `secret`, "#", xhtml("sec<z xmlns='urn:z'>x</z>ret"), xhtml("#<z xmlns='urn:z'>x</z>"), nil},
		{"markup by the name of its envelope", `secret`, "#", "<html xmlns='http://jabber.org/protocol/xhtml-im'><body>se<b>cr</b>et</body></html>", "<html xmlns='http://jabber.org/protocol/xhtml-im'><body>#<b/></body></html>", nil},
		{"a body of another namespace", `secret`, "#", "<body xmlns='urn:x'>secret</body>", "<body xmlns='urn:x'>#</body>", nil},
		{"through the bytes of a file", `secret`, "#", "<body>se<data xmlns='urn:xmpp:bob'>cr</data>et</body>", "<body>#<data xmlns='urn:xmpp:bob'/></body>", nil},
		{"in a link", `secret`, "#", xhtml("<p>a <a href='secret'>b</a></p>"), "", ErrElsewhere},
		{"the rest as it is spelled", `secret`, "#", "<body>secret \U0001F468\u200D\U0001F469 \u2460 \uFB01 s\u200Becret</body>", "<body># \U0001F468\u200D\U0001F469 \u2460 \uFB01 #</body>", nil},
		{"two in one text", `\d+`, "#", "<body>a1b22c333</body>", "<body>a#b#c#</body>", nil},
		{"within RFC 3923", `secret`, "#", "<body>secret</body><e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>x</e2e>", "", ErrSealed},
		{"beside a signature of XML", `secret`, "#", "<body>secret</body><Signature xmlns='http://www.w3.org/2000/09/xmldsig#'/>", "", ErrSealed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := read(t, "<message>"+test.in+"</message>")
			err := s.Mask(regexp.MustCompile(test.pattern), test.with)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v: %s", err, test.err, s.Append(nil, stanza.Rewrite{}))
			}
			if err != nil {
				return
			}
			if got, want := string(s.Append(nil, stanza.Rewrite{})), "<message>"+test.want+"</message>"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A stanza that cannot be read again is no stanza in which nothing was found.
func TestMaskOfTheUnreadable(t *testing.T) {
	t.Parallel()
	s := read(t, "<message><body>hi</body></message>")
	s.top.inside[0].element.local = "not a name"
	if err := s.Mask(regexp.MustCompile("secret"), "#"); err == nil {
		t.Error("nothing was found in it")
	}
}

// What an iq asks or answers is for programs too: it is not changed, but in what is text wherever it stands.
func TestMaskOfAnIQ(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{"<vCard xmlns='vcard-temp'><FN>secret</FN></vCard>": ErrElsewhere, "<entry xmlns='urn:y'><body>secret</body></entry>": nil} {
		s := read(t, "<iq type='result' id='1'>"+in+"</iq>")
		if err := s.Mask(regexp.MustCompile("secret"), "#"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
	}
}
