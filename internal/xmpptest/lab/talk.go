package lab

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"
)

// User is somebody who can talk: a Client of a real server or a Person at a Pretend.
type User interface {
	JID() string
	Send(t testing.TB, format string, args ...any)
	Expect(t testing.TB, what string, match func(*Stanza) bool) Stanza
	Arrives(t testing.TB, wait time.Duration, match func(*Stanza) bool) bool
}

// Bare is the user's address without the resource.
func Bare(u User) string {
	bare, _, _ := strings.Cut(u.JID(), "/")
	return bare
}

// Canary is in every body that the conversations here send: a word that is nowhere else, so that a capture that has it
// has a stanza in clear.
const Canary = "canary-in-the-tunnel"

// Message lets from write to to, and returns what arrived.
func Message(t testing.TB, from, to User) Stanza {
	t.Helper()
	body := Canary + " " + rand.Text()
	from.Send(t, "<message type='chat' id='%s' to='%s'><body>%s</body></message>", rand.Text(), Bare(to), body)
	got := to.Expect(t, "the message "+body, func(s *Stanza) bool { return s.XMLName.Local == "message" && s.Body() == body })
	if got.Attr("from") != from.JID() {
		t.Errorf("the message of %s came from %q", from.JID(), got.Attr("from"))
	}
	return got
}

// Subscribe lets from ask to see to's presence, to agree, and from see it (RFC 6121 §3.1). ejabberd as shipped drops what is
// more than five such presences a minute and user (mod_pres_counter): two Subscribe for each of its users, not three.
func Subscribe(t testing.TB, from, to User) {
	t.Helper()
	from.Send(t, "<presence type='subscribe' to='%s'/>", Bare(to))
	to.Expect(t, "the subscription request of "+Bare(from), func(s *Stanza) bool {
		return s.Is("presence", "subscribe") && s.Attr("from") == Bare(from)
	})
	to.Send(t, "<presence type='subscribed' to='%s'/>", Bare(from))
	from.Expect(t, "the approval of "+Bare(to), func(s *Stanza) bool {
		return s.Is("presence", "subscribed") && s.Attr("from") == Bare(to)
	})
	// The server of a Client has told it by now; a Person says so itself.
	to.Send(t, "<presence to='%s'/>", Bare(from))
	from.Expect(t, "the presence of "+to.JID(), func(s *Stanza) bool {
		return s.Is("presence", "") && s.Attr("from") == to.JID()
	})
}

// Query is a question that every server answers.
type Query struct {
	Name, Payload string
	Answer        [2]string // namespace and name of the payload of the answer; empty: none
}

// Queries are those that the integration tests ask.
func Queries() []Query {
	return []Query{
		{"ping", "<ping xmlns='urn:xmpp:ping'/>", [2]string{}},
		{"version", "<query xmlns='jabber:iq:version'/>", [2]string{"jabber:iq:version", "query"}},
		{"disco", "<query xmlns='http://jabber.org/protocol/disco#info'/>", [2]string{"http://jabber.org/protocol/disco#info", "query"}},
	}
}

// Ask lets from send the query to a server, and checks its result.
func Ask(t testing.TB, from User, domain string, q Query) {
	t.Helper()
	id := rand.Text()
	from.Send(t, "<iq type='get' id='%s' to='%s'>%s</iq>", id, domain, q.Payload)
	got := from.Expect(t, "the answer of "+domain+" to "+q.Name, func(s *Stanza) bool {
		return s.XMLName.Local == "iq" && s.Attr("id") == id
	})
	if got.Attr("type") != "result" || got.Attr("from") != domain {
		t.Errorf("%s to %s was answered with %s", q.Name, domain, got.String())
	}
	if q.Answer[1] != "" && got.Child(q.Answer[0], q.Answer[1]) == nil {
		t.Errorf("the answer of %s to %s has no payload: %s", domain, q.Name, got.String())
	}
}

