package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// D15, 11.6: while a backend is known to be down, strangers that come new are told internal-server-error, so that they keep what they
// have; questions about our keys are answered nevertheless ([B17]). What was accepted before waits.
func TestBackendDown(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.BackendDown = 500 * time.Millisecond }})
	backend := s.settings(options{}).Backends[0].Address
	s.Calls["backend"].Close()
	s.Do["wait"] = func() error { <-time.After(time.Second); return nil }
	s.Do["mend"] = func() error {
		ln, err := listenAt(t, backend)
		s.Calls["backend"] = ln
		return err
	}
	again := strings.NewReplacer("r connects", "s connects", "r sends", "s sends", "r receives", "s receives", "r tls", "s tls", "{p", "{s").Replace
	offered := "r receives <stream:features>…</stream:features>\nr sends <db:result"
	down := strings.Replace(include(t, "_remote_proved"), offered, "r receives <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>…</stream:features>\nr sends <db:result", 1)
	down = down[:strings.LastIndex(down, "r receives <db:result")]
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+`
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
record has "id":"m1"
do wait
# EXTERNAL would not succeed, so it is not offered.
`+again(down)+`
s receives <stream:error><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
s receives </stream:stream>
q connects outside
q sends header from='remote.example' to='corp.example'
q receives header
key {mine} outside remote.example corp.example zz
q sends <db:verify from='remote.example' to='corp.example' id='zz'>{mine}</db:verify>
q receives <db:verify from='corp.example' to='remote.example' id='zz' type='valid'/>
# A stream that stands for other pairs is not closed for it.
r sends <db:result from='remote.example' to='conference.corp.example'>k</db:result>
r receives <db:result from='conference.corp.example' to='remote.example' type='error'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>
do mend
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
`+strings.ReplaceAll(again(include(t, "_remote_proved")), "{s", "{t"))
}

// D3: one key that the backend disowns may have been on its way when it restarted; keys again on another stream are an alarm.
func TestDisownedKeysAlarm(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	disown := openedInside + `
l sends <db:result from='corp.example' to='remote.example'>forged</db:result>
v accepts backend
v receives header
v sends header id='v1'
v receives <db:verify from='remote.example' to='corp.example' id='{q}'>forged</db:verify>
v sends <db:verify from='corp.example' to='remote.example' id='{q}' type='invalid'/>
l receives <db:result from='remote.example' to='corp.example' type='invalid'/>
l receives </stream:stream>
l closes
`
	xmpptest.Converse(t, s.Stage, disown)
	if log := s.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("one disowned key is an alarm already:\n%s", log)
	}
	xmpptest.Converse(t, s.Stage, disown)
	if log := s.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "impersonates") {
		t.Errorf("a second disowned key is no alarm:\n%s", log)
	}
}

// D3, D8: a backend that asks for many pairs at once is not refused, which would end its stream: the call-backs wait for each other.
func TestManyPairsOfABackend(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.PendingPerStream = 1 }})
	script := openedInside
	domains := []string{"a.example", "b.example", "c.example"}
	for _, d := range domains {
		script += "l sends <db:result from='corp.example' to='" + d + "'>k</db:result>\n"
	}
	for i := range domains {
		script += strings.ReplaceAll(`
v accepts backend
v receives header from='{d}'
v sends header id='v1'
v receives <db:verify from='{d}' to='corp.example' id='{q}'>k</db:verify>
v sends <db:verify from='corp.example' to='{d}' id='{q}' type='valid'/>
`, "{d}", fmt.Sprintf("{d%d}", i))
	}
	for _, d := range domains {
		script += "l receives <db:result from='" + d + "' to='corp.example' type='valid'/>\n"
	}
	xmpptest.Converse(t, s.Stage, script)
}

// 11.3: a key that a backend has shown inside can be known outside only by a leak: the answer is invalid, and an alarm.
func TestLeakedKeyAlarms(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+opened+`
r sends <db:verify from='remote.example' to='corp.example' id='{q7}'>some other key</db:verify>
r receives <db:verify from='corp.example' to='remote.example' id='{q7}' type='invalid'/>
`)
	if log := s.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("any wrong key is an alarm:\n%s", log)
	}
	xmpptest.Converse(t, s.Stage, opened+`
r sends <db:verify from='remote.example' to='corp.example' id='i'>key-of-the-backend</db:verify>
r receives <db:verify from='corp.example' to='remote.example' id='i' type='invalid'/>
record has "kind":"dialback.invalid" inside outside
`)
	if log := s.log.String(); !strings.Contains(log, "level=ERROR") || strings.Contains(log, "key-of-the-backend") {
		t.Errorf("a leaked key is no alarm, or is written down:\n%s", log)
	}
}
