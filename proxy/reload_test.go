package proxy_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// nobody is a policy by which no domain may federate.
var nobody = policy.Data{"federation": "listed", "peers": map[string]any{}}

// reloads lets a script put other policy data, and other settings, in force.
func (s *stage) reloads(data policy.Data, change func(*proxy.Settings)) {
	s.Do["reload"] = func() error {
		if err := s.engine.Reload(data); err != nil {
			return err
		}
		settings := s.settings(options{})
		if change != nil {
			change(&settings)
		}
		s.proxy.Apply(settings)
		return nil
	}
}

var openToAll = policy.Data{"federation": "open"}

// A link outwards that the new policy forbids is closed too; what waits for it is refused as policy would have it.
func TestReloadForbidsOutboundLinks(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: roomy})
	s.reloads(nobody, nil)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + "l sends " + message("m1", 0) + "\n" + include(t, "_remote_takes") + "r receives " + message("m1", 0) + "\nl sends " + message("m2", huge) + message("m3", 0))
	s.awaitQueue(t, 2) // r does not read
	c.Play("do reload\n" + include(t, "_backend_takes") + `
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m2' type='error'><error code='405' by='corp.example' type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m3' type='error'>…not-allowed…</message>
record has "kind":"link.close" "dir":"out" peer-not-listed
`)
}

// [C19]: a domain that is served no longer: host-gone on every stream that it had, on both sides, and an end of the links to it.
func TestReloadWithdrawsADomain(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.reloads(openToAll, func(s *proxy.Settings) { s.Backends[0].Domains = []jid.Domain{jid.MustDomain("conference." + local)} })
	gone := "<stream:error><host-gone xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\n"
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+include(t, "_remote_proved")+`
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
do reload
l receives `+gone+`l receives </stream:stream>
r receives `+gone+`r receives </stream:stream>
b receives </stream:stream>
`)
}

// A domain that becomes ours is a stranger no longer, neither as a sender outside nor as a place to call ([A05], D24).
func TestReloadTakesADomainIn(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.reloads(openToAll, func(s *proxy.Settings) { s.Backends[0].Domains = append(s.Backends[0].Domains, jid.MustDomain(remote)) })
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+`
do reload
r receives <stream:error><host-gone xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
`)
}

// A backend that moves by a reload is called at its new address from then on; its link to the old one ends.
func TestReloadMovesABackend(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	elsewhere := listen(t)
	s.Calls["elsewhere"] = elsewhere
	s.reloads(openToAll, func(s *proxy.Settings) { s.Backends[0].Address = elsewhere.Addr().String() })
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+`
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
do reload
b receives <stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
b receives </stream:stream>
b closes
record has "kind":"link.close" moved
r sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2'/>
`+strings.ReplaceAll(include(t, "_backend_takes"), "accepts backend", "accepts elsewhere")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m2'/>
`)
}

// A backend whose address is taken out of the configuration loses its stream.
func TestReloadRemovesABackend(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.reloads(openToAll, func(s *proxy.Settings) { s.Backends[0].From = []netip.Addr{netip.MustParseAddr("192.0.2.1")} })
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+`
do reload
l receives <stream:error><host-gone xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
l receives </stream:stream>
l closes
m connects inside
m closed
`)
}

// Policy changes while a key is being verified: the pair is judged by the policy of the moment at which it is proved.
func TestReloadWhileAPairIsBeingProved(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, inClear)})
	s.reloads(nobody, nil)
	xmpptest.Converse(t, s.Stage, opened+`
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header
a sends header id='a1'
a receives <db:verify from='corp.example' to='remote.example' id='{p}'>k</db:verify>
do reload
a sends <db:verify from='remote.example' to='corp.example' id='{p}' type='valid'/>
`+failed("r", "policy-violation")+`
r receives </stream:stream>
`)
}

// Policy changes while a link is being made, and asks of it what is not known yet: it is closed as soon as it stands, and carries
// nothing.
func TestReloadWhileALinkIsBeingMade(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, inClear)})
	s.reloads(openToAll, nil) // no longer in clear
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+gateCalled+`
r sends header id='r1'
r receives <db:result from='corp.example' to='remote.example'>{ko}</db:result>
do reload
r sends <db:result from='remote.example' to='corp.example' type='valid'/>
r receives </stream:stream>
r closes
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'>…policy-violation…</message>
`)
}

// A peer whose entry in policy ends on a day loses its links on that day, both ways, without a reload (POLICY "Entry points").
func TestLinksEndWithTheirTerms(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.Do["date"] = func() error {
		until := time.Now().Add(2 * time.Second).UTC().Format("2006-01-02T15:04:05Z")
		if err := s.engine.Reload(policy.Data{"federation": "listed", "peers": map[string]any{remote: map[string]any{"until": until}}}); err != nil {
			return err
		}
		s.proxy.Apply(s.settings(options{}))
		return nil
	}
	xmpptest.Converse(t, s.Stage, bothWays(t)+"do date\n"+failed("s", "policy-violation")+`
s receives </stream:stream>
r receives </stream:stream>
record has "kind":"link.close" "dir":"out" peer-ended
`)
}

// bothWays makes a link to remote.example, with r, and one from it, with s.
func bothWays(t *testing.T) string {
	t.Helper()
	return include(t, "_backend_speaks") + "l sends " + message("m1", 0) + "\n" + include(t, "_remote_takes") + "r receives " + message("m1", 0) + "\n" +
		strings.NewReplacer("r connects", "s connects", "r sends", "s sends", "r receives", "s receives", "r tls", "s tls", "{p", "{s").Replace(include(t, "_remote_proved"))
}

// [C28], [I11]: a peer that its certificate proved is asked to begin again when that ends; so is one that we called.
func TestLinksEndWithTheCertificate(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	brief := func() (*tls.Certificate, error) {
		c := s.ca.issue(t, time.Now().Add(5*time.Second), remote)
		return &c, nil
	}
	s.Client["brief"] = s.ca.client(t)
	s.Client["brief"].GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return brief() }
	s.Server["brief"] = &tls.Config{ClientAuth: tls.RequestClientCert, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return brief() }}
	xmpptest.Converse(t, s.Stage, strings.ReplaceAll(bothWays(t), " good", " brief")+failed("s", "reset")+`
s receives </stream:stream>
r receives <stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
r receives </stream:stream>
`)
}

// A reload that ends many streams does not wait for one peer after another to read why.
func TestReloadDoesNotWaitForPeers(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.reloads(nobody, nil)
	c := xmpptest.Begin(t, s.Stage)
	var peers []net.Conn
	for i := range 5 {
		c.Play(strings.NewReplacer("{p", fmt.Sprintf("{%dp", i)).Replace(include(t, "_remote_proved")))
		peers = append(peers, c.Conn("r"))
	}
	begun := time.Now()
	c.Play("do reload")
	if took := time.Since(begun); took > 4*time.Second { // one after another would take five times limits.close
		t.Errorf("the reload took %v", took)
	}
	for _, conn := range peers {
		conn.Close()
	}
}

// [B10]: after a reload a domain that could not be asked is asked again at once.
func TestReloadForgivesThoseWhoCouldNotBeAsked(t *testing.T) {
	t.Parallel()
	data := policyData(t, inClear)
	s := newStage(t, options{data: data})
	s.reloads(data, nil)
	xmpptest.Converse(t, s.Stage, opened+`
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a closes
r receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
r receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>
do reload
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header from='corp.example' to='remote.example'
`)
}
