package proxy

import (
	"testing"

	"sallyport/dialback"
	"sallyport/internal/stanza"
)

func TestParseDialback(t *testing.T) {
	t.Parallel()
	const failed = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>who?</text></error>"
	question := dialback.Message{Verify: true, From: "münchen.example", To: "remote.example", ID: "1", Key: "k"}
	for _, v := range []struct {
		name, in string
		want     dialback.Message
		answers  bool
	}{
		{"a question, as it is spelled", "<db:verify from='MÜNCHEN.example' to='Remote.example.' id='1'>k</db:verify>",
			dialback.Message{Verify: true, From: "MÜNCHEN.example", To: "Remote.example.", ID: "1", Key: "k"}, false},
		{"W2: an answer", "<db:verify from='remote.example' to='münchen.example' id='1' type='valid'/>",
			dialback.Message{Verify: true, From: "remote.example", To: "münchen.example", ID: "1", Type: "valid"}, true},
		{"[A06], [B13]: an answer in another spelling", "<db:verify from='Remote.example.' to='xn--mnchen-3ya.example' id='1' type='valid'/>",
			dialback.Message{Verify: true, From: "remote.example", To: "münchen.example", ID: "1", Type: "valid"}, true},
		{"ABUSE 35: an answer from no domain", "<db:verify from='remote.example/x' to='münchen.example' id='1' type='valid'/>",
			dialback.Message{Verify: true, From: "remote.example/x", To: "münchen.example", ID: "1", Type: "valid"}, false},
		{"W9, [B07]: an error", "<db:verify from='remote.example' to='münchen.example' id='1' type='error'><error type='cancel'>" + failed + "</db:verify>",
			dialback.Message{Verify: true, From: "remote.example", To: "münchen.example", ID: "1", Type: "error", ErrorType: "cancel", Condition: "item-not-found", Text: "who?"}, true},
		{"[B07]: an error in no namespace", "<db:verify from='remote.example' to='münchen.example' id='1' type='error'><error xmlns='' type='cancel'>" + failed + "</db:verify>",
			dialback.Message{Verify: true, From: "remote.example", To: "münchen.example", ID: "1", Type: "error", ErrorType: "cancel", Condition: "item-not-found", Text: "who?"}, true},
	} {
		el, err := stanza.ParseOne([]byte(v.in), stanza.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseDialback(el)
		if err != nil || m != v.want {
			t.Errorf("%s: got %s, key %q, %q, %q, %v", v.name, m, m.Key, m.ErrorType, m.Text, err)
		}
		if m.Answers(question) != v.answers {
			t.Errorf("%s: it answers the question: %v", v.name, !v.answers)
		}
	}
}
