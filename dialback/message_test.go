package dialback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestMessageOnTheWire(t *testing.T) {
	t.Parallel()
	result := Message{From: "corp.example", To: "remote.example", Key: "019d"}
	verify := Message{Verify: true, From: "remote.example", To: "corp.example", ID: "rs-2b", Key: "019d"}
	const item = `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`
	for _, v := range []struct {
		name string
		m    Message
		want string
	}{
		{"W4", result, `<db:result from='corp.example' to='remote.example'>019d</db:result>`},
		{"W4 answer", result.Reply(Valid), `<db:result from='remote.example' to='corp.example' type='valid'/>`},
		{"W9 invalid", result.Reply(Invalid), `<db:result from='remote.example' to='corp.example' type='invalid'/>`},
		{"W9 not hosted", ErrorReply(result, "item-not-found"), `<db:result from='remote.example' to='corp.example' type='error'>` + item + `</db:result>`},
		{"W2", verify, `<db:verify from='remote.example' to='corp.example' id='rs-2b'>019d</db:verify>`},
		{"W2 answer", verify.Reply(Valid), `<db:verify from='corp.example' to='remote.example' id='rs-2b' type='valid'/>`},
		{"W2 not hosted", ErrorReply(verify, "item-not-found"), `<db:verify from='corp.example' to='remote.example' id='rs-2b' type='error'>` + item + `</db:verify>`},
		{"[B03] key is opaque, its white space is not", Message{From: "a", To: "b", Key: "\n k <&> \n"}, `<db:result from='a' to='b'>k &lt;&amp;&gt;</db:result>`},
		{"an id of another server's making", Message{Verify: true, From: "a", To: "b", ID: "'\"<\t\x01", Key: "k"},
			"<db:verify from='a' to='b' id='&apos;&quot;&lt;&#9;\ufffd'>k</db:verify>"},
		{"an error in words", Message{From: "a", To: "b", Type: "error", Condition: "x y", Text: "a<b"},
			`<db:result from='a' to='b' type='error'><error type='cancel'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` +
				`<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>a&lt;b</text></error></db:result>`},
	} {
		if got := string(v.m.AppendTo(nil)); got != v.want {
			t.Errorf("%s:\n got %s\nwant %s", v.name, got, v.want)
		}
	}
}

