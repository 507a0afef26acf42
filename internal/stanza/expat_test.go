package stanza

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// Most XMPP servers read with expat: Prosody by luaexpat, ejabberd by fast_xml, both jabberds. So beside encoding/xml, which reads little
// like anybody else, what we accept and what we write is held against it: Debian's own, by way of Prosody's binding.

// expat is a running testdata/expat.lua. It belongs to one goroutine.
type expat struct {
	t   testing.TB // for what is being read now
	in  io.Writer
	out *bufio.Reader
}

func newExpat(t testing.TB) *expat {
	t.Helper()
	if err := exec.Command("lua5.4", "-e", "require 'lxp'").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("luaexpat is not installed; run internal/xmpptest/lab/install.sh: %v", err)
		}
		t.Skip("luaexpat is not installed (CI has it; make peers brings it)")
	}
	cmd := exec.Command("lua5.4", "testdata/expat.lua")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("expat.lua: %v", err)
		}
	})
	return &expat{t: t, in: in, out: bufio.NewReader(out)}
}

// read returns how expat reads the beginning of a document, in the form of the function events, and its fault.
func (x *expat) read(document string) ([]string, error) {
	x.t.Helper()
	if _, err := fmt.Fprintf(x.in, "%d:%s,", len(document), document); err != nil {
		x.t.Fatal(err)
	}
	answer := bufio.NewReader(strings.NewReader(x.netstring(x.out)))
	var out []string
	text := ""
	for depth := 0; ; {
		kind, err := answer.ReadByte()
		if err != nil {
			x.t.Fatalf("%q: the answer has no end: %v", document, err)
		}
		if kind != 't' {
			if depth == 1 && strings.Trim(text, " \t\r\n") == "" {
				text = "" // between stanzas white space says nothing
			}
			out, text = flush(out, text), ""
		}
		switch kind {
		case 's':
			depth++
			name, n := x.netstring(answer), x.netstring(answer)
			var attrs []string
			for range atoi(x.t, n) {
				name := x.netstring(answer)
				attrs = append(attrs, fmt.Sprintf("%s=%q", expanded(name), x.netstring(answer)))
			}
			slices.Sort(attrs)
			out = append(out, fmt.Sprintf("start %s %s", expanded(name), attrs))
		case 'e':
			depth--
			out = append(out, "end")
		case 't':
			text += x.netstring(answer)
		case 'x':
			out = append(out, x.netstring(answer))
		case 'f':
			if fault := x.netstring(answer); fault != "" {
				return out, errors.New(fault)
			}
			return out, nil
		}
	}
}

func (x *expat) netstring(r *bufio.Reader) string {
	x.t.Helper()
	size, err := r.ReadString(':')
	if err != nil {
		x.t.Fatal(err)
	}
	b := make([]byte, atoi(x.t, strings.TrimSuffix(size, ":"))+1)
	if _, err := io.ReadFull(r, b); err != nil {
		x.t.Fatal(err)
	}
	return string(b[:len(b)-1])
}

