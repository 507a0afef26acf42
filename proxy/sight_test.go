package proxy_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
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
record has "kind":"delivery" "outcome":"replaced" "text":"judged again before it left
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

// closing judges stanzas by data alone.
const closing = `package sallyport.stanza
deny contains {"rule": "closed", "reason": "is closed", "message": "Closed."} if data.closed[input.to.local]
deny contains {"rule": "hushed", "reason": "is closed", "effect": "drop"} if data.closed[input.stanza.id]
transform contains {"rule": "numbers", "do": "mask", "pattern": "[0-9]{4}", "with": "*"} if data.closed.numbers
`

func closed(names ...string) policy.Data {
	table := map[string]any{}
	for _, n := range names {
		table[n] = true
	}
	return policy.Data{"federation": "open", "closed": table}
}

// What waits when policy or its data change leaves by what is in force then, whatever policy looks at. What is refused is answered as any
// denial, and counts as one stanza.
func TestWaitingStanzasAreJudgedByTheNextPolicy(t *testing.T) {
	t.Parallel()
	o := options{rego: closing, data: closed("nobody")}
	seen := observe(&o)
	s := newStage(t, o)
	s.shows("it", s.selfSigned(t, remote))
	s.reloads(closed("board", "hush", "numbers"), nil)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + to("board", "m1", "0") + to("juliet", "m2", "1234") + to("juliet", "hush", "0") + to("juliet", "m3", "0") + "\n" +
		"l sends <presence from='romeo@corp.example' to='board@remote.example' type='subscribe' id='m4'/>\n")
	s.awaitQueue(t, 5)
	c.Play("do reload\n" + remoteTakes(t, "it") + "r receives " + to("juliet", "m2", "*") + "\nr receives " + to("juliet", "m3", "0") + "\nr receives nothing\n" + include(t, "_backend_takes") + `
b receives <message from='board@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…<policy-violation …Closed. (decision …)…</message>
b receives <presence from='board@remote.example' to='romeo@corp.example' id='m4' type='unsubscribed'><status>Closed. (decision …)</status></presence>
record has "code":100 "id":"m1" "effect":"allow"
record has "code":104 "id":"m1" "effect":"deny" "rule":"closed"
record has "code":105 "id":"hush" "effect":"drop" "rule":"hushed"
record has "code":103 "id":"m2" "effect":"allow" "rules":["numbers"]
record lacks "code":103 "id":"m3"
record has "kind":"delivery" "code":115 "outcome":"replaced"
record has "kind":"delivery" "outcome":"bounced" "condition":"policy-violation" decision
`)
	c.End()
	s.proxy.Shutdown(t.Context())
	must(t, s.record.Close())
	open, err := audit.Unsettled(filepath.Join(s.dir, "audit"))
	must(t, err)
	for _, r := range open {
		t.Errorf("seq %d has no end", r.Seq)
	}
	day, err := audit.Complete(t.Context(), filepath.Join(s.dir, "audit"), "", time.Now())
	must(t, err)
	if got, want := day[0].Out, (audit.Crossings{Recorded: 5, Again: 4}); got != want {
		t.Errorf("the statement of the day has %+v, not %+v", got, want)
	}
	if got, want := day[0].Settled, (audit.Settled{Written: 2, Bounced: 2, Dropped: 1}); got != want {
		t.Errorf("the statement of the day has %+v, not %+v", got, want)
	}
	points := seen.points(t)
	for _, want := range []string{"stanzas{direction=out,effect=allow} 5", "stanzas.again{direction=out,effect=allow} 1", "stanzas.again{direction=out,effect=deny} 2",
		"stanzas.again{direction=out,effect=drop} 1"} {
		if !slices.Contains(points, "sallyport."+want) {
			t.Errorf("nothing says %s", want)
		}
	}
	if slices.ContainsFunc(points, func(p string) bool { return strings.HasPrefix(p, "sallyport.stanzas{direction=out,effect=d") }) {
		t.Error("what was let pass counts as denied")
	}
}

// What waits for the backend is held to the same.
func TestWaitingForTheBackendIsJudgedByTheNextPolicy(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{rego: closing, data: closed("nobody")})
	s.reloads(closed("romeo"), nil)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_remote_proved") + `
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/><message from='juliet@remote.example/x' to='mercutio@corp.example' id='m2'/>
b accepts backend
`)
	s.awaitQueue(t, 2)
	c.Play("do reload\n" + without(include(t, "_backend_takes"), "b accepts backend") + `
b receives <message from='juliet@remote.example/x' to='mercutio@corp.example' id='m2'/>
` + recast(include(t, "_remote_takes"), "r", "o", "{ko}", "{ko2}") + `
o receives <message from='romeo@corp.example' to='juliet@remote.example/x' id='m1' type='error'>…<policy-violation …Closed. (decision …)…</message>
b receives nothing
record has "code":104 "dir":"in" "id":"m1" "channel":"tls" "rule":"closed"
`)
	c.End()
}

// A pair that may have no link any more gets nothing of what it has sent to the backend either.
func TestWaitingForTheBackendIsHeldToItsPair(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.reloads(nobody, nil)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_remote_proved") + `
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
b accepts backend
`)
	s.awaitQueue(t, 1)
	c.Play("do reload\n" + without(include(t, "_backend_takes"), "b accepts backend") + `
b receives nothing
record has "code":104 "dir":"in" "id":"m1" "rule":"peer-not-listed"
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
