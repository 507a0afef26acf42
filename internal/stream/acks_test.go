package stream

import (
	"errors"
	"net"
	"strings"
	"testing"

	"sallyport/internal/stanza"
)

// firstLevel reads one element as it would stand on a stream.
func firstLevel(t testing.TB, text string) *stanza.Element {
	t.Helper()
	el, err := stanza.ParseOne([]byte(text), stanza.DefaultLimits())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return el
}

// What we write of XEP-0198 is what we read of it.
func TestAckElements(t *testing.T) {
	t.Parallel()
	for want, kind := range map[string]AckKind{
		"<enable xmlns='urn:xmpp:sm:3'/>":                                                        AckEnable,
		"<enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>":                                 AckEnable,
		"<enabled xmlns='urn:xmpp:sm:3'/>":                                                       AckEnabled,
		"<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='" + nsStanzas + "'/></failed>": AckFailed,
		"<r xmlns='urn:xmpp:sm:3'/>":                                                             AckRequest,
		"<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>":                                       AckResume,
		"<x xmlns='urn:xmpp:sm:3'/>":                                                             AckOther,
		"<sm xmlns='urn:xmpp:sm:3'/>":                                                            AckOther,
	} {
		if got, h, err := ParseAck(firstLevel(t, want)); got != kind || h != 0 || err != nil {
			t.Errorf("%s is read as %d, %d, %v", want, got, h, err)
		}
	}
	for got, want := range map[string]string{
		string(AppendEnable(nil)):                              "<enable xmlns='urn:xmpp:sm:3'/>",
		string(AppendEnabled(nil)):                             "<enabled xmlns='urn:xmpp:sm:3'/>",
		string(AppendAckRequest(nil)):                          "<r xmlns='urn:xmpp:sm:3'/>",
		string(AppendAck(nil, 4294967295)):                     "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
		string(AppendAcksFeature(nil)):                         "<sm xmlns='urn:xmpp:sm:3'/>",
		string(AppendAckFailed(nil, stanza.UnexpectedRequest)): "<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
	} {
		if got != want {
			t.Errorf("we write\n%s\nwant\n%s", got, want)
		}
	}
}

const nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

func TestAckCount(t *testing.T) {
	t.Parallel()
	for h, want := range map[string]uint32{"0": 0, "1": 1, "007": 7, "4294967295": 1<<32 - 1} {
		if kind, got, err := ParseAck(firstLevel(t, "<a xmlns='urn:xmpp:sm:3' h='"+h+"'/>")); kind != AckAnswer || got != want || err != nil {
			t.Errorf("h=%q is read as %d, %v", h, got, err)
		}
	}
	for _, attr := range []string{"", "h=''", "h='-1'", "h='+1'", "h=' 1'", "h='0x1'", "h='1_0'", "h='4294967296'", "h='99999999999999999999'", "h='one'", "x:h='1' xmlns:x='urn:x'"} {
		_, _, err := ParseAck(firstLevel(t, "<a xmlns='urn:xmpp:sm:3' "+attr+"/>"))
		if !errors.Is(err, InvalidXML) {
			t.Errorf("an answer with %s gives %v", attr, err)
		}
	}
}

// [M05]: the element of XEP-0198 stands within the error, whatever the numbers.
func TestHandledTooHigh(t *testing.T) {
	t.Parallel()
	got := string(HandledTooHigh(10, 8).appendTo(nil))
	want := "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>" +
		"you acknowledged 10 stanzas, and 8 were sent</text><handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/></stream:error>"
	if got != want {
		t.Errorf("we write\n%s\nwant\n%s", got, want)
	}
}

