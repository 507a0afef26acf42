package stanza

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// chunks delivers its bytes n at a time.
type chunks struct {
	b []byte
	n int
}

func (r *chunks) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.n)], r.b)
	r.b = r.b[n:]
	return n, nil
}

// transcript scans a stream and writes down all that can be seen of it, to the last error.
func transcript(stream string, chunk int, l Limits) string {
	var out strings.Builder
	s := NewScanner(&chunks{b: []byte(stream), n: chunk}, l)
	root, err := s.Header()
	if err != nil {
		return fmt.Sprintf("header: %v", err)
	}
	fmt.Fprintf(&out, "%s:%s {%s} default %s\n", root.Prefix, root.Local, root.Space, root.DefaultNS)
	for {
		e, err := s.Next()
		if err != nil {
			fmt.Fprintf(&out, "end: %v", err)
			return out.String()
		}
		fmt.Fprintf(&out, "%v from=%q to=%q id=%q type=%q lang=%q verbatim=%v %s\n",
			e.Kind(), e.From(), e.To(), e.ID(), e.Type(), e.Lang(), e.Verbatim(), e.Raw())
	}
}

// conditionOf returns the stream error condition that err carries, or the text of any other error.
func conditionOf(err error) string {
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		return syntax.Condition
	}
	return fmt.Sprint(err)
}

// scanBody scans first-level elements behind the given header up to the first error.
func scanBody(t *testing.T, header, body string, l Limits) ([]string, error) {
	t.Helper()
	s := NewScanner(strings.NewReader(header+body), l)
	if _, err := s.Header(); err != nil {
		t.Fatalf("header: %v", err)
	}
	var raw []string
	for {
		e, err := s.Next()
		if err != nil {
			return raw, err
		}
		raw = append(raw, string(e.Raw()))
	}
}

const (
	closing = "</stream:stream>"

	// extraHeader declares what ours does not, and binds the prefix db to another namespace.
	extraHeader = `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' ` +
		`xmlns:q='urn:q' xmlns:db='urn:db' xmlns:client='jabber:client' xmlns:s='jabber:server' xml:lang='de'>`

	// streamsHeader has the default-namespace form: the root without prefix.
	streamsHeader = `<stream xmlns='http://etherx.jabber.org/streams' xmlns:x='urn:x'>`
)

// body is content to be found between <message> and </message>, or a whole first-level sequence when it begins with "!".
type badCase struct{ id, body, condition string }

