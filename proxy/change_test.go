package proxy_test

import (
	"testing"

	"sallyport/internal/xmpptest"
)

const changing = `package sallyport.stanza
transform contains {"rule": "card-numbers", "do": "mask", "pattern": "\\b[0-9]{16}\\b", "with": "[number]"} if "text" in input.stanza.class
transform contains {"rule": "no-states", "do": "strip", "payloads": ["http://jabber.org/protocol/chatstates"]}
notify contains {"rule": "card-numbers", "to": "officer", "text": "a card number"} if regex.match("[0-9]{16}", input.stanza.text)
retention contains {"rule": "mail", "class": "7y"} if input.stanza.type == "chat"`

// What policy changes arrives changed, in place of what was sent, and the record has the hashes of both. What cannot be changed whole
// is denied, and a signal of which nothing is left is dropped.
func TestPolicyChangesStanzas(t *testing.T) {
	t.Parallel()
	xmpptest.Converse(t, newStage(t, options{rego: changing}).Stage, include(t, "_remote_proved")+`
r sends <message from='juliet@remote.example/x' to='romeo@CORP.example' id='m1' type='chat'><body>4111111111111111</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1' type='chat'><body>[number]</body></message>
record has "rules":["card-numbers","no-states"] "before":" "after":" "retention":"7y" "class":["signal","text"]
record has "kind":"policy.notify" "address":"officer" "text":"a card number"
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2' type='headline'><active xmlns='http://jabber.org/protocol/chatstates'/></message>
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m3' type='headline'><body>4111111111111111</body><encrypted xmlns='urn:xmpp:omemo:2'/></message>
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m4' type='headline'><body>hi</body></message>
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m4' type='headline'><body>hi</body></message>
record has "id":"m2" "effect":"drop" "rule":"no-states"
record has "id":"m3" "effect":"deny" "rule":"card-numbers" "reason":"mask: it is signed
`)
}

// Nobody's words vanish: who wrote a message of which policy's changes leave nothing is told, and the record has its end. One that was but
// a signal among programs is worth no answer; the record has its end too.
func TestNothingIsLeftOfAMessage(t *testing.T) {
	t.Parallel()
	const stripping = `package sallyport.stanza
transform contains {"rule": "bare", "do": "strip", "payloads": ["jabber:server|body", "http://jabber.org/protocol/chatstates", "jabber:iq:version"]}`
	xmpptest.Converse(t, newStage(t, options{rego: stripping}).Stage, include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1' type='chat'><body>hi</body><origin-id xmlns='urn:xmpp:sid:0' id='m1'/></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'><error …<policy-violation …(decision …)…</error></message>
record has "id":"m1" "effect":"deny" "rule":"bare" "reason":"strip: nothing is left
record has "kind":"delivery" "outcome":"bounced" "condition":"policy-violation"
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>
record has "id":"m2" "effect":"drop" "rule":"bare"
record has "kind":"delivery" "outcome":"dropped" "text":"strip: nothing is left
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3' type='headline'><body>news</body></message>
record has "id":"m3" "effect":"deny" "rule":"bare"
l sends <iq from='romeo@corp.example/pc' to='juliet@remote.example/pc' id='q1' type='get'><query xmlns='jabber:iq:version'/></iq>
b receives <iq from='juliet@remote.example/pc' to='romeo@corp.example/pc' id='q1' type='error'><error …<policy-violation …</error></iq>
record has "id":"q1" "effect":"deny" "rule":"bare" "reason":"strip: what is left is no complete stanza
`)
}

// Where decisions are only observed nothing is changed.
func TestObservedPolicyChangesNothing(t *testing.T) {
	t.Parallel()
	xmpptest.Converse(t, newStage(t, options{rego: changing, observe: true}).Stage, include(t, "_remote_proved")+`
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1' type='chat'><body>4111111111111111</body></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1' type='chat'><body>4111111111111111</body></message>
`)
}
