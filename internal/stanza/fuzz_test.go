package stanza

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// headers are the streams that fuzzed bytes are put on; the first fuzzed byte chooses.
var headers = [...]string{
	plainHeader,
	extraHeader,
	streamsHeader,
	`<?xml version="1.0" encoding="utf-8"?><s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server' xmlns:stream='urn:x' xmlns:é='urn:&amp;'>`,
}

// events writes an element down as any reader of XML must see it: names expanded, characters and attributes as they read. Attributes
// come sorted, namespace declarations not at all.
func events(e *Element) []string {
	var out []string
	text := ""
	r := reader{b: e.Raw()}
	scopes := []*scope{outside(e.root)}
	for t, ok := r.next(); ok; t, ok = r.next() {
		if t.kind == textToken || t.kind == cdataToken {
			text += string(appendCharacters(nil, t.text, t.kind == cdataToken))
			continue
		}
		out, text = flush(out, text), ""
		if t.kind == endToken {
			out = append(out, "end")
			scopes = scopes[:len(scopes)-1]
			continue
		}
		inner := scopes[len(scopes)-1].enter(t)
		space, local := inner.element(t.name)
		var attrs []string
		for name, raw := range t.attributes() {
			if declares(name) {
				continue
			}
			s, l := inner.attribute(name)
			attrs = append(attrs, fmt.Sprintf("{%s}%s=%q", s, l, appendValue(nil, raw)))
		}
		slices.Sort(attrs)
		out = append(out, fmt.Sprintf("start {%s}%s %s", space, local, attrs))
		if t.empty {
			out = append(out, "end")
		} else {
			scopes = append(scopes, inner)
		}
	}
	return out
}

func flush(out []string, text string) []string {
	if text == "" {
		return out
	}
	return append(out, fmt.Sprintf("text %q", text))
}

// standardEvents reads the next first-level element with encoding/xml. That package keeps white space in attributes as it is written;
// fold makes it what XML makes of it, on both sides.
func standardEvents(d *xml.Decoder) ([]string, error) {
	var out []string
	text := ""
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return out, err
		}
		switch t := t.(type) {
		case xml.CharData:
			if depth > 0 {
				text += string(t)
			}
		case xml.StartElement:
			out, text = flush(out, text), ""
			depth++
			var attrs []string
			for _, a := range t.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				attrs = append(attrs, fmt.Sprintf("{%s}%s=%q", a.Name.Space, a.Name.Local, a.Value))
			}
			slices.Sort(attrs)
			out = append(out, fmt.Sprintf("start {%s}%s %s", t.Name.Space, t.Name.Local, attrs))
		case xml.EndElement:
			out, text = append(flush(out, text), "end"), ""
			if depth--; depth == 0 {
				return out, nil
			}
			if depth < 0 {
				return out, io.EOF
			}
		default:
			return out, fmt.Errorf("reading: unexpected %T", t)
		}
	}
}

// fold makes all white space in start tags spaces: quoted, a tab is \t, and so on.
func fold(events []string) []string {
	spaces := strings.NewReplacer(`\t`, " ", `\n`, " ", `\r`, " ", `\\`, `\\`)
	for i, e := range events {
		if strings.HasPrefix(e, "start") {
			events[i] = spaces.Replace(e)
		}
	}
	return events
}

// FuzzScanner: what we accept, encoding/xml reads as the same tree, names and namespaces included; and it does not matter in which
// pieces the bytes arrive ([X03], [X10], ABUSE 29, ABUSE 32).
func FuzzScanner(f *testing.F) {
	for _, c := range goodBodies() {
		f.Add([]byte("0<message to='b'>" + c.body + "</message>"))
	}
	for _, c := range badCases() {
		f.Add([]byte("0" + c.stream()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		agree(t, headers[data[0]%byte(len(headers))]+string(data[1:]))
	})
}

// agree checks that a stream reads the same whole and in drops, and that encoding/xml reads each element that we accept as the same
// tree, and as the same again when it is written. It returns how many there were.
func agree(t *testing.T, stream string) int {
	t.Helper()
	if whole, drops := transcript(stream, len(stream), Limits{}), transcript(stream, 1, Limits{}); whole != drops {
		t.Fatalf("%q\nfed whole: %s\nfed one byte at a time: %s", stream, whole, drops)
	}
	s := NewScanner(strings.NewReader(stream), Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(stream))
	for {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := token.(xml.StartElement); ok {
			break
		}
	}
	for n := 0; ; n++ {
		e, err := s.Next()
		if err != nil {
			if _, ok := errors.AsType[*SyntaxError](err); !ok && err != ErrClosed && err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatalf("an error of no kind: %v", err)
			}
			return n
		}
		want, err := standardEvents(d)
		if err != nil {
			t.Fatalf("%q: accepted, but encoding/xml says %v", e.Raw(), err)
		}
		if got := fold(events(e)); !slices.Equal(got, fold(want)) {
			t.Fatalf("%q\nreads as %q\nencoding/xml %q", e.Raw(), got, want)
		}
		rewritten(t, e, Rewrite{})
		rewritten(t, e, Rewrite{From: "a@b", To: "x'y", Lang: "fr"})
	}
}