func TestErrorReplyTypes(t *testing.T) {
	t.Parallel()
	for cond, want := range map[string]string{ // W9
		"item-not-found": "cancel", "policy-violation": "modify", "not-authorized": "auth", "remote-server-not-found": "cancel",
		"remote-server-timeout": "wait", "forbidden": "auth", "resource-constraint": "wait", "not-acceptable": "modify", "something-new": "cancel",
	} {
		m := ErrorReply(Message{From: "a", To: "b", Key: "k"}, cond)
		if m.ErrorType != want || m.Condition != cond || m.Verdict() != Failed {
			t.Errorf("%s has the error type %q, want %q: %+v", cond, m.ErrorType, want, m)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name string
		m    Message
		ok   bool
	}{
		{"question", Message{From: "a", To: "b", Key: "k"}, true},
		{"question to the authoritative server", Message{Verify: true, From: "a", To: "b", ID: "1", Key: "k"}, true},
		{"answer", Message{From: "a", To: "b", Type: "valid"}, true},
		{"[B15] answer that echoes the key", Message{From: "a", To: "b", Type: "valid", Key: "k"}, true},
		{"[B03] longest key", Message{From: "a", To: "b", Key: strings.Repeat("k", keyLimit)}, true},
		{"[B03] too long a key", Message{From: "a", To: "b", Key: strings.Repeat("k", keyLimit+1)}, false},
		{"no key", Message{From: "a", To: "b"}, false},
		{"white key", Message{From: "a", To: "b", Key: " \n"}, false},
		{"no from", Message{To: "b", Key: "k"}, false},
		{"no to", Message{From: "a", Key: "k"}, false},
		{"ABUSE 39: verify without id", Message{Verify: true, From: "a", To: "b", Key: "k"}, false},
		{"ABUSE 39: answer to a verify without id", Message{Verify: true, From: "a", To: "b", Type: "valid"}, false},
		{"unknown type", Message{From: "a", To: "b", Type: "VALID"}, false},
		{"nothing", Message{}, false},
	} {
		if err := v.m.Check(); (err == nil) != v.ok {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

func TestVerdictOfNothingIsInvalid(t *testing.T) {
	t.Parallel()
	if (Message{}).Verdict() != Invalid || Verdict(0) != Invalid || Verdict(9).String() != "invalid" {
		t.Error("what says nothing must not be taken for valid")
	}
	for _, v := range []Verdict{Invalid, Valid, Failed} {
		if got := (Message{Type: v.String()}).Verdict(); got != v {
			t.Errorf("%v reads back as %v", v, got)
		}
	}
}

// ABUSE 1, [B05], [B13]: an answer counts for the question that it answers, and for no other.
func TestAnswers(t *testing.T) {
	t.Parallel()
	result := Message{From: "corp.example", To: "remote.example", Key: "k"}
	verify := Message{Verify: true, From: "corp.example", To: "remote.example", ID: "1", Key: "k"}
	for _, v := range []struct {
		name string
		m, q Message
		want bool
	}{
		{"result", result.Reply(Valid), result, true},
		{"result with an id too many", Message{From: "remote.example", To: "corp.example", ID: "x", Type: "valid"}, result, true},
		{"verify", verify.Reply(Invalid), verify, true},
		{"error", ErrorReply(verify, "item-not-found"), verify, true},
		{"failed", verify.Reply(Failed), verify, true},
		{"the question itself", result, result, false},
		{"a question back", Message{From: "remote.example", To: "corp.example", Key: "k"}, result, false},
		{"to an answer", result.Reply(Valid), result.Reply(Valid).Reply(Valid), false},
		{"not swapped", Message{From: "corp.example", To: "remote.example", Type: "valid"}, result, false},
		{"from another domain", Message{From: "rival.example", To: "corp.example", Type: "valid"}, result, false},
		{"for another domain", Message{From: "remote.example", To: "conference.corp.example", Type: "valid"}, result, false},
		{"another id", Message{Verify: true, From: "remote.example", To: "corp.example", ID: "2", Type: "valid"}, verify, false},
		{"no id", Message{Verify: true, From: "remote.example", To: "corp.example", Type: "valid"}, verify, false},
		{"a result for a verify", result.Reply(Valid), verify, false},
		{"a verify for a result", verify.Reply(Valid), result, false},
	} {
		if got := v.m.Answers(v.q); got != v.want {
			t.Errorf("%s: Answers = %v, want %v", v.name, got, v.want)
		}
	}
}

// ABUSE 12: whoever logs a message does not log its key.
func TestKeyCannotBePrinted(t *testing.T) {
	t.Parallel()
	m := Message{Verify: true, From: "a.example", To: "b.example", ID: "1", Key: "deadbeef", Type: "error", Condition: "forbidden"}
	var said bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{m, &m, []Message{m}, struct{ M Message }{m}} {
			fmt.Fprintf(&said, verb+"\n", value)
		}
	}
	slog.New(slog.NewTextHandler(&said, nil)).Info("text", "message", m, "by", &m)
	slog.New(slog.NewJSONHandler(&said, nil)).Info("json", "message", m, "by", &m)
	if err := json.NewEncoder(&said).Encode(m); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%s", "%x", "%X", "%d"} {
		if key := strings.Trim(fmt.Sprintf(form, []byte(m.Key)), "[]"); strings.Contains(said.String(), key) {
			t.Errorf("the key can be read as %s in what was printed:\n%s", form, said.String())
		}
	}
	if want := `db:verify from "a.example" to "b.example" id "1" type "error" condition "forbidden"`; m.String() != want {
		t.Errorf("got %s, want %s", m, want)
	}
}
