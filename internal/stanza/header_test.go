package stanza

import (
	"io"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	const root = `<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>`
	for _, c := range []struct{ id, in, want string }{
		{"[C01] without declaration", root, ""},
		{"[C01] with declaration", `<?xml version='1.0'?>` + root, ""},
		{"[C01] double quotes", `<?xml version="1.0" encoding="UTF-8"?>` + root, ""},
		{"[X04] encoding in lower case", `<?xml version='1.0' encoding='utf-8'?>` + root, ""},
		{"[X05] standalone", "<?xml version='1.0' encoding='utf-8' standalone='no' ?>\r\n" + root, ""},
		{"[X05] standalone without encoding", `<?xml version = '1.0' standalone='yes'?>` + root, ""},
		{"white space first", "\n " + root, ""},
		{"[X04] Latin-1", `<?xml version='1.0' encoding='ISO-8859-1'?>` + root, unsupportedEncoding},
		{"[X04] UTF-16", `<?xml version='1.0' encoding='UTF-16'?>` + root, unsupportedEncoding},
		{"[X04] UTF-16 with its mark", "\xFF\xFE<\x00", unsupportedEncoding},
		{"[X04] UTF-16 without mark", "\x00<\x00?", unsupportedEncoding},
		{"[X04] BOM", "\uFEFF" + root, notWellFormed},
		{"[X04] bad UTF-8", "\xC3(" + root, unsupportedEncoding},
		{"version 1.1", `<?xml version='1.1'?>` + root, badFormat},
		{"declaration without version", `<?xml encoding='UTF-8'?>` + root, notWellFormed},
		{"declaration in the wrong order", `<?xml version='1.0' standalone='no' encoding='UTF-8'?>` + root, notWellFormed},
		{"declaration with more", `<?xml version='1.0' x='y'?>` + root, notWellFormed},
		{"declaration with a bad standalone", `<?xml version='1.0' standalone='maybe'?>` + root, notWellFormed},
		{"declaration without quotes", `<?xml version=1.0?>` + root, notWellFormed},
		{"declaration with an encoding that does not end", `<?xml version='1.0' encoding='?>` + root, notWellFormed},
		{"declaration with a standalone that does not end", `<?xml version='1.0' standalone="?>` + root, notWellFormed},
		{"declaration without its end", `<?xml version='1.0'>` + root, notWellFormed},
		{"declaration with '<'", `<?xml version='1.0'` + root, notWellFormed},
		{"ABUSE 21 second declaration", `<?xml version='1.0'?><?xml version='1.0'?>` + root, restrictedXML},
		{"ABUSE 21 declaration behind white space", ` <?xml version='1.0'?>` + root, restrictedXML},
		{"[X01] processing instruction", `<?xml-stylesheet?>` + root, restrictedXML},
		{"[X01] other processing instruction", `<?php?>` + root, restrictedXML},
		{"[X01] comment", `<!-- -->` + root, restrictedXML},
		{"ABUSE 19 DTD", `<!DOCTYPE x>` + root, restrictedXML},
		{"text", `hello`, notWellFormed},
		{"HTTP", "GET / HTTP/1.1\r\n", notWellFormed},
		{"TLS", "\x16\x03\x01", notWellFormed},
		{"end tag", `</stream:stream>`, notWellFormed},
		{"stream that is empty", `<stream xmlns='http://etherx.jabber.org/streams'/>`, badFormat},
		{"[X03] undeclared prefix", `<stream:stream>`, notWellFormed},
		{"[X03] duplicate attribute", `<stream a='' a=''>`, notWellFormed},
		{"[X03] duplicate by expanded name", `<stream xmlns:a='u' xmlns:b='u' a:c='' b:c=''>`, notWellFormed},
		{"[X09] too big", `<stream a='` + strings.Repeat("x", 8<<10) + `'>`, policyViolation},
		{"[X09] white space without end", strings.Repeat(" ", 9<<10), policyViolation},
		{"[X09] too many prefixes", `<stream` + manyPrefixes(33) + `>`, policyViolation},
		{"no bytes", "", io.EOF.Error()},
		{"half a declaration", `<?xml`, io.ErrUnexpectedEOF.Error()},
		{"half a tag", `<stream`, io.ErrUnexpectedEOF.Error()},
	} {
		s := NewScanner(strings.NewReader(c.in), Limits{})
		_, err := s.Header()
		if c.want == "" && err != nil || c.want != "" && (err == nil || conditionOf(err) != c.want) {
			t.Errorf("%s: %.60q: got %v, want %s", c.id, c.in, err, c.want)
		}
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, prefix, space, local, defaultNS string }{
		{plainHeader, "stream", nsStreams, "stream", nsServer},
		{streamsHeader, "", nsStreams, "stream", nsStreams},
		{`<s:stream xmlns:s='http://etherx.jabber.org&#x2f;streams'>`, "s", nsStreams, "stream", ""},
		{`<stream:flood xmlns:stream='urn:x' xmlns='jabber:client'>`, "stream", "urn:x", "flood", nsClient},
		{`<xml:stream>`, "xml", nsXML, "stream", ""},
	} {
		r, err := NewScanner(strings.NewReader(c.in), Limits{}).Header()
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if r.Prefix != c.prefix || r.Space != c.space || r.Local != c.local || r.DefaultNS != c.defaultNS {
			t.Errorf("[C02] [C04] %s: got %s:%s {%s} default %q", c.in, r.Prefix, r.Local, r.Space, r.DefaultNS)
		}
		if !strings.HasSuffix(c.in, r.Raw) || !strings.HasPrefix(r.Raw, "<") {
			t.Errorf("%s: raw %q", c.in, r.Raw)
		}
	}

	r, err := NewScanner(strings.NewReader(`<stream xmlns='jabber:server' xmlns:q='urn:q' from='a&amp;b' q:from='c' xml:lang='de' id="">`), Limits{}).Header()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		space, local, want string
		ok                 bool
	}{
		{"", "from", "a&b", true},
		{"urn:q", "from", "c", true},
		{nsXML, "lang", "de", true},
		{"", "id", "", true},
		{"", "to", "", false},
		{"", "xmlns", "", false},
		{"jabber:server", "from", "", false},
	} {
		if got, ok := r.Attr(c.space, c.local); got != c.want || ok != c.ok {
			t.Errorf("[C07] {%s}%s: got %q %v", c.space, c.local, got, ok)
		}
	}
	if !r.Declares("urn:q") || !r.Declares(nsServer) || r.Declares("q") || r.Declares("") {
		t.Error("[B16] Declares is wrong")
	}
	if uri, ok := r.DeclaresPrefix("q"); uri != "urn:q" || !ok {
		t.Errorf("[B16] q is bound to %q", uri)
	}
	if _, ok := r.DeclaresPrefix(""); ok {
		t.Error("the default namespace is no prefix")
	}
}
