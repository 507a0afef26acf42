package stream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"sallyport/internal/stanza"
)

// opened is how conversations on an accepted stream begin.
const opened = `
	R> H(from='remote.example' to='corp.example')
	P> H(from='corp.example' to='remote.example' id='{a}' xml:lang='en')
	`

func accepted(t *testing.T, conn net.Conn, c Config) *Stream {
	t.Helper()
	s, err := Accept(t.Context(), conn, c, hostsCorp, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNextYieldsNoStanza(t *testing.T) {
	t.Parallel()
	for _, st := range []string{"<message/>", "<presence from='a@remote.example' to='b@corp.example'/>", "<iq type='get' id='1'/>", "<message xmlns='jabber:server'><body>x</body></message>"} {
		inBubble(t, opened+`
			R> <x xmlns='urn:x'/>`+st+`<y xmlns='urn:y'/>`,
			func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				must(t, s, "urn:x", "x")
				for range 3 {
					if el, err := s.Next(); !errors.Is(err, ErrStanza) || el != nil {
						t.Fatalf("[C15]: Next returns %v, %v in front of %s", el, err, st)
					}
				}
				batch, err := s.Trust().Batch(nil, 64)
				if err != nil || len(batch) != 2 || string(batch[0].Raw()) != st || !batch[1].Is("urn:y", "y") {
					t.Errorf("once it is trusted, Batch returns %d elements, %v", len(batch), err)
				}
				if s.Trust().Stream() != s {
					t.Error("the trusted stream is another one")
				}
			})
	}
}

func TestPassGoesPastAStanza(t *testing.T) {
	t.Parallel()
	inBubble(t, opened+`
		R> <message id='1'/><message id='2'/><x xmlns='urn:x'/><iq id='3'/>`,
		func(t *testing.T, conn net.Conn) {
			s := accepted(t, conn, strict)
			for range 2 {
				if el, err := s.Next(); !errors.Is(err, ErrStanza) || el != nil {
					t.Fatalf("Next returns %v, %v in front of a stanza", el, err)
				}
				if err := s.Pass(); err != nil {
					t.Fatal(err)
				}
			}
			must(t, s, "urn:x", "x")
			if batch, err := s.Trust().Batch(nil, 64); err != nil || len(batch) != 1 || string(batch[0].ID()) != "3" {
				t.Errorf("[C15]: what was passed comes back: %d elements, %v", len(batch), err)
			}
		})
}

func TestReceivedErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", maxSaid)
	for _, v := range []struct {
		name, said string
		want       Error
	}{
		{"a condition", "<stream:error><host-gone xmlns=streams/></stream:error>", Error{Condition: HostGone}},
		{"with text", "<stream:error><conflict xmlns=streams/><text xmlns=streams xml:lang='de'>Zu viele</text></stream:error>", Error{Condition: Conflict, Text: "Zu viele"}},
		{"text first", "<stream:error><text xmlns=streams>why</text><reset xmlns=streams/></stream:error>", Error{Condition: Reset, Text: "why"}},
		{"[X08]: with an application's element", "<stream:error><policy-violation xmlns=streams/><stanza-too-big xmlns='urn:xmpp:errors'/></stream:error>", Error{Condition: PolicyViolation, App: "stanza-too-big"}},
		{"[C21]: bare text", "<stream:error>\nInvalid XML\n</stream:error>", Error{Condition: UndefinedCondition, Text: "Invalid XML"}},
		{"[C21]: a condition that nobody defined", "<stream:error><tea-time xmlns=streams/></stream:error>", Error{Condition: UndefinedCondition, App: "tea-time"}},
		{"[C21]: a condition of no namespace", "<stream:error><host-gone/></stream:error>", Error{Condition: UndefinedCondition, App: "host-gone"}},
		{"two conditions", "<stream:error><conflict xmlns=streams/><reset xmlns=streams/></stream:error>", Error{Condition: Conflict, App: "reset"}},
		{"nothing at all", "<stream:error/>", Error{Condition: UndefinedCondition}},
		{"a book", "<stream:error>" + long + "</stream:error>", Error{Condition: UndefinedCondition, Text: long[:maxSaid]}},
		{"a book, cut within a character", "<stream:error>a" + long + "</stream:error>", Error{Condition: UndefinedCondition, Text: "a" + long[:maxSaid-2]}},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, opened+"R> "+strings.ReplaceAll(v.said, "\n", "&lf;")+"</>", func(t *testing.T, conn net.Conn) {
				s := accepted(t, conn, strict)
				for range 2 {
					_, err := s.Next()
					var e *Error
					v.want.Received = true
					if !errors.As(err, &e) || *e != v.want {
						t.Errorf("got %#v, want %#v", err, v.want)
					}
				}
			})
		})
	}
}

func TestBatchEndsAtAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, opened+`
		R> <message id='1'/><message id='2'/><stream:error><system-shutdown xmlns=streams/></stream:error></>`,
		func(t *testing.T, conn net.Conn) {
			trusted := accepted(t, conn, strict).Trust()
			batch, err := trusted.Batch(nil, 8)
			if err != nil || len(batch) != 2 || string(batch[1].ID()) != "2" {
				t.Fatalf("[C17]: the stanzas before the error are %d, %v", len(batch), err)
			}
			for range 2 {
				if batch, err = trusted.Batch(batch, 8); len(batch) != 0 || !errors.Is(err, SystemShutdown) {
					t.Errorf("then comes %d, %v", len(batch), err)
				}
			}
		})
}

