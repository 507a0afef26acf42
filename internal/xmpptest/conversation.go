package xmpptest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Stage is what a conversation is held with: the doors of a gate, the places where the gate itself calls, and its record.
type Stage struct {
	Doors    map[string]string       // "outside", "inside": addresses of the gate's listeners
	Calls    map[string]net.Listener // "remote", "backend": where the gate connects to
	Client   map[string]*tls.Config  // certificates that a part can show when it starts TLS as client, by name
	Server   map[string]*tls.Config  // the same as server
	Key      func(secret, receiving, originating, id string) string
	Record   func() []byte           // the record so far, JSON Lines
	Do       map[string]func() error // what a script may do to the gate: reload, drain, …
	Patience time.Duration
	Trickle  bool // parts send byte by byte
}

// Converse plays a script against a stage. A script is lines; `#` begins a comment. Parts are named when they first speak:
//
//	r connects outside            r opens a connection to a door of the gate
//	a accepts remote              the gate opens a connection to a place, where a takes it
//	r sends <db:result …>         sent as it stands; {name} is replaced by what was captured under that name
//	r sends header …              the stream header with these attributes, with all three namespaces
//	r receives <db:result …       the next element of the gate is compared: {name} captures (or repeats) a value, … is anything
//	r receives nothing            no byte comes for a short while
//	r tls client NAME             TLS handshake as client, showing the certificate NAME ("none" for none)
//	a tls server NAME             the same as server
//	r tls client NAME fails       the gate does not finish the handshake
//	r closed                      the gate ends the connection
//	r ends                        the gate ends the stream in good order: its closing tag, then close_notify where there is TLS
//	r closes                      the part ends it
//	key {k} outside R O {id}      computes a dialback key of the gate or of a part's own secret
//	record has …                  the record has an event in whose line all of these words stand
//	record lacks …                it has none
//	do reload                     something is done to the gate
//
// A line that begins with white space continues the one above it.
func Converse(t testing.TB, stage Stage, script string) {
	t.Helper()
	c := Begin(t, stage)
	defer c.End()
	c.Play(script)
}

// Conversation is one that goes on: between two pieces of script a test may take a part's connection in its own hands.
type Conversation struct {
	t          testing.TB
	stage      Stage
	parts      map[string]*part
	vars       map[string]string
	transcript bytes.Buffer
}

// Begin begins a conversation. Its connections end with the test.
func Begin(t testing.TB, stage Stage) *Conversation {
	c := &Conversation{t: t, stage: stage, parts: map[string]*part{}, vars: map[string]string{}}
	t.Cleanup(c.End)
	return c
}

// Play plays a script, as Converse does. Parts and captured values are those of the scripts before it.
func (c *Conversation) Play(script string) {
	c.t.Helper()
	for _, line := range joinLines(script) {
		if err := c.line(line.text); err != nil {
			c.t.Fatalf("script line %d: %s\n\t%v\n%s", line.number, line.text, err, c.transcript.String())
		}
	}
}

// Conn is the connection of a part, of which all that came was received.
func (c *Conversation) Conn(name string) net.Conn {
	c.t.Helper()
	p := c.parts[name]
	if p == nil || len(p.buf) > 0 {
		c.t.Fatalf("%s has no connection, or something was not received from it yet", name)
	}
	return p.conn
}

type scriptLine struct {
	number int
	text   string
}

func joinLines(script string) []scriptLine {
	var lines []scriptLine
	for i, raw := range strings.Split(script, "\n") {
		text := strings.TrimSpace(raw)
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
		case (strings.HasPrefix(raw, " ") || strings.HasPrefix(raw, "\t")) && len(lines) > 0:
			lines[len(lines)-1].text += text
		default:
			lines = append(lines, scriptLine{i + 1, text})
		}
	}
	return lines
}

// part is one connection of the script.
type part struct {
	conn net.Conn
	buf  []byte
}

// Next is the next element that comes to a part.
func (c *Conversation) Next(name string) string {
	c.t.Helper()
	got, err := c.parts[name].element(c.stage.Patience)
	if err != nil {
		c.t.Fatalf("waiting for something to come to %s: %v", name, err)
	}
	return got
}

// Take makes a connection that the test has opened a part.
func (c *Conversation) Take(name string, conn net.Conn) { c.parts[name] = &part{conn: conn} }

// Value is what was captured under a name, as "{k}"; empty if nothing was.
func (c *Conversation) Value(name string) string { return c.vars[name] }

