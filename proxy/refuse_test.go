package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// denied are all kinds of stanzas and their types, with what their sender hears when policy denies them (POLICY "Answers to a deny",
// [A07]): error, unsubscribed, or nothing at all.
var denied = []struct{ kind, typ, payload, answer string }{
	{"message", "", "<body>x</body>", "error"},
	{"message", "normal", "<body>x</body>", "error"},
	{"message", "chat", "<body>x</body>", "error"},
	{"message", "groupchat", "<body>x</body>", "error"},
	{"message", "headline", "<body>x</body>", ""},
	{"message", "error", "<error type='cancel'/>", ""},
	{"iq", "get", "<query xmlns='jabber:iq:version'/>", "error"},
	{"iq", "set", "<query xmlns='jabber:iq:version'/>", "error"},
	{"iq", "result", "<query xmlns='jabber:iq:version'/>", ""},
	{"iq", "error", "<error type='cancel'/>", ""},
	{"presence", "", "", ""},
	{"presence", "", "<x xmlns='http://jabber.org/protocol/muc'/>", "error"},
	{"presence", "unavailable", "", ""},
	{"presence", "subscribe", "<status>please</status>", "unsubscribed"},
	{"presence", "subscribed", "", ""},
	{"presence", "unsubscribe", "", ""},
	{"presence", "unsubscribed", "", ""},
	{"presence", "probe", "", ""},
	{"presence", "error", "<error type='cancel'/>", ""},
}

// deniedScript sends all of denied over part, from from to to, and has answers come over back in their order.
func deniedScript(part, from, to, code, back, words string) string {
	var sent, heard strings.Builder
	for i, d := range denied {
		typ := ""
		if d.typ != "" {
			typ = " type='" + d.typ + "'"
		}
		fmt.Fprintf(&sent, "%s sends <%s from='%s' to='%s' id='d%d'%s>%s</%s>\n", part, d.kind, from, to, i, typ, d.payload, d.kind)
		switch d.answer {
		case "error":
			fmt.Fprintf(&heard, "%s receives <%s from='%s' to='%s' id='d%d' type='error'><error %sby='corp.example' type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…%s(decision …)…</error></%s>\n",
				back, d.kind, to, from, i, code, words, d.kind)
		case "unsubscribed":
			fromBare, _, _ := strings.Cut(from, "/")
			toBare, _, _ := strings.Cut(to, "/")
			fmt.Fprintf(&heard, "%s receives <presence from='%s' to='%s' id='d%d' type='unsubscribed'><status>%s(decision …)</status></presence>\n", back, toBare, fromBare, i, words)
		}
	}
	return sent.String() + "@answers@\n" + heard.String()
}

// partners are links from outside, by whether what policy says in so many words goes out on them.
var partners = map[string]struct {
	facts   policy.LinkFacts
	shutOut bool
	told    bool
}{
	"by a certificate":          {facts: policy.LinkFacts{Channel: "tls", Proof: "pkix"}, told: true},
	"by dialback, over TLS":     {facts: policy.LinkFacts{Channel: "tls", Proof: "dialback+tls"}, told: true},
	"by dialback, in clear":     {facts: policy.LinkFacts{Channel: "plaintext", Proof: "dialback"}},
	"not proved":                {facts: policy.LinkFacts{Channel: "tls", Proof: "none"}},
	"of which nothing is known": {},
	"that may be no longer":     {facts: policy.LinkFacts{Channel: "tls", Proof: "pkix"}, shutOut: true},
}

// What policy has to say to the sender is for partners; a stranger gets the condition and the decision's id alone (POLICY "Answers to a
// deny").
func TestWordsOfADeny(t *testing.T) {
	t.Parallel()
	pair := proxy.Pair{Local: jid.MustDomain(local), Remote: jid.MustDomain(remote)}
	for name, x := range partners {
		text := proxy.DenialText(proxy.In, pair, x.facts, x.shutOut, "Files are not taken.")
		if told := strings.HasPrefix(text, "Files are not taken. (decision "); told != x.told || !told && !strings.HasPrefix(text, "(decision ") {
			t.Errorf("a link %s is told %q", name, text)
		}
	}
	if text := proxy.DenialText(proxy.Out, pair, policy.LinkFacts{}, true, "Not that one."); !strings.HasPrefix(text, "Not that one. (decision ") {
		t.Errorf("our own user is told %q", text)
	}
}

const denying = `package sallyport.stanza
deny contains {"rule": "nothing-passes", "reason": "a secret reason", "condition": "forbidden"}`

// What is denied is answered as its kind and type ask for, inside in words that help, outside without the reason, and never where an
// answer could be answered in turn.
func TestAnswersToADeny(t *testing.T) {
	t.Parallel()
	t.Run("from inside", func(t *testing.T) {
		t.Parallel()
		script := deniedScript("l", "romeo@corp.example/pc", "juliet@remote.example/x", "code='403' ", "b", "not allowed by the federation policy of corp.example ")
		xmpptest.Converse(t, newStage(t, options{rego: denying}).Stage, include(t, "_backend_speaks")+strings.Replace(script, "@answers@\n", include(t, "_backend_takes"), 1)+
			"b receives nothing\n")
	})
	t.Run("from a partner", func(t *testing.T) {
		t.Parallel()
		rego := strings.Replace(denying, "}", `, "message": "Closed."}`, 1)
		script := deniedScript("s", "juliet@remote.example/x", "romeo@corp.example/pc", "", "r", "Closed. ")
		xmpptest.Converse(t, newStage(t, options{rego: rego}).Stage, recast(include(t, "_remote_proved"), "r", "s")+strings.Replace(script, "@answers@\n", include(t, "_remote_takes"), 1))
	})
	t.Run("from outside", func(t *testing.T) {
		t.Parallel()
		script := deniedScript("s", "juliet@remote.example/x", "romeo@corp.example/pc", "", "r", "")
		xmpptest.Converse(t, newStage(t, options{rego: denying}).Stage, recast(include(t, "_remote_proved"), "r", "s")+strings.Replace(script, "@answers@\n", include(t, "_remote_takes"), 1)+
			"r receives nothing\n")
	})
}

// [A11]: a stranger who is told service-unavailable, and nothing else, cannot tell it from an address that does not exist; our own sender can.
func TestAnswersThatHide(t *testing.T) {
	t.Parallel()
	hiding := strings.Replace(denying, "forbidden", "service-unavailable", 1)
	t.Run("from outside", func(t *testing.T) {
		t.Parallel()
		xmpptest.Converse(t, newStage(t, options{rego: hiding}).Stage, recast(include(t, "_remote_proved"), "r", "s")+`
s sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'><body>x</body></message>
s sends <iq type='get' from='juliet@remote.example/x' to='romeo@corp.example/pc' id='q1'><ping xmlns='urn:xmpp:ping'/></iq>
s sends <presence type='subscribe' from='juliet@remote.example' to='romeo@corp.example' id='p1'/>
`+include(t, "_remote_takes")+`
r receives <message from='romeo@corp.example' to='juliet@remote.example/x' id='m1' type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
r receives <iq from='romeo@corp.example/pc' to='juliet@remote.example/x' id='q1' type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
r receives <presence from='romeo@corp.example' to='juliet@remote.example' id='p1' type='unsubscribed'></presence>
`)
	})
	t.Run("from inside", func(t *testing.T) {
		t.Parallel()
		xmpptest.Converse(t, newStage(t, options{rego: hiding}).Stage, include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'><body>x</body></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…(decision …)…</message>
`)
	})
}
