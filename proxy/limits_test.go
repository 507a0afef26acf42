package proxy_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// include gives a shared beginning of the conversations.
func include(t *testing.T, name string) string {
	t.Helper()
	script, _ := readScript(t, "testdata/conversations/"+name+".txt")
	return script + "\n"
}

// without gives a script without some text.
func without(script, text string) string { return strings.ReplaceAll(script, text, "") }

// recast gives the parts of a script other names: pairs of the old one and the new one.
func recast(script string, names ...string) string {
	lines := strings.Split(script, "\n")
	for i, line := range lines {
		part, rest, _ := strings.Cut(line, " ")
		if n := slices.Index(names, part); n >= 0 && n%2 == 0 {
			lines[i] = names[n+1] + " " + rest
		}
	}
	return strings.Join(lines, "\n")
}

// brokenRecord takes no stanza, as on a full disk.
type brokenRecord struct{ proxy.Recorder }

func (brokenRecord) Append(context.Context, []audit.Event) error {
	return errors.New("no space left on device")
}

// What cannot be recorded does not pass (DESIGN §5, 1; AUDIT "Failure").
func TestUnrecordedDoesNotPass(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{recorder: func(r proxy.Recorder) proxy.Recorder { return brokenRecord{r} }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'><body>hi</body></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'><error code='500' by='corp.example' type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>
record lacks "outcome":"written"
`)
	for _, l := range s.proxy.Snapshot().Links {
		if l.Door == "outside" {
			t.Errorf("a link was opened outside for what was never recorded: %+v", l)
		}
	}
}

// A link that the new policy forbids is closed, and says why (POLICY "Entry points").
func TestReloadJudgesLiveLinksAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.Do["forbid"] = func() error {
		if err := s.engine.Reload(policy.Data{"federation": "listed", "peers": map[string]any{}}); err != nil {
			return err
		}
		s.proxy.Apply(s.settings(options{}))
		return nil
	}
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+`
do forbid
r receives <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>…</stream:error>
r receives </stream:stream>
`)
}

// D1: an address that no backend calls from is closed without a byte.
func TestInsideKnowsItsBackends(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	settings := s.settings(options{})
	settings.Backends[0].From = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	s.proxy.Apply(settings)
	xmpptest.Converse(t, s.Stage, "l connects inside\nl closed")
}

// ABUSE 40: a queue is bounded; what it does not take comes back with resource-constraint, and the rest is delivered in order.
func TestQueueOverflow(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.QueueCount = 2 }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/><message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'/><message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3'/>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m3' type='error'><error code='500' by='corp.example' type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>
r accepts remote
r receives header
r sends header from='remote.example' to='corp.example' id='r1' version='1.0'
r sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
r receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r tls server good
r receives header
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r receives <db:result from='corp.example' to='remote.example'>{k}</db:result>
r sends <db:result from='remote.example' to='corp.example' type='valid'/>
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'/>
record has "outcome":"bounced" resource-constraint
`)
}

// ABUSE 40, [A08]: what waits for a peer that hangs is bounced when it has waited for long enough.
func TestQueueAge(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.QueueAge = 3 * time.Second }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>
r accepts remote
r receives header
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'><error code='504' by='corp.example' type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>
record has "kind":"link.fail" "step":"stream"
`)
}

// After a crash the senders of what was on its way are told, and the record knows (DESIGN §5, 3).
func TestRecover(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.Do["recover"] = func() error {
		e := []audit.Event{{Kind: audit.Stanza, Dir: "out", Local: local, Remote: remote, From: "romeo@corp.example/pc", To: "juliet@remote.example"}}
		e[0].Stanza = audit.StanzaPart{Kind: "message", Type: "chat", ID: []byte("m1")}
		e[0].Decision.Effect = "allow"
		if err := s.record.Append(t.Context(), e); err != nil {
			return err
		}
		lost, err := audit.Unsettled(s.dir + "/audit")
		if err == nil && len(lost) != 1 {
			err = errors.New("the record does not know what was lost")
		}
		s.proxy.Recover(lost)
		return err
	}
	xmpptest.Converse(t, s.Stage, "do recover\n"+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'><error code='504' by='corp.example' type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>
record has "kind":"delivery" "outcome":"lost"
`)
	if lost, err := audit.Unsettled(s.dir + "/audit"); err != nil || len(lost) != 0 {
		t.Errorf("%d stanzas are still unsettled, %v", len(lost), err)
	}
}

// [C16]: policy sees the language that a stanza inherits, or the rule would be passed by leaving the attribute out.
func TestPolicySeesInheritedLanguage(t *testing.T) {
	t.Parallel()
	rego := `package sallyport.stanza
deny contains {"rule": "no-french", "condition": "not-acceptable"} if input.stanza.lang == "fr"`
	script := strings.ReplaceAll(include(t, "_remote_proved"), "version='1.0'", "version='1.0' xml:lang='fr'") + `
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1' type='error'/><message from='juliet@remote.example/x' to='romeo@corp.example' id='m2' xml:lang='en'/>
` + include(t, "_backend_takes") + `
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2' xml:lang='en'/>
record has "rule":"no-french" "effect":"deny"
`
	xmpptest.Converse(t, newStage(t, options{rego: rego}).Stage, script)
}

// The limits of a peer that is not proved end with the proof, not with the first stanza: that one may be larger than all that came
// before it may be ([C31], [X08]).
func TestFirstStanzaMayBeLarge(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 100<<10)
	xmpptest.Converse(t, newStage(t, options{}).Stage, `
r connects outside
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header
r receives <stream:features>…</stream:features>
r sends <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r receives <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r tls client none
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header id='{p2}'
r receives <stream:features>…</stream:features>
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header
a sends header from='remote.example' to='corp.example' id='r1' version='1.0'
a sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
a receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a tls server good
a receives header
a sends header from='remote.example' to='corp.example' id='r2' version='1.0'
a sends <stream:features/>
a receives <db:verify from='corp.example' to='remote.example' id='{p2}'>k</db:verify>
a sends <db:verify from='remote.example' to='corp.example' id='{p2}' type='valid'/>
r receives <db:result from='corp.example' to='remote.example' type='valid'/>
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'><body>`+body+`</body></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'><body>`+body+`</body></message>
`)
}

// DESIGN §5, 3: what a wide limit let in is bounced from the queue as well as anything else.
func TestBounceOfADeepStanza(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.Stanza.Depth = 200 }})
	script := include(t, "M01_domain_does_not_resolve")
	deep := strings.Repeat("<x xmlns='y'>", 100) + strings.Repeat("</x>", 100)
	xmpptest.Converse(t, s.Stage, strings.Replace(script, "<body>hi</body>", deep, 1)+"record has \"kind\":\"delivery\" bounced remote-server-not-found\n")
}
