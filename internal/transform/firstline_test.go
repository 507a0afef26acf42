package transform

import (
	"errors"
	"testing"

	"sallyport/internal/stanza"
)

// What counts places in a body does not count the line that is put before it, or a sender could have the line left out as a fallback
// (XEP-0428 §3.2).
func TestFirstLineIsNotCounted(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='3'/></fallback>": "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='4' end='7'/></fallback>",
		"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body end='3'/></fallback>":           "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body end='7' start='4'/></fallback>",
		"<fallback xmlns='urn:xmpp:fallback:0'><body start='-4' end='3'/></fallback>":                       "",
		"<fallback xmlns='urn:xmpp:fallback:0'><body start='4294967292' end='4294967299'/></fallback>":      "",
		"<reference xmlns='urn:xmpp:reference:0' type='mention' begin='0' end='4' uri='xmpp:b@x.example'/>": "<reference xmlns='urn:xmpp:reference:0' type='mention' begin='4' end='8' uri='xmpp:b@x.example'/>",
		"<markup xmlns='urn:xmpp:markup:0'><list start='1' end='9'><li start='1'/></list></markup>":         "<markup xmlns='urn:xmpp:markup:0'><list start='5' end='13'><li start='5'/></list></markup>",
		// What is shown in place of all words is shown in place of the line too: it is the words that are marked.
		"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reactions:0'><body/></fallback>": "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reactions:0'><body/></fallback>",
		"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reactions:0'/>":                  "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reactions:0'/>",
		"<x xmlns='urn:x' start='1'/>": "<x xmlns='urn:x' start='1'/>",
	} {
		s := read(t, "<message><body>hi</body>"+in+"</message>")
		if err := s.FirstLine("[\u00E9] "); err != nil {
			t.Error(err)
		}
		if got := string(s.Append(nil, stanza.Rewrite{})); got != "<message><body>[\u00E9] hi</body>"+want+"</message>" {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestFirstLineOfMarkupAlone(t *testing.T) {
	t.Parallel()
	const html = "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>hi</body></html>"
	s := read(t, "<message>"+html+"</message>")
	if err := s.FirstLine("[x] "); err != nil {
		t.Error(err)
	}
	if got := string(s.Append(nil, stanza.Rewrite{})); got != "<message><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>[x]</p>hi</body></html></message>" {
		t.Errorf("got %s", got)
	}
	if err := read(t, "<message>"+html+"<x xmlns='jabber:x:signed'>QQ==</x></message>").FirstLine("[x] "); !errors.Is(err, ErrSealed) {
		t.Errorf("signed: %v", err)
	}
}

// There are programs that take a body by its name alone, and XHTML by that of its envelope.
func TestFirstLineInEveryNamespace(t *testing.T) {
	t.Parallel()
	s := read(t, "<message><body xmlns='urn:x'>hi</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body>hi</body></html></message>")
	if err := s.FirstLine("[x] "); err != nil {
		t.Error(err)
	}
	want := "<message><body xmlns='urn:x'>[x] hi</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body><p>[x]</p>hi</body></html></message>"
	if got := string(s.Append(nil, stanza.Rewrite{})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
