package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

const (
	fromJuliet = "<message from='juliet@remote.example/x' to='romeo@corp.example' id='%s'/>"
	asksBidi   = "r receives <bidi xmlns='urn:xmpp:bidi'>…</bidi>\n"
)

// calledBy is _bidi_calls in the parts' own names; without the wish where the gate does not ask.
func calledBy(t *testing.T, part string, asked bool) string {
	script := include(t, "_bidi_calls")
	script = script[strings.Index(script, "r accepts remote"):]
	if !asked {
		lines := strings.SplitAfter(script, "\n")
		script = strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "r receives <bidi") }), "")
	}
	return recast(script, "r", part)
}

// A peer that policy lets nobody be called by is not asked to send on our stream, however well it is proved.
func TestBidiAsksPolicyAboutTheWayIn(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true, rego: `package sallyport.link
deny contains {"rule": "nobody-calls", "condition": "not-allowed"} if input.direction == "in"`})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\n"+calledBy(t, "r", false)+
		"r sends <stream:features/>\nr receives "+message("m1", 0)+"\nr sends "+fmt.Sprintf(fromJuliet, "i1")+"\n"+failed("r", "not-authorized"))
}

// A peer's stream is used only where policy would have us call it as that stream stands; otherwise it is called, and has the chance to
// prove more.
func TestBidiAsksPolicyAboutTheWayOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true, rego: `package sallyport.link
deny contains {"rule": "only-certified", "condition": "not-allowed"} if { input.direction == "out"; input.link.proof != ""; input.link.proof != "pkix" }`})
	script := strings.Replace(include(t, "_bidi_external"), "client good", "client none", 1)
	script = script[:strings.Index(script, "r receives <stream:features><mechanisms")]
	xmpptest.Converse(t, s.Stage, script+`
r receives <stream:features>…</stream:features>
r sends <bidi xmlns='urn:xmpp:bidi'/><db:result from='remote.example' to='corp.example'>k</db:result>
`+strings.ReplaceAll(askedBack, "{p}", "{p2}")+`
r receives <db:result from='corp.example' to='remote.example' type='valid'/>
`+include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\n"+calledBy(t, "s", true))
}

// askedBack is how the gate asks remote.example about a key.
const askedBack = `a accepts remote
a receives header
a sends header from='remote.example' to='corp.example' id='a1' version='1.0'
a sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
a receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a tls server good
a receives header
a sends header id='a2' version='1.0'
a sends <stream:features/>
a receives <db:verify from='corp.example' to='remote.example' id='{p}'>k</db:verify>
a sends <db:verify from='remote.example' to='corp.example' id='{p}' type='valid'/>`

// When a reload forbids one way of a stream that carries both, the stream begins anew and carries the other one alone ([C28]).
func TestReloadTurnsBidiOff(t *testing.T) {
	t.Parallel()
	const rego = `package sallyport.link
deny contains {"rule": "closed", "condition": "not-allowed"} if { input.direction == "in"; data.closed }`
	s := newStage(t, options{bidi: true, rego: rego, data: policy.Data{"federation": "open", "closed": false}})
	s.Do["close"] = func() error {
		if err := s.engine.Reload(policy.Data{"federation": "open", "closed": true}); err != nil {
			return err
		}
		s.proxy.Apply(s.settings(options{bidi: true}))
		return nil
	}
	xmpptest.Converse(t, s.Stage, include(t, "_bidi_calls")+"r sends <stream:features/>\nr receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='o1'/>\n"+
		"r sends "+fmt.Sprintf(fromJuliet, "i1")+"\n"+include(t, "_backend_takes")+"b receives "+fmt.Sprintf(fromJuliet, "i1")+`
do close
`+failed("r", "reset")+"r receives </stream:stream>\nl sends "+message("m2", 0)+"\n"+calledBy(t, "s", false)+"s sends <stream:features/>\ns receives "+message("m2", 0))
}

// [C28]: and what it forbids on a peer's stream ends that stream, from which our stanzas have gone before.
func TestReloadEndsReturningStreams(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true})
	s.Do["forbid"] = func() error {
		if err := s.engine.Reload(nobody); err != nil {
			return err
		}
		s.proxy.Apply(s.settings(options{bidi: true}))
		return nil
	}
	xmpptest.Converse(t, s.Stage, include(t, "_bidi_external")+include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\nr receives "+message("m1", 0)+
		"\ndo forbid\n"+failed("r", "policy-violation")+"r receives </stream:stream>\nrecord has link.close \"dir\":\"out\"\nrecord has link.close \"dir\":\"in\"")
}

