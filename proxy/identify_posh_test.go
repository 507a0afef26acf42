package proxy_test

import (
	"bytes"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

const poshAt = "https://remote.example/.well-known/posh/xmpp-server.json"

// posh puts a source of POSH documents in force. Routes lead to remote.example: nothing of this asks DNS.
func (s *stage) posh(w *web) {
	settings := s.settings(options{limits: shortly})
	settings.POSH = &certs.POSHSource{Client: &http.Client{Transport: w}}
	s.proxy.Apply(settings)
}

func document(t *testing.T, cs ...certificate) []byte {
	t.Helper()
	var leaves []*x509.Certificate
	for _, c := range cs {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		must(t, err)
		leaves = append(leaves, leaf)
	}
	return certs.POSHDocument(leaves, time.Hour)
}

// RFC 7711, [I20], [I21], in both directions: what a domain's web server says of a certificate counts where policy asks for it, or for
// more than the trust anchors gave. One document is fetched, and only for a domain that may federate and is not proved otherwise.
func TestPOSH(t *testing.T) {
	t.Parallel()
	const db = "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n"
	type says int
	const (
		it says = iota
		another
		nothing
		huge
		garbage
		silence
	)
	for name, x := range map[string]struct {
		need  string
		cert  string // self-signed, or good "pkix"
		web   says
		proof string // empty: refused
		asked int
	}{
		"posh required":                                             {`"proof":"posh"`, "self", it, "posh", 1},
		"pkix required, met by posh":                                {`"proof":"pkix"`, "self", it, "posh", 1},
		"posh required, a good certificate":                         {`"proof":"posh"`, "pkix", it, "posh", 1},
		"posh required, and there is none, with a good certificate": {`"proof":"posh"`, "pkix", nothing, "", 1},
		"another certificate":                                       {`"proof":"posh"`, "self", another, "", 1},
		"no document":                                               {`"proof":"pkix"`, "self", nothing, "", 1},
		"an endless document":                                       {`"proof":"pkix"`, "self", huge, "", 1},
		"no JSON":                                                   {`"proof":"pkix"`, "self", garbage, "", 1},
		"a web server that says nothing":                            {`"proof":"pkix"`, "self", silence, "", 1},
		"proved by the trust anchors":                               {`"proof":"pkix"`, "pkix", it, "pkix", 0},
		"dialback is enough, and nobody asks":                       {`"proof":"dialback"`, "self", it, "dialback", 0},
		"a pin is asked for":                                        {`"proof":"pin","pins":["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]`, "self", it, "", 0},
		"dane is asked for":                                         {`"proof":"dane"`, "self", it, "", 0},
		"the policy forbids the domain":                             {`"deny":true`, "self", it, "forbidden", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w web
			s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"remote.example":{`+x.need+`}}}`)})
			s.posh(&w)
			cert := s.selfSigned(t, "whoever.example")
			if x.cert == "pkix" {
				cert = s.ca.leaf(t, newKey(t), dnsNames(remote))
			}
			switch x.web {
			case it:
				w.publish(poshAt, document(t, s.selfSigned(t, remote), cert))
			case another:
				w.publish(poshAt, document(t, s.selfSigned(t, remote)))
			case nothing:
				w.publish(poshAt, nil)
			case huge:
				w.publish(poshAt, bytes.Repeat([]byte(" "), 1<<20))
			case garbage:
				w.publish(poshAt, []byte("<html>"))
			}
			s.shows("it", cert)
			in := xmpptest.Begin(t, s.Stage)
			in.Play(replaced(include(t, "_tls"), "client good", "client it") + db)
			outwards := include(t, "_backend_speaks") + "l sends " + message("m1", 0) + "\n"
			switch x.proof {
			case "forbidden":
				in.Play(failed("r", "policy-violation") + outwards)
				uncalled(t, s.Calls["remote"])
			case "":
				in.Play(refusedResult("r", "corp.example", remote, "auth", "not-authorized") + outwards)
				in.Play(replaced(include(t, "_gate_calls"), "l sends", "# l sends", "server good", "server it") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r closed
record has link.fail "step":"cert"
record lacks "outcome":"written"`)
			case "dialback":
				in.Play("a accepts remote\na closes\nr receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>\nr closes\n" + outwards + remoteTakes(t, "it") +
					"r receives " + message("m1", 0) + "\nrecord has link.open \"dir\":\"out\" \"proof\":\"none\"")
			default:
				in.Play("r receives <db:result from='corp.example' to='remote.example' type='valid'/>\nrecord has link.open \"dir\":\"in\" \"proof\":\"" + x.proof + "\"\n" +
					outwards + remoteTakes(t, "it") + "r receives " + message("m1", 0) + "\nrecord has link.open \"dir\":\"out\" \"proof\":\"" + x.proof + "\"")
			}
			if got := w.questions(); got != x.asked {
				t.Errorf("%d documents were asked for, want %d: %q", got, x.asked, w.asked)
			}
		})
	}
}

// A proof does not outlive its evidence: what was fetched before a reload was fetched under other trust anchors, or may be wanted no
// more. The links that it proved begin anew, in both directions.
func TestPOSHEndsWithItsSource(t *testing.T) {
	t.Parallel()
	var w web
	s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"posh"}}}`)})
	s.posh(&w)
	cert := s.selfSigned(t, remote)
	w.publish(poshAt, document(t, cert))
	s.shows("it", cert)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(replaced(bothWays(t), " good", " it"))
	s.proxy.Review()
	c.Play("s receives nothing\nr receives nothing")
	settings := s.settings(options{})
	s.proxy.Apply(settings)
	c.Play(failed("s", "reset") + "r receives <stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\nrecord has link.close POSH")
}

// Strangers choose whom we ask: questions to DNS and the web are held to the limits of those about keys.
func TestVouchingIsBounded(t *testing.T) {
	t.Parallel()
	var w web
	s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"default":{"proof":"posh"}}}`)})
	settings := s.settings(options{limits: func(l *proxy.Limits) { l.Verify, l.PendingPerStream, l.PendingPerAddress = 3*time.Second, 2, 1 }})
	settings.POSH = &certs.POSHSource{Client: &http.Client{Transport: &w}}
	s.proxy.Apply(settings)
	s.shows("it", s.selfSigned(t, remote))
	ask := func(n string) string { return "r sends <db:result from='" + n + "' to='corp.example'>k</db:result>\n" }
	c := xmpptest.Begin(t, s.Stage)
	c.Play(replaced(include(t, "_tls"), "client good", "client it") + ask(remote))
	eventually(t, "a question about the first", func() bool { return w.questions() == 1 })
	c.Play(ask("other.example") + ask("third.example") +
		refusedResult("r", "corp.example", "third.example", "wait", "resource-constraint") +
		"record has dialback.error resource-constraint\n" +
		refusedResult("r", "corp.example", remote, "auth", "not-authorized") + refusedResult("r", "corp.example", "other.example", "wait", "resource-constraint"))
	c.End()
	if w.questions() > 1 {
		t.Errorf("asked %q", w.asked)
	}
}
