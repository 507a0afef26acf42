package probe_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode"

	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/probe"
	"sallyport/internal/xmpptest"
)

// What a door says when all is well, up to the answer about a key.
const (
	doorClear = `
X accepts remote
X receives header from='self-check.sallyport.example' to='corp.example'
X sends header from='corp.example' to='self-check.sallyport.example' id='d1' version='1.0'
X sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
X receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
X sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
X tls server CERT
X receives header from='self-check.sallyport.example' to='corp.example'
X sends header from='corp.example' to='self-check.sallyport.example' id='d2' version='1.0'
X sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
`
	doorSays = `
X receives <db:verify from='self-check.sallyport.example' to='corp.example' id='{id}'>…</db:verify>
X sends <db:verify from='corp.example' to='self-check.sallyport.example' id='{id}' type='VERDICT'>MORE</db:verify>
X receives </stream:stream>
`
	backendOpens = `
i accepts second
i receives header from='self-check.sallyport.example' to='corp.example'
i sends header from='corp.example' id='i1' version='1.0'
i sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
`
	backendSays = `
i receives <db:result from='self-check.sallyport.example' to='corp.example'>…</db:result>
i sends <db:result from='corp.example' to='self-check.sallyport.example' type='VERDICT'>MORE</db:result>
i receives </stream:stream>
`
	itemNotFound = `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no&#x202e;</text></error>`
	leadsHere    = "_xmpp-server._tcp.corp.example. 60 IN SRV 0 5 PORT gate.corp.example."
	ourAddress   = "gate.corp.example. 60 IN A 127.0.0.1"
)

// said fills in what is different of a script.
func said(script, part, cert, verdict, more string) string {
	return strings.NewReplacer("X ", part+" ", "CERT", cert, "VERDICT", verdict, "MORE", more, "{id}", "{id"+part+"}").Replace(script)
}

// door is one call that is answered as it should be; two come where DNS leads here: that of the domain, and that of the door itself.
func door(part string) string { return said(doorClear+doorSays, part, "own", "valid", "") }

// house is one state of our own side.
type house struct {
	scene
	inner  []string // what inside.dns says; nil: it leads to the inside door
	noDNS  bool
	direct bool // outside.direct_tls is set
	down   bool // the backend
	script string
	wrong  []string // faults that must be told, each with its place in front; none besides
	has    []string // other findings
}

