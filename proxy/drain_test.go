package proxy_test

import (
	"context"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// While queues empty the backends' door stays open for questions about our keys, and for nothing new (PROTOCOL 11.1, D4).
func TestDrainTakesNothingNew(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, inClear), limits: func(l *proxy.Limits) { l.Drain = patience }})
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+`
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
b accepts backend
b receives header from='remote.example' to='corp.example'
do drain
r receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
r receives </stream:stream>
r closes
l connects inside
l sends header to='remote.example'
l receives header
b sends header id='ls-9'
b receives <db:result from='remote.example' to='corp.example'>{ki}</db:result>
l sends <db:verify from='corp.example' to='remote.example' id='ls-9'>{ki}</db:verify>
l receives <db:verify from='remote.example' to='corp.example' id='ls-9' type='valid'/>
l sends <db:result from='corp.example' to='remote.example'>k</db:result>
l receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
b sends <db:result from='corp.example' to='remote.example' type='valid'/>
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
b receives </stream:stream>
record has "kind":"delivery" "outcome":"written"
`)
}

// What the drain could not deliver is bounced before the end.
func TestDrainBouncesTheRest(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends `+message("m1", 0)+`
r accepts remote
r receives header
do drain
l receives <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
l receives </stream:stream>
l closes
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…remote-server-timeout…</message>
record has "kind":"delivery" "outcome":"bounced"
`)
}

// Peers that do not read, do not close, and do not answer hold the end up no longer than the time it was given.
func TestShutdownEndsInTime(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) {
		roomy(l)
		l.Drain, l.Close, l.Write = 500*time.Millisecond, time.Minute, time.Minute
	}})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + message("m1", huge) + "\n" + include(t, "_remote_takes"))
	s.awaitQueue(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begun := time.Now()
	s.proxy.Shutdown(ctx)
	if took := time.Since(begun); took > 20*time.Second { // a minute, if it were held up
		t.Errorf("the shutdown took %v", took)
	}
}
