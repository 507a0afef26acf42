package proxy_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/internal/resolve"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// leaf makes a certificate that change makes unusual.
func (a *authority) leaf(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{SerialNumber: serial, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	change(template)
	parent, signer := a.cert, crypto.Signer(a.key)
	if template.Issuer.CommonName == "self" {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// worthless are certificates that prove nothing of remote.example; says is in the reason of a link that fails for it.
func worthless(t *testing.T, a *authority) []worthlessCert {
	named := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = names }
	}
	make := func(change func(*x509.Certificate)) tls.Certificate { return a.leaf(t, newKey(t), change) }
	also := func(first tls.Certificate, second tls.Certificate) tls.Certificate {
		first.Certificate = slices.Concat(first.Certificate, second.Certificate)
		return first
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	return []worthlessCert{
		{"ABUSE 8 self-signed", make(func(c *x509.Certificate) { c.DNSNames, c.Issuer.CommonName = []string{remote}, "self" }), "not vouched for"},
		{"ABUSE 8 expired", make(func(c *x509.Certificate) { c.DNSNames, c.NotAfter = []string{remote}, time.Now().Add(-time.Hour) }), "expired"},
		{"ABUSE 8 not valid yet", make(func(c *x509.Certificate) { c.DNSNames, c.NotBefore = []string{remote}, time.Now().Add(30*time.Minute) }), "not valid yet"},
		{"ABUSE 8 wrong host", make(named("other.example")), "another domain"},
		{"ABUSE 8 untrusted chain", newAuthority(t).leaf(t, newKey(t), named(remote)), "not vouched for"},
		{"ABUSE 8 for clients alone", make(func(c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{remote}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "not for TLS servers"},
		{"ABUSE 6 weak key", a.leaf(t, weak, named(remote)), "weak"},
		{"ABUSE 10 common name alone", make(func(c *x509.Certificate) { c.Subject.CommonName = remote }), "another domain"},
		{"ABUSE 10 common name within O", make(func(c *x509.Certificate) {
			c.Subject, c.DNSNames = pkix.Name{Organization: []string{"x,CN=" + remote}}, []string{"other.example"}
		}), "another domain"},
		{"ABUSE 10 NUL in the name", make(named(remote + "\x00.other.example")), "another domain"},
		{"ABUSE 10 wildcard over the domain", make(named("*."+remote, "r*.example", "*")), "another domain"},
		{"ABUSE 11 the victim's leaf behind another's", also(make(named("other.example")), make(named(remote))), "another domain"},
	}
}

type worthlessCert struct {
	id   string
	cert tls.Certificate
	says string
}

// ABUSE 4, 6, 7, 8, 10, 11 (CVE-2014-3451, CVE-2025-59154, CVE-2021-32919), as receiving server: a certificate that proves nothing gets no
// EXTERNAL, neither offered nor taken, and its db:result is asked about as that of somebody with no certificate.
func TestABUSE8WorthlessCertificateInbound(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.NegativeVerify = 1 }})
	for _, w := range worthless(t, s.ca) {
		t.Log(w.id)
		s.Client["it"] = s.ca.client(t)
		s.Client["it"].Certificates = []tls.Certificate{w.cert}
		c := xmpptest.Begin(t, s.Stage)
		c.Play(strings.ReplaceAll(include(t, "_tls"), "client good", "client it"))
		c.Play(`
r sends <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>
r receives <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
a accepts remote
a closes
r receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>
r sends <message from='juliet@remote.example/x' to='romeo@corp.example'/>
` + failed("r", "not-authorized") + `record lacks "kind":"stanza"`)
		c.End()
	}
	if n := strings.Count(s.log.String(), "EXTERNAL refused"); n != len(worthless(t, s.ca)) {
		t.Errorf("%d refusals of EXTERNAL are logged", n)
	}
}

// ABUSE 6, 7, 8, 9, 10, 11 (Openfire OF-2555, OF-2590), as initiating server: where policy wants a proof, no key and no stanza leaves for a
// peer that shows such a certificate, and the sender hears why.
func TestABUSE9WorthlessCertificateOutbound(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"pkix"}}}`),
		limits: func(l *proxy.Limits) { l.NegativeMin, l.NegativeMax = 1, 1 }})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks"))
	for i, w := range worthless(t, s.ca) {
		t.Log(w.id)
		s.Server["it"] = &tls.Config{Certificates: []tls.Certificate{w.cert}}
		c.Play(strings.ReplaceAll(include(t, "_gate_calls"), "server good", "server it") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r closed
`)
		if i == 0 {
			c.Play(include(t, "_backend_takes"))
		}
		c.Play(`b receives <message from='juliet@remote.example' to='romeo@corp.example/pc' id='m1' type='error'><error code='504' by='corp.example' type='cancel'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…` + w.says + `…</error></message>
record lacks "outcome":"written"`)
	}
	want, n := len(worthless(t, s.ca)), 0
	for end := time.Now().Add(patience); n != want && time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		n = bytes.Count(s.recorded(), []byte(`"step":"cert"`)) // what nobody waits for takes a moment
	}
	if n != want {
		t.Errorf("%d failed links are recorded with step cert, not %d", n, want)
	}
}

