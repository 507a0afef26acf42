package lab

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Client is a person's connection to her server (RFC 6120, RFC 6121). It dials the server on the server's own host.
type Client struct {
	jid  string // full
	conn net.Conn
	dec  *xml.Decoder
	in   *inbox
	mu   sync.Mutex // writing

	ended chan struct{} // closed when nothing comes any more
}

// Client logs a user in, named by the localpart or by the address at one of the server's further domains, and sends initial presence, so that messages come. It uses TLS where the server offers it.
func (l *Lab) Client(t testing.TB, s *Server, user string) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	c := &Client{in: newInbox(), ended: make(chan struct{})}
	err := c.login(ctx, s, user)
	// COMPAT(jabberd2): it knows sessions by file descriptor, and the end of one that was closed a moment ago can hit the
	// next that has got the same number.
	for try := 0; err != nil && strings.Contains(err.Error(), "internal-server-error") && try < 5; try++ {
		_ = c.conn.Close()
		err = c.login(ctx, s, user)
	}
	if err != nil {
		t.Fatalf("logging in as %s@%s: %v", user, s.Domain, err)
	}
	go c.read()
	t.Cleanup(c.Close)
	// Only who has asked for the roster is told about subscriptions (RFC 6121 §2.2).
	c.Send(t, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
	c.Expect(t, "the roster", func(s *Stanza) bool { return s.Attr("id") == "roster" })
	return c
}

// login is RFC 6120 §9.1 from the client's side.
func (c *Client) login(ctx context.Context, s *Server, user string) error {
	var err error
	local, domain := s.address(user)
	if c.conn, err = s.Host.Dial(ctx, "tcp", s.loopback(5222).String()); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	features, err := c.open(domain)
	if err != nil {
		return err
	}
	if features.Child(nsTLS, "starttls") != nil {
		if _, err := c.ask("<starttls xmlns='"+nsTLS+"'/>", "proceed"); err != nil {
			return err
		}
		c.conn = tls.Client(c.conn, &tls.Config{ServerName: domain, InsecureSkipVerify: true})
		if features, err = c.open(domain); err != nil {
			return err
		}
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + local + "\x00" + Password))
	if _, err := c.ask("<auth xmlns='"+nsSASL+"' mechanism='PLAIN'>"+plain+"</auth>", "success"); err != nil {
		return fmt.Errorf("%w (features were %s)", err, features)
	}
	if features, err = c.open(domain); err != nil {
		return err
	}
	bound, err := c.ask("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>lab</resource></bind></iq>", "iq")
	if err != nil {
		return err
	}
	jid := bound.Child("", "bind").Child("", "jid")
	if jid == nil {
		return fmt.Errorf("binding a resource: %s", bound)
	}
	c.jid = jid.Text
	if features.Child("", "session") != nil { // RFC 3921 §3, which jabberd2 insists on
		if _, err := c.ask("<iq type='set' id='session'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "iq"); err != nil {
			return err
		}
	}
	return c.conn.SetDeadline(time.Time{})
}

// open starts a stream and returns its features.
func (c *Client) open(domain string) (*Stanza, error) {
	c.dec = xml.NewDecoder(c.conn)
	header := "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='" + nsStream + "' to='" + domain + "' version='1.0'>"
	if _, err := io.WriteString(c.conn, header); err != nil {
		return nil, err
	}
	if _, err := nextStart(c.dec); err != nil {
		return nil, fmt.Errorf("waiting for the stream header: %w", err)
	}
	return nextElement(c.dec)
}

// ask sends raw and returns the answer, which has to be an element of that name.
func (c *Client) ask(raw, want string) (*Stanza, error) {
	if _, err := io.WriteString(c.conn, raw); err != nil {
		return nil, err
	}
	for {
		answer, err := nextElement(c.dec)
		switch {
		case err != nil:
			return nil, fmt.Errorf("waiting for %s: %w", want, err)
		case answer.XMLName.Local == want:
			return answer, nil
		case answer.XMLName.Local == "failure", answer.XMLName.Local == "error":
			return nil, fmt.Errorf("waiting for %s: got %s", want, answer)
		}
	}
}

func (c *Client) read() {
	defer close(c.ended)
	for {
		s, err := nextElement(c.dec)
		if err != nil {
			c.in.end(fmt.Errorf("the connection of %s has ended: %w", c.jid, err))
			return
		}
		c.in.put(*s)
	}
}

// JID returns the full address.
func (c *Client) JID() string { return c.jid }

// Send writes raw XML, a format with its arguments.
func (c *Client) Send(t testing.TB, format string, args ...any) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintf(c.conn, format, args...); err != nil {
		t.Fatalf("%s sends: %v", c.jid, err)
	}
}

// Expect waits for the first stanza that matches, says what it was if none comes, and leaves all others for later.
func (c *Client) Expect(t testing.TB, what string, match func(*Stanza) bool) Stanza {
	t.Helper()
	return c.in.expect(t, c.jid, what, patience, match)
}

// ExpectWithin is Expect with another time than the usual.
func (c *Client) ExpectWithin(t testing.TB, wait time.Duration, what string, match func(*Stanza) bool) Stanza {
	t.Helper()
	return c.in.expect(t, c.jid, what, wait, match)
}

// Arrives reports whether such a stanza comes in time.
func (c *Client) Arrives(t testing.TB, wait time.Duration, match func(*Stanza) bool) bool {
	return c.in.arrives(t, wait, match)
}

// Received returns what has come, matches, and was not expected.
func (c *Client) Received(match func(*Stanza) bool) []Stanza { return c.in.received(match) }

// Close ends the stream and waits until the server has ended it too.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.conn, "</stream:stream>")
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second):
	}
	_ = c.conn.Close()
}

// nextStart returns the next start tag.
func nextStart(dec *xml.Decoder) (xml.StartElement, error) {
	for {
		tok, err := dec.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return tok, nil
		case xml.EndElement:
			return xml.StartElement{}, errClosed
		}
	}
}

// errClosed: the other side has closed its stream.
var errClosed = errors.New("stream closed")

// nextElement returns the next whole element of a stream.
func nextElement(dec *xml.Decoder) (*Stanza, error) {
	start, err := nextStart(dec)
	if err != nil {
		return nil, err
	}
	s := new(Stanza)
	if err := dec.DecodeElement(s, &start); err != nil {
		return nil, fmt.Errorf("reading <%s>: %w", start.Name.Local, err)
	}
	return s, nil
}

// domainOf is the domain of an address.
func domainOf(jid string) string {
	if _, rest, found := strings.Cut(jid, "@"); found {
		jid = rest
	}
	domain, _, _ := strings.Cut(jid, "/")
	return domain
}