// Both links of a stream that carries both ways are shown, and whose stream it is; they end together.
func TestBidiSnapshot(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_bidi_calls") + "r sends <stream:features/>\nr receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='o1'/>\n" +
		"r sends " + fmt.Sprintf(fromJuliet, "i1") + "\n" + include(t, "_backend_takes") + "b receives " + fmt.Sprintf(fromJuliet, "i1"))
	owner := map[string]string{}
	for _, l := range s.proxy.Snapshot().Links {
		if l.Door == "outside" {
			owner[l.Kind+" "+l.Over] = l.ID
		}
	}
	if len(owner) != 2 || owner["in "+owner["out "]] == "" {
		t.Errorf("the links outside are %v", owner)
	}
	c.Play("r sends </stream:stream>\nr receives </stream:stream>\nr closed\nrecord has link.close \"dir\":\"in\"\nrecord has link.close \"dir\":\"out\"")
}

// What a peer sends on our stream while that ends is carried, as on a stream of its own ([C17]).
func TestBidiCarriesToTheEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true, limits: func(l *proxy.Limits) { l.Idle, l.Keepalive = 300*time.Millisecond, 100*time.Millisecond }})
	xmpptest.Converse(t, s.Stage, include(t, "_bidi_calls")+"r sends <stream:features/>\nr receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='o1'/>\n"+
		"r receives </stream:stream>\nr sends "+fmt.Sprintf(fromJuliet, "i1")+"</stream:stream>\nr closed\n"+include(t, "_backend_takes")+"b receives "+fmt.Sprintf(fromJuliet, "i1"))
}

// A peer that could not be called is not believed to be away once it has come by itself.
func TestReturningStreamForgives(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true})
	s.Do["returns"] = func() error { // it is told its features a moment before it is proved
		eventually(t, "the peer is proved", func() bool { return s.proxy.Returns("corp.example", "remote.example") })
		return nil
	}
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\ns accepts remote\ns closes\n"+include(t, "_backend_takes")+
		bounced("m1", "juliet@remote.example", "504", "remote-server-timeout")+include(t, "_bidi_external")+"do returns\nl sends "+message("m2", 0)+"\nr receives "+message("m2", 0))
}

// A peer that does not pick up is not waited for once it has come by itself.
func TestReturningStreamEndsTheCall(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\ns accepts remote\ns receives header\n"+include(t, "_bidi_external")+
		"r receives "+message("m1", 0)+"\ns closed")
}

// A call under way goes on where the stream of a peer that has come by itself is none for our stanzas.
func TestUselessReturningStreamEndsNoCall(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true, rego: `package sallyport.link
deny contains {"rule": "only-certified", "condition": "not-allowed"} if { input.direction == "out"; input.link.proof != ""; input.link.proof != "pkix" }`})
	inbound := strings.Replace(include(t, "_bidi_external"), "client good", "client none", 1)
	inbound = inbound[:strings.Index(inbound, "r receives <stream:features><mechanisms")]
	call := calledBy(t, "s", true)
	first := strings.Index(call, "s sends header")
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\n"+call[:first]+inbound+`
r receives <stream:features>…</stream:features>
r sends <bidi xmlns='urn:xmpp:bidi'/><db:result from='remote.example' to='corp.example'>k</db:result>
`+strings.ReplaceAll(askedBack, "{p}", "{p2}")+`
r receives <db:result from='corp.example' to='remote.example' type='valid'/>
`+call[first:]+"s sends <stream:features/>\ns receives "+message("m1", 0))
}

// A wish to have our stanzas on a stream is said once: somebody may write by it already.
func TestBidiTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true})
	again := "<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1</max-bytes></limits></bidi><auth"
	xmpptest.Converse(t, s.Stage, strings.Replace(include(t, "_bidi_external"), "<auth", again, 1)+include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\nr receives "+message("m1", 0))
}

// [M03a]: a further domain of which policy wants more than its certificate is refused, and the stream goes on.
func TestBidiRefusesAFurtherDomain(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true, data: policyData(t, `{"federation":"open","peers":{"conference.remote.example":{"proof":"dane"}}}`)})
	xmpptest.Converse(t, s.Stage, strings.Replace(include(t, "_bidi_calls"), "server good", "server both", 1)+`r sends <stream:features/>
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='o1'/>
r sends <db:result from='conference.remote.example' to='corp.example'>anything</db:result>
`+refusedResult("r", "corp.example", "conference.remote.example", "auth", "not-authorized")+`
record lacks link.open "remote":"conference.remote.example"
r sends `+fmt.Sprintf(fromJuliet, "i1")+"\n"+include(t, "_backend_takes")+"b receives "+fmt.Sprintf(fromJuliet, "i1"))
}