// End ends the connections of all parts.
func (c *Conversation) End() {
	for _, p := range c.parts {
		p.conn.Close()
	}
}

func (c *Conversation) line(text string) error {
	words := strings.Fields(text)
	if len(words) < 2 {
		return errors.New("not a sentence")
	}
	rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(text, words[0])), words[1]))
	switch {
	case words[0] == "key":
		return c.key(words[1:])
	case words[0] == "record":
		return c.record(words[1], rest)
	case words[0] == "do":
		do := c.stage.Do[words[1]]
		if do == nil {
			return fmt.Errorf("nothing called %q can be done", words[1])
		}
		return do()
	case words[1] == "connects":
		return c.connect(words[0], rest)
	case words[1] == "accepts":
		return c.accept(words[0], rest)
	}
	p := c.parts[words[0]]
	if p == nil {
		return fmt.Errorf("%s has no connection", words[0])
	}
	switch words[1] {
	case "sends":
		return c.send(words[0], p, rest)
	case "receives":
		return c.receive(words[0], p, rest)
	case "tls":
		err := c.tls(p, words[2], words[3])
		if len(words) == 5 && words[4] == "fails" {
			if err == nil {
				return errors.New("the handshake succeeded")
			}
			return nil
		}
		return err
	case "closed":
		return c.closed(p)
	case "ends":
		return c.ends(p)
	case "closes":
		return p.conn.Close()
	}
	return fmt.Errorf("%q is not known", words[1])
}

func (c *Conversation) connect(name, door string) error {
	addr, ok := c.stage.Doors[door]
	if !ok {
		return fmt.Errorf("there is no door %q", door)
	}
	conn, err := net.DialTimeout("tcp", addr, c.stage.Patience)
	if err != nil {
		return err
	}
	c.parts[name] = &part{conn: conn}
	return nil
}

func (c *Conversation) accept(name, place string) error {
	ln, ok := c.stage.Calls[place]
	if !ok {
		return fmt.Errorf("there is no place %q", place)
	}
	type deadliner interface{ SetDeadline(time.Time) error }
	if d, ok := ln.(deadliner); ok {
		if err := d.SetDeadline(time.Now().Add(c.stage.Patience)); err != nil {
			return err
		}
	}
	conn, err := ln.Accept()
	if err != nil {
		return fmt.Errorf("the gate did not call: %w", err)
	}
	c.parts[name] = &part{conn: conn}
	return nil
}

// header is what every server of today sends first.
const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'%s>`

func (c *Conversation) send(name string, p *part, text string) error {
	if text == "header" || strings.HasPrefix(text, "header ") {
		text = fmt.Sprintf(header, strings.TrimPrefix(text, "header"))
	}
	text = c.fill(text)
	fmt.Fprintf(&c.transcript, "  %s> %s\n", name, text)
	if err := p.conn.SetWriteDeadline(time.Now().Add(c.stage.Patience)); err != nil {
		return err
	}
	if c.stage.Trickle {
		return trickle(p.conn, text)
	}
	_, err := io.WriteString(p.conn, text)
	return err
}

