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
	for _, l := range []Limits{{}, {Stanza: MinStanza}, {Name: 8, Depth: 2, Attributes: 2, Namespaces: 2}, {Header: 100, Total: 300, Elements: 1}} {
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
		if string(e.From()) != c.from || string(e.To()) != c.to || (e.From() != nil) != c.hasFrom || (e.To() != nil) != (c.to != "") {
			t.Errorf("%s: from %q to %q ([A01])", c.in, e.From(), e.To())
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
	batch, err := s.Batch(nil, 64)
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
	for dst := make([]Element, 1); last == nil; {
		dst, last = s.Batch(dst, 2)
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
	batch, err := s.Batch(nil, 64)
	if err != nil || len(batch) != 2 {
		t.Fatalf("got %d elements, %v", len(batch), err)
	}
	go w.Write([]byte("</c>"))
	if batch, err = s.Batch(batch, 64); err != nil || len(batch) != 1 || string(batch[0].Raw()) != "<c></c>" {
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
	for batch, err := s.Batch(nil, 64); err == nil; batch, err = s.Batch(batch, 64) {
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
