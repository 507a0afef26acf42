package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// The namespaces of a stream between servers.
const (
	nsStream   = "http://etherx.jabber.org/streams"
	nsServer   = "jabber:server"
	nsDialback = "jabber:server:dialback"
	nsTLS      = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL     = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsStanzas  = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsStreams  = "urn:ietf:params:xml:ns:xmpp-streams"
)

const (
	setupTime   = 30 * time.Second // each stream, from its first byte to its first proof
	goodbyeTime = 2 * time.Second  // from our </stream:stream> to the other's
)

// StreamError ends a stream, RFC 6120 §4.9.
type StreamError struct {
	Condition string // RFC 6120 §4.9.3, "undefined-condition" when none was named
	Text      string
	Received  bool // the other server said it
}

func (e *StreamError) Error() string {
	if e.Text == "" {
		return "stream error " + e.Condition
	}
	return fmt.Sprintf("stream error %s: %s", e.Condition, e.Text)
}

// header is what a stream header said.
type header struct {
	From, To, ID string
	Version      bool // it had one: features follow
	Dialback     bool // it declared jabber:server:dialback
}

// element is one first-level element, read whole.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Inner    string     `xml:",innerxml"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e *element) is(space, local string) bool {
	return e != nil && e.XMLName.Space == space && e.XMLName.Local == local
}

func (e *element) child(space, local string) *element {
	if e == nil {
		return nil
	}
	for i := range e.Children {
		if e.Children[i].is(space, local) {
			return &e.Children[i]
		}
	}
	return nil
}

func (e *element) attr(local string) string {
	for _, a := range e.Attrs {
		if a.Name.Space == "" && a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// wire is one connection and the stream on it. Reading belongs to one goroutine, writing to any.
type wire struct {
	tcp net.Conn // for deadlines; TLS does not change it

	// Owned by the reader.
	br       *bufio.Reader
	dec      *xml.Decoder
	peer     header   // the other side's newest header
	features *element // what the other side offers, nil when it offered nothing
	ended    bool     // it has said its last word

	mu     sync.Mutex // held while writing
	conn   net.Conn   // tcp, or TLS upon it; the reader alone changes it
	ending bool       // our </stream:stream> was sent
}

func newWire(conn net.Conn) *wire {
	w := &wire{tcp: conn, conn: conn, br: bufio.NewReaderSize(conn, 4096)}
	w.restart()
	return w
}

// restart forgets the stream but not the connection: a new root element follows, RFC 6120 §4.3.3. The decoder reads single
// bytes from br, so nothing that comes later is lost in it.
func (w *wire) restart() {
	w.dec = xml.NewDecoder(w.br)
	w.peer, w.features = header{}, nil
}

// secure runs the TLS handshake on a connection whose clear part has been read to the last byte: what a hostile or broken peer
// sent behind <starttls/> or <proceed/> is not carried over, RFC 6120 §5.4.3.3.
func (w *wire) secure(ctx context.Context, wrap func(net.Conn) *tls.Conn) error {
	if n := w.br.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes in clear stood where TLS had to start", n)
	}
	secured := wrap(w.conn)
	if err := secured.HandshakeContext(ctx); err != nil {
		w.abort()
		return fmt.Errorf("TLS handshake: %w", err)
	}
	w.mu.Lock()
	w.conn = secured
	w.mu.Unlock()
	w.br = bufio.NewReaderSize(secured, 4096)
	w.restart()
	return nil
}

// tls returns what TLS agreed on, nil for a plaintext connection.
func (w *wire) tls() *tls.ConnectionState {
	secured, ok := w.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := secured.ConnectionState()
	return &state
}

// readHeader reads the stream's root start tag.
func (w *wire) readHeader() error {
	for {
		tok, err := w.dec.Token()
		if err != nil {
			return fmt.Errorf("reading the stream header: %w", err)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Space != nsStream || start.Name.Local != "stream" {
			return &StreamError{Condition: "invalid-namespace", Text: "the root element is " + start.Name.Local}
		}
		h, err := parseHeader(start.Attr)
		w.peer = h
		return err
	}
}

func parseHeader(attrs []xml.Attr) (h header, err error) {
	content := ""
	for _, a := range attrs {
		switch {
		case a.Name.Space == "xmlns":
			h.Dialback = h.Dialback || a.Value == nsDialback
		case a.Name.Space != "":
		case a.Name.Local == "xmlns":
			content = a.Value
		case a.Name.Local == "from":
			h.From = a.Value
		case a.Name.Local == "to":
			h.To = a.Value
		case a.Name.Local == "id":
			h.ID = a.Value
		case a.Name.Local == "version":
			h.Version = true
		}
	}
	if content != nsServer {
		return h, &StreamError{Condition: "invalid-namespace", Text: "the content namespace is " + content}
	}
	return h, nil
}

// next reads the next first-level element. It returns io.EOF after </stream:stream> and *StreamError for the peer's error.
func (w *wire) next() (*element, error) {
	for {
		tok, err := w.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.EndElement:
			w.ended = true
			return nil, io.EOF
		case xml.StartElement:
			el := new(element)
			if err := w.dec.DecodeElement(el, &t); err != nil {
				return nil, err
			}
			if el.is(nsStream, "error") {
				w.ended = true // nothing but the closing tag follows, RFC 6120 §4.9.1.1
				return nil, parseStreamError(el)
			}
			return el, nil
		}
	}
}

func parseStreamError(el *element) *StreamError {
	e := &StreamError{Condition: "undefined-condition", Text: strings.TrimSpace(el.Text), Received: true}
	for i := range el.Children {
		c := &el.Children[i]
		switch {
		case c.is(nsStreams, "text"):
			e.Text = c.Text
		case c.XMLName.Space == nsStreams:
			e.Condition = c.XMLName.Local
		}
	}
	return e
}

// trust lifts the deadline of a stream on which something was proved.
func (w *wire) trust() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ending {
		w.tcp.SetDeadline(time.Time{})
	}
}