// FuzzRewrite: what AppendTo writes reads, on a stream of ours, as what was read; and it is clean: written again it stays as it is
// ([X06], [X07], [C06], ABUSE 32).
func FuzzRewrite(f *testing.F) {
	for _, c := range goodBodies() {
		for i := range headers {
			f.Add([]byte(string('0'+rune(i))+"<message xmlns='jabber:server' from='A'>"+c.body+"</message>"), "a@b", "x/><y")
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, from, lang string) {
		if len(data) == 0 {
			return
		}
		s := NewScanner(strings.NewReader(headers[data[0]%byte(len(headers))]+string(data[1:])), Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		for {
			e, err := s.Next()
			if err != nil {
				return
			}
			rewritten(t, e, Rewrite{})
			rewritten(t, e, Rewrite{From: from, To: "x'y", Lang: lang})
			bounced(t, e, from, Error{Condition: Condition(lang), Type: lang, Text: lang, By: from})
		}
	})
}

// bounced checks the answer to e, whatever the words of the error: it reads as one error of one condition, quotes nothing of e but its
// id, and cannot be answered ([A07], [X02]).
func bounced(t *testing.T, e *Element, from string, err Error) {
	t.Helper()
	out, ok := AppendBounce(nil, e, from, "x'y", err, true)
	if !ok {
		return
	}
	back, parseErr := Reread(out)
	if parseErr != nil {
		t.Fatalf("%q is answered by %q: %v", e.Raw(), out, parseErr)
	}
	if back.Kind() != e.Kind() || string(back.ID()) != string(e.ID()) || !back.Verbatim() || Answerable(back) || string(back.From()) != "x'y" {
		t.Fatalf("%q is answered by %q", e.Raw(), out)
	}
	tree := back.Tree()
	if len(tree.Children) != 1 || tree.Children[0].Local != "error" || len(tree.Children[0].Children) > 2 || tree.Text != "" {
		t.Fatalf("%q is answered by %q, which holds more than an error", e.Raw(), out)
	}
	if name := tree.Children[0].Children[0].Local; !Condition(name).defined() {
		t.Fatalf("%q is answered by the condition %q", e.Raw(), name)
	}
}

// rewritten checks one way out of e.
func rewritten(t *testing.T, e *Element, o Rewrite) {
	t.Helper()
	out := e.AppendTo(nil, o)
	if o == (Rewrite{}) && e.Verbatim() != (string(out) == string(e.Raw())) && !e.unclean {
		t.Fatalf("%q: verbatim %v, written %q", e.Raw(), e.Verbatim(), out)
	}
	back, err := Reread(out)
	if err != nil {
		t.Fatalf("%q was written as %q: %v", e.Raw(), out, err)
	}
	if !back.Verbatim() || back.Kind() != e.Kind() {
		t.Fatalf("%q was written as %q: verbatim %v, kind %v", e.Raw(), out, back.Verbatim(), back.Kind())
	}
	if again := back.AppendTo(nil, o); string(again) != string(out) {
		t.Fatalf("%q was written as %q, then as %q", e.Raw(), out, again)
	}
	got, want := events(back), events(e)
	if o != (Rewrite{}) {
		got, want = got[1:], want[1:] // the start tag differs, as it was told to
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q was written as %q\nreads as %q\nwas %q", e.Raw(), out, got, want)
	}
	if o.To != "" && string(back.To()) != o.To {
		t.Fatalf("%q was written as %q: to is %q", e.Raw(), out, back.To())
	}
	if string(back.ID()) != string(e.ID()) || string(back.Type()) != string(e.Type()) {
		t.Fatalf("%q was written as %q: id or type changed", e.Raw(), out)
	}
}
