package proxy_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/audit"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// looking judges stanzas by the link: some people are written to only where the peer has proved itself.
const looking = `package sallyport.stanza
deny contains {"rule": "board", "reason": "wants a better proof"} if {
	input.to.local == "board"
	input.link.proof == "none"
}
deny contains {"rule": "hush", "reason": "not on such a link", "effect": "drop"} if {
	input.stanza.id == "hush"
	input.link.channel == "tls"
}
deny contains {"rule": "stranger", "reason": "has not been written to"} if {
	input.direction == "in"
	not input.contact
}
transform contains {"rule": "numbers", "do": "mask", "pattern": "[0-9]{4}", "with": "*"} if input.link.proof == "none"
transform contains {"rule": "notice", "do": "first-line", "text": "from outside: "} if input.link.proof != "none"
`

func to(user, id, body string) string {
	return "<message from='romeo@corp.example/pc' to='" + user + "@remote.example' id='" + id + "' type='chat'><body>" + body + "</body></message>"
}

// DESIGN §5, 1: what was judged before there was a link is judged by the link that it leaves on, before a byte of it is written. What is
// forbidden there comes back, and the record has both decisions and the end of the first; what is to be changed leaves as that link wants it.
func TestFirstStanzasAreJudgedByTheirLink(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{rego: looking})
	s.shows("it", s.selfSigned(t, remote))
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + to("board", "m1", "0") + to("juliet", "m2", "1234 romeo") + to("juliet", "hush", "0") + to("board", "m3", "0") + "\n")
	s.awaitQueue(t, 4)
	c.Play(remoteTakes(t, "it") + `
r receives ` + to("juliet", "m2", "* romeo") + `
r receives nothing
` + include(t, "_backend_takes") + `
b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…<policy-violation …(decision …)…</message>
b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m3' type='error'>…</message>
record has "id":"m1" "effect":"allow"
record has "id":"m1" "effect":"deny" "rule":"board" "channel":"tls" "proof":"none"
record has "id":"hush" "effect":"drop" "rule":"hush" "proof":"none"
record has "id":"m2" "effect":"allow" "rules":["notice"]
record has "id":"m2" "effect":"allow" "rules":["numbers"] "proof":"none"
record has "kind":"delivery" "outcome":"bounced" "condition":"policy-violation" decision
record has "kind":"delivery" "outcome":"dropped" "text":"judged again when its link stood
`)
	// Now that the link stands, it is looked at once.
	c.Play("l sends " + to("board", "m4", "0") + to("juliet", "m5", "5678") + `
b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m4' type='error'>…</message>
r receives ` + to("juliet", "m5", "*") + `
record lacks "id":"m4" "effect":"allow"
`)
	// Juliet was written to; the board was not.
	if has := s.proxy.Contacts.Has; !has("romeo@corp.example", "juliet@remote.example") || has("romeo@corp.example", "board@remote.example") {
		t.Error("who was written to is not who got something")
	}
	c.End()
	s.proxy.Shutdown(t.Context())
	must(t, s.record.Close())
	open, err := audit.Unsettled(filepath.Join(s.dir, "audit"))
	must(t, err)
	for _, r := range open {
		t.Errorf("seq %d has no end", r.Seq)
	}
}

// What waits when its stream ends is judged again by the link that follows.
func TestWaitingStanzasAreJudgedByTheNextLink(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{rego: looking, limits: roomy})
	s.shows("it", s.selfSigned(t, remote))
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + to("board", "m1", "0") + "\n" + include(t, "_remote_takes") + "r receives " + to("board", "m1", "from outside: 0") +
		"\nl sends " + to("board", "m2", strings.Repeat("x", huge)) + to("board", "m3", "0"))
	s.awaitQueue(t, 2) // r does not read
	c.Play("r closes\n" + remoteTakes(t, "it") + include(t, "_backend_takes") + `
b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m2' type='error'>…<policy-violation …(decision …)…</message>
b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m3' type='error'>…</message>
r receives nothing
record has "id":"m3" "effect":"allow" "proof":"pkix"
record has "id":"m3" "effect":"deny" "rule":"board" "proof":"none"
`)
}

// Where decisions are only observed all passes, and the record has what would have been.
func TestObservedPolicyLooksAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{rego: looking, observe: true})
	s.shows("it", s.selfSigned(t, remote))
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+to("board", "m1", "0")+"\n"+remoteTakes(t, "it")+"r receives "+to("board", "m1", "0")+`
record has "id":"m1" "effect":"allow" "mode":"observe" "would":"deny" "proof":"none"
`)
}

// What cannot be recorded when it is judged again does not leave.
func TestLookingAgainNeedsTheRecord(t *testing.T) {
	t.Parallel()
	var book *secondFails
	s := newStage(t, options{rego: looking, recorder: func(r proxy.Recorder) proxy.Recorder { book = &secondFails{Recorder: r}; return book }})
	s.shows("it", s.selfSigned(t, remote))
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+to("juliet", "m1", "1234")+"\n"+remoteTakes(t, "it")+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…<resource-constraint …</message>
r receives nothing
record has "kind":"delivery" "outcome":"bounced" "condition":"resource-constraint"
`)
}

// secondFails takes the events of one batch.
type secondFails struct {
	proxy.Recorder
	batches atomic.Int32
}

func (r *secondFails) Append(ctx context.Context, events []audit.Event) error {
	if r.batches.Add(1) > 1 {
		return errors.New("no space left on device")
	}
	return r.Recorder.Append(ctx, events)
}