// write sends bytes as they are.
func (w *wire) write(s string) error {
	_, err := w.writeBytes([]byte(s))
	return err
}

func (w *wire) writeBytes(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return 0, net.ErrClosed
	}
	return w.conn.Write(b)
}

// end says </stream:stream>, after the error if why is a *StreamError of our own, and gives the other side two seconds to say
// it too, RFC 6120 §4.4. Any goroutine may call it; the reader then finds the end and calls close.
func (w *wire) end(why error) {
	// A writer that hangs is set free by the deadline, so that the lock below is had soon.
	w.tcp.SetDeadline(time.Now().Add(goodbyeTime))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return
	}
	w.ending = true
	w.tcp.SetDeadline(time.Now().Add(goodbyeTime)) // again: trust may have come in between
	bye := "</stream:stream>"
	var told *StreamError
	if errors.As(why, &told) && !told.Received {
		bye = fmt.Sprintf("<stream:error><%s xmlns='%s'/><text xmlns='%s' xml:lang='en'>%s</text></stream:error></stream:stream>", told.Condition, nsStreams, nsStreams, escape(told.Text))
	}
	// The peer may be gone already; then nobody is left to tell.
	_, _ = io.WriteString(w.conn, bye)
}

// abort makes end and close say nothing more: a failed handshake leaves no stream to end, RFC 6120 §5.4.3.2.
func (w *wire) abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending, w.ended = true, true
}

// close ends the stream and the connection. The reader alone calls it. What is still on its way is read first: closing a TCP
// connection with unread bytes would reset it, and our last words would be lost.
func (w *wire) close(why error) {
	w.end(why)
	if !w.ended {
		_, _ = io.Copy(io.Discard, w.br)
	}
	w.conn.Close()
}

// headerTag writes a stream header by hand. Empty attributes are left out; id is for the answering side only, RFC 6120 §4.7.3.
func headerTag(h header) string {
	var b strings.Builder
	b.WriteString("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'")
	attribute(&b, "from", h.From)
	attribute(&b, "to", h.To)
	attribute(&b, "id", h.ID)
	if h.Version {
		b.WriteString(" version='1.0' xml:lang='en'")
	}
	b.WriteString(">")
	return b.String()
}

func attribute(b *strings.Builder, name, value string) {
	if value != "" {
		fmt.Fprintf(b, " %s='%s'", name, escape(value))
	}
}

// escape makes text safe between tags and inside quotes.
func escape(s string) string {
	var b strings.Builder
	// A strings.Builder does not fail.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
