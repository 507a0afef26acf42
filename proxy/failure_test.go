package proxy_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// What a remote server does until the gate's TLS with it stands.
const (
	called = `
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'><body>hi</body></message>
r accepts remote
r receives header
`
	greeted = called + "r sends header from='remote.example' to='corp.example' id='r1' version='1.0'\n"
	proceed = greeted + `
r sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
r receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
`
	secured = proceed + `
r tls server good
r receives header
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
`
	offered = secured + `
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r receives <db:result from='corp.example' to='remote.example'>{k}</db:result>
`
)

// What a remote server does that calls.
const (
	calling = `
r connects outside
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header id='{p}'
r receives <stream:features>…</stream:features>
`
	callingTLS = calling + `
r sends <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
r receives <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
`
	callingSecured = callingTLS + `
r tls client good
r sends header from='remote.example' to='corp.example' version='1.0'
r receives header id='{p2}'
r receives <stream:features>…</stream:features>
`
)

// failure is one way in which a link does not come up, and what its line says.
type failure struct {
	name    string
	inbound bool // they call us
	options options
	script  string
	want    []string // regular expressions: what stands in the line
}

// Facts of the certificate that remote.example shows in these tests, and when we try again.
const (
	certFacts = `cert="names \[.*remote.example.*\], issuer .*Test Authority.*, not after \d{4}-.*, spki sha256/`
	nextTry   = `next_try=10s`
)

