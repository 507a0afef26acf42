package stanza

import "strings"

const (
	closing = "</stream:stream>"

	// extraHeader declares what ours does not, and binds the prefix db to another namespace.
	extraHeader = `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' ` +
		`xmlns:q='urn:q' xmlns:db='urn:db' xmlns:client='jabber:client' xmlns:s='jabber:server' xml:lang='de'>`

	// streamsHeader has the default-namespace form: the root without prefix.
	streamsHeader = `<stream xmlns='http://etherx.jabber.org/streams' xmlns:x='urn:x'>`
)

// badCase is what a Scanner must refuse, and by which condition. The body stands between <message> and </message>; with a "!" in front
// it stands alone, at the first level.
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