// trickle writes byte by byte; Go sets TCP_NODELAY, so each is a segment of its own while the receiver keeps up.
func trickle(w io.Writer, text string) error {
	for i := range len(text) {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

var hole = regexp.MustCompile(`\{[a-z0-9_]+\}`)

func (c *Conversation) fill(text string) string {
	return hole.ReplaceAllStringFunc(text, func(h string) string {
		if v, ok := c.vars[h]; ok {
			return v
		}
		return h
	})
}

// receive compares the next element; `header` and `features` stand for the two that begin a stream.
func (c *Conversation) receive(name string, p *part, want string) error {
	if want == "nothing" {
		return c.silence(p)
	}
	got, err := p.element(c.stage.Patience)
	fmt.Fprintf(&c.transcript, "  %s< %s\n", name, got)
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", want, err)
	}
	if want == "header" || strings.HasPrefix(want, "header ") {
		_, tag, _ := strings.Cut(got, "?>")
		for _, attr := range strings.Fields(strings.TrimPrefix(want, "header")) {
			if err := c.match(attr, tag, false); err != nil {
				return err
			}
		}
		if !strings.Contains(got, "<stream:stream ") {
			return fmt.Errorf("not a stream header: %s", got)
		}
		return nil
	}
	return c.match(want, got, true)
}

// match compares a pattern with what came, whole or as a part of it.
func (c *Conversation) match(want, got string, whole bool) error {
	absent := strings.HasPrefix(want, "!")
	want = strings.TrimPrefix(want, "!")
	pattern := regexp.QuoteMeta(c.fill(want))
	var names []string
	pattern = regexp.MustCompile(`\\\{[a-z0-9_]+\\\}`).ReplaceAllStringFunc(pattern, func(h string) string {
		names = append(names, strings.ReplaceAll(h, `\`, ""))
		return `([^'"<> ]+)`
	})
	pattern = strings.ReplaceAll(pattern, "…", `(?s:.*?)`)
	if whole {
		pattern = "^" + pattern + "$"
	}
	m := regexp.MustCompile(pattern).FindStringSubmatch(got)
	switch {
	case absent && m != nil:
		return fmt.Errorf("came:   %s\nwith:   %s", got, want)
	case absent:
		return nil
	case m == nil:
		return fmt.Errorf("came:   %s\nwanted: %s", got, c.fill(want))
	}
	for i, n := range names {
		c.vars[n] = m[i+1]
	}
	return nil
}

// silence holds when no byte comes for a fifth of a second.
func (c *Conversation) silence(p *part) error {
	if len(p.buf) > 0 {
		return fmt.Errorf("came: %s", p.buf)
	}
	p.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	var b [512]byte
	n, err := p.conn.Read(b[:])
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("came: %q, %v", b[:n], err)
	}
	return nil
}

func (c *Conversation) tls(p *part, role, cert string) error {
	if len(p.buf) > 0 {
		return fmt.Errorf("bytes before the handshake: %q", p.buf)
	}
	var conn *tls.Conn
	switch configs := map[string]map[string]*tls.Config{"client": c.stage.Client, "server": c.stage.Server}[role]; {
	case configs[cert] == nil:
		return fmt.Errorf("there is no %s certificate %q", role, cert)
	case role == "client":
		conn = tls.Client(p.conn, configs[cert])
	default:
		conn = tls.Server(p.conn, configs[cert])
	}
	conn.SetDeadline(time.Now().Add(c.stage.Patience))
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	p.conn = conn
	return conn.SetDeadline(time.Time{})
}

// closed holds when the gate ends the connection; what it says before is skipped, but for stanzas.
func (c *Conversation) closed(p *part) error {
	p.conn.SetReadDeadline(time.Now().Add(c.stage.Patience))
	rest, err := io.ReadAll(p.conn)
	p.buf = append(p.buf, rest...)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the connection still stands; came: %q", p.buf)
	}
	if s := string(p.buf); s != "" && s != "</stream:stream>" {
		return fmt.Errorf("came before the end: %s", s)
	}
	return nil
}

// ends holds when the closing tag is the gate's last word and nothing was cut off behind it: an end of TLS without close_notify is an
// unexpected EOF.
func (c *Conversation) ends(p *part) error {
	p.conn.SetReadDeadline(time.Now().Add(c.stage.Patience))
	rest, err := io.ReadAll(p.conn)
	if s := string(append(p.buf, rest...)); s != "</stream:stream>" || err != nil {
		return fmt.Errorf("came at the end: %q, %v", s, err)
	}
	return nil
}

func (c *Conversation) key(words []string) error {
	if len(words) != 5 {
		return errors.New("key {name} SECRET RECEIVING ORIGINATING ID")
	}
	c.vars[words[0]] = c.stage.Key(words[1], words[2], words[3], c.fill(words[4]))
	return nil
}

// record looks for an event; events that nobody waits for take a moment to be written.
func (c *Conversation) record(verb, rest string) error {
	words := strings.Fields(c.fill(rest))
	found := func() bool {
		for line := range bytes.Lines(c.stage.Record()) {
			all := true
			for _, w := range words {
				all = all && bytes.Contains(line, []byte(w))
			}
			if all {
				return true
			}
		}
		return false
	}
	if verb == "lacks" {
		if found() {
			return fmt.Errorf("the record has an event with %v:\n%s", words, c.stage.Record())
		}
		return nil
	}
	for end := time.Now().Add(c.stage.Patience); time.Now().Before(end); {
		if found() {
			return nil
		}
		<-time.After(5 * time.Millisecond)
	}
	return fmt.Errorf("the record has no event with %v:\n%s", words, c.stage.Record())
}
