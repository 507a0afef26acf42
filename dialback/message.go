package dialback

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Namespace qualifies the elements of the protocol. Declaring it in a stream header offers dialback (XEP-0220 §2.4.1).
const Namespace = "jabber:server:dialback"

// keyLimit bounds other servers' keys, in bytes. Ours have 64; longer ones than 100 have not been heard of.
const keyLimit = 1 << 10

// Verdict is what an answer says. Its zero value proves nothing.
type Verdict uint8

const (
	// Invalid: the key is not one of the authoritative server's.
	Invalid Verdict = iota
	// Valid: the key is one of the authoritative server's.
	Valid
	// Failed: it could not be found out; Message.Condition says why. Unlike Invalid it accuses nobody.
	Failed
)

// String returns the value of the type attribute that says v.
func (v Verdict) String() string {
	switch v {
	case Valid:
		return "valid"
	case Failed:
		return "error"
	}
	return "invalid"
}

// Message is a db:result or db:verify element, a question when it has no Type and an answer when it has one. However it is formatted,
// its key does not show (ABUSE 12).
type Message struct {
	Verify   bool   // db:verify, between receiving and authoritative server; otherwise db:result
	From, To string // of the element, which need not be those of the stream header
	ID       string // db:verify: the id of the stream on which the receiving server was shown the key
	Key      string `json:"-"` // in questions; opaque
	Type     string // "", "valid", "invalid" or "error"

	// Of answers with Type "error".
	Condition string // name of the stanza error condition, e.g. "item-not-found"
	ErrorType string // cancel, wait, modify or auth
	Text      string // in words, if there are any
}

// Check returns an error that names what m lacks to be a message of the protocol, or has too much of. Nothing may be concluded
// from a message that does not pass.
func (m Message) Check() error {
	switch {
	case m.From == "" || m.To == "":
		return fmt.Errorf("%s needs from and to", m.name())
	case m.Verify && m.ID == "":
		return errors.New("db:verify needs an id")
	case len(m.Key) > keyLimit:
		return fmt.Errorf("%s has a key of more than %d bytes", m.name(), keyLimit)
	}
	switch m.Type {
	case "valid", "invalid", "error":
		return nil
	case "":
		if trim(m.Key) == "" {
			return fmt.Errorf("%s needs a key", m.name())
		}
		return nil
	}
	return fmt.Errorf("%s has an unknown type", m.name())
}

func (m Message) name() string {
	if m.Verify {
		return "db:verify"
	}
	return "db:result"
}

// String returns the message in words, for people.
func (m Message) String() string {
	s := fmt.Sprintf("%s from %q to %q", m.name(), m.From, m.To)
	if m.Verify {
		s += fmt.Sprintf(" id %q", m.ID)
	}
	if m.Type != "" {
		s += fmt.Sprintf(" type %q", m.Type)
	}
	if m.Condition != "" {
		s += fmt.Sprintf(" condition %q", m.Condition)
	}
	return s
}

// Format writes String, whatever the verb.
func (m Message) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// LogValue returns String.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.String()) }

// Verdict returns what an answer says. A question says Invalid.
func (m Message) Verdict() Verdict {
	switch m.Type {
	case "valid":
		return Valid
	case "error":
		return Failed
	}
	return Invalid
}

// Answers says whether m is the answer to the question q: of the same kind, with from and to swapped and, for db:verify, the same
// id. That q was asked on the very stream on which m came is for the caller to know; an answer to a question that nobody asked
// there means nothing (XEP-0220 §3.1).
func (m Message) Answers(q Message) bool {
	return m.Type != "" && q.Type == "" && m.Verify == q.Verify && m.From == q.To && m.To == q.From && (!m.Verify || m.ID == q.ID)
}

// Reply returns the answer to the question m. A Verdict of Failed needs a reason, which ErrorReply gives; here it is
// undefined-condition.
func (m Message) Reply(v Verdict) Message {
	if v == Failed {
		return ErrorReply(m, "undefined-condition")
	}
	return Message{Verify: m.Verify, From: m.To, To: m.From, ID: m.ID, Type: v.String()}
}

// ErrorReply returns the answer to the question m that says why there is no verdict (XEP-0220 §2.5). cond is a stanza error
// condition of RFC 6120 §8.3.3.
func ErrorReply(m Message, cond string) Message {
	return Message{Verify: m.Verify, From: m.To, To: m.From, ID: m.ID, Type: Failed.String(), Condition: cond, ErrorType: errorType(cond)}
}

// errorType is what the sender of the error expects to help, for the conditions that occur in dialback.
func errorType(cond string) string {
	switch cond {
	case "remote-server-timeout", "resource-constraint":
		return "wait"
	case "not-authorized", "forbidden":
		return "auth"
	case "policy-violation", "not-acceptable", "jid-malformed", "bad-request":
		return "modify"
	}
	return "cancel"
}
