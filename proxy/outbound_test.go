package proxy_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// A stanza at which two streams have ended is not sent a third time: it is bounced, and what stands behind it is delivered
// (PROTOCOL 11.2, the poison stanza).
func TestPoisonStanza(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: roomy})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + message("m1", huge) + message("m2", 0))
	s.awaitQueue(t, 2)
	breakOff(t, c, 2)
	c.Play(include(t, "_remote_takes") + `
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'><body></body></message>
` + include(t, "_backend_takes") + `
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'><error code='406' by='corp.example' type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>
record has "kind":"delivery" "outcome":"bounced" policy-violation
`)
}

// A peer that takes the stream and nothing on it is not called for ever: after some streams in vain all that waits is bounced ([C24]).
func TestStreamsInVain(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: roomy})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + message("m1", huge) + message("m2", huge) + message("m3", 0))
	s.awaitQueue(t, 3)
	breakOff(t, c, 4)
	c.Play(include(t, "_backend_takes") + `
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…policy-violation…</message>
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m2' type='error'>…remote-server-timeout…</message>
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m3' type='error'>…remote-server-timeout…</message>
record has "kind":"link.fail" "step":"stream"
`)
}

// breakOff takes streams of the gate, and ends each of them in the middle of its first stanza.
func breakOff(t *testing.T, c *xmpptest.Conversation, streams int) {
	t.Helper()
	for range streams {
		c.Play(include(t, "_remote_takes"))
		conn := c.Conn("r")
		if _, err := conn.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// What waits for a peer that is there and does not read is bounced as soon as what waits for one that is not (ABUSE 40).
func TestQueueAgeHoldsWhileThePeerDoesNotRead(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { roomy(l); l.QueueAge = 3 * time.Second }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends `+message("m1", huge)+`
`+include(t, "_remote_takes")+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…remote-server-timeout…</message>
`)
}

// All queues together are bounded too: many pairs must not hold what one may not.
func TestQueueTotal(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.QueueTotal = 10000 }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
l sends `+message("m1", 7000)+message("m2", 7000)+message("m3", 0)+`
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m2' type='error'>…resource-constraint…</message>
`+include(t, "_remote_takes")+`
r receives `+message("m1", 7000)+`
r receives `+message("m3", 0)+`
`)
}

// The record says of a bounced stanza that its sender was told when it has been, and not before (D6).
func TestBounceThatIsNotTaken(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.QueueAge = 2 * time.Second }})
	xmpptest.Converse(t, s.Stage, strings.ReplaceAll(include(t, "_backend_speaks"), remote, "nowhere.example")+`
l sends <message from='romeo@corp.example/pc' to='juliet@nowhere.example' id='m1'/>
b accepts backend
b receives header from='nowhere.example' to='corp.example'
record has "kind":"link.fail" "step":"dns"
record lacks "kind":"delivery"
b closes
record has "kind":"delivery" "outcome":"dropped" remote-server-not-found
record lacks "outcome":"bounced"
`)
	failed := s.proxy.Snapshot().Failed
	if len(failed) != 1 || failed[0].Pair != "corp.example → nowhere.example" || failed[0].Step != proxy.StepDNS || failed[0].Error == "" || failed[0].Next.IsZero() {
		t.Errorf("the snapshot has %+v", failed)
	}
}

// awaitQueue waits until so many stanzas are queued in all.
func (s *stage) awaitQueue(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		queued := 0
		for _, l := range s.proxy.Snapshot().Links {
			queued += l.Queue
		}
		if queued == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d stanzas are queued, not %d", queued, n)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// huge is more than the system takes for a peer that does not read, in bytes.
const huge = 12 << 20

func roomy(l *proxy.Limits) {
	l.Stanza.Stanza, l.QueueBytes, l.QueueTotal = 2*huge, 8*huge, 8*huge
}

func message(id string, size int) string {
	return fmt.Sprintf("<message from='romeo@corp.example/pc' to='juliet@remote.example' id='%s'><body>%s</body></message>", id, strings.Repeat("x", size))
}

// A full queue holds the stream of one pair back, but not that of several: the others, and questions about our keys, would wait for the
// slowest of them (D4, D8).
func TestSharedStreamIsNotHeldBack(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, inClear), limits: func(l *proxy.Limits) { roomy(l); l.QueueCount, l.QueueWait = 1, time.Minute }})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + `
l sends <db:result from='corp.example' to='third.example'>k</db:result>
w accepts backend
w receives header
w sends header id='v2'
w receives <db:verify …</db:verify>
w sends <db:verify from='corp.example' to='third.example' id='{q7}' type='valid'/>
l receives <db:result from='third.example' to='corp.example' type='valid'/>
l sends ` + message("m1", huge) + `
r accepts remote
r receives header
r sends header id='r1'
r receives <db:result from='corp.example' to='remote.example'>{ko}</db:result>
r sends <db:result from='remote.example' to='corp.example' type='valid'/>
record has link.open "remote":"remote.example" "channel":"plaintext" "dir":"out" "proof":"none"
`)
	s.awaitQueue(t, 1)
	c.Play("l sends " + message("m2", 0))
	s.awaitQueue(t, 2) // one in flight, one that waits: full
	c.Play("l sends " + message("m3", 0) + "<db:verify from='corp.example' to='remote.example' id='old'>k</db:verify>" + `
l receives <db:verify from='remote.example' to='corp.example' id='old' type='invalid'/>
` + include(t, "_backend_takes") + bounced("m3", "juliet@remote.example", "500", "resource-constraint"))
}

// A target that takes the connection and says nothing must leave time for the next one ([D01]).
func TestHungTargetLeavesTimeForTheNext(t *testing.T) {
	t.Parallel()
	hung, good := listen(t), listen(t)
	srv := func(priority int, ln net.Listener) string {
		return fmt.Sprintf("_xmpp-server._tcp.dual.example. 60 IN SRV %d 0 %d host.dual.example.", priority, addrOf(ln).Port())
	}
	s := newStage(t, options{
		zone:     []string{srv(1, hung), srv(2, good), "host.dual.example. 60 IN A 127.0.0.1"},
		resolver: func(c *resolve.Config) { c.AllowPrivate = true },
		limits:   func(l *proxy.Limits) { l.QueueAge = 6 * time.Second },
	})
	s.Calls["hung"], s.Calls["good"] = hung, good
	xmpptest.Converse(t, s.Stage, strings.ReplaceAll(include(t, "_backend_speaks"), remote, "dual.example")+`
l sends <message from='romeo@corp.example/pc' to='juliet@dual.example' id='m1'/>
h accepts hung
h receives header to='dual.example'
g accepts good
g receives header to='dual.example'
h closed
`)
}

// What the record may have taken without saying so in time is bounced and settled: it must not be looked for at the next start.
func TestRecordThatIsLate(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{recorder: func(r proxy.Recorder) proxy.Recorder { return lateRecord{r} }})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+include(t, "_backend_takes")+
		bounced("m1", "juliet@remote.example", "500", "resource-constraint")+`record has "kind":"delivery" "outcome":"bounced"`)
	if open, err := audit.Unsettled(s.dir + "/audit"); err != nil || len(open) > 0 {
		t.Errorf("%d stanzas are unsettled, %v", len(open), err)
	}
}

// lateRecord takes events, and says that it did not in time.
type lateRecord struct{ proxy.Recorder }

func (r lateRecord) Append(ctx context.Context, events []audit.Event) error {
	if err := r.Recorder.Append(ctx, events); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

// To ask about a caller's key is part of its coming in: policy that lets nobody be called does not forbid it.
func TestInwardsOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{rego: `package sallyport.link
deny contains {"rule": "nobody-is-called", "condition": "not-allowed"} if input.direction == "out"`})
	xmpptest.Converse(t, s.Stage, strings.ReplaceAll(include(t, "_remote_proved")[:strings.Index(include(t, "_remote_proved"), "r sends <db:result")], "client good", "client none")+`
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header
a sends header from='remote.example' to='corp.example' id='a1' version='1.0'
a sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
a receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a tls server good
a receives header
a sends header id='a2' version='1.0'
a sends <stream:features/>
a receives <db:verify from='corp.example' to='remote.example' id='{p2}'>k</db:verify>
a sends <db:verify from='remote.example' to='corp.example' id='{p2}' type='valid'/>
r receives <db:result from='corp.example' to='remote.example' type='valid'/>
`)
}