func TestNextEnds(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, said string
		want       error
	}{
		{"[C17]: closing tag", "</>", ErrClosed},
		{"[C17]: closing tag behind white space", "&white;&lf;</>", ErrClosed},
		{"connection lost", "&white;\nR> EOF", io.EOF},
		{"connection lost within an element", "<x xmlns=\nR> EOF", io.ErrUnexpectedEOF},
		{"[C03]: an element of clients", "<message xmlns='jabber:client'/>", InvalidNamespace},
		{"[C05]: a stanza with a prefix", "<s:message xmlns:s='jabber:server'/>", BadNamespacePrefix},
		{"[X01]: a comment", "<!-- -->", RestrictedXML},
		{"[X03]: crossed tags", "<a><b></a>", NotWellFormed},
		{"text", "hello", BadFormat},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			near, away := pipe(t)
			go func() {
				f := &far{conn: away, ids: map[string]string{}}
				f.play(opened + "R> " + v.said)
				drain(away)
			}()
			s := accepted(t, near, strict)
			el, err := s.Next()
			if !errors.Is(err, v.want) {
				t.Errorf("Next: %v, %v, want %v", el, err, v.want)
			}
			if _, again := s.Next(); !errors.Is(again, v.want) {
				t.Errorf("Next once more: %v, want %v", again, v.want)
			}
		})
	}
}

// ABUSE 23, 26, [C31]: before anything is proved a peer may say little, whatever it says.
func TestUnprovedPeersAreBounded(t *testing.T) {
	t.Parallel()
	small := Config{Strict: true, Limits: Limits{PreAuthBytes: 4096, PreAuthElements: 8}}
	for name, said := range map[string]string{
		"one big element":     "<x xmlns='" + strings.Repeat("a", 8000) + "'/>",
		"one open element":    "<x>" + strings.Repeat("<y/>", 2000),
		"many elements":       strings.Repeat("<x xmlns='y'/>", 9),
		"white space":         strings.Repeat(" ", 8000),
		"a name without end":  "<" + strings.Repeat("a", 8000),
		"text without end":    "<x>" + strings.Repeat("a", 8000),
		"elements and spaces": strings.Repeat("<x/>"+strings.Repeat(" ", 1000), 8),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, away := pipe(t)
			go func() {
				f := &far{conn: away, ids: map[string]string{}}
				if f.play(opened) == nil {
					io.WriteString(away, said)
				}
				drain(away)
			}()
			s := accepted(t, near, small)
			var err error
			for n := 0; err == nil; n++ {
				if _, err = s.Next(); n > 8 {
					t.Fatalf("%d elements were read", n)
				}
			}
			if !errors.Is(err, PolicyViolation) {
				t.Errorf("it ends with %v, want policy-violation", err)
			}
		})
	}
}

// [C31]: the limits of the unproved end with Trust, those of a stanza do not.
func TestTrustLiftsLimits(t *testing.T) {
	t.Parallel()
	near, away := pipe(t)
	const stanzas = 100
	go func() {
		f := &far{conn: away, ids: map[string]string{}}
		if f.play(opened) != nil {
			return
		}
		for i := range stanzas {
			fmt.Fprintf(away, "<message id='%d'>%s</message>", i, strings.Repeat("a", 1000))
		}
		io.WriteString(away, "<message>"+strings.Repeat("a", stanza.MinStanza))
		drain(away)
	}()
	limits := stanza.DefaultLimits()
	limits.Stanza = stanza.MinStanza
	s := accepted(t, near, Config{Limits: Limits{Stanza: limits, PreAuthBytes: 4096, PreAuthElements: 8}})
	trusted := s.Trust()
	got := 0
	for {
		batch, err := trusted.Batch(nil, 64)
		if got += len(batch); err == nil {
			continue
		}
		var e *Error
		if got != stanzas || !errors.As(err, &e) || e.Condition != PolicyViolation || e.App != "stanza-too-big" {
			t.Errorf("[X08]: %d stanzas of %d, then %v", got, stanzas, err)
		}
		return
	}
}

// A stream of ours lives long, and what peers say there in the course of time adds up; only each word of it must be short.
func TestCalledPeersAreBoundedByElement(t *testing.T) {
	t.Parallel()
	near, away := pipe(t)
	const answers = 1000
	go func() {
		f := &far{conn: away, ids: map[string]string{}}
		if f.play("P> H(from='corp.example' to='remote.example' xml:lang='en' version='1.0')\nR> H(id='r1' version='1.0')F[]") != nil {
			return
		}
		for range answers {
			io.WriteString(away, "  <db:result from='remote.example' to='corp.example' type='valid'/>")
		}
		io.WriteString(away, "<x>"+strings.Repeat("a", 20000))
		drain(away)
	}()
	s, err := Initiate(t.Context(), near, strict, corp, remote)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for ; err == nil; got++ {
		_, err = s.Next()
	}
	if got != answers+1 || !errors.Is(err, PolicyViolation) {
		t.Errorf("%d answers were read, then %v", got-1, err)
	}
}
