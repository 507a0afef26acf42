package stanza

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestTree(t *testing.T) {
	t.Parallel()
	const in = "<stream:features><starttls xmlns='urn:tls' q:w='1' a='&lt;\t'><required/></starttls>" +
		"a<m xmlns='urn:sasl'>EX<![CDATA[TER]]>&#78;AL\r\n</m>b<q:n xmlns:q='urn:r'><o xmlns=''/></q:n></stream:features>"
	s := NewScanner(strings.NewReader(extraHeader+in), Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	e, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := &Node{Space: nsStreams, Local: "features", Text: "ab", Children: []*Node{
		{Space: "urn:tls", Local: "starttls", Attrs: []Attr{{"urn:q", "w", "1"}, {"", "a", "< "}}, Children: []*Node{{Space: "urn:tls", Local: "required"}}},
		{Space: "urn:sasl", Local: "m", Text: "EXTERNAL\n", At: 1},
		{Space: "urn:r", Local: "n", At: 2, Children: []*Node{{Local: "o"}}},
	}}
	got := e.Tree()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	tls := got.Child("urn:tls", "starttls")
	if tls.Child("urn:tls", "required") == nil || tls.Child("", "required") != nil || tls.Attr("a") != "< " || tls.Attr("w") != "" {
		t.Errorf("starttls reads as %+v", tls)
	}
	var none *Node
	if none.Child("", "x") != nil || none.Attr("x") != "" {
		t.Error("a nil Node holds something")
	}
	if n := (&Element{}).Tree(); n.Local != "" {
		t.Errorf("the zero Element is %+v", n)
	}
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	const in = `<message><body>a</body><x xmlns='urn:x' a='>'><y/><z></z></x><q:w/>text<v xmlns:q='urn:v'/><![CDATA[<no/>]]></message>`
	s := NewScanner(strings.NewReader(extraHeader+in), Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	e, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for space, local := range e.Payloads() {
		got = append(got, space+" "+local)
	}
	if want := "[jabber:server body urn:x x urn:q w jabber:server v]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	for range e.Payloads() {
		break
	}
}

func TestParseOne(t *testing.T) {
	t.Parallel()
	e, err := ParseOne([]byte(`<iq type='get' from='a' to='b'><ping xmlns='urn:xmpp:ping'/></iq>`), Limits{})
	if err != nil || e.Kind() != IQ || string(e.From()) != "a" || !e.Verbatim() {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err := ParseOne([]byte(`<db:result to='b'/>`), Limits{}); err != nil || !e.Is("jabber:server:dialback", "result") {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, in := range []string{"", " ", "<iq>", "<iq/> ", " <iq/>", "<iq/><iq/>", "x", "</stream:stream>", "<q:x/>", "<iq><!-- --></iq>"} {
		if _, err := ParseOne([]byte(in), Limits{}); err == nil {
			t.Errorf("%q: accepted", in)
		}
	}
	if _, err := ParseOne([]byte(sized(MinStanza+1)), Limits{Stanza: MinStanza}); conditionOf(err) != policyViolation {
		t.Errorf("[X08] too big: %v", err)
	}
}
