package peer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// inboxSize is how many stanzas a user may leave unread. What comes beyond is counted and lost, as with a person.
const inboxSize = 4096

// User is an account of a pretend server. It exists as soon as it is named, and is always online.
type User struct {
	s       *Server
	Address string // bare: user@domain
	inbox   chan Stanza
}

// User returns an account: "alice" of the server's first domain, or "alice@another.domain" of its others.
func (s *Server) User(name string) *User {
	if !strings.Contains(name, "@") {
		name += "@" + s.domains[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[name]
	if !ok {
		u = &User{s: s, Address: name, inbox: make(chan Stanza, inboxSize)}
		s.users[name] = u
	}
	return u
}

// Send sends a chat message and returns its id. Whether it arrived, or came back, is seen in the inboxes.
func (u *User) Send(to, body string) (id string, err error) {
	return u.Submit(Stanza{Kind: "message", Type: "chat", To: to, Body: body})
}

// Presence sends directed presence; kind is empty for available, else unavailable, subscribe and so on.
func (u *User) Presence(to, kind string) (id string, err error) {
	return u.Submit(Stanza{Kind: "presence", Type: kind, To: to})
}

// Submit sends any stanza. A missing id and from are filled in.
func (u *User) Submit(st Stanza) (id string, err error) {
	if st.ID == "" {
		st.ID = u.s.newID()
	}
	if st.From == "" {
		st.From = u.Address
	}
	return st.ID, u.s.route(st)
}

// Query asks with an iq of type get and waits for the answer. One of type error is an answer, not an error.
func (u *User) Query(ctx context.Context, to, payload string) (Stanza, error) {
	id := u.s.newID()
	answer := make(chan Stanza, 1)
	u.s.mu.Lock()
	u.s.waiting[id] = answer
	u.s.mu.Unlock()
	defer func() {
		u.s.mu.Lock()
		defer u.s.mu.Unlock()
		delete(u.s.waiting, id)
	}()
	if _, err := u.Submit(Stanza{Kind: "iq", Type: "get", ID: id, To: to, Inner: payload}); err != nil {
		return Stanza{}, err
	}
	select {
	case st := <-answer:
		return st, nil
	case <-ctx.Done():
		return Stanza{}, fmt.Errorf("asking %s: %w", to, ctx.Err())
	}
}

// Ping asks whether an address is there, XEP-0199.
func (u *User) Ping(ctx context.Context, to string) (Stanza, error) {
	return u.Query(ctx, to, "<ping xmlns='urn:xmpp:ping'/>")
}

// Version asks what software an address runs, XEP-0092.
func (u *User) Version(ctx context.Context, to string) (Stanza, error) {
	return u.Query(ctx, to, "<query xmlns='jabber:iq:version'/>")
}

// Receive waits for the next stanza. Answers to Query are not among them.
func (u *User) Receive(ctx context.Context) (Stanza, error) {
	select {
	case st := <-u.inbox:
		return st, nil
	case <-ctx.Done():
		return Stanza{}, fmt.Errorf("waiting for %s to receive something: %w", u.Address, ctx.Err())
	}
}

func (s *Server) newID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return s.prefix + "-" + strconv.Itoa(s.serial)
}

// deliver gives a stanza to its user, to who waits for that answer, or answers it for them.
func (s *Server) deliver(st Stanza) {
	if s.hooks.Receive != nil {
		s.hooks.Receive(st)
		return
	}
	s.mu.Lock()
	if st.Type == "error" {
		s.stats.Errors[st.Error.Condition]++
	} else {
		s.stats.Received++
	}
	answer := s.waiting[st.ID]
	bare, _, _ := strings.Cut(st.To, "/")
	user := s.users[bare]
	s.mu.Unlock()
	switch {
	case st.Kind == "iq" && (st.Type == "get" || st.Type == "set"):
		s.answer(st)
	case st.Kind == "iq" && answer != nil:
		select {
		case answer <- st:
		default: // answered twice
		}
	case user != nil:
		select {
		case user.inbox <- st:
		default:
		}
	case st.Kind == "message":
		s.refuse(st)
	}
}

// answers are what a server says to a question on its own or its users' behalf, by the question's namespace.
func (s *Server) answer(st Stanza) {
	inner := ""
	switch st.Payload {
	case "urn:xmpp:ping":
	case "jabber:iq:version":
		inner = "<query xmlns='jabber:iq:version'><name>Pretend server</name><version>1</version></query>"
	case "http://jabber.org/protocol/disco#info":
		inner = "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im'/><feature var='urn:xmpp:ping'/></query>"
	default:
		s.refuse(st)
		return
	}
	s.reply(Stanza{Kind: "iq", Type: "result", ID: st.ID, From: st.To, To: st.From, Inner: inner})
}

func (s *Server) refuse(st Stanza) {
	if reply, ok := st.bounce(domainOf(st.To), StanzaError{Type: "cancel", Condition: "service-unavailable"}); ok {
		s.reply(reply)
	}
}

// reply sends what the server says by itself. It goes out aside: the stream that is being read must not wait for another one.
func (s *Server) reply(st Stanza) {
	s.work.Go(func() {
		// Its only fault is a from that is not ours; then the question was not for us.
		_ = s.route(st)
	})
}
