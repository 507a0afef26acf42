package proxy_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// each is one limit at a value that a script runs into. Its name is the limit's key in the configuration.
type each struct {
	set     func(*proxy.Limits)
	script  string
	zone    []string
	resolve func(*resolve.Config)
	data    string
	within  time.Duration // patience where the default of the limit is shorter than that of all tests
}

const (
	opened = "r connects outside\nr sends header from='remote.example' to='corp.example' version='1.0'\n" +
		"r receives header id='{p}'\nr receives <stream:features>…</stream:features>\n"
	openedInside = "l connects inside\nl sends header from='corp.example' to='remote.example'\nl receives header id='{q}'\n"
	gateCalled   = "l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>\n" +
		"r accepts remote\nr receives header\n"
)

// failed is a stream error as the gate sends it.
func failed(part, condition string) string {
	return part + " receives <stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>…</stream:error>\n"
}

// bounced is what b, the backend, hears of a message from romeo to juliet that could not be delivered.
func bounced(id, to, code, condition string) string {
	return fmt.Sprintf("b receives <message from='%s' to='romeo@corp.example/pc' id='%s' type='error'><error code='%s' by='corp.example' type='wait'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>\n", to, id, code, condition)
}

// refusedResult is a db:result that is answered with an error.
func refusedResult(part, from, to, kind, condition string) string {
	return fmt.Sprintf("%s receives <db:result from='%s' to='%s' type='error'><error type='%s'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>\n", part, from, to, kind, condition)
}

// inClear lets every peer do without TLS, where TLS is not what a test is about.
const inClear = `{"federation":"open","peers":{"remote.example":{"channel":"plaintext","until":"2099-01-01"},"third.example":{"channel":"plaintext","until":"2099-01-01"}}}`

// TestEachLimit runs into each limit of the configuration (PROTOCOL 11.8), but for those with a test of their own: docs/abuse.md
// lists them all, and a house test keeps that list.
func TestEachLimit(t *testing.T) {
	t.Parallel()
	for _, all := range []map[string]each{limitsOfStrangers(), limitsOfStanzas(t), limitsOfProofs(t), limitsOfLinks(t)} {
		for name, test := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := options{limits: test.set, zone: test.zone, resolver: test.resolve}
				if test.data != "" {
					o.data = policyData(t, test.data)
				}
				s := newStage(t, o)
				s.Patience = cmp.Or(test.within, patience)
				xmpptest.Converse(t, s.Stage, test.script)
			})
		}
	}
}

// limitsOfStrangers hold whoever comes, before anything is known of him.
func limitsOfStrangers() map[string]each {
	return map[string]each{
		"connections": {
			set:    func(l *proxy.Limits) { l.Connections = 1 },
			script: opened + "x connects outside\nx closed\n" + openedInside + "y connects inside\ny closed",
		},
		"connections_per_address": {
			set:    func(l *proxy.Limits) { l.PerAddress = 1 },
			script: opened + "x connects outside\nx closed\n" + openedInside + "y connects inside\ny sends header to='remote.example'\ny receives header",
		},
		"connection_rate": {
			set:    func(l *proxy.Limits) { l.RatePerAddress = 1 },
			script: opened + "r closes\nx connects outside\nx closed",
		},
		"outside_preauth_time/without a header": {
			set:    func(l *proxy.Limits) { l.PreAuthTime[proxy.Outside] = 300 * time.Millisecond },
			script: "r connects outside\nr receives header\n" + failed("r", "connection-timeout") + "r receives </stream:stream>\nr closed",
		},
		"outside_preauth_time/without proof": {
			set:    func(l *proxy.Limits) { l.PreAuthTime[proxy.Outside] = 500 * time.Millisecond },
			script: opened + failed("r", "connection-timeout") + "r receives </stream:stream>\nr closed",
		},
		"inside_preauth_time": {
			set:    func(l *proxy.Limits) { l.PreAuthTime[proxy.Inside] = 300 * time.Millisecond },
			script: openedInside + failed("l", "connection-timeout") + "l receives </stream:stream>\nl closed",
		},
		"outside_preauth_bytes": {
			set:    func(l *proxy.Limits) { l.PreAuthBytes[proxy.Outside] = 2000 },
			script: opened + "r sends <db:result from='remote.example' to='corp.example'>" + strings.Repeat("k", 3000) + "\n" + failed("r", "policy-violation"),
		},
		"inside_preauth_bytes": {
			set:    func(l *proxy.Limits) { l.PreAuthBytes[proxy.Inside] = 2000 },
			script: openedInside + "l sends <db:result from='corp.example' to='remote.example'>" + strings.Repeat("k", 3000) + "\n" + failed("l", "policy-violation"),
		},
		"preauth_elements/outside": {
			set:    func(l *proxy.Limits) { l.PreAuthElements = 3 },
			script: opened + "r sends " + strings.Repeat("<db:verify from='remote.example' to='corp.example' id='i' type='valid'/>", 5) + "\n" + failed("r", "policy-violation"),
		},
		"preauth_elements/inside": {
			set:    func(l *proxy.Limits) { l.PreAuthElements = 3 },
			script: openedInside + "l sends " + strings.Repeat("<x/>", 5) + "\n" + failed("l", "policy-violation"),
		},
		"header_bytes/called": {
			set:    func(l *proxy.Limits) { l.Stanza.Header = 400 },
			script: "r connects outside\nr sends header from='remote.example' to='corp.example' x='" + strings.Repeat("y", 400) + "'\nr receives header\n" + failed("r", "policy-violation"),
		},
		"tls/called": {
			set:    func(l *proxy.Limits) { l.TLSHandshake = 200 * time.Millisecond },
			script: opened + "r sends <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr receives <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr closed",
		},
	}
}