func TestAcksOffered(t *testing.T) {
	t.Parallel()
	for features, want := range map[string]bool{
		"<sm xmlns='urn:xmpp:sm:3'/>": true, "<sm xmlns='urn:xmpp:sm:3'><optional/></sm>": true, "<sm xmlns='urn:xmpp:sm:2'/>": false, "": false,
	} {
		inBubble(t, `
			P> H(from='remote.example' to='corp.example' xml:lang='en' version='1.0')
			R> H(from='corp.example' to='remote.example' id='r1' version='1.0')F[`+features+`]
			`, func(t *testing.T, conn net.Conn) {
			s, err := Initiate(t.Context(), conn, strict, remote, corp)
			if err != nil {
				t.Fatal(err)
			}
			if s.FeatureAcks() != want {
				t.Errorf("%q: %t", features, !want)
			}
		})
	}
}

// XEP-0288 §2, with the limits of XEP-0478 §3.2.
func TestBidiElements(t *testing.T) {
	t.Parallel()
	const want = "<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits></bidi>"
	got := string(AppendBidi(nil, Capacity{Bytes: 10000}))
	if el := firstLevel(t, got); got != want || !el.Is(NSBidi, "bidi") || ParseLimits(el.Tree()).Bytes != 10000 {
		t.Errorf("we ask by %s, want %s", got, want)
	}
	for features, want := range map[string]bool{string(AppendBidiFeature(nil)): true, "<bidi xmlns='urn:xmpp:bidi'/>": false, "": false} {
		inBubble(t, `
			P> H(from='remote.example' to='corp.example' xml:lang='en' version='1.0')
			R> H(from='corp.example' to='remote.example' id='r1' version='1.0')F[`+features+`]
			`, func(t *testing.T, conn net.Conn) {
			s, err := Initiate(t.Context(), conn, strict, remote, corp)
			if err != nil {
				t.Fatal(err)
			}
			if s.FeatureBidi() != want {
				t.Errorf("%q: %t", features, !want)
			}
		})
	}
}

// The parting word stands in front of the error and of the closing tag, and is not said twice.
func TestParting(t *testing.T) {
	t.Parallel()
	for last, end := range map[string]func(*Stream) error{
		"<a xmlns='urn:xmpp:sm:3' h='3'/></>":                                                    (*Stream).Close,
		"<a xmlns='urn:xmpp:sm:3' h='3'/><stream:error><reset xmlns=streams/></stream:error></>": func(s *Stream) error { return s.Fail(&Error{Condition: Reset}) },
	} {
		inBubble(t, opened+`
			P> `+last+`
			R> </>
			P> EOF`,
			func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				s.Parting(AppendAck(nil, 2))
				s.Parting(AppendAck(nil, 3))
				end(s)
				s.Close()
			})
	}
}

// FuzzAck: whatever an element of the namespace holds, reading it ends in a kind, and a count in what would be written for it.
func FuzzAck(f *testing.F) {
	for _, seed := range []string{"<a xmlns='urn:xmpp:sm:3' h='1'/>", "<a xmlns='urn:xmpp:sm:3' h='&#48;'/>", "<r xmlns='urn:xmpp:sm:3'/>", "<x:enable xmlns:x='urn:xmpp:sm:3' resume='1'/>",
		"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes><idle-seconds>1</idle-seconds></limits>", "<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>5</max-bytes></limits></bidi>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		el, err := stanza.ParseOne([]byte(text), stanza.DefaultLimits())
		if err != nil {
			return
		}
		kind, h, err := ParseAck(el)
		if err == nil && kind == AckAnswer {
			if again := firstLevel(t, string(AppendAck(nil, h))); strings.TrimLeft(again.Tree().Attr("h"), "0") != strings.TrimLeft(el.Tree().Attr("h"), "0") {
				t.Errorf("%s is read as %d", text, h)
			}
		}
		if kind != AckAnswer && (h != 0 || err != nil) {
			t.Errorf("%s: kind %d, %d, %v", text, kind, h, err)
		}
		c := ParseLimits(el.Tree())
		if c.Bytes < 0 || c.Idle < 0 {
			t.Errorf("%s says %+v", text, c)
		}
		if again := ParseLimits(told(t, string(AppendLimits(nil, c)))); again != c {
			t.Errorf("%+v is told as %+v", c, again)
		}
	})
}