// ABUSE 6 (Prosody 8fac32810144): a certificate that cannot be read at all ends the handshake, in both roles.
func TestABUSE6UnreadableCertificate(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	cert := s.ca.leaf(t, newKey(t), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x82}}}
	})
	s.Client["it"] = s.ca.client(t)
	s.Client["it"].MaxVersion = tls.VersionTLS12 // in 1.3 the client would learn of it only when it reads
	s.Client["it"].Certificates = []tls.Certificate{cert}
	s.Server["it"] = &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, script := range []string{
		strings.Split(include(t, "_tls"), "r tls client")[0] + "r tls client it fails",
		include(t, "_backend_speaks") + strings.Split(include(t, "_gate_calls"), "r tls server")[0] + "r tls server it fails",
	} {
		xmpptest.Converse(t, s.Stage, script)
	}
	xmpptest.Converse(t, s.Stage, "record has link.fail \"step\":\"tls\"\nrecord lacks \"outcome\":\"written\"")
}

// ABUSE 7 (Prosody #1381), as initiating server: each domain of a peer is judged for itself, although both live at one address and have
// the same certificate.
func TestABUSE7EachDomainForItself(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"pkix"},"conference.remote.example":{"proof":"pkix"}}}`)})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_gate_proved"))
	sub := strings.NewReplacer("remote.example", "conference.remote.example", "{q7}", "{q8}")
	c.Play(recast(sub.Replace(include(t, "_backend_speaks")+include(t, "_gate_calls")), "l", "m", "v", "w", "r", "q") + `
q sends header from='conference.remote.example' to='corp.example' id='r2' version='1.0'
q sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
q closed
record has link.fail "step":"cert" conference.remote.example`)
}

// ABUSE 38 (CVE-2022-24968), [D08], as initiating server: who is to be proved is the domain that was asked for, not the host that its DNS
// names; SNI says so too.
func TestABUSE38DomainNotTarget(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ name, ends string }{
		{"xmpp.provider.example", "r closed\nrecord has link.fail \"step\":\"cert\" hosted.example"},
		{"hosted.example", "r receives <db:result from='corp.example' to='hosted.example'>…</db:result>"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{data: policyData(t, `{"federation":"open","peers":{"hosted.example":{"proof":"pkix"}}}`),
				resolver: func(c *resolve.Config) { c.AllowPrivate = true }})
			s.names.Set(t, fmt.Sprintf("_xmpp-server._tcp.hosted.example. 60 IN SRV 0 0 %d xmpp.provider.example.", addrOf(s.Calls["remote"]).Port()),
				"xmpp.provider.example. 60 IN A 127.0.0.1")
			sni := make(chan string, 1)
			s.Server["it"] = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
				sni <- h.ServerName
				cert := s.ca.issue(t, time.Now().Add(time.Hour), x.name)
				return &cert, nil
			}}
			hosted := strings.NewReplacer(remote, "hosted.example", "server good", "server it")
			xmpptest.Converse(t, s.Stage, hosted.Replace(include(t, "_backend_speaks")+include(t, "_gate_calls")+`
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
`)+x.ends)
			if got := <-sni; got != "hosted.example" {
				t.Errorf("SNI was %q", got)
			}
		})
	}
}

// ABUSE 12: no key that was made, shown or asked about stands in the log, at any level, or in the record: not of a pair that was
// proved, not of one that was refused, on either side.
func TestABUSE12NoKeyIsWrittenDown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"W01_inbound_dialback_over_tls", "W02_authoritative_server", "W04_outbound_dialback", "W09b_forged_key", "D08b_one_bad_key_on_a_shared_stream", "A04_certificate_of_another_domain", "M02_authentication_fails"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, o := readScript(t, "testdata/conversations/"+name+".txt")
			s := newStage(t, o)
			c := xmpptest.Begin(t, s.Stage)
			c.Play(strings.NewReplacer(">forged<", ">a-forged-key<", ">k<", ">any-key-at-all<").Replace(script))
			written := s.log.String() + string(s.recorded())
			if len(written) == 0 {
				t.Fatal("nothing is written down at all")
			}
			for _, key := range []string{c.Value("{k}"), c.Value("{ki}"), "key-of-the-backend", "a-forged-key", "any-key-at-all"} {
				if key != "" && strings.Contains(written, key) {
					t.Errorf("the key %s is written down", key)
				}
			}
		})
	}
}

// ABUSE 41 (jabber.ru, 2023): a certificate that a public authority has issued to somebody else proves the domain to everyone who has no
// pin. Who has one takes no other key, in either role, and asks no dialback about it.
func TestABUSE41Pin(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.NegativeMin, l.NegativeMax = 1, 1 }})
	leaf, err := x509.ParseCertificate(s.Client["good"].Certificates[0].Certificate[0])
	must(t, err)
	s.Server["pinned"] = &tls.Config{Certificates: s.Client["good"].Certificates, ClientAuth: tls.RequestClientCert}
	s.Client["rogue"] = s.ca.client(t, remote) // the same name, by the same authority
	must(t, s.engine.Reload(policyData(t, `{"federation":"open","peers":{"remote.example":{"proof":"pin","pins":["sha256/`+certs.SPKI(leaf)+`"]}}}`)))
	s.proxy.Apply(s.settings(options{limits: func(l *proxy.Limits) { l.NegativeMin, l.NegativeMax = 1, 1 }}))

	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved"))
	xmpptest.Converse(t, s.Stage, strings.ReplaceAll(include(t, "_tls"), "client good", "client rogue")+`
r sends <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>
r receives <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>
r sends <db:result from='remote.example' to='corp.example'>k</db:result>
`+refusedResult("r", "corp.example", "remote.example", "auth", "not-authorized"))
	uncalled(t, s.Calls["remote"])

	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks") + include(t, "_gate_calls") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r closed
record has link.fail "step":"cert" remote.example
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'/>
` + strings.ReplaceAll(include(t, "_remote_takes"), "server good", "server pinned") + `
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m2'/>`)
}