// limitsOfStanzas hold each element, of a peer that is proved too ([X08], [X09]).
func limitsOfStanzas(t *testing.T) map[string]each {
	proved := include(t, "_remote_proved")
	sends := func(n string) string {
		return "r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'>" + n + "</message>\n"
	}
	const frame = len("<message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'><body></body></message>")
	fits := "<body>" + strings.Repeat("x", 10000-frame) + "</body>"
	return map[string]each{
		"stanza_bytes": {
			set: func(l *proxy.Limits) { l.Stanza.Stanza = 10000 },
			script: proved + sends(fits) + include(t, "_backend_takes") + "b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'>" + fits + "</message>\n" +
				sends("<x/>"+fits) + "r receives <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>…<stanza-too-big xmlns='urn:xmpp:errors'/></stream:error>\n",
		},
		// ABUSE 28: the bytes are counted while they come, not when the element is whole; in an attribute as in text.
		"stanza_bytes/of an attribute that does not end": {
			set:    func(l *proxy.Limits) { l.Stanza.Stanza = 10000 },
			script: proved + "r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='" + strings.Repeat("x", 10000) + "\n" + failed("r", "policy-violation"),
		},
		"stanza_bytes/of text that does not end, inside": {
			set:    func(l *proxy.Limits) { l.Stanza.Stanza = 10000 },
			script: include(t, "_backend_speaks") + "l sends <message from='romeo@corp.example/pc' to='juliet@remote.example'><body>" + strings.Repeat("x", 10000) + "\n" + failed("l", "policy-violation"),
		},
		"stanza_depth": {
			set:    func(l *proxy.Limits) { l.Stanza.Depth = 5 },
			script: proved + sends("<a><a><a><a/></a></a></a>") + sends("<a><a><a><a><a/></a></a></a></a>") + failed("r", "policy-violation") + "record has \"kind\":\"stanza\" \"id\":\"m1\"",
		},
		"stanza_attributes": {
			set:    func(l *proxy.Limits) { l.Stanza.Attributes = 6 },
			script: proved + sends("<a b='' c='' d='' e='' f='' g=''/>") + sends("<a b='' c='' d='' e='' f='' g='' h=''/>") + failed("r", "policy-violation") + "record has \"kind\":\"stanza\" \"id\":\"m1\"",
		},
		"stanza_namespaces": {
			set:    func(l *proxy.Limits) { l.Stanza.Namespaces = 5 },
			script: proved + sends("<a xmlns:b='u' xmlns:c='u' xmlns:d='u' xmlns:e='u' xmlns:f='u'/>") + failed("r", "policy-violation"),
		},
		"name_bytes": {
			set:    func(l *proxy.Limits) { l.Stanza.Name = 20 },
			script: proved + sends("<"+strings.Repeat("a", 20)+"/>") + sends("<"+strings.Repeat("a", 21)+"/>") + failed("r", "policy-violation") + "record has \"kind\":\"stanza\" \"id\":\"m1\"",
		},
		"addresses_per_stream": {
			set: func(l *proxy.Limits) { l.AddressesPerStream = 2 },
			script: proved + sends("<body/>") + include(t, "_backend_takes") + "b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'>…</message>\n" +
				"r sends <message from='a@remote.example' to='A@corp.example'/><message from='b@remote.example' to='B@corp.example'/><message from='a@remote.example' to='A@corp.example'/>\n" +
				"b receives <message from='a@remote.example' to='a@corp.example'/>\nb receives <message from='b@remote.example' to='b@corp.example'/>\nb receives <message from='a@remote.example' to='a@corp.example'/>\n",
		},
	}
}