// GroupChat lets owner make a room, guest join it, and both say something that both hear (XEP-0045 §7).
func GroupChat(t testing.TB, service string, owner, guest User) {
	t.Helper()
	room := "room-" + strings.ToLower(rand.Text()[:8]) + "@" + service
	join := func(u User, nick string) {
		t.Helper()
		u.Send(t, "<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room, nick)
		u.Expect(t, "its own presence in "+room, func(s *Stanza) bool {
			return s.Is("presence", "") && s.Attr("from") == room+"/"+nick
		})
	}
	join(owner, "owner")
	id := rand.Text()
	owner.Send(t, "<iq type='set' id='%s' to='%s'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>", id, room)
	owner.Expect(t, "the room's opening", func(s *Stanza) bool { return s.Attr("id") == id }) // XEP-0045 §10.1.2
	join(guest, "guest")
	owner.Expect(t, "the guest's presence", func(s *Stanza) bool {
		return s.Is("presence", "") && s.Attr("from") == room+"/guest"
	})
	say := func(from, to User, nick string) {
		t.Helper()
		body := Canary + " " + rand.Text()
		from.Send(t, "<message type='groupchat' id='%s' to='%s'><body>%s</body></message>", rand.Text(), room, body)
		for _, u := range []User{from, to} {
			u.Expect(t, nick+"'s word in the room", func(s *Stanza) bool {
				return s.Is("message", "groupchat") && s.Body() == body && s.Attr("from") == room+"/"+nick
			})
		}
	}
	say(owner, guest, "owner")
	say(guest, owner, "guest")
	guest.Send(t, "<presence type='unavailable' to='%s/guest'/>", room)
	owner.Expect(t, "the guest's leaving", func(s *Stanza) bool {
		return s.Is("presence", "unavailable") && s.Attr("from") == room+"/guest"
	})
}

// InOrder lets from write n messages at once, which have to arrive one after the other (RFC 6120 §10.1).
func InOrder(t testing.TB, from, to User, n int) {
	t.Helper()
	mark := rand.Text()
	for i := range n {
		from.Send(t, "<message type='chat' to='%s'><body>%s %s %d</body></message>", Bare(to), Canary, mark, i)
	}
	for i := range n {
		got := to.Expect(t, "the messages "+mark, func(s *Stanza) bool { return strings.Contains(s.Body(), mark) })
		if want := fmt.Sprintf("%s %s %d", Canary, mark, i); got.Body() != want {
			t.Fatalf("%q came where %q was to come", got.Body(), want)
		}
	}
}

// SendDoomed lets from write to an address, and returns a function that waits for the error that comes back.
func SendDoomed(t testing.TB, from *Client, to string) func(testing.TB) Stanza {
	t.Helper()
	id := rand.Text()
	from.Send(t, "<message type='chat' id='%s' to='%s'><body>%s %s</body></message>", id, to, Canary, id)
	return func(t testing.TB) Stanza {
		t.Helper()
		return from.ExpectWithin(t, bounceTime, "an error for the message to "+to, func(s *Stanza) bool {
			return s.Is("message", "error") && s.Attr("id") == id
		})
	}
}

// SendLater lets from write to an address now, and returns a function that waits until to, who is at that address, has it.
func SendLater(t testing.TB, from User, address string) func(testing.TB, *Client) {
	t.Helper()
	body := Canary + " " + rand.Text()
	from.Send(t, "<message type='chat' id='%s' to='%s'><body>%s</body></message>", rand.Text(), address, body)
	return func(t testing.TB, to *Client) {
		t.Helper()
		to.ExpectWithin(t, bounceTime, "the message that was sent while it was away", func(s *Stanza) bool { return s.Body() == body })
	}
}

// Persist lets from write to to again and again until something arrives: every second, for as long as one stanza may take.
// It is for the time after a restart, when servers find out one write at a time that their streams are gone.
func Persist(t testing.TB, from, to User) {
	t.Helper()
	mark := rand.Text()
	for range int(patience / time.Second) {
		from.Send(t, "<message type='chat' id='%s' to='%s'><body>%s %s</body></message>", rand.Text(), Bare(to), Canary, mark)
		if to.Arrives(t, time.Second, func(s *Stanza) bool { return strings.Contains(s.Body(), mark) && s.Attr("type") != "error" }) {
			return
		}
	}
	t.Fatalf("%s cannot reach %s any more", from.JID(), to.JID())
}