func badCases() []badCase {
	return []badCase{
		{"[X01] comment", `<!-- x -->`, restrictedXML},
		{"[X01] comment between stanzas", `!<!-- x -->`, restrictedXML},
		{"[X01] processing instruction", `<?php x?>`, restrictedXML},
		{"[X01] processing instruction between stanzas", `!<?php x?>`, restrictedXML},
		{"ABUSE 19 DOCTYPE", `!<!DOCTYPE lolz [<!ENTITY lol "lol">]>`, restrictedXML},
		{"ABUSE 19 DOCTYPE in a stanza", `<!DOCTYPE lolz>`, restrictedXML},
		{"ABUSE 19 foreign entity", `&lol;`, restrictedXML},
		{"ABUSE 20 foreign entity in an attribute", `<a b='&lol;'/>`, restrictedXML},
		{"ABUSE 20 HTML entity", `&nbsp;`, restrictedXML},
		{"ABUSE 20 entity with a colon", `&a:b;`, restrictedXML},
		{"ABUSE 20 entity with a non-ASCII name", `&é;`, restrictedXML},
		{"ABUSE 20 endless entity", `&` + strings.Repeat("a", 40), restrictedXML},
		{"ABUSE 21 second XML declaration", `!<?xml version='1.0'?>`, restrictedXML},
		{"ABUSE 21 XML declaration in a stanza", `<?xml version='1.0'?>`, restrictedXML},
		{"[X01] CDATA in lower case is a declaration", `<![cdata[x]]>`, restrictedXML},
		{"[X01] CDATA between stanzas", `!<![CDATA[ ]]>`, restrictedXML},

		{"[X03] end tag of another element", `<a></b>`, notWellFormed},
		{"[X03] end tag that is a prefix of the name", `<ab></a>`, notWellFormed},
		{"[X03] end tag longer than the name", `<a></ab>`, notWellFormed},
		{"[X03] end tag in another case", `<a></A>`, notWellFormed},
		{"[X03] end tag with attribute", `<a></a b='c'>`, notWellFormed},
		{"[X03] end tag of the stream in a stanza", `</stream:stream>`, notWellFormed},
		{"[X03] end tag of no element", `!</message>`, notWellFormed},
		{"[X03] space before the name", `< a/>`, notWellFormed},
		{"[X03] space in the empty tag", `<a / >`, notWellFormed},
		{"[X03] slash in a tag", `<a/b/>`, notWellFormed},
		{"[X03] no name", `<>`, notWellFormed},
		{"[X03] attribute without value", `<a b/>`, notWellFormed},
		{"[X03] attribute without quotes", `<a b=c/>`, notWellFormed},
		{"[X03] attributes without space", `<a b='c'd='e'/>`, notWellFormed},
		{"[X03] attribute with '<'", `<a b='<'/>`, notWellFormed},
		{"[X03] attribute without name", `<a ='c'/>`, notWellFormed},
		{"[X03] attribute with backquotes", "<a b=`c`/>", notWellFormed},
		{"[X03] duplicate attribute", `<a b='c' b='d'/>`, notWellFormed},
		{"[X03] duplicate long attribute", `<a bcdefghi='c' x='' bcdefghi="c"/>`, notWellFormed},
		{"[X03] duplicate by expanded name", `<a xmlns:x='u' xmlns:y='u' x:b='c' y:b='d'/>`, notWellFormed},
		{"[X03] duplicate by expanded name, spelled differently", `<a xmlns:x='u&#x3a;' xmlns:y='u:' x:b='c' y:b='d'/>`, notWellFormed},
		{"[X03] duplicate by expanded name, declared outside", `<a xmlns:x='u'><b x:c='' y:c='' xmlns:y='u'/></a>`, notWellFormed},
		{"[X03] duplicate declaration", `<a xmlns='u' xmlns='v'/>`, notWellFormed},
		{"[X03] duplicate prefix declaration", `<a xmlns:p='u' xmlns:p='v'/>`, notWellFormed},
		{"[X03] undeclared prefix", `<p:a/>`, notWellFormed},
		{"[X03] undeclared prefix of an attribute", `<a p:b=''/>`, notWellFormed},
		{"[X03] prefix out of scope", `<a xmlns:p='u'/><p:b/>`, notWellFormed},
		{"[X03] prefix out of scope behind end tag", `<a xmlns:p='u'><p:c/></a><p:b/>`, notWellFormed},
		{"[X03] element with prefix xmlns", `<xmlns:a/>`, notWellFormed},
		{"[X03] bare ampersand", `a & b`, notWellFormed},
		{"[X03] empty reference", `&;`, notWellFormed},
		{"[X03] unfinished reference", `&amp<`, notWellFormed},
		{"[X03] entity in upper case", `&#X41;`, notWellFormed},
		{"[X03] reference without digits", `&#;`, notWellFormed},
		{"[X03] hexadecimal reference without digits", `&#x;`, notWellFormed},
		{"[X03] hexadecimal digits in a decimal reference", `&#4a;`, notWellFormed},
		{"[X03] ]]> in text", `a]]>b`, notWellFormed},
		{"[X03] ]]> behind CDATA", `<![CDATA[x]]>]]>`, notWellFormed},
		{"[X04] reference to NUL", `&#0;`, notWellFormed},
		{"[X04] reference to a control character", `&#x1F;`, notWellFormed},
		{"[X04] reference to a surrogate", `&#xD800;`, notWellFormed},
		{"[X04] reference to U+FFFE", `&#xFFFE;`, notWellFormed},
		{"[X04] reference to U+FFFF", `<a b='&#65535;'/>`, notWellFormed},
		{"[X04] reference above U+10FFFF", `&#x110000;`, notWellFormed},
		{"[X04] reference that overflows", `&#99999999999999999999;`, notWellFormed},
		{"[X04] NUL", "\x00", notWellFormed},
		{"[X04] control character", "a\x1fb", notWellFormed},
		{"[X04] control character in an attribute", "<a b='\x08'/>", notWellFormed},
		{"[X04] control character in CDATA", "<![CDATA[\x01]]>", notWellFormed},
		{"[X04] control character in a name", "<a\x01/>", notWellFormed},
		{"[X04] U+FFFE", "\uFFFE", notWellFormed},
		{"[X04] U+FFFF in an attribute", "<a b='\uFFFF'/>", notWellFormed},
		{"[X04] U+FFFF in CDATA", "<![CDATA[\uFFFF]]>", notWellFormed},
		{"[X04] BOM is text between stanzas", "!\uFEFF<message/>", badFormat},

		{"ABUSE 29 stray continuation byte", "\x80", unsupportedEncoding},
		{"ABUSE 29 overlong '<'", "\xC0\xBCscript", unsupportedEncoding},
		{"ABUSE 29 overlong in three bytes", "\xE0\x80\xBC", unsupportedEncoding},
		{"ABUSE 29 overlong in four bytes", "\xF0\x80\x80\xBC", unsupportedEncoding},
		{"ABUSE 29 lead byte before '>'", "<a b='\xEB'/>", unsupportedEncoding},
		{"ABUSE 29 lead byte before '<'", "\xEB<a/>", unsupportedEncoding},
		{"ABUSE 29 surrogate", "\xED\xA0\x80", unsupportedEncoding},
		{"ABUSE 29 surrogate pair", "\xED\xA0\x80\xED\xB0\x80", unsupportedEncoding},
		{"ABUSE 29 above U+10FFFF", "\xF4\x90\x80\x80", unsupportedEncoding},
		{"ABUSE 29 five bytes", "\xF8\x88\x80\x80\x80", unsupportedEncoding},
		{"ABUSE 29 in CDATA", "<![CDATA[\xC3]]>", unsupportedEncoding},
		{"ABUSE 29 in a name", "<a\xC3\x28/>", unsupportedEncoding},
		{"ABUSE 29 in a tag", "<a \xC3\x28='b'/>", unsupportedEncoding},
		{"ABUSE 29 behind a value", "<a b='c'\xC3\x28/>", unsupportedEncoding},
		{"[X04] Latin-1", "caf\xE9 ", unsupportedEncoding},

		{"ABUSE 30 line feed in a namespace", `<a xmlns='jabber:server&#10;message'/>`, notWellFormed},
		{"ABUSE 30 raw line feed in a namespace", "<a xmlns='jabber:server\nmessage'/>", notWellFormed},
		{"ABUSE 30 space in a namespace", `<a xmlns:p='u message'/>`, notWellFormed},
		{"ABUSE 30 brace in a namespace", `<a xmlns='u}message'/>`, notWellFormed},
		{"ABUSE 30 bar in a namespace", `<a xmlns='u|message'/>`, notWellFormed},
		{"ABUSE 30 form feed in a namespace", `<a xmlns='u&#12;message'/>`, notWellFormed},
		{"ABUSE 30 U+FFFF in a namespace", "<a xmlns='u\uFFFF'/>", notWellFormed},

		{"ABUSE 31 stream in a stanza", `<stream:stream>`, badFormat},
		{"ABUSE 31 stream error in a stanza", `<stream:error/>`, badFormat},
		{"ABUSE 31 streams by another prefix", `<z:features xmlns:z='http://etherx.jabber.org/streams'/>`, badFormat},
		{"ABUSE 31 streams by default", `<error xmlns='http://etherx.jabber.org/streams'/>`, badFormat},
		{"ABUSE 31 streams spelled with a reference", `<error xmlns='http://etherx.jabber.org&#47;streams'/>`, badFormat},
		{"ABUSE 31 second stream header", `!<stream:stream xmlns='jabber:server'>`, badFormat},
		{"ABUSE 31 second stream header by another prefix", `!<z:stream xmlns:z='http://etherx.jabber.org/streams'>`, badFormat},

		{"ABUSE 32 two colons", `<a xmlns:x:y='u'/>`, notWellFormed},
		{"ABUSE 32 colon first", `<:a/>`, notWellFormed},
		{"ABUSE 32 colon last", `<a xmlns:p='u'><p:/></a>`, notWellFormed},
		{"ABUSE 32 attribute with colon first", `<a :b=''/>`, notWellFormed},
		{"ABUSE 32 declaration of nothing", `<a xmlns:='u'/>`, notWellFormed},
		{"ABUSE 32 digit behind the colon", `<a xmlns:p='u'><p:1/></a>`, notWellFormed},
		{"ABUSE 32 prefix undeclared", `<a xmlns:p=''/>`, notWellFormed},
		{"ABUSE 32 xml redeclared", `<a xmlns:xml='u'/>`, notWellFormed},
		{"ABUSE 32 xmlns declared", `<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>`, notWellFormed},
		{"ABUSE 32 other prefix for xml", `<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>`, notWellFormed},
		{"ABUSE 32 xml by default", `<a xmlns='http://www.w3.org/XML/1998/namespace'/>`, notWellFormed},
		{"ABUSE 32 other prefix for xmlns", `<a xmlns:p='http://www.w3.org/2000/xmlns/'/>`, notWellFormed},
		{"ABUSE 32 element named xmlns", `<xmlns/>`, notWellFormed},
		{"ABUSE 32 name begins with a digit", `<1a/>`, notWellFormed},
		{"ABUSE 32 name begins with a hyphen", `<-a/>`, notWellFormed},
		{"ABUSE 32 name begins with a combining mark", "<\u0301a/>", notWellFormed},
		{"ABUSE 32 name of XML 1.0 fifth edition only", "<a\u02C2/>", notWellFormed},
		{"ABUSE 32 name with a multiplication sign", "<a\u00D7/>", notWellFormed},
		{"ABUSE 32 name with an emoji", "<\U0001F600/>", notWellFormed},

		{"ABUSE 34 stream prefix for another namespace", `<stream:error xmlns:stream='urn:x'/>`, badNamespacePrefix},
		{"[C05] stanza with a prefix", `!<p:message xmlns:p='jabber:server'/>`, badNamespacePrefix},
		{"[C05] child of a stanza with a prefix", `<p:body xmlns:p='jabber:server'/>`, badNamespacePrefix},
		{"[C03] client's stanza", `!<message xmlns='jabber:client'/>`, invalidNamespace},
		{"[C03] client's stanza with a prefix", `!<p:message xmlns:p='jabber:client'/>`, invalidNamespace},
		{"[C22] text between stanzas", `!hello`, badFormat},
		{"[C22] reference between stanzas", `!&#32;`, badFormat},
	}
}