func failures() []failure {
	plaintext := policy.Data{"federation": "open", "peers": map[string]any{"remote.example": map[string]any{"channel": "plaintext", "until": "2999-01-01"}}}
	pkix := policy.Data{"federation": "open", "peers": map[string]any{"remote.example": map[string]any{"proof": "pkix"}}}
	nobody := policy.Data{"federation": "listed", "peers": map[string]any{}}
	quick := func(l *proxy.Limits) { l.QueueAge, l.TLSHandshake = 2*time.Second, time.Second }
	impatient := func(l *proxy.Limits) { l.Result = time.Second }
	short := func(l *proxy.Limits) { l.PreAuthTime[proxy.Outside] = time.Second }
	return []failure{
		// We call.
		{"stream: another host", false, options{}, called + "r sends header from='remote.example' to='corp.example' id='r1' version='1.0'\nr sends <stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>not here</text></stream:error></stream:stream>",
			[]string{"step=stream", `error=".*host-unknown: not here`, `advice=".*does not serve the domain`, nextTry}},
		{"stream: no XMPP", false, options{}, called + "r sends HTTP/1.1 400 Bad Request\nr receives <stream:error>…</stream:error>", []string{"step=stream", `advice=".*is it one\?`, nextTry}},
		{"stream: silence", false, options{limits: quick}, called, []string{"step=stream", `advice=".*says nothing more`, nextTry}},
		{"stream: hangs up", false, options{}, called + "r closes", []string{"step=stream", `error=`, `advice="the peer broke off`, nextTry}},
		{"tls: not offered", false, options{}, greeted + "r sends <stream:features/>\nr receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr sends <failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>",
			[]string{"step=tls", `advice="the peer offers no TLS: .*channel: plaintext`, nextTry}},
		{"tls: nonsense", false, options{}, proceed + "r sends nonsense that is no record of TLS", []string{"step=tls", `error=".*TLS`, `advice="what the peer speaks is not the TLS`, nextTry}},
		{"tls: silence", false, options{limits: quick}, proceed, []string{"step=tls", `advice="the peer began with TLS and did not go on`, nextTry}},
		{"cert: expired", false, options{data: pkix}, strings.Replace(secured, "server good", "server expired", 1) + "r sends <stream:features/>\nr closed",
			[]string{"step=cert", `error=".*expired`, certFacts, `advice="its operator must mend its certificate; or ask less`, nextTry}},
		{"cert: another name", false, options{data: pkix}, strings.Replace(secured, "server good", "server other", 1) + "r sends <stream:features/>\nr closed",
			[]string{"step=cert", `error=".*name`, strings.ReplaceAll(certFacts, "remote", "other"), nextTry}},
		{"cert: another authority", false, options{data: pkix}, strings.Replace(secured, "server good", "server stranger", 1) + "r sends <stream:features/>\nr closed",
			[]string{"step=cert", `error=".*trust`, certFacts, nextTry}},
		{"dialback: invalid", false, options{}, offered + "r sends <db:result from='remote.example' to='corp.example' type='invalid'/></stream:stream>",
			[]string{"step=dialback", `error=".*our key is invalid`, certFacts, `advice="the peer asked somebody else: does the SRV record of corp.example`, nextTry}},
		{"dialback: an error", false, options{}, offered + "r sends <db:result from='remote.example' to='corp.example' type='error'><error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
			[]string{"step=dialback", `error=".*remote-server-not-found`, certFacts, `advice="the peer could not verify us`, nextTry}},
		{"dialback: silence", false, options{limits: impatient}, offered, []string{"step=dialback", certFacts, `advice="the peer asks back and hears nothing: .*5269`, nextTry}},
		{"dialback: nothing offered", false, options{}, strings.Replace(secured, "r sends header from='remote.example' to='corp.example' id='r2' version='1.0'", "r sends <?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' to='corp.example' id='r2' version='1.0'>", 1) + "r sends <stream:features/>", []string{"step=dialback", `error=".*neither dialback nor EXTERNAL`, certFacts, `advice="the peer accepts certificates only`, nextTry}},
		{"sasl: hangs up", false, options{}, secured + "r sends <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>\nr receives <auth …\nr closes\nr accepts remote\nr receives header\nr closes",
			[]string{"step=stream", nextTry}},
		// They call.
		{"inbound policy", true, options{data: nobody}, calling + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\nr receives <stream:error>…</stream:error>",
			[]string{"step=policy", `error=".*rule peer-not-listed`, `advice="if it should be allowed, add the domain under peers`}},
		{"inbound tls: none", true, options{}, calling + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\nr receives <db:result …type='error'>…</db:result>",
			[]string{"step=tls", `error="TLS is required of remote.example`, `advice=".*channel: plaintext`}},
		{"inbound tls: nonsense", true, options{}, callingTLS + "r sends nonsense that is no record of TLS\nr closed", []string{"step=tls", `error=".*TLS`, `advice="what the peer speaks`}},
		{"inbound cert: not enough", true, options{data: pkix}, strings.Replace(callingSecured, "client good", "client other", 1) + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\nr receives <db:result …type='error'>…</db:result>",
			[]string{"step=cert", `error=".*certificate is for another domain`, strings.ReplaceAll(certFacts, "remote", "other"), `advice="its operator must mend its certificate`}},
		{"inbound dialback: forged", true, options{data: plaintext}, calling + `r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header
a sends header from='remote.example' to='corp.example' id='a1'
a receives <db:verify from='corp.example' to='remote.example' id='{p}'>k</db:verify>
a sends <db:verify from='remote.example' to='corp.example' id='{p}' type='invalid'/>
r receives <db:result …type='invalid'/>`, []string{"step=dialback", `error="the authoritative server says that the key is not its own"`, `advice="somebody else calls in this domain's name`}},
		{"inbound dialback: nobody to ask", true, options{data: plaintext}, calling + `r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a closes
r receives <db:result …type='error'>…</db:result>`, []string{"step=stream", `error="asking the authoritative server: `, `authoritative=127.0.0.1:`, `advice="the peer broke off`}},
		{"inbound stream: time", true, options{limits: short}, calling + "r receives <stream:error>…</stream:error>", []string{"step=stream", `error=".*limits.outside_preauth_time`}},
		{"inbound stream: a stanza first", true, options{}, calling + "r sends <message from='a@remote.example' to='b@corp.example'/>\nr receives <stream:error>…</stream:error>", []string{"step=stream", `error="not-authorized`}},
		{"inbound stream: what it said", true, options{}, calling + "r sends <stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no more</text></stream:error></stream:stream>",
			[]string{"step=stream", `error="policy-violation: no more`, `advice="the peer ended the stream`}},
	}
}

