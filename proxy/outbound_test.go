package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
