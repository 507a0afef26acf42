package proxy_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// What policy denies was taken all the same, and so was what could not be recorded: the sender is told, and need not send it again
// ([M06]).
func TestRefusedStanzasAreAcknowledged(t *testing.T) {
	t.Parallel()
	const sends = `
r sends <enable xmlns='urn:xmpp:sm:3'/><message from='juliet@remote.example/x' to='romeo@corp.example' id='m1' type='headline'/><r xmlns='urn:xmpp:sm:3'/>
r receives <enabled xmlns='urn:xmpp:sm:3'/>
r receives <a xmlns='urn:xmpp:sm:3' h='1'/>
`
	for name, o := range map[string]options{
		"denied": {rego: `package sallyport.stanza
deny contains {"rule": "no-headlines"} if input.stanza.type == "headline"`},
		"unrecorded": {recorder: func(r proxy.Recorder) proxy.Recorder { return brokenRecord{r} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			xmpptest.Converse(t, newStage(t, o).Stage, include(t, "_remote_external")+sends)
		})
	}
}

// A peer that takes stanzas and does not say so leaves a line that says what that is and who.
func TestUnacknowledgedLeavesOneLine(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.Ack = 300 * time.Millisecond }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\n"+include(t, "_remote_takes_external")+
		"r receives "+message("m1", 0)+"\nr receives <r xmlns='urn:xmpp:sm:3'/>\n"+failed("r", "connection-timeout"))
	line := oneLine(t, s, "outside")
	for _, want := range []string{"step=stream", "limits.ack", `advice="the peer takes no more stanzas`, "peer=127.0.0.1:", "to=remote.example"} {
		if !strings.Contains(line, want) {
			t.Errorf("the line does not say %s: %s", want, line)
		}
	}
}

// An operator may do without: nothing is offered, asked for or agreed to.
func TestWithoutAcknowledgements(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	settings := s.settings(options{})
	settings.Acks = false
	s.proxy.Apply(settings)
	xmpptest.Converse(t, s.Stage, without(include(t, "_remote_external"), "<sm xmlns='urn:xmpp:sm:3'/>")+`
r sends <enable xmlns='urn:xmpp:sm:3'/>
r receives <failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>
`+recast(include(t, "_backend_speaks"), "v", "w")+"l sends "+message("m1", 0)+"\n"+
		without(recast(include(t, "_remote_takes_external"), "r", "s"), "s receives <enable xmlns='urn:xmpp:sm:3'/>")+`
s receives `+message("m1", 0)+`
s receives nothing
record has "kind":"delivery" "outcome":"written"
`)
}

// A stream that a reload ends says what was taken, and why it ends.
func TestReloadEndsCountedStreams(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.Do["move"] = func() error {
		settings := s.settings(options{})
		settings.Backends[0].Domains = settings.Backends[0].Domains[1:]
		s.proxy.Apply(settings)
		return nil
	}
	xmpptest.Converse(t, s.Stage, include(t, "_remote_external")+`
r sends <enable xmlns='urn:xmpp:sm:3'/>
r receives <enabled xmlns='urn:xmpp:sm:3'/>
do move
r receives <a xmlns='urn:xmpp:sm:3' h='0'/>
r receives <stream:error><host-gone xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
r receives </stream:stream>
record has "kind":"link.close" served
`)
}
