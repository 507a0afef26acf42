package stream

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// canned is a connection with a peer that says one thing and hangs up.
type canned struct {
	says  *strings.Reader
	heard bytes.Buffer
}

func (c *canned) Read(b []byte) (int, error)         { return c.says.Read(b) }
func (c *canned) Write(b []byte) (int, error)        { return c.heard.Write(b) }
func (c *canned) Close() error                       { return nil }
func (c *canned) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (c *canned) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (c *canned) SetDeadline(t time.Time) error      { return nil }
func (c *canned) SetReadDeadline(t time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(t time.Time) error { return nil }

// FuzzHeader: whatever a peer begins with, we read of it what another parser reads, and what we answer is a stream that every
// parser reads: a header of ours, addressed to the domain that was read, and features or an error behind it.
func FuzzHeader(f *testing.F) {
	for _, header := range []string{
		"H(from='remote.example' to='corp.example' version='1.0')",
		"H(from='remote.example' to='corp.example' version='1.0' id='r1' xml:lang='de')F[<starttls xmlns=tls><required/></starttls>]",
		"H()<db:result from='a' to='b'>k</db:result>",
		"H(to='corp.example')<x xmlns='y'/> <message from='a@b' to='c@d'/>",
		"H(to='other.example' version='1.0')</>",
		"H(from='' to='' version='')",
		"H(from='xn--mnchen-3ya.example.' to='MÜNCHEN.example' version='01.10')",
		"<stream xmlns='http://etherx.jabber.org/streams' to=\"corp.example\">",
		"<?xml version=\"1.0\" encoding='utf-8'?>\n<s:stream xmlns:s=\"http://etherx.jabber.org/streams\" xmlns=\"jabber:server\" s:to='x' version='2.0'>",
		"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='&lt;&#39;&#x3e;'>",
		"H(id='r1' version='1.0')<stream:error><host-unknown xmlns=streams/></stream:error></>",
		"<!DOCTYPE x [<!ENTITY a 'b'>]>", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "\xef\xbb\xbf<a>", "",
	} {
		f.Add(shorthand.Replace(header))
	}
	f.Fuzz(func(t *testing.T, header string) {
		conn := &canned{says: strings.NewReader(header)}
		s, err := Accept(t.Context(), conn, strict, hostsCorp, offers)
		checkAnswer(t, header, conn.heard.String(), s, err)
		if err == nil {
			checkHeader(t, header, s.PeerHeader())
			checkNoStanza(t, header, s)
		}

		conn = &canned{says: strings.NewReader(header)}
		s, err = Initiate(t.Context(), conn, strict, corp, remote)
		if root, ok := readRoot(conn.heard.String()); !ok || attr(root, "from") != "corp.example" || attr(root, "to") != "remote.example" {
			t.Fatalf("we call by %s", conn.heard.String())
		}
		if err == nil {
			checkHeader(t, header, s.PeerHeader())
			if s.ID() != s.PeerHeader().ID {
				t.Fatalf("the id in force is %q of the header %+v", s.ID(), s.PeerHeader())
			}
		}
	})
}

// checkAnswer holds what Accept wrote to what it returned.
func checkAnswer(t *testing.T, header, said string, s *Stream, err error) {
	t.Helper()
	var e *Error
	if err != nil && !errors.As(err, &e) {
		if said != "" {
			t.Fatalf("a peer that left is told %s, and we %v", said, err)
		}
		return
	}
	root, ok := readRoot(said)
	if !ok || root.Name.Space != nsStream || len(attr(root, "id")) != idLength || attr(root, "from") != "corp.example" && attr(root, "from") != "" {
		t.Fatalf("%q is answered by %s", header, said)
	}
	if to := attr(root, "to"); to != "" {
		if d, err := jid.ParseDomain(to); err != nil || d.String() != to || s != nil && d != s.Remote() {
			t.Fatalf("%q is answered to %q", header, to)
		}
	}
	if err != nil {
		if !strings.HasSuffix(said, "</stream:stream>") || !wellFormed(said) || !strings.Contains(said, "<stream:error><"+string(e.Condition)+" ") {
			t.Fatalf("%q fails by %v and is told %s", header, err, said)
		}
		return
	}
	features := strings.HasSuffix(said, "</stream:features>")
	if features != s.PeerHeader().Version.modern() || features != (attr(root, "version") == "1.0") || !wellFormed(said+"</stream:stream>") {
		t.Fatalf("%q, of version %v, is answered by %s", header, s.PeerHeader().Version, said)
	}
}

// checkNoStanza reads on to the end: before Trust there is no way to a stanza ([C15]).
func checkNoStanza(t *testing.T, said string, s *Stream) {
	t.Helper()
	for {
		el, err := s.Next()
		if err != nil {
			return
		}
		if el.Kind() != stanza.Other {
			t.Fatalf("%q yields the stanza %s", said, el.Raw())
		}
	}
}

// checkHeader compares what we read with what encoding/xml reads.
func checkHeader(t *testing.T, header string, h Header) {
	t.Helper()
	root, ok := readRoot(header)
	if !ok || root.Name.Space != nsStream || root.Name.Local != "stream" {
		t.Fatalf("we read %+v from what another parser does not take for a stream header: %q", h, header)
	}
	for name, got := range map[string]jid.Domain{"from": h.From, "to": h.To} {
		if want, _ := jid.ParseDomain(attr(root, name)); got != want {
			t.Fatalf("%s is %q in %q, we read %v", name, attr(root, name), header, got)
		}
		if again, err := jid.ParseDomain(got.String()); !got.IsZero() && (err != nil || again != got) {
			t.Fatalf("%s is %v, which is not canonical: %v, %v", name, got, again, err)
		}
	}
	if h.ID != attr(root, "id") || h.BadFrom || h.BadTo {
		t.Fatalf("the id is %q in %q, we read %+v", attr(root, "id"), header, h)
	}
}

// readRoot reads the first start tag with another parser.
func readRoot(text string) (xml.StartElement, bool) {
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		token, err := d.Token()
		if err != nil {
			return xml.StartElement{}, false
		}
		if start, ok := token.(xml.StartElement); ok {
			return start, true
		}
	}
}

func wellFormed(text string) bool {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err != nil {
			return err == io.EOF
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
