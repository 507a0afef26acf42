package proxy_test

import (
	"slices"
	"strings"
	"testing"

	"sallyport/internal/xmpptest"
)

// callsHosted is the beginning of a stream that the gate opens to hosted.example with STARTTLS, up to the header behind TLS.
func callsHosted(t *testing.T) string {
	return strings.NewReplacer(remote, hosted, "server good", "server it").Replace(include(t, "_backend_speaks") + include(t, "_gate_calls"))
}

const hostedTakes = `
r sends header from='hosted.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r receives <db:result from='corp.example' to='hosted.example'>{ko}</db:result>
r sends <db:result from='hosted.example' to='corp.example' type='valid'/>
r receives <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'><body>hi</body></message>
`

const hostedRefused = `
r sends header from='hosted.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r closed
record has link.fail "step":"cert"
record lacks "outcome":"written"
`

// RFC 7673 §3.4, RFC 7671 §4, [I23], as initiating server. The policy asks for no proof at all: what a domain says of its servers with
// DNSSEC holds anyway.
func TestDANEOutbound(t *testing.T) {
	t.Parallel()
	const target = "xmpp.provider.example"
	for name, x := range map[string]struct {
		data    string
		cert    string // "named" by the record, or good "pkix" of the domain or of the "target"
		vouched []string
		record  string // instead of the one for the certificate "named"
		sni     string
		ends    string
	}{
		"a match":                         {cert: "named", vouched: []string{hosted, "provider.example"}, sni: target, ends: hostedTakes + `record has link.open "proof":"dane"`},
		"a match, where dane is required": {data: "dane", cert: "named", vouched: []string{hosted, "provider.example"}, sni: target, ends: hostedTakes},
		"a mismatch: the trust anchors do not count":             {cert: "pkix", vouched: []string{hosted, "provider.example"}, sni: target, ends: hostedRefused + `record has link.fail "DNSSEC says`},
		"a mismatch, where pkix is required":                     {data: "pkix", cert: "pkix", vouched: []string{hosted, "provider.example"}, sni: target, ends: hostedRefused},
		"the target is not signed":                               {data: "pkix", cert: "pkix", vouched: []string{hosted}, sni: hosted, ends: hostedTakes + `record has link.open "proof":"pkix"`},
		"the target is not signed, and dane is required":         {data: "dane", cert: "pkix", vouched: []string{hosted}, sni: hosted, ends: hostedRefused},
		"nothing is signed: the certificate is not the domain's": {data: "pkix", cert: "named", sni: hosted, ends: hostedRefused},
		"records of no use are none":                             {data: "pkix", cert: "pkix", vouched: []string{hosted, "provider.example"}, record: "9 1 1 00", sni: hosted, ends: hostedTakes + `record has link.open "proof":"pkix"`},
		"the target's name counts where DNSSEC delegates to it":  {data: "pkix", cert: "target", vouched: []string{hosted, "provider.example"}, record: "9 1 1 00", sni: hosted, ends: hostedTakes + `record has link.open "proof":"pkix"`},
		"the target's name does not count where DNSSEC is not":   {data: "pkix", cert: "target", vouched: []string{"provider.example"}, sni: hosted, ends: hostedRefused},
		"PKIX-EE: both must agree":                               {cert: "named", vouched: []string{hosted, "provider.example"}, record: "1", sni: target, ends: hostedRefused},
		"PKIX-EE: both agree":                                    {cert: "pkix", vouched: []string{hosted, "provider.example"}, record: "1", sni: target, ends: hostedTakes + `record has link.open "proof":"dane"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{resolver: validating}
			if x.data != "" {
				o.data = policyData(t, `{"federation":"open","peers":{"hosted.example":{"proof":"`+x.data+`"}}}`)
			}
			s := newStage(t, o)
			named := s.selfSigned(t, "whoever.example")
			cert := named
			switch x.cert {
			case "pkix":
				cert = s.ca.leaf(t, newKey(t), dnsNames(hosted))
			case "target":
				cert = s.ca.leaf(t, newKey(t), dnsNames(target))
			}
			s.shows("it", cert)
			asked := sniOf(s.Server["it"])
			record := s.tlsaOf(t, "remote", target, named)
			switch x.record {
			case "1":
				record = strings.Replace(s.tlsaOf(t, "remote", target, cert), "TLSA 3", "TLSA 1", 1)
			case "":
			default:
				record = s.tlsaAs("remote", target, x.record)
			}
			s.names.Set(t, s.srv(0, false, "remote", target), target+". 60 IN A 127.0.0.1", record)
			s.names.Vouch(x.vouched...)
			xmpptest.Converse(t, s.Stage, callsHosted(t)+x.ends)
			if got := <-asked; got != x.sni {
				t.Errorf("SNI was %q, want %q", got, x.sni)
			}
		})
	}
}

// A dialback question is not put to a server that DNSSEC says is not the domain's: its answer would be the proof (RFC 7673 §3.4).
func TestDANEAuthoritativeServer(t *testing.T) {
	t.Parallel()
	const target = "xmpp.provider.example"
	s := newStage(t, options{resolver: validating})
	s.shows("it", s.ca.leaf(t, newKey(t), dnsNames(hosted)))
	s.names.Set(t, s.srv(0, false, "remote", target), target+". 60 IN A 127.0.0.1", s.tlsaOf(t, "remote", target, s.selfSigned(t, hosted)))
	s.names.Vouch(hosted, "provider.example")
	script := strings.ReplaceAll(include(t, "_tls"), "client good", "client none") + `
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a receives header from='corp.example' to='remote.example'
a sends header from='remote.example' to='corp.example' id='r1' version='1.0'
a sends <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>
a receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a sends <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
a tls server it
a receives header
a sends header from='remote.example' to='corp.example' id='r2' version='1.0'
a sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
a closed
` + refusedResult("r", "corp.example", "remote.example", "cancel", "remote-server-not-found")
	xmpptest.Converse(t, s.Stage, strings.ReplaceAll(script, remote, hosted))
}

// [M08], RFC 7673 §3.4: who has direct TLS or TLSA records in DNS has TLS, also where the policy would do without: nothing leaves in
// clear, and an answer in clear to a call with TLS is a failure. What fails validation is not used.
func TestNoWayBackToPlaintext(t *testing.T) {
	t.Parallel()
	plain := `{"federation":"open","peers":{"hosted.example":{"channel":"plaintext","until":"2099-01-01"}}}`
	asks := strings.ReplaceAll(include(t, "_backend_speaks"), remote, hosted) + "l sends <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'><body>hi</body></message>\n"
	offersNone := `
r accepts remote
r receives header from='corp.example' to='hosted.example'
r sends header from='hosted.example' to='corp.example' id='r1' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
`
	for name, x := range map[string]struct {
		direct, tlsa, bogus bool
		ends                string
	}{
		"control: neither": {ends: offersNone + "r receives <db:result from='corp.example' to='hosted.example'>…</db:result>"},
		"TLSA":             {tlsa: true, ends: offersNone + "r receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr closes\nrecord has link.fail \"step\":\"tls\"\nrecord lacks \"outcome\":\"written\""},
		"direct TLS, first": {direct: true, ends: `
d accepts direct
d sends <stream:stream
d closes
` + offersNone + "r receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr closes\nrecord has link.fail \"step\":\"tls\"\nrecord lacks \"outcome\":\"written\""},
		"bogus": {bogus: true, ends: "record has link.fail \"step\":\"dns\" DNSSEC\nrecord lacks \"outcome\":\"written\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{data: policyData(t, plain), resolver: validating})
			s.Calls["direct"] = listen(t)
			zone := []string{s.srv(1, false, "remote", "x."+hosted), "x." + hosted + ". 60 IN A 127.0.0.1"}
			if x.direct {
				zone = append(zone, s.srv(0, true, "direct", "x."+hosted))
			}
			if x.tlsa {
				zone = append(zone, s.tlsaAs("remote", "x."+hosted, "9 1 1 00"))
				s.names.Vouch(hosted)
			}
			s.names.Set(t, zone...)
			if x.bogus {
				s.names.Break("_xmpp-server._tcp."+hosted, xmpptest.Bogus)
			}
			xmpptest.Converse(t, s.Stage, asks+x.ends)
			if x.bogus {
				uncalled(t, s.Calls["remote"])
			}
		})
	}
}

// claims is a stranger with a certificate that says it is hosted.example, behind TLS.
func claims(t *testing.T) string {
	return strings.NewReplacer("client good", "client it", remote, hosted).Replace(include(t, "_tls"))
}

// [I23], as receiving server: the caller's certificate is looked for among those that its domain's servers have by DNSSEC, where policy
// asks for more than the trust anchors give; and nobody is asked anything where it does not.
func TestDANEInbound(t *testing.T) {
	t.Parallel()
	const db = "r sends <db:result from='hosted.example' to='corp.example'>k</db:result>\n"
	valid := "r receives <db:result from='corp.example' to='hosted.example' type='valid'/>\n"
	refused := refusedResult("r", "corp.example", hosted, "auth", "not-authorized")
	for name, x := range map[string]struct {
		need   string
		cert   string
		vouch  bool
		silent bool
		ends   string
		asked  bool
	}{
		"named, dane required":                 {need: `"proof":"dane"`, cert: "named", vouch: true, ends: valid + `record has link.open "proof":"dane"`, asked: true},
		"named, pkix required":                 {need: `"proof":"pkix"`, cert: "named", vouch: true, ends: valid + `record has link.open "proof":"dane"`, asked: true},
		"not signed":                           {need: `"proof":"dane"`, cert: "named", ends: refused, asked: true},
		"another certificate":                  {need: `"proof":"pkix"`, cert: "other", vouch: true, ends: refused, asked: true},
		"a good one, dane required":            {need: `"proof":"dane"`, cert: "pkix", vouch: true, ends: refused, asked: true},
		"a good one proves itself":             {need: `"proof":"pkix"`, cert: "pkix", vouch: true, ends: valid + `record has link.open "proof":"pkix"`},
		"the policy forbids the domain":        {need: `"deny":true`, cert: "named", vouch: true, ends: failed("r", "policy-violation")},
		"a pin is asked for, and it is none":   {need: `"proof":"pin","pins":["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]`, cert: "named", vouch: true, ends: refused},
		"the name servers say nothing in time": {need: `"proof":"dane"`, cert: "named", vouch: true, silent: true, ends: refused, asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{data: policyData(t, `{"federation":"open","peers":{"hosted.example":{`+x.need+`}}}`), resolver: validating}
			if x.silent {
				o.limits = shortly
			}
			s := newStage(t, o)
			named := s.selfSigned(t, hosted)
			s.shows("it", map[string]func() (c certificate){
				"named": func() certificate { return named },
				"other": func() certificate { return s.selfSigned(t, hosted) },
				"pkix":  func() certificate { return s.ca.leaf(t, newKey(t), dnsNames(hosted)) },
			}[x.cert]())
			s.names.Set(t, s.srv(0, false, "remote", "x."+hosted), "x."+hosted+". 60 IN A 127.0.0.1", s.tlsaOf(t, "remote", "x."+hosted, named))
			if x.vouch {
				s.names.Vouch(hosted)
			}
			if x.silent {
				s.names.Break("", xmpptest.Silent)
			}
			xmpptest.Converse(t, s.Stage, claims(t)+db+x.ends)
			asked := slices.ContainsFunc(s.names.Asked(), func(q string) bool { return strings.Contains(q, hosted) })
			if asked != x.asked {
				t.Errorf("questions about the domain: %q", s.names.Asked())
			}
			uncalled(t, s.Calls["remote"])
		})
	}
}

// [I23]: and so is a peer that wants our stanzas on its own stream. What a trust anchor says of its certificate lets its stanzas in, and
// none of ours out.
func TestDANEOnReturningStreams(t *testing.T) {
	t.Parallel()
	const target = "xmpp.provider.example"
	external := replaced(include(t, "_bidi_external"), remote, hosted, "client good", "client it", "cmVtb3RlLmV4YW1wbGU=", "=")
	speaks := replaced(include(t, "_backend_speaks"), remote, hosted) + "l sends <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'/>\n"
	for name, x := range map[string]struct {
		named   bool     // the certificate is that of the records
		vouched []string // by DNSSEC
		ends    string
	}{
		"a match":            {true, []string{hosted, "provider.example"}, "r receives <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'/>\n" + `record has link.open "dir":"out" "proof":"dane"`},
		"a mismatch":         {false, []string{hosted, "provider.example"}, "s accepts remote\ns receives header\ns closes\nr receives nothing\n" + `record lacks "outcome":"written"`},
		"without DNSSEC":     {false, nil, "r receives <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'/>\n" + `record has link.open "dir":"out" "proof":"pkix"`},
		"an unsigned target": {false, []string{hosted}, "r receives <message from='romeo@corp.example/pc' to='juliet@hosted.example' id='m1'/>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{bidi: true, resolver: validating})
			cert := s.ca.leaf(t, newKey(t), dnsNames(hosted))
			s.shows("it", cert)
			named := cert
			if !x.named {
				named = s.selfSigned(t, hosted)
			}
			s.names.Set(t, s.srv(0, false, "remote", target), target+". 60 IN A 127.0.0.1", s.tlsaOf(t, "remote", target, named))
			s.names.Vouch(x.vouched...)
			xmpptest.Converse(t, s.Stage, external+speaks+x.ends)
		})
	}
}