// limitsOfProofs bound what a proof may cost ([B07], [B08], [B10]); a peer that is waited for in vain hears connection-timeout ([C23]).
func limitsOfProofs(t *testing.T) map[string]each {
	asks := func(part, domain string) string {
		return part + " sends <db:result from='" + domain + "' to='corp.example'>k</db:result>\n"
	}
	second := strings.ReplaceAll(recast(opened, "r", "s"), "{p}", "{p2}")
	return map[string]each{
		"pairs_per_stream": {
			set:    func(l *proxy.Limits) { l.PairsPerStream = 1 },
			script: include(t, "_remote_proved") + "r sends <db:result from='remote.example' to='conference.corp.example'>k</db:result>\n" + refusedResult("r", "conference.corp.example", "remote.example", "wait", "resource-constraint"),
		},
		"pairs_per_stream/of a backend": {
			set:    func(l *proxy.Limits) { l.PairsPerStream, l.OutboundLinks = 1, 1 },
			script: include(t, "_backend_speaks") + "l sends <db:result from='corp.example' to='third.example'>k</db:result>\n" + refusedResult("l", "third.example", "corp.example", "wait", "resource-constraint"),
		},
		"pending_per_stream": {
			set: func(l *proxy.Limits) { l.PendingPerStream = 1 }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\n" + asks("r", "third.example") + refusedResult("r", "corp.example", "third.example", "wait", "resource-constraint"),
		},
		"pending_per_address": {
			set: func(l *proxy.Limits) { l.PendingPerAddress = 1 }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\n" + second + asks("s", "third.example") + refusedResult("s", "corp.example", "third.example", "wait", "resource-constraint"),
		},
		"pending_per_domain": {
			set: func(l *proxy.Limits) { l.PendingPerDomain = 1 }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\n" + second + asks("s", "remote.example") + refusedResult("s", "corp.example", "remote.example", "wait", "resource-constraint"),
		},
		"pending": {
			set: func(l *proxy.Limits) { l.PendingTotal = 1 }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\n" + second + asks("s", "third.example") + refusedResult("s", "corp.example", "third.example", "wait", "resource-constraint"),
		},
		"verify/silent before its header": {
			set: func(l *proxy.Limits) { l.Verify = 2 * time.Second }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\na receives header\n" + refusedResult("r", "corp.example", "remote.example", "wait", "remote-server-timeout") + "a closed",
		},
		"verify/silent when asked": {
			set: func(l *proxy.Limits) { l.Verify = 2 * time.Second }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\na receives header\na sends header id='a1'\na receives <db:verify …</db:verify>\n" +
				refusedResult("r", "corp.example", "remote.example", "wait", "remote-server-timeout") + "a closed\nrecord has dialback.error remote-server-timeout",
		},
		"negative_verify": {
			set: func(l *proxy.Limits) { l.NegativeVerify = 2 * time.Second }, data: inClear,
			script: opened + asks("r", "remote.example") + "a accepts remote\na closes\n" + refusedResult("r", "corp.example", "remote.example", "cancel", "remote-server-not-found") +
				// Not asked again at once, …
				asks("r", "remote.example") + refusedResult("r", "corp.example", "remote.example", "cancel", "remote-server-not-found") +
				// … but later.
				strings.Repeat("r receives nothing\n", 11) + asks("r", "remote.example") + "c accepts remote\nc receives header\n",
		},
		"callback": {
			within: 8 * time.Second,
			set:    func(l *proxy.Limits) { l.Callback = 2 * time.Second },
			script: openedInside + "l sends <db:result from='corp.example' to='remote.example'>k</db:result>\nv accepts backend\nv receives header\nv sends header id='v1'\nv receives <db:verify …</db:verify>\n" +
				refusedResult("l", "remote.example", "corp.example", "wait", "remote-server-timeout") + "v closed",
		},
		"result": {
			set: func(l *proxy.Limits) { l.Result = 2 * time.Second }, data: inClear,
			script: include(t, "_backend_speaks") + gateCalled + "r sends header id='r1'\nr receives <db:result …</db:result>\n" + failed("r", "connection-timeout") +
				include(t, "_backend_takes") + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout"),
		},
		"inside_result": {
			set: func(l *proxy.Limits) { l.ResultInside = 2 * time.Second },
			script: include(t, "_remote_proved") + "r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>\n" +
				"b accepts backend\nb receives header\nb sends header id='ls-1'\nb receives <db:result …</db:result>\n" + failed("b", "connection-timeout") +
				// A backend is waited for: the next try delivers.
				include(t, "_backend_takes") + "b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>",
		},
	}
}