func atoi(t testing.TB, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func expanded(name string) string {
	space, local, _ := strings.Cut(name, "\n")
	return fmt.Sprintf("{%s}%s", space, local)
}

// rootEvent writes a header down as events does an element.
func rootEvent(r *Root) string {
	var attrs []string
	for _, a := range r.attrs {
		attrs = append(attrs, fmt.Sprintf("{%s}%s=%q", a.Space, a.Local, a.Value))
	}
	slices.Sort(attrs)
	return fmt.Sprintf("start {%s}%s %s", r.Space, r.Local, attrs)
}

// agrees checks that expat reads of a stream, as far as we accept it, what we read; and of what we write for it, the same again. It
// returns how many elements there were, and the fault that we found.
func (x *expat) agrees(stream string) (elements int, fault error) {
	x.t.Helper()
	s := NewScanner(strings.NewReader(stream), Limits{})
	root, err := s.Header()
	if err != nil {
		return 0, err
	}
	want := []string{rootEvent(root)}
	written := []string{rootEvent(ours())}
	var accepted int64
	out := []byte(plainRoot)
	for {
		e, err := s.Next()
		if err != nil {
			fault = err
			break
		}
		elements++
		accepted = s.base + int64(s.start+s.pos)
		want = append(want, events(e)...)
		for _, o := range []Rewrite{{}, {From: "é&'\"<>@x", To: "x'y/\t\n\r]]>", Lang: "fr"}} {
			begun := len(out)
			out = e.AppendTo(out, o)
			if o == (Rewrite{}) {
				written = append(written, events(e)...)
				continue
			}
			back, err := Reread(out[begun:])
			if err != nil {
				x.t.Fatalf("%q was written as %q: %v", e.Raw(), out[begun:], err)
			}
			written = append(written, events(back)...)
		}
	}
	if accepted == 0 {
		accepted = int64(strings.Index(stream, root.Raw) + len(root.Raw))
	}
	x.compare(stream[:accepted], want)
	x.compare(string(out), written)
	return elements, fault
}

// plainRoot is the header of the function ours.
const plainRoot = `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>`

func (x *expat) compare(document string, want []string) {
	x.t.Helper()
	got, err := x.read(document)
	if err != nil {
		x.t.Fatalf("%q\nis accepted, but expat says: %v", document, err)
	}
	if !slices.Equal(got, want) {
		x.t.Fatalf("%q\nreads as %q\nto expat %q", document, want, got)
	}
}

// What we accept, expat reads as the same tree ([X03], [X10], ABUSE 29, ABUSE 32); the cases, the corpora of the fuzz targets and random
// documents are the witnesses.
func TestExpatReadsTheSame(t *testing.T) {
	t.Parallel()
	x := newExpat(t)
	elements := 0
	try := func(stream string) {
		n, _ := x.agrees(stream)
		elements += n
	}
	for _, header := range headers {
		for _, c := range badCases() {
			try(header + "<iq/>" + c.stream() + closing)
		}
		for _, c := range goodBodies() {
			try(header + "<message xmlns='jabber:server' from='A'>" + c.body + "</message>")
		}
		for _, data := range corpus(t, "testdata/fuzz/FuzzScanner", "testdata/fuzz/FuzzRewrite") {
			try(header + data[min(1, len(data)):]) // without the byte that chooses a header
		}
		for _, data := range corpus(t, "../../dialback/testdata/fuzz/FuzzDialback") {
			try(header + data)
		}
	}
	for _, data := range corpus(t, "testdata/fuzz/FuzzExpat", "../stream/testdata/fuzz/FuzzHeader") {
		try(data)
	}
	for seed := range uint64(6000) {
		a := &author{Rand: rand.New(rand.NewPCG(seed, 1)), faults: seed%2 == 0}
		header := headers[seed/2%uint64(len(headers))]
		if seed%3 == 0 {
			a.header()
			header = ""
		}
		a.element(3)
		try(header + a.out.String() + closing)
	}
	if elements < 1000 {
		t.Errorf("only %d elements were accepted: the test says nothing", elements)
	}
}

// FuzzExpat looks for streams of which expat reads something else than we do.
func FuzzExpat(f *testing.F) {
	x := newExpat(f)
	for i, header := range headers {
		for _, c := range goodBodies() {
			f.Add([]byte(header + "<message xmlns='jabber:server' from='A'>" + c.body + "</message>"))
		}
		if i > 0 {
			continue
		}
		for _, c := range badCases() {
			f.Add([]byte(header + c.stream()))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x.t = t
		x.agrees(string(data))
	})
}

// What XML itself forbids expat refuses as well, so a peer that sends it gets nowhere with anybody. Where we are stricter stands here.
func TestExpatRefusesTheSame(t *testing.T) {
	t.Parallel()
	x := newExpat(t)
	stricter := map[string]string{
		"namespace name is no URI":                "ABUSE 30",
		"element with the reserved name xmlns":    "encoding/xml",
		"reserved namespace as default":           "Namespaces in XML 1.0 §3",
		"reserved prefix or namespace redeclared": "Namespaces in XML 1.0 §3",
	}
	for _, c := range badCases() {
		stream := plainHeader + c.stream() + ">" + closing
		_, fault := x.agrees(stream)
		syntax, ok := errors.AsType[*SyntaxError](fault)
		if !ok || syntax.Condition != notWellFormed && syntax.Condition != unsupportedEncoding {
			continue
		}
		if _, err := x.read(stream); err == nil && stricter[syntax.Detail] == "" {
			t.Errorf("%s: %q: refused (%v), but expat takes it", c.id, c.stream(), fault)
		}
	}
}

// corpus returns the inputs that fuzzing is seeded with and has found.
func corpus(t *testing.T, dirs ...string) (all []string) {
	t.Helper()
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/*")
		if err != nil || len(files) == 0 {
			t.Fatalf("no corpus in %s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, quoted, _ := strings.Cut(strings.Split(string(text), "\n")[1], "(")
			data, err := strconv.Unquote(strings.TrimSuffix(quoted, ")"))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, data)
		}
	}
	return all
}

// Each character of the basic plane that may begin a name here, or go on with it, may for expat, and their neighbours that may not here
// may not there.
func TestExpatNameCharacters(t *testing.T) {
	t.Parallel()
	x := newExpat(t)
	for _, form := range []string{"<a%c/>", "<%c/>", "<p:%c xmlns:p='u'/>", "<a p:a%c='' xmlns:p='u'/>", "<a xmlns:%c='u'/>"} {
		var taken [0x10000 + 1]bool
		var all strings.Builder
		all.WriteString(plainRoot)
		for r := rune(0x80); r <= 0xFFFF; r++ {
			if _, err := ParseOne(fmt.Appendf(nil, form, r), Limits{}); err == nil {
				taken[r] = true
				fmt.Fprintf(&all, form, r)
			}
		}
		if _, err := x.read(all.String()); err != nil {
			t.Errorf("ABUSE 32 of the characters in %s expat refuses some: %v", form, err)
		}
		for r := rune(0x80); r <= 0xFFFF; r++ {
			if taken[r] || !taken[r-1] && !taken[r+1] || !utf8.ValidRune(r) {
				continue
			}
			if _, err := x.read(fmt.Sprintf(form, r)); err == nil {
				t.Errorf("ABUSE 32 U+%04X in %s: expat takes it", r, form)
			}
		}
	}
}