func TestHouse(t *testing.T) {
	t.Parallel()
	well := []string{leadsHere, ourAddress}
	backendFine := backendOpens + said(backendSays, "i", "", "invalid", "")
	doorsFine := door("a") + door("b")
	for name, h := range map[string]house{
		"all is well": {scene: scene{zone: well}, script: doorsFine + backendFine, has: []string{
			"ok corp.example: its certificate is good until", "ok corp.example: DNS leads to 127.0.0.1:PORT (gate.corp.example), where this gate answers for it (TLS 1.3)",
			"ok 127.0.0.1:PORT answers for corp.example", "leads every domain to 127.0.0.1:5269; each backend must ask it", "ok the backend 127.0.0.1:PORT2 takes streams for corp.example",
			"was shown a false key and asked this gate about it: its resolver leads here"}},
		"anybody may issue": {scene: scene{zone: well}, script: doorsFine + backendFine, has: []string{`note corp.example: any authority may issue a certificate for it, to whoever gets hold of its traffic; add the record corp.example. 3600 IN CAA 0 issue "AUTHORITY; accounturi=URI-OF-YOUR-ACCOUNT"`}},
		"CAA without an account": {scene: scene{zone: []string{leadsHere, ourAddress, `corp.example. 60 IN CAA 0 issue "ca.example"`}}, script: doorsFine + backendFine,
			has: []string{"note corp.example: CAA lets every account of an authority have a certificate for it (corp.example: 0 issue \"ca.example\")"}},
		"CAA with an account": {scene: scene{zone: []string{leadsHere, ourAddress, `corp.example. 60 IN CAA 0 issue "ca.example; accounturi=https://ca.example/1"`}}, script: doorsFine + backendFine,
			has: []string{"ok corp.example: CAA says who may issue certificates for it, and to which account (corp.example: 0 issue \"ca.example; accounturi=https://ca.example/1\")"}},
		"another server has our address": {scene: scene{zone: well}, script: said(doorClear+doorSays, "a", "own", "invalid", "") + said(doorClear+doorSays, "b", "own", "invalid", "") + backendFine,
			wrong: []string{"backends[0].domains[0] corp.example: DNS leads to 127.0.0.1:PORT (gate.corp.example), where a server answers that does not know a dialback key of ours", "outside.listen[0] 127.0.0.1:PORT does not answer for corp.example as it should: a server answers that does not know"}},
		"another server, which does not know the domain": {scene: scene{zone: well}, script: said(doorClear+doorSays, "a", "own", "error", itemNotFound) + door("b") + backendFine,
			wrong: []string{"a server answers that does not speak for it (item-not-found)"}},
		"an old certificate is shown": {scene: scene{zone: well}, script: said(doorClear+doorSays, "a", "good", "valid", "") + door("b") + backendFine,
			wrong: []string{"a server shows another certificate than ours for the domain"}},
		"no TLS at our address": {scene: scene{zone: well}, script: `
a accepts remote
a receives header
a sends header from='corp.example' id='d1' version='1.0'
a sends <stream:features/>
a receives </stream:stream>
` + door("b") + backendFine, wrong: []string{"a server answers that offers no TLS"}},
		"without a secret the certificate alone tells": {scene: scene{zone: well, keyless: true}, script: said(doorClear, "a", "own", "", "") + "a receives </stream:stream>\n" + said(doorClear, "b", "own", "", "") + "b receives </stream:stream>\n" + backendFine,
			has: []string{"note whether it is us who answer was told by the certificate alone", "ok 127.0.0.1:PORT answers for corp.example"}},
		"the gate does not run": {scene: scene{zone: well, absent: true}, script: backendOpens + "i receives </stream:stream>\n", has: []string{
			"ok corp.example: DNS leads to 127.0.0.1:PORT (gate.corp.example), a door of this gate", "note the gate's doors were not tried: no gate answers"}},
		"no such domain": {scene: scene{zone: []string{ourAddress}}, script: door("a") + backendFine,
			wrong: []string{"backends[0].domains[0] corp.example: others cannot find it: corp.example offers no XMPP federation"}},
		"the record is told that is missing": {scene: scene{zone: []string{ourAddress}}, script: door("a") + backendFine, wrong: []string{"add the record _xmpp-server._tcp.corp.example. 3600 IN SRV 0 5 PORT HOST-OF-THIS-GATE."}},
		"no SRV record": {scene: scene{zone: []string{"corp.example. 60 IN A 127.0.0.1"}}, script: door("a") + backendFine, has: []string{
			"note corp.example: there is no SRV record, so others guess", "note corp.example: DNS leads to 127.0.0.1:5269 (corp.example), which cannot be reached from here"}},
		"DNS is silent": {scene: scene{zone: well, breaks: map[string]xmpptest.Fault{"": xmpptest.Silent}}, script: door("a") + backendFine,
			wrong: []string{"corp.example: DNS gives no answer, so others cannot find it"}},
		"a private address": {scene: scene{zone: []string{leadsHere, ourAddress, "_xmpp-server._tcp.corp.example. 60 IN SRV 5 5 5269 old.corp.example.", "old.corp.example. 60 IN A 10.0.0.7"}, public: true}, script: doorsFine + backendFine,
			wrong: []string{"corp.example: DNS leads to 10.0.0.7:5269 (private address, by old.corp.example), which others cannot or will not call"}},
		"nobody is told of direct TLS": {scene: scene{zone: well}, direct: true, script: doorsFine + `
d accepts third
d tls server own
d receives header from='self-check.sallyport.example' to='corp.example'
d sends header from='corp.example' to='self-check.sallyport.example' id='d3' version='1.0'
d sends <stream:features/>
` + said(doorSays, "d", "", "valid", "") + backendFine, has: []string{"note corp.example: nobody is told of outside.direct_tls; add the record _xmpps-server._tcp.corp.example. 3600 IN SRV 0 5 PORT3 HOST-OF-THIS-GATE.", "ok 127.0.0.1:PORT3 answers for corp.example"}},
		"the backend is down": {scene: scene{zone: well}, down: true, script: doorsFine, wrong: []string{"backends[0].address the backend 127.0.0.1:CLOSED takes no connection: "}},
		"the backend does not serve the domain": {scene: scene{zone: well}, script: doorsFine + `
i accepts second
i receives header
i sends header from='other.example' id='i1' version='1.0'
i sends <stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>
`, wrong: []string{"backends[0].domains[0] the backend 127.0.0.1:PORT2 does not serve corp.example"}},
		"the backend speaks something else": {scene: scene{zone: well}, script: doorsFine + "i accepts second\ni receives header\ni sends 220 mail.corp.example ESMTP\ni closes\n",
			wrong: []string{"the backend 127.0.0.1:PORT2 takes no stream for corp.example"}},
		"the backend asks somebody else": {scene: scene{zone: well}, script: doorsFine + backendOpens + said(backendSays, "i", "", "error", itemNotFound),
			wrong: []string{"backends[0] the backend 127.0.0.1:PORT2 was shown a false key and did not ask this gate about it (item-not-found): its resolver must be 127.0.0.1:"}},
		"the backend asks nobody": {scene: scene{zone: well}, script: doorsFine + backendOpens + said(backendSays, "i", "", "valid", ""),
			wrong: []string{"takes a key that nobody made: it does not ask at all"}},
		"the backend hangs up": {scene: scene{zone: well}, script: doorsFine + backendOpens + "i receives <db:result from='self-check.sallyport.example' to='corp.example'>…</db:result>\ni closes\n",
			wrong: []string{"was shown a false key and does not say what it makes of it"}},
		"the backend goes without dialback": {scene: scene{zone: well}, script: doorsFine + `
i accepts second
i receives header
i sends <?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='i1' version='1.0'>
i sends <stream:features/>
i receives </stream:stream>
`, has: []string{"note the backend 127.0.0.1:PORT2 takes no dialback, so whom it asks cannot be told from here"}},
		"inside.dns leads elsewhere": {scene: scene{zone: well}, inner: []string{"_xmpp-server._tcp.self-check.sallyport.example. 60 IN SRV 0 0 5269 other.example.", "other.example. 60 IN A 127.0.0.9"}, script: doorsFine + backendFine,
			wrong: []string{"inside.dns 127.0.0.1:", "leads the backends elsewhere than to inside.listen"}},
		"inside.dns knows nothing": {scene: scene{zone: well}, inner: []string{"other.example. 60 IN A 127.0.0.9"}, script: doorsFine + backendFine,
			has: []string{"does not answer this machine", "is it in inside.dns_from? For the backends, to test it there: dig +short SRV _xmpp-server._tcp.self-check.sallyport.example"}},
		"no inside.dns": {scene: scene{zone: well}, noDNS: true, script: doorsFine + backendOpens + "i receives </stream:stream>\n", has: []string{"note there is no inside.dns; the backends must be told in another way that every domain lives at 127.0.0.1:5269"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.Calls["third"] = s.listen()
			third := strings.NewReplacer("PORT3", port(s.Calls["third"]))
			fill := func(text string) string { return s.places.Replace(third.Replace(text)) }
			var zone []string
			for _, record := range h.zone {
				zone = append(zone, fill(record))
			}
			s.names.Set(t, zone...)
			for name, how := range h.breaks {
				s.names.Break(name, how)
			}
			found := make(chan []probe.Finding, 1)
			look := s.house(h, fill)
			go func() { found <- look.Look(t.Context()) }()
			talk := xmpptest.Begin(t, s.Stage)
			talk.Play(fill(h.script))
			talk.End()
			checkFindings(t, <-found, h, fill)
		})
	}
}

