package stanza

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func manyPrefixes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " xmlns:p%d='u%d'", i, i)
	}
	return b.String()
}

// longPrefixes declares prefixes for namespaces that only their last letters tell apart, and only once references are read.
func longPrefixes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " xmlns:p%d='&#117;%s%02d'", i, strings.Repeat("u", 4000), i)
	}
	return b.String()
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d=''", i)
	}
	return b.String()
}

// sized returns a message of exactly n bytes.
func sized(n int) string {
	const around = "<message><body></body></message>"
	return "<message><body>" + strings.Repeat("x", n-len(around)) + "</body></message>"
}

func TestLimits(t *testing.T) {
	t.Parallel()
	nest := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	l := Limits{Stanza: 12000, Depth: 5, Attributes: 6, Namespaces: 4, Name: 16}
	for _, c := range []struct {
		id, body string
		ok       bool
	}{
		{"[X08] as big as may be", sized(12000), true},
		{"[X08] one byte more", sized(12001), false},
		{"[X08] white space between stanzas is no part of one", strings.Repeat(" ", 13000) + "<a/>", true},
		{"ABUSE 28 one attribute", "<a b='" + strings.Repeat("x", 13000), false},
		{"ABUSE 28 one name", "<" + strings.Repeat("x", 13000), false},
		{"ABUSE 28 white space in a tag", "<a" + strings.Repeat(" ", 13000), false},
		{"ABUSE 28 CDATA", "<a><![CDATA[" + strings.Repeat("x", 13000), false},
		{"[X09] as deep as may be", nest(5), true},
		{"[X09] one deeper", nest(6), false},
		{"[X09] empty element, one deeper", strings.Repeat("<a>", 5) + "<b/>", false},
		{"[X09] as many attributes as may be", "<a" + manyAttributes(6) + "/>", true},
		{"[X09] one more attribute", "<a" + manyAttributes(7) + "/>", false},
		{"[X09] declarations are attributes", "<a" + manyAttributes(5) + " xmlns='u' xmlns:b='u'/>", false},
		{"[X09] as many prefixes as may be", "<a" + manyPrefixes(2) + "/>", true},
		{"[X09] one more prefix", "<a" + manyPrefixes(3) + "/>", false},
		{"[X09] prefixes out of scope", "<a" + manyPrefixes(2) + "/><b" + manyPrefixes(2) + "/>", true},
		{"[X09] prefixes of siblings", "<a><b" + manyPrefixes(2) + "/><b" + manyPrefixes(2) + "/></a>", true},
		{"[X09] prefixes of an outer element", "<a" + manyPrefixes(2) + "><b xmlns:q='u'/></a>", false},
		{"[X09] default namespaces do not count", "<a xmlns='u'><a xmlns='v'><a xmlns='u'><a xmlns='v'/></a></a></a>", true},
		{"[X09] as long a name as may be", "<a234567890123456/>", true},
		{"[X09] one byte longer", "<a2345678901234567/>", false},
		{"[X09] long name with prefix", "<a xmlns:p='u'><p:a45678901234567/></a>", false},
		{"[X09] long attribute name", "<a abcdefghijklmnopq=''/>", false},
		{"[X09] long name in two-byte letters", "<éééééééé/><ééééééééa/>", false},
	} {
		const header = `<stream:stream xmlns='jabber:server' xmlns:x='u' xmlns:stream='http://etherx.jabber.org/streams'>`
		_, err := scanBody(t, header, c.body+closing, l)
		if c.ok && err != ErrClosed || !c.ok && conditionOf(err) != policyViolation {
			t.Errorf("%s: %.80q: got %v, want it taken: %v", c.id, c.body, err, c.ok)
		}
		tooBig := strings.Contains(c.id, "ABUSE 28") && !strings.Contains(c.id, "name") || strings.HasPrefix(c.id, "[X08] one")
		if syntax, ok := errors.AsType[*SyntaxError](err); ok && syntax.TooBig != tooBig {
			t.Errorf("%s: TooBig is %v", c.id, syntax.TooBig)
		}
	}
}