func (c badCase) stream() string {
	if body, ok := strings.CutPrefix(c.body, "!"); ok {
		return body
	}
	return "<message>" + c.body + "</message>"
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range badCases() {
		raw, err := scanBody(t, plainHeader, "<iq/>"+c.stream()+closing, Limits{})
		if got := conditionOf(err); got != c.condition {
			t.Errorf("%s: %q: got %v, want %s", c.id, c.body, err, c.condition)
		}
		if len(raw) != 1 {
			t.Errorf("%s: %q: got %d elements before the fault, want 1", c.id, c.body, len(raw))
		}
	}
}

// goodBodies are contents of a stanza that every server has to take; clean says that they may leave verbatim.
func goodBodies() []struct {
	id, body string
	clean    bool
} {
	return []struct {
		id, body string
		clean    bool
	}{
		{"plain", `<body>hi</body>`, true},
		{"[X07] characters that need no escape", `<body>a > b ]] ] > " ' ]&gt;</body>`, true},
		{"[X07] quotes within quotes", `<a b='"' c="'" d='>' e='/>' f='--' g=']]>'/>`, true},
		{"[X01] the five entities", `<body a='&lt;&gt;&amp;&apos;&quot;'>&lt;&gt;&amp;&apos;&quot;</body>`, true},
		{"[X04] character references", `<body a='&#x9;&#10;&#xd;'>&#65;&#x1F600;&#x0000000041;&#xE000;&#xFFFD;</body>`, true},
		{"[X04] U+FEFF is a character", "<body>\uFEFFa\uFEFF</body>", true},
		{"[X04] characters of each length", "<body a='é€😀'>é€😀 \u0085\u2028\u007F\uE000\uFFFD\U0010FFFF</body>", true},
		{"[X06] CDATA", `<body><![CDATA[<a>&amp;]]]]><![CDATA[>]]></body>`, false},
		{"[X06] empty CDATA", `<body><![CDATA[]]></body>`, false},
		{"white space in tags", "<a\n\tb = 'c'\n></a\n><d />", true},
		{"line ends", "<body>a\nb\tc</body>", true},
		{"carriage return in text", "<body>a\r\nb\rc</body>", false},
		{"carriage return in a tag", "<a\rb='c'/>", false},
		{"carriage return in an end tag", "<a></a\r>", false},
		{"line feed in an attribute", "<a b='c\nd'/>", false},
		{"tab in an attribute", "<a b='c\td'/>", false},
		{"[A10] unknown namespaces", `<x xmlns='urn:x' xmlns:y='urn:y' y:a='1'><y:z/><w xmlns=''/></x>`, true},
		{"prefix used before its declaration", `<p:a p:b='c' xmlns:p='urn:p'/>`, true},
		{"prefix redeclared within", `<p:a xmlns:p='urn:p'><p:b xmlns:p='urn:q'/><p:c/></p:a>`, true},
		{"same local name in two namespaces", `<a xmlns:x='u' xmlns:y='v' x:b='1' y:b='2' b='3'/>`, true},
		{"default namespace is not for attributes", `<a xmlns='u' xmlns:p='u' b='1' p:b='2'/>`, true},
		{"xml:lang and xml:space", `<body xml:lang='en' xml:space='preserve'>x</body>`, true},
		{"xml declared as what it is", `<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>`, true},
		{"[C03] client's stanza carried within", `<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></forwarded>`, true},
		{"namespace with a reference", `<a xmlns='urn:x?a=1&amp;b=2'/>`, true},
		{"names of other scripts", "<größe 名='1'/><имя-1/><a\u0301/>", true},
		{"mixed content", `a<b>c</b>d<b/>e`, true},
		{"ABUSE 34 db prefix of its own", `<db:result xmlns:db='urn:x'/>`, true},
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range goodBodies() {
		in := "<message to='b'>" + c.body + "</message>"
		s := NewScanner(strings.NewReader(plainHeader+" \n"+in+"\t"+closing), Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		e, err := s.Next()
		if err != nil {
			t.Errorf("%s: %q: %v", c.id, c.body, err)
			continue
		}
		if string(e.Raw()) != in || e.Verbatim() != c.clean || e.Kind() != Message {
			t.Errorf("%s: got %v %q verbatim %v, want message %q verbatim %v", c.id, e.Kind(), e.Raw(), e.Verbatim(), in, c.clean)
		}
		if _, err := s.Next(); err != ErrClosed {
			t.Errorf("%s: behind it: got %v, want ErrClosed", c.id, err)
		}
	}
}

// A stream reads the same however its bytes arrive: same elements, same error at the same byte.
func TestFeedingDoesNotMatter(t *testing.T) {
	t.Parallel()
	streams := []string{plainHeader, "", "<?xml", "<?xml version='1.0' encoding='UTF-8'?>\n<stream/>", "\uFEFF<stream>"}
	for _, header := range []string{plainHeader, extraHeader, streamsHeader} {
		for _, c := range badCases() {
			streams = append(streams, header+c.stream()+closing)
		}
		for _, c := range goodBodies() {
			in := "<message xmlns='jabber:server' to='b&amp;c'>" + c.body + "</message>"
			streams = append(streams, header+in+" "+in+closing, header+in[:len(in)-3])
		}
	}
	streams = append(streams, plainHeader+"<message>"+strings.Repeat("<a b='é'>€</a>", 1000)+"</message>"+closing)
	for _, l := range []Limits{{}, {Name: 8, Depth: 2, Attributes: 2, Namespaces: 2}, {Header: 100, Total: 300, Elements: 1}} {
		for _, stream := range streams {
			whole := transcript(stream, len(stream)+1, l)
			for _, n := range []int{1, 2, 3, 17} {
				if got := transcript(stream, n, l); got != whole {
					t.Fatalf("%.400q\nfed %d at a time: %s\nfed whole: %s", stream, n, got, whole)
				}
			}
		}
	}
}

func TestKindAndAttributes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header, in       string
		kind             Kind
		from, to         string
		hasFrom          bool
		space, local     string
		id, kindOf, lang string
	}{
		{plainHeader, `<message from='a&amp;b@c' to="d" id='&#49;' type='chat' xml:lang='en'/>`, Message, "a&b@c", "d", true, nsServer, "message", "1", "chat", "en"},
		{plainHeader, `<presence from=''/>`, Presence, "", "", true, nsServer, "presence", "", "", ""},
		{plainHeader, `<iq/>`, IQ, "", "", false, nsServer, "iq", "", "", ""},
		{plainHeader, `<IQ/>`, Other, "", "", false, nsServer, "IQ", "", "", ""},
		{plainHeader, `<message xmlns='urn:x' from='a'/>`, Other, "a", "", true, "urn:x", "message", "", "", ""},
		{plainHeader, `<message xmlns='' from='a'/>`, Other, "a", "", true, "", "message", "", "", ""},
		{plainHeader, `<db:result from='a' to='b'>k</db:result>`, Other, "a", "b", true, "jabber:server:dialback", "result", "", "", ""},
		{plainHeader, `<result xmlns='jabber:server:dialback'/>`, Other, "", "", false, "jabber:server:dialback", "result", "", "", ""},
		{plainHeader, `<x:result xmlns:x='jabber:server:dialback'/>`, Other, "", "", false, "jabber:server:dialback", "result", "", "", ""},
		{extraHeader, `<db:result/>`, Other, "", "", false, "urn:db", "result", "", "", ""},
		{plainHeader, `<stream:error/>`, Other, "", "", false, nsStreams, "error", "", "", ""},
		{streamsHeader, `<features/>`, Other, "", "", false, nsStreams, "features", "", "", ""},
		{streamsHeader, `<iq xmlns='jabber:server' x:from='z' from='y'/>`, IQ, "y", "", true, nsServer, "iq", "", "", ""},
		{plainHeader, `<iq xmlns='jabber&#58;server'/>`, IQ, "", "", false, nsServer, "iq", "", "", ""},
	} {
		s := NewScanner(strings.NewReader(c.header+c.in), Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		e, err := s.Next()
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		space, local := e.Name()
		if e.Kind() != c.kind || space != c.space || local != c.local || !e.Is(c.space, c.local) || e.Is(c.space+"x", c.local) || e.Is(c.space, c.local+"x") {
			t.Errorf("%s: got %v {%s}%s (ABUSE 34, [C05])", c.in, e.Kind(), space, local)
		}
		if string(e.From()) != c.from || string(e.To()) != c.to || e.HasFrom() != c.hasFrom || (e.From() != nil) != c.hasFrom || e.HasTo() != (c.to != "") {
			t.Errorf("%s: from %q to %q has %v %v ([A01])", c.in, e.From(), e.To(), e.HasFrom(), e.HasTo())
		}
		if string(e.ID()) != c.id || string(e.Type()) != c.kindOf || string(e.Lang()) != c.lang {
			t.Errorf("%s: id %q type %q lang %q", c.in, e.ID(), e.Type(), e.Lang())
		}
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		want error
	}{
		{"", io.EOF},
		{" \n", io.EOF},
		{"<message>", io.ErrUnexpectedEOF},
		{"<", io.ErrUnexpectedEOF},
		{"</stream:stre", io.ErrUnexpectedEOF},
		{closing, ErrClosed},
		{" </stream:stream >", ErrClosed},
		{closing + "<!-- never looked at -->", ErrClosed},
	} {
		s := NewScanner(iotest.OneByteReader(strings.NewReader(plainHeader+c.body)), Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := s.Next(); err != c.want {
				t.Errorf("[C17] %q: got %v, want %v", c.body, err, c.want)
			}
		}
	}
}

// A fault is final; a time-out is not.
func TestErrorsStay(t *testing.T) {
	t.Parallel()
	s := NewScanner(strings.NewReader(plainHeader+"<a><b></a><message/>"), Limits{})
	if _, err := s.Next(); err == nil {
		t.Error("an element before the header")
	}
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	_, first := s.Next()
	if _, second := s.Next(); second != first || first == nil {
		t.Errorf("got %v, then %v", first, second)
	}

	s = NewScanner(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(plainHeader))), Limits{})
	if _, err := s.Header(); err != iotest.ErrTimeout {
		t.Fatalf("got %v, want a time-out", err)
	}
	if _, err := s.Header(); err != nil {
		t.Errorf("after a time-out: %v", err)
	}

	s = NewScanner(idle{}, Limits{})
	if _, err := s.Header(); err != io.ErrNoProgress {
		t.Errorf("from a reader that never reads: got %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestUnreadAndBuffered(t *testing.T) {
	t.Parallel()
	s := NewScanner(strings.NewReader(plainHeader+"<a/> <b/><c/>"), Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Buffered(), len("<a/> <b/><c/>"); got != want {
		t.Errorf("[T03] behind the header: %d bytes, want %d", got, want)
	}
	next := func() string {
		e, err := s.Next()
		if err != nil {
			return err.Error()
		}
		return string(e.Raw())
	}
	if got := next(); got != "<a/>" {
		t.Fatal(got)
	}
	if got, want := s.Buffered(), len(" <b/><c/>"); got != want {
		t.Errorf("[T03] behind an element: %d bytes, want %d", got, want)
	}
	s.Unread()
	if got, want := s.Buffered(), len("<a/> <b/><c/>"); got != want {
		t.Errorf("[T03] with an element unread: %d bytes, want %d", got, want)
	}
	batch, err := s.Batch(nil)
	if err != nil || len(batch) != 3 || string(batch[0].Raw()) != "<a/>" || string(batch[2].Raw()) != "<c/>" {
		t.Errorf("batch behind Unread: %d elements, %v", len(batch), err)
	}
	if _, err := s.Next(); err != io.EOF || s.Buffered() != 0 {
		t.Errorf("at the end: %v, %d bytes", err, s.Buffered())
	}
	s.Unread()
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("nothing to unread: %v", err)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	in := strings.Repeat("<a/>", 5)
	s := NewScanner(&chunks{b: []byte(plainHeader + in + "<b>" + "<!--"), n: 1 << 20}, Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	var last error
	for dst := make([]Element, 1, 2); last == nil; {
		dst, last = s.Batch(dst)
		for i := range dst {
			if string(dst[i].Raw()) != "<a/>" {
				t.Errorf("got %q", dst[i].Raw())
			}
		}
		sizes = append(sizes, len(dst))
	}
	if fmt.Sprint(sizes) != "[2 2 1 0]" || conditionOf(last) != restrictedXML {
		t.Errorf("batches of %v, then %v; want 2 2 1, then the fault by itself", sizes, last)
	}
}

// A batch never waits for more than its first element (a lone stanza is not held back).
func TestBatchDoesNotWait(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	s := NewScanner(r, Limits{})
	go w.Write([]byte(plainHeader + "<a/><b/><c>"))
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	batch, err := s.Batch(nil)
	if err != nil || len(batch) != 2 {
		t.Fatalf("got %d elements, %v", len(batch), err)
	}
	go w.Write([]byte("</c>"))
	if batch, err = s.Batch(batch); err != nil || len(batch) != 1 || string(batch[0].Raw()) != "<c></c>" {
		t.Errorf("got %d elements, %v", len(batch), err)
	}
}

// Elements of one batch stay whole while the buffer turns over again and again.
func TestManyBatches(t *testing.T) {
	t.Parallel()
	var in bytes.Buffer
	in.WriteString(plainHeader)
	const n = 5000
	for i := range n {
		fmt.Fprintf(&in, "<message id='%d'><body>%s</body></message>", i, strings.Repeat("x", i*7%300))
	}
	s := NewScanner(&chunks{b: in.Bytes(), n: 1 << 20}, Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for batch, err := s.Batch(nil); err == nil; batch, err = s.Batch(batch) {
		for i := range batch {
			if got := string(batch[i].ID()); got != fmt.Sprint(seen) {
				t.Fatalf("element %d: id %q", seen, got)
			}
			seen++
		}
	}
	if seen != n {
		t.Errorf("saw %d of %d", seen, n)
	}
}
