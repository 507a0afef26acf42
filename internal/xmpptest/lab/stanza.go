package lab

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Namespaces that the tests' conversations need.
const (
	nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsStream  = "http://etherx.jabber.org/streams"
	nsServer  = "jabber:server"
	nsMUCUser = "http://jabber.org/protocol/muc#user"
)

// Stanza is any element that was received.
type Stanza struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []Stanza   `xml:",any"`
}

// Attr returns the attribute without a namespace, "" when there is none.
func (s *Stanza) Attr(name string) string {
	for _, a := range s.Attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// Child returns the first child with that name, nil when there is none. An empty space is any.
func (s *Stanza) Child(space, local string) *Stanza {
	if s == nil {
		return nil
	}
	for i := range s.Children {
		c := &s.Children[i]
		if c.XMLName.Local == local && (space == "" || c.XMLName.Space == space) {
			return c
		}
	}
	return nil
}

// Is reports whether the stanza is a message, presence or iq of the type.
func (s *Stanza) Is(kind, typ string) bool { return s.XMLName.Local == kind && s.Attr("type") == typ }

// Body returns the text of a message.
func (s *Stanza) Body() string {
	if body := s.Child("", "body"); body != nil {
		return body.Text
	}
	return ""
}

// Condition returns the defined condition of an error stanza (RFC 6120 §8.3.3), "" when there is none.
func (s *Stanza) Condition() string {
	e := s.Child("", "error")
	if e == nil {
		return ""
	}
	for _, c := range e.Children {
		if c.XMLName.Space == nsStanzas && c.XMLName.Local != "text" {
			return c.XMLName.Local
		}
	}
	return ""
}

// String shows the stanza in a line, near enough to XML for a person.
func (s *Stanza) String() string {
	var b strings.Builder
	b.WriteString("<" + s.XMLName.Local)
	for _, a := range s.Attrs {
		fmt.Fprintf(&b, " %s=%q", a.Name.Local, a.Value)
	}
	b.WriteString(">" + strings.TrimSpace(s.Text))
	for i := range s.Children {
		b.WriteString(s.Children[i].String())
	}
	b.WriteString("</" + s.XMLName.Local + ">")
	return b.String()
}

// inbox is what somebody has received and nobody has asked for yet.
type inbox struct {
	mu      sync.Mutex
	stanzas []Stanza
	err     error         // why no more come
	news    chan struct{} // closed at the next change
}

func newInbox() *inbox { return &inbox{news: make(chan struct{})} }

func (b *inbox) put(s Stanza) { b.change(func() { b.stanzas = append(b.stanzas, s) }) }

func (b *inbox) end(err error) { b.change(func() { b.err = err }) }

func (b *inbox) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.news)
	b.news = make(chan struct{})
}

// take removes and returns the first stanza that matches, waiting for it.
func (b *inbox) take(ctx context.Context, match func(*Stanza) bool) (Stanza, error) {
	for {
		b.mu.Lock()
		for i := range b.stanzas {
			if s := b.stanzas[i]; match(&s) {
				b.stanzas = append(b.stanzas[:i:i], b.stanzas[i+1:]...)
				b.mu.Unlock()
				return s, nil
			}
		}
		news, err := b.news, b.err
		b.mu.Unlock()
		if err != nil {
			return Stanza{}, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Stanza{}, ctx.Err()
		}
	}
}

// String lists what is there.
func (b *inbox) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list strings.Builder
	for i := range b.stanzas {
		list.WriteString("\n  " + b.stanzas[i].String())
	}
	return list.String()
}

// patience is how long a stanza may take to cross two servers and the gate, with all streams yet to be set up.
const patience = 40 * time.Second

// bounceTime is how long the gate may try before it gives up: the age of its queue and something for the way back.
const bounceTime = 75 * time.Second

// expect is take for a test: who and what are for its message.
func (b *inbox) expect(t testing.TB, who, what string, wait time.Duration, match func(*Stanza) bool) Stanza {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	s, err := b.take(ctx, match)
	if err != nil {
		t.Fatalf("%s did not get %s: %v; else got:%s", who, what, err, b)
	}
	return s
}

// arrives is expect for what may as well not come.
func (b *inbox) arrives(t testing.TB, wait time.Duration, match func(*Stanza) bool) bool {
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	_, err := b.take(ctx, match)
	return err == nil
}

// received returns what is there already and matches.
func (b *inbox) received(match func(*Stanza) bool) []Stanza {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Stanza
	for i := range b.stanzas {
		if match(&b.stanzas[i]) {
			list = append(list, b.stanzas[i])
		}
	}
	return list
}