// limitsOfLinks bound the links that we open, and what waits for them.
func limitsOfLinks(t *testing.T) map[string]each {
	speaks, takes := include(t, "_backend_speaks"), include(t, "_backend_takes")
	standing := gateCalled + "r sends header id='r1'\nr receives <db:result …</db:result>\nr sends <db:result from='remote.example' to='corp.example' type='valid'/>\n" +
		"r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>\n"
	third := strings.ReplaceAll(strings.ReplaceAll(takes, "remote.example", "third.example"), "ls-9", "ls-3")
	return map[string]each{
		"links": {
			set: func(l *proxy.Limits) { l.OutboundLinks = 1 },
			script: speaks + gateCalled + "l sends <db:result from='corp.example' to='third.example'>k</db:result>\n" +
				"v accepts backend\nv receives header\nv sends header id='v2'\nv receives <db:verify …</db:verify>\nv sends <db:verify from='corp.example' to='third.example' id='{q7}' type='valid'/>\n" +
				"l receives <db:result from='third.example' to='corp.example' type='valid'/>\n" +
				"l sends <message from='romeo@corp.example/pc' to='juliet@third.example' id='m3'/>\n" + third + bounced("m3", "juliet@third.example", "500", "resource-constraint"),
		},
		"tls/calling": {
			set: func(l *proxy.Limits) { l.TLSHandshake = 1000 * time.Millisecond },
			script: speaks + gateCalled + "r sends header id='r1' version='1.0'\nr sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>\n" +
				"r receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\n" +
				takes + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout") + "record has link.fail \"step\":\"tls\"",
		},
		"header_bytes/calling": {
			set:    func(l *proxy.Limits) { l.Stanza.Header = 400 },
			script: speaks + gateCalled + "r sends header id='r1' x='" + strings.Repeat("y", 400) + "'\n" + failed("r", "policy-violation") + "record has link.fail \"step\":\"stream\"",
		},
		"queue_bytes": {
			set: func(l *proxy.Limits) { l.QueueBytes = 300 },
			script: speaks + gateCalled + "l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'><body>" + strings.Repeat("x", 300) + "</body></message>\n" +
				takes + bounced("m2", "juliet@remote.example", "500", "resource-constraint"),
		},
		"queue_age": {
			set:    func(l *proxy.Limits) { l.QueueAge = 2 * time.Second },
			script: speaks + gateCalled + takes + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout") + "r closed",
		},
		"idle": {
			set: func(l *proxy.Limits) { l.Idle, l.Keepalive = 200*time.Millisecond, 50*time.Millisecond }, data: inClear,
			script: speaks + standing + "r receives </stream:stream>\nr sends </stream:stream>\nr closed\nrecord has link.close remote.example",
		},
		"idle/as the peer has it": {
			// A peer that ends idle streams after a second finds ours ended before ([M09], XEP-0478 §3.1).
			set: func(l *proxy.Limits) { l.Idle, l.Keepalive = time.Hour, 5*time.Minute }, data: inClear,
			script: speaks + gateCalled + "r sends header id='r1' version='1.0'\n" +
				"r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/><limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>1</idle-seconds></limits></stream:features>\n" +
				"r receives <db:result …</db:result>\nr sends <db:result from='remote.example' to='corp.example' type='valid'/>\n" +
				"r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>\n" +
				"r receives </stream:stream>\nr sends </stream:stream>\nr closed\nrecord has link.close limits.idle",
		},
		"result/on a stream that is shared": {
			set: func(l *proxy.Limits) { l.Result = 2 * time.Second },
			script: include(t, "_gate_proved") + include(t, "_rooms_speak") + "r receives <db:result from='conference.corp.example' to='remote.example'>{kc}</db:result>\n" +
				strings.ReplaceAll(takes, "corp.example", "conference.corp.example") + "b receives <message from='juliet@remote.example' to='room@conference.corp.example' id='c1' type='error'>…remote-server-timeout…</message>\n" +
				// The pair that the stream is of goes on.
				"l sends " + message("m2", 0) + "\nr receives " + message("m2", 0),
		},
		"ack": {
			set: func(l *proxy.Limits) { l.Ack = 500 * time.Millisecond },
			script: speaks + "l sends " + message("m1", 0) + "\n" + include(t, "_remote_takes_external") + "r receives " + message("m1", 0) + "\nr receives <r xmlns='urn:xmpp:sm:3'/>\n" +
				failed("r", "connection-timeout") + "r receives </stream:stream>\nrecord has link.close limits.ack",
		},
		// What a peer has not acknowledged fills the queue as what waits does.
		"queue_stanzas/not acknowledged": {
			set: func(l *proxy.Limits) { l.QueueCount, l.QueueWait = 1, 100*time.Millisecond },
			script: speaks + "l sends " + message("m1", 0) + "\n" + include(t, "_remote_takes_external") + "r receives " + message("m1", 0) + "\nr receives <r xmlns='urn:xmpp:sm:3'/>\nr receives nothing\n" +
				"l sends " + message("m2", 0) + "\n" + takes + bounced("m2", "juliet@remote.example", "500", "resource-constraint") +
				"r sends <a xmlns='urn:xmpp:sm:3' h='1'/>\nr receives nothing\nl sends " + message("m3", 0) + "\nr receives " + message("m3", 0) + "\n",
		},
		"queue_bytes/not acknowledged": {
			set: func(l *proxy.Limits) { l.QueueBytes, l.QueueWait = 150, 100*time.Millisecond },
			script: speaks + "l sends " + message("m1", 0) + "\n" + include(t, "_remote_takes_external") + "r receives " + message("m1", 0) + "\nr receives <r xmlns='urn:xmpp:sm:3'/>\nr receives nothing\n" +
				"l sends " + message("m2", 0) + "\n" + takes + bounced("m2", "juliet@remote.example", "500", "resource-constraint"),
		},
		"outside_idle/of a peer that counts": {
			// What comes behind the last count is not taken, and the peer knows it.
			set: func(l *proxy.Limits) { l.OutsideIdle = 500 * time.Millisecond },
			script: include(t, "_remote_external") + "r sends <enable xmlns='urn:xmpp:sm:3'/>\nr receives <enabled xmlns='urn:xmpp:sm:3'/>\n" +
				"r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>\nr receives <a xmlns='urn:xmpp:sm:3' h='1'/>\nr receives </stream:stream>\n" +
				"r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2'/></stream:stream>\nr closed\n" +
				takes + "b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>\nb receives nothing\nrecord has link.close",
		},
		"outside_idle": {
			// What the peer sends before it hears of the end is carried.
			set: func(l *proxy.Limits) { l.OutsideIdle = 500 * time.Millisecond },
			script: include(t, "_remote_proved") + "r receives </stream:stream>\n" +
				"r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/></stream:stream>\nr closed\n" +
				takes + "b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>",
		},
		"close": {
			within: 4 * time.Second,
			set: func(l *proxy.Limits) {
				l.Idle, l.Keepalive, l.Close = 100*time.Millisecond, 50*time.Millisecond, 2*time.Second
			}, data: inClear,
			script: speaks + standing + "r receives </stream:stream>\nr receives nothing\nr closed",
		},
		// TestPauses has how the time grows and ends.
		"negative_first": {
			set: func(l *proxy.Limits) { l.NegativeMin = time.Hour }, data: inClear,
			script: speaks + gateCalled + "r closes\n" + takes + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout") +
				// At once, without a call.
				"l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'/>\n" + bounced("m2", "juliet@remote.example", "504", "remote-server-timeout") +
				"record has link.fail \"next_try\":\"1h0m0s\"",
		},
		"negative_max": {
			set: func(l *proxy.Limits) { l.NegativeMin, l.NegativeMax = 5*time.Second, 9*time.Second }, data: inClear,
			script: speaks + gateCalled + "r closes\n" + takes + bounced("m1", "juliet@remote.example", "504", "remote-server-timeout") +
				strings.Repeat("b receives nothing\n", 27) + "l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3'/>\nc accepts remote\nc receives header\nc closes\n" +
				"record has link.fail \"next_try\":\"9s\"",
		},
		"dns_timeout": {
			resolve: func(c *resolve.Config) { c.Timeout = 50 * time.Millisecond }, zone: []string{},
			script: strings.ReplaceAll(speaks, "remote.example", "silent.example") + "do silence\nl sends <message from='romeo@corp.example/pc' to='juliet@silent.example' id='m1'/>\n" +
				strings.ReplaceAll(takes, "remote.example", "silent.example") + bounced("m1", "juliet@silent.example", "504", "remote-server-timeout") + "record has link.fail \"step\":\"dns\"",
		},
	}
}