// When the time is over nothing is a fault, and Look comes back.
func TestHouseWithoutTime(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	found := s.house(house{}, s.places.Replace).Look(ctx)
	checkFindings(t, found, house{has: []string{"note the time is over, so nothing can be told: "}}, s.places.Replace)
}

// house is our side as the case has it.
func (s *stage) house(h house, fill func(string) string) *probe.House {
	s.t.Helper()
	at := func(name string) netip.AddrPort { return s.Calls[name].Addr().(*net.TCPAddr).AddrPort() }
	secret, err := dialback.NewSecret([]byte(theSecret))
	must(s.t, err)
	inside := xmpptest.ListenDNS(s.t, "_xmpp-server._tcp.self-check.sallyport.example. 60 IN SRV 0 0 5269 127.0.0.1.")
	if h.inner != nil {
		inside.Set(s.t, h.inner...)
	}
	look := &probe.House{Backends: []probe.Backend{{Address: s.Calls["second"].Addr().String(), Domains: []jid.Domain{jid.MustDomain(local)}, TLS: "off"}},
		Outside: []netip.AddrPort{at("remote")}, Inside: netip.MustParseAddrPort("127.0.0.1:5269"), Names: inside.Addr(), Certs: s.certs, Secret: dialback.Secrets{Current: secret}}
	if h.direct {
		look.DirectTLS = []netip.AddrPort{at("third")}
	}
	if h.noDNS {
		look.Names = netip.AddrPort{}
	}
	if h.down {
		look.Backends[0].Address = fill("127.0.0.1:CLOSED")
	}
	if h.keyless {
		look.Secret, look.Keyless = dialback.Secrets{}, "there is none yet"
	}
	if h.absent {
		look.Absent = "no gate answers"
	}
	look.Resolver = s.resolver(h.scene, append(slices.Clone(look.Outside), look.DirectTLS...)...)
	return look
}

// checkFindings: what is wanted is there, and no fault besides.
func checkFindings(t *testing.T, found []probe.Finding, h house, fill func(string) string) {
	t.Helper()
	var wrong, all []string
	for _, f := range found {
		if f.Level == probe.Wrong {
			wrong = append(wrong, f.At+" "+f.Text)
		}
		all = append(all, f.Level.String()+" "+f.Text)
		if strings.ContainsFunc(f.Text, func(c rune) bool { return !unicode.IsGraphic(c) }) {
			t.Errorf("%q would be obeyed by a terminal", f.Text)
		}
	}
	for _, list := range []struct{ want, have []string }{{h.wrong, wrong}, {h.has, all}} {
		for _, text := range list.want {
			if !slices.ContainsFunc(list.have, func(s string) bool { return strings.Contains(s, fill(text)) }) {
				t.Errorf("nothing is said of %q", fill(text))
			}
		}
	}
	for _, text := range wrong {
		if !slices.ContainsFunc(h.wrong, func(s string) bool { return strings.Contains(text, fill(s)) }) {
			t.Errorf("a fault is told that is none: %q", text)
		}
	}
	if t.Failed() {
		t.Logf("found:\n%s", strings.Join(all, "\n"))
	}
}