// Limits may become smaller while a stream lives: what its header declared then leaves no room for more.
func TestSmallerLimits(t *testing.T) {
	t.Parallel()
	for body, ok := range map[string]bool{"<a/>": true, "<a xmlns:q='u'/>": false} {
		s := NewScanner(strings.NewReader("<stream"+manyPrefixes(8)+">"+body), Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		s.SetLimits(Limits{Namespaces: 4})
		if _, err := s.Next(); (err == nil) != ok || !ok && conditionOf(err) != policyViolation {
			t.Errorf("[X09] %s: got %v, want it taken: %v", body, err, ok)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, body string
		elements int
		ok       bool
	}{
		{"ABUSE 26 within the bytes", "<a b='" + strings.Repeat("x", 80) + "'/>", 1, true},
		{"ABUSE 26 more bytes in one element", "<a b='" + strings.Repeat("x", 200), 0, false},
		{"ABUSE 26 more bytes in many elements", strings.Repeat("<a/>", 40), 25, false},
		{"ABUSE 26 more bytes of white space", strings.Repeat(" ", 101), 0, false},
		{"ABUSE 26 exactly as many bytes of white space", strings.Repeat(" ", 100), 0, true},
	} {
		l := Limits{Total: len(plainHeader) + 100}
		raw, err := scanBody(t, plainHeader, c.body, l)
		if len(raw) != c.elements || (conditionOf(err) == policyViolation) == c.ok {
			t.Errorf("%s: got %d elements, then %v", c.id, len(raw), err)
		}
	}
	raw, err := scanBody(t, plainHeader, strings.Repeat("<a/> ", 40), Limits{Elements: 32})
	if len(raw) != 32 || conditionOf(err) != policyViolation {
		t.Errorf("ABUSE 26 elements: got %d, then %v, want 32", len(raw), err)
	}

	// What was counted before trust no longer matters after it ([C31]).
	s := NewScanner(strings.NewReader(plainHeader+strings.Repeat("<a/>", 40)), Limits{Total: len(plainHeader) + 20, Elements: 4})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	s.SetLimits(DefaultLimits())
	if batch, err := s.Batch(nil, 64); err != nil || len(batch) != 36 {
		t.Errorf("after trust: %d elements, %v", len(batch), err)
	}
}

// A peer is proved while the goroutine that reads has its first stanza under way already: the budget ends there and then.
func TestLift(t *testing.T) {
	t.Parallel()
	for _, proved := range []bool{true, false} {
		in, out := io.Pipe()
		s := NewScanner(in, Limits{Total: len(plainHeader) + 300, Elements: 2})
		go func() {
			io.WriteString(out, plainHeader+"<a/>"+sized(200)[:100])
			if proved {
				s.Lift()
			}
			io.WriteString(out, sized(200)[100:]+sized(1000)+"<a/>")
			out.Close()
		}()
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := s.Next(); err == nil; _, err = s.Next() {
			n++
		}
		if want := map[bool]int{false: 2, true: 4}[proved]; n != want {
			t.Errorf("proved %v: %d elements were read, want %d", proved, n, want)
		}
		in.Close()
	}
}

func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	if got := (Limits{}).effective(); got != DefaultLimits() {
		t.Errorf("zero Limits are %+v", got)
	}
	l := Limits{Stanza: 1, Namespaces: 1000, Depth: -1}.effective()
	if l.Stanza != MinStanza || l.Namespaces != 64 || l.Depth != 64 {
		t.Errorf("[X08] got %+v", l)
	}
}

// A peer that drips its bytes costs no more than one that sends them at once: each byte is looked at and moved a few times, whatever
// it belongs to (ABUSE 33). Bytes are counted, not seconds.
func TestScanningIsLinear(t *testing.T) {
	t.Parallel()
	fill := func(s string) string { return strings.Repeat(s, 64<<10/len(s)) }
	for _, c := range []struct{ name, in string }{
		{"attribute", "<a b='" + strings.Repeat("x", 500<<10) + "'/>"},
		{"attribute in Greek", "<a b='" + fill("αβγ") + "'/>"},
		{"text", "<a>" + fill("x") + "</a>"},
		{"text in emoji", "<a>" + fill("😀") + "</a>"},
		{"brackets", "<a>" + fill("]") + "</a>"},
		{"CDATA", "<a><![CDATA[" + fill("]") + "]]></a>"},
		{"white space in a tag", "<a" + fill(" ") + "/>"},
		{"children", "<a>" + fill("<b c='d'/>") + "</a>"},
		{"line feeds", "<a b='" + fill("\n") + "'/>"},
		{"one local name in long namespaces", "<a" + longPrefixes(30) + ">" + fill("<b p0:a='' p1:a='' p2:a='' p3:a='' p4:a='' p5:a='' p6:a='' p7:a='' p8:a='' p9:a=''/>") + "</a>"},
	} {
		for _, n := range []int{1, 1000, 1 << 20} {
			s := NewScanner(&chunks{b: []byte(plainHeader + c.in), n: n}, Limits{})
			if _, err := s.Header(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Next(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if per := float64(s.work) / float64(len(c.in)); per > 4 {
				t.Errorf("ABUSE 33 %s, %d at a time: each byte was looked at or moved %.1f times", c.name, n, per)
			}
		}
	}
}

// idler is a reader that is waited for, and looks at what the Scanner holds meanwhile.
type idler struct {
	chunks
	s     *Scanner
	waits int
	held  int // bytes, at the most
}

func (r *idler) Wait() error {
	r.waits++
	r.held = max(r.held, cap(r.s.buf))
	if r.s.shared != nil {
		r.held = max(r.held, len(*r.s.shared))
	}
	return nil
}

// A stream that idles holds no buffer; one grows for what is big, and is left again.
func TestBufferIsGivenBack(t *testing.T) {
	t.Parallel()
	big := sized(400 << 10)
	in := plainHeader + "<a/>" + big + strings.Repeat("<a/>", 50000)
	r := &idler{chunks: chunks{b: []byte(in), n: 10 << 10}}
	s := NewScanner(r, Limits{})
	r.s = s
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	largest := 0
	var batch []Element
	for err := error(nil); err == nil; batch, err = s.Batch(batch, 64) {
		largest = max(largest, cap(s.buf))
	}
	for _, e := range append(batch[:cap(batch)], s.current) {
		if e.raw != nil {
			t.Fatalf("an element of the last batch keeps the buffer alive: %.40s", e.raw)
		}
	}
	if largest < len(big) || largest > 4*len(big) {
		t.Errorf("for a stanza of %d bytes: %d", len(big), largest)
	}
	if r.waits < 2 || r.held != 0 {
		t.Errorf("%d bytes were held while the stream idled (%d times)", r.held, r.waits)
	}
}

// Once warm, scanning and forwarding allocate nothing.
func TestNoAllocation(t *testing.T) {
	element := message(300, "a letter")
	s := NewScanner(&endless{header: plainHeader, body: element}, Limits{})
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	batch := make([]Element, 0, 64)
	out := make([]byte, 0, 1<<20)
	n := testing.AllocsPerRun(100, func() {
		var err error
		if batch, err = s.Batch(batch, 64); err != nil {
			t.Fatal(err)
		}
		out = out[:0]
		for i := range batch {
			e := &batch[i]
			if e.From() == nil || e.To() == nil || e.ID() == nil || e.Kind() != Message {
				t.Fatal("not the message")
			}
			out = e.AppendTo(out, Rewrite{From: "x@y.example", To: "romeo@montague.example", Lang: "de"})
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
	if !bytes.Contains(out, []byte("from='x@y.example'")) {
		t.Error("nothing was written")
	}
}

// Wait gives up what was returned, takes nothing of what is there, and holds no buffer meanwhile.
func TestWait(t *testing.T) {
	t.Parallel()
	r := &idler{chunks: chunks{b: []byte(plainHeader + "<a/><b/><c>"), n: len(plainHeader) + len("<a/><b/>")}}
	s := NewScanner(r, Limits{})
	r.s = s
	s.Wait()
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	waits := r.waits
	s.Wait() // <a/> is there
	e, err := s.Next()
	if err != nil || string(e.Raw()) != "<a/>" {
		t.Fatalf("%v, %v", e, err)
	}
	s.Unread()
	s.Wait() // it comes again
	if e, err = s.Next(); err != nil || string(e.Raw()) != "<a/>" {
		t.Fatalf("%v, %v", e, err)
	}
	s.Wait() // <b/> is there
	if e, err = s.Next(); err != nil || string(e.Raw()) != "<b/>" {
		t.Fatalf("%v, %v", e, err)
	}
	if r.waits != waits {
		t.Errorf("it waited %d times although there were elements", r.waits-waits)
	}
	s.Wait()
	if r.waits != waits+1 || r.held != 0 {
		t.Errorf("it waited %d times, and held %d bytes", r.waits-waits, r.held)
	}
	if _, err := s.Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("half an element: %v", err)
	}
	s.Wait() // an error to return: no reason to wait for more
}