// TestFailuresLeaveOneLine: each link that does not come up leaves one line that is enough to mend it: pair, step, address, certificate,
// what the peer said, what to do, and when we try again.
func TestFailuresLeaveOneLine(t *testing.T) {
	t.Parallel()
	for _, test := range failures() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, test.options)
			script, pair := test.script, `from=remote.example to=corp.example`
			if !test.inbound {
				script, pair = include(t, "_backend_speaks")+script, `from=corp.example to=remote.example`
			}
			// Nobody of the script leaves before the line is there.
			s.Do["line"] = func() error { s.log.await(`"link failed"`); return nil }
			xmpptest.Converse(t, s.Stage, script+"\ndo line\n")
			line := oneLine(t, s, "outside")
			for _, want := range append(test.want, pair, `peer=127\.0\.0\.1:\d+`, "door=outside", "link=[0-9a-f]{12} ") {
				if !regexp.MustCompile(want).MatchString(line) {
					t.Errorf("the line does not match %s:\n%s", want, line)
				}
			}
		})
	}
}

func oneLine(t *testing.T, s *stage, door string) string {
	t.Helper()
	s.log.await(`"link failed"`)
	s.proxy.Shutdown(t.Context()) // whatever else might be said has been said then
	var found []string
	for _, line := range s.log.await(`"link failed"`) {
		if strings.Contains(line, "door="+door) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d lines, want one:\n%s", len(found), strings.Join(found, ""))
	}
	return found[0]
}

// Where nothing answers: the address stands in the error, for it may be several.
func TestFailureToConnect(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, domain string
		zone         []string
		want         []string
	}{
		{"dns: no such domain", "nowhere.example", nil, []string{"step=dns", `advice="the domain offers no XMPP federation`, nextTry}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{zone: test.zone})
			script := strings.ReplaceAll(include(t, "_backend_speaks"), "remote.example", test.domain)
			xmpptest.Converse(t, s.Stage, script+"l sends <message from='romeo@corp.example/pc' to='juliet@"+test.domain+"' id='m1'/>\n"+`record has "kind":"link.fail"`)
			line := oneLine(t, s, "outside")
			for _, want := range append(test.want, "from=corp.example to="+test.domain) {
				if !regexp.MustCompile(want).MatchString(line) {
					t.Errorf("the line does not match %s:\n%s", want, line)
				}
			}
		})
	}
}

// A backend that does not answer is tried again, with a line for each try.
func TestBackendFailureLeavesALine(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.QueueAge = 500 * time.Millisecond }})
	s.Do["leave"] = func() error { return s.Calls["backend"].Close() }
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+"do leave\nr sends <message from='juliet@remote.example' to='romeo@corp.example' id='m1'/>\nrecord has \"kind\":\"link.fail\"")
	line := s.log.await(`"link failed"`)[0]
	for _, want := range []string{"door=inside", "from=remote.example to=corp.example", "step=tcp", `peer=127\.0\.0\.1:\d+`, "connection refused", `advice="is the backend running`} {
		if !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("the line does not match %s:\n%s", want, line)
		}
	}
}

// Strangers who say nothing of themselves do not make warnings, and those that come to ask about a key leave no line at all.
func TestNoiseIsNoFailure(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	xmpptest.Converse(t, s.Stage, "n connects outside\nn sends GET / HTTP/1.1\nn receives header\nn receives <stream:error>…</stream:error>\n"+calling+`
r sends <db:verify from='remote.example' to='corp.example' id='x'>k</db:verify>
r receives <db:verify from='corp.example' to='remote.example' id='x' type='invalid'/>
r sends </stream:stream>
r closed
`)
	s.log.await(`msg="stream ended"`)
	lines := s.log.await(`"link failed"`)
	if len(lines) != 1 || !strings.Contains(lines[0], "level=INFO") || strings.Contains(lines[0], "from=remote.example") {
		t.Errorf("%q", lines)
	}
}
