package stanza

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// author writes random elements that are mostly right: the grammar's odd corners by chance, a fault now and then.
type author struct {
	*rand.Rand
	out    strings.Builder
	faults bool
}

func (a *author) pick(from ...string) string { return from[a.IntN(len(from))] }

func (a *author) chance(percent int) bool { return a.IntN(100) < percent }

func (a *author) write(s ...string) {
	for _, s := range s {
		a.out.WriteString(s)
	}
}

func (a *author) name() string {
	n := a.pick("a", "b", "message", "iq", "stream", "x-1", "_", "é", "名", "a.b", "error")
	switch {
	case a.faults && a.chance(2):
		return a.pick("1", ":", "a:", ":a", "a:b:c", "p:1", "\u0301", "a\u00D7", "xmlns", "xmlns", "xmlns:a", "xml:a", "stream:a")
	case a.chance(30):
		return a.pick("p", "q", "db", "é") + ":" + n
	}
	return n
}

func (a *author) space() string { return a.pick("", "", "", " ", "\n", "\t", "\r\n", "\r") }

func (a *author) characters(quote string) string {
	var b strings.Builder
	for range a.IntN(5) {
		s := a.pick("text", "a much longer run of plain text", "é", "€uro", "😀", ">", "]]", "]", "'", `"`, "&lt;", "&amp;", "&#x3C;", "&#13;", "&#10;",
			"&#9;", "&apos;", "&quot;", "\n", "\t", "\r", "\r\n", " ", "\u0085", "\uFEFF", "\u2028", "\x7f", "--", "?>", "/")
		if a.faults && a.chance(2) {
			s = a.pick("<", "&", "]]>", "\x00", "\x1b", "\xC0\xBC", "\xED\xA0\x80", "\uFFFE", "&nbsp;", "&#0;", "&#xD800;", "<!--x-->", "<?x?>", "\xff", "&#x110000;")
		}
		if s != quote {
			b.WriteString(s)
		}
	}
	return b.String()
}

func (a *author) attribute(name, value string) {
	quote := a.pick("'", `"`)
	if value == "" {
		value = a.characters(quote)
	}
	a.write(a.pick(" ", " ", "\n", "\t ", "\r\n"), name, a.space(), "=", a.space(), quote, value, quote)
}

// header writes the beginning of a stream, whose declarations its elements may use.
func (a *author) header() {
	if a.chance(50) {
		a.write("<?xml", a.pick(" ", "\n", "\t "), "version", a.space(), "=", a.space(), a.pick(`'1.0'`, `"1.0"`))
		if a.chance(50) {
			a.write(a.pick(" ", "\r\n"), "encoding=", a.pick(`'utf-8'`, `"UTF-8"`))
		}
		if a.chance(30) {
			a.write(a.pick(" ", "\n"), "standalone", a.space(), "=", a.space(), a.pick(`'yes'`, `"no"`))
		}
		a.write(a.space(), "?>", a.space())
	}
	a.write("<stream:stream xmlns:stream='http://etherx.jabber.org/streams'")
	a.attribute("xmlns", a.pick("jabber:server", "jabber:server", "http://etherx.jabber.org/streams", "urn:&#120;", ""))
	for _, p := range []string{"p", "q", "db", "é"} {
		if a.chance(50) {
			a.attribute("xmlns:"+p, a.pick("urn:x", "urn:p", "urn&#58;x", "jabber:server", "jabber:client"))
		}
	}
	for _, n := range []string{"from", "to", "id", "version", "xml:lang", "stream:a"} {
		if a.chance(20) {
			a.attribute(n, "")
		}
	}
	a.write(a.space(), ">")
}

func (a *author) element(depth int) {
	name := a.name()
	a.write("<", name)
	if a.chance(40) {
		a.attribute("xmlns", a.pick("jabber:server", "jabber:client", "urn:x", "urn:&amp;", "http://etherx.jabber.org/streams"))
	}
	for _, p := range []string{"p", "q", "db"} {
		if a.chance(25) {
			a.attribute("xmlns:"+p, a.pick("urn:x", "urn:p", "urn&#58;x", "jabber:server", "http://www.w3.org/XML/1998/namespace"))
		}
	}
	for _, n := range []string{"from", "to", "id", "type", "p:a", "q:a", "db:a", "xml:lang", "a"} {
		if a.chance(10) {
			a.attribute(n, "")
		}
	}
	if a.chance(20) {
		a.write(a.space(), "/>")
		return
	}
	a.write(a.space(), ">")
	for range a.IntN(4) {
		switch {
		case depth > 0 && a.chance(50):
			a.element(depth - 1)
		case a.chance(15):
			a.write("<![CDATA[", a.pick("", "x", "<&>", "]]", "]", "\r\n", "é"), "]]>")
		default:
			a.write(a.characters("'"))
		}
	}
	if a.faults && a.chance(1) {
		name = a.name()
	}
	a.write("</", name, a.space(), ">")
}

// Random documents do what FuzzScanner and FuzzRewrite ask for, in every run of the tests.
func TestRandomDocuments(t *testing.T) {
	t.Parallel()
	accepted := 0
	for seed := range uint64(4000) {
		a := &author{Rand: rand.New(rand.NewPCG(seed, 0)), faults: seed%2 == 0}
		a.element(3)
		header := headers[seed/2%uint64(len(headers))]
		accepted += agree(t, header+a.out.String()+closing)
	}
	if accepted < 500 {
		t.Errorf("only %d documents were accepted: the test says nothing", accepted)
	}
}
