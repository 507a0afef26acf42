package proxy_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/ratchet"
	"sallyport/internal/xmpptest"
)

// remembering gives the gate a memory of peers that needs no time to learn; then nothing comes of what was learnt for learn, and it is
// told and not enforced in mode observe.
func remembering(t *testing.T, mode string, learn time.Duration) func(*stage) {
	return func(s *stage) {
		book, err := ratchet.Open(ratchet.Config{File: filepath.Join(s.dir, "peers.json"), Mode: mode, Learn: learn, Domains: 100}, s.proxy.Log)
		must(t, err)
		t.Cleanup(func() { book.Close() })
		s.proxy.Ratchet = book
	}
}

// knows lets the gate have met remote.example, in both directions, with the best that there is.
func (s *stage) knows() {
	for _, dir := range []string{"in", "out"} {
		s.proxy.Ratchet.Record(ratchet.Sighting{Domain: remote, Direction: dir, Channel: "tls", Proof: "pkix", SPKI: "the-old-key", Issuer: "CN=Old"})
	}
}

// ABUSE 16, 41 (jabber.ru 2023): a domain that has proved itself by its certificate, and comes without one that does, is refused where
// policy would take it, and that is told; in the stages before, it is told or let be.
func TestRatchetProof(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		mode   string
		learn  time.Duration
		exempt bool
		passes bool
		told   bool
	}{
		"enforced":                 {mode: "enforce", told: true},
		"observed":                 {mode: "observe", passes: true, told: true},
		"learning":                 {mode: "enforce", learn: time.Hour, passes: true},
		"the policy looks past it": {mode: "enforce", exempt: true, passes: true, told: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := `{"federation":"open"}`
			if x.exempt {
				data = `{"federation":"open","peers":{"remote.example":{"ratchet":false}}}`
			}
			s := newStage(t, options{prepare: remembering(t, x.mode, x.learn), data: policyData(t, data)})
			s.knows()
			s.shows("it", s.selfSigned(t, remote))
			c := xmpptest.Begin(t, s.Stage)
			c.Play(replaced(include(t, "_tls"), "client good", "client it") + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n")
			if x.passes {
				c.Play(authoritative(t, "a") + "r receives <db:result from='corp.example' to='remote.example' type='valid'/>\nr closes\n" +
					include(t, "_backend_speaks") + "l sends " + message("m1", 0) + "\n" + remoteTakes(t, "it") + "r receives " + message("m1", 0))
			} else {
				c.Play(refusedResult("r", "corp.example", remote, "auth", "not-authorized") + "r closes\n" + include(t, "_backend_speaks") + replaced(include(t, "_gate_calls"), "server good", "server it") + `
r sends header from='remote.example' to='corp.example' id='r2' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r closed
record has link.fail "step":"cert" ratchet-proof
record lacks "outcome":"written"`)
			}
			for _, dir := range []string{"in", "out"} {
				if x.told {
					c.Play(`record has "kind":"downgrade" "dir":"` + dir + `" pkix`)
				}
			}
			if !x.told {
				c.Play(`record lacks "kind":"downgrade"`)
			}
		})
	}
}

// authoritative answers the gate's question about the key k of remote.example, over TLS.
func authoritative(t *testing.T, part string) string {
	t.Helper()
	return recast(replaced(include(t, "_remote_tls"), "server good", "server it"), "r", part) + part + ` sends <stream:features/>
` + part + ` receives <db:verify from='corp.example' to='remote.example' id='{p2}'>k</db:verify>
` + part + ` sends <db:verify from='remote.example' to='corp.example' id='{p2}' type='valid'/>
`
}

// ABUSE 16 (CVE-2016-10027): STARTTLS is gone from the features of a domain that had it. Whether the policy wants TLS or would do
// without, nothing leaves in clear, and it is told.
func TestRatchetSTARTTLSStripped(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"TLS is required":  `{"federation":"open"}`,
		"TLS is not asked": `{"federation":"open","peers":{"remote.example":{"channel":"plaintext","until":"2099-01-01"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{prepare: remembering(t, "enforce", 0), data: policyData(t, data)})
			s.knows()
			ends := "r closed\n"
			if strings.Contains(name, "required") {
				ends = "r receives <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nr closes\n"
			}
			xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+`
r accepts remote
r receives header from='corp.example' to='remote.example'
r sends header from='remote.example' to='corp.example' id='r1' version='1.0'
r sends <stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
`+ends+`record has "kind":"downgrade" "dir":"out" "channel":"plaintext"
record lacks "outcome":"written"
q connects outside
q sends header from='remote.example' to='corp.example' version='1.0'
q receives header id='{q1}'
q receives <stream:features>…</stream:features>
q sends <db:result from='remote.example' to='corp.example'>k</db:result>
q receives <db:result from='corp.example' to='remote.example' type='error'>…</db:result>
record has "kind":"downgrade" "dir":"in" "channel":"plaintext"
`)
			uncalled(t, s.Calls["remote"])
		})
	}
}

// ABUSE 41: another key of a known domain is told, with both fingerprints, and another issuer, too; it is no reason to refuse.
func TestRatchetTellsOfNewKeys(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{prepare: remembering(t, "enforce", 0)})
	s.knows()
	first, second := s.ca.leaf(t, newKey(t), dnsNames(remote)), s.ca.leaf(t, newKey(t), dnsNames(remote))
	for i, cert := range []certificate{first, second} {
		s.shows("it", cert)
		c := xmpptest.Begin(t, s.Stage)
		c.Play(replaced(include(t, "_remote_proved"), "client good", "client it"))
		if i == 0 {
			c.Play(`record has "kind":"cert.changed" sha256/the-old-key sha256/` + spkiOf(t, first) + "\n" + `record has "kind":"cert.changed" CN=Old Authority`)
		} else {
			c.Play(`record has "kind":"cert.changed" sha256/` + spkiOf(t, first) + " sha256/" + spkiOf(t, second))
		}
		c.End()
	}
}

// `sallyport peers pin` and `forgive` hold for the links that stand: one with another key ends, in either direction; after an announced
// change the next key is taken, and after a pardon the domain may come as it can.
func TestRatchetByHand(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{prepare: remembering(t, "enforce", 0)})
	now, next := s.ca.leaf(t, newKey(t), dnsNames(remote)), s.ca.leaf(t, newKey(t), dnsNames(remote))
	s.shows("it", now)
	s.shows("next", next)
	c := xmpptest.Begin(t, s.Stage)
	c.Play(replaced(bothWays(t), " good", " it"))
	pin := func(keys ...string) {
		must(t, s.proxy.Ratchet.Pin(remote, keys))
		s.proxy.Review()
	}
	pin("sha256/"+spkiOf(t, now), "sha256/"+spkiOf(t, next))
	c.Play("s receives nothing\nr receives nothing")
	pin("sha256/" + spkiOf(t, next))
	c.Play(failed("s", "policy-violation") + "r receives </stream:stream>\nrecord has link.close \"dir\":\"in\" pinned\nrecord has link.close \"dir\":\"out\" pinned\n")
	ask := "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n"
	c.Play("r closes\n" + replaced(include(t, "_tls"), "client good", "client it", "{p", "{q") + ask + refusedResult("r", "corp.example", remote, "auth", "not-authorized") +
		"r closes\n" + replaced(include(t, "_tls"), "client good", "client next", "{p", "{u") + ask + "r receives <db:result from='corp.example' to='remote.example' type='valid'/>\nr closes\n")
	must(t, s.proxy.Ratchet.Unpin(remote))
	must(t, s.proxy.Ratchet.Forgive(remote))
	s.proxy.Review()
	s.shows("it", s.selfSigned(t, remote))
	c.Play(replaced(include(t, "_tls"), "client good", "client it", "{p", "{w") + ask + replaced(authoritative(t, "a"), "{p2}", "{w2}") +
		"r receives <db:result from='corp.example' to='remote.example' type='valid'/>")
}

// A link that was let through while its domain was observed ends when the domain begins to be held to what it proved: nothing else has
// to happen for that.
func TestRatchetBeginsToEnforce(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{prepare: remembering(t, "enforce", 0)})
	hold := func(after time.Duration) {
		s.proxy.Ratchet.Configure(ratchet.Config{Mode: "enforce", Observe: after, Domains: 100})
	}
	hold(time.Hour)
	begun := time.Now()
	s.knows()
	s.shows("it", s.selfSigned(t, remote))
	c := xmpptest.Begin(t, s.Stage)
	c.Play(replaced(include(t, "_tls"), "client good", "client it") + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n" +
		authoritative(t, "a") + "r receives <db:result from='corp.example' to='remote.example' type='valid'/>\n")
	hold(time.Since(begun) + 1500*time.Millisecond)
	s.proxy.Review() // as a reload does; it finds nothing yet
	c.Play(failed("r", "policy-violation") + "record has link.close \"dir\":\"in\" ratchet-proof\n")
}

// A domain that an operator held to POSH once, and holds to dialback now, is still held to what it proved; its web server may vouch for
// it as before, or it would be shut out.
func TestRatchetLooksWhereItWasProved(t *testing.T) {
	t.Parallel()
	var w web
	s := newStage(t, options{prepare: remembering(t, "enforce", 0)})
	s.posh(&w)
	for _, dir := range []string{"in", "out"} {
		s.proxy.Ratchet.Record(ratchet.Sighting{Domain: remote, Direction: dir, Channel: "tls", Proof: "posh"})
	}
	cert := s.selfSigned(t, remote)
	w.publish(poshAt, document(t, cert))
	s.shows("it", cert)
	xmpptest.Converse(t, s.Stage, replaced(bothWays(t), " good", " it")+"record has link.open \"dir\":\"in\" \"proof\":\"posh\"\nrecord has link.open \"dir\":\"out\" \"proof\":\"posh\"")
}

// What a domain proves as a server binds it as a server alone, also where its stream carries both ways: it may call without a certificate,
// as it did before. And what it proves as a caller does not bind its server.
func TestRatchetOnStreamsBothWays(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{bidi: true, prepare: remembering(t, "enforce", 0)})
	caller := recast(replaced(include(t, "_tls"), "client good", "client none"), "r", "q")
	xmpptest.Converse(t, s.Stage, include(t, "_bidi_calls")+`r sends <stream:features/>
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='o1'/>
record has link.open "dir":"in" "proof":"pkix"
`+caller+"q sends <db:result from='remote.example' to='corp.example'>k</db:result>\n"+strings.ReplaceAll(askedBack, "{p}", "{p2}")+`
q receives <db:result from='corp.example' to='remote.example' type='valid'/>
record lacks "kind":"downgrade"`)

	s = newStage(t, options{bidi: true, prepare: remembering(t, "enforce", 0)})
	s.shows("it", s.selfSigned(t, remote))
	xmpptest.Converse(t, s.Stage, recast(include(t, "_bidi_external"), "r", "q")+include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\nq receives "+message("m1", 0)+`
q sends </stream:stream>
q receives </stream:stream>
q closed
record has link.close "dir":"out"
l sends `+message("m2", 0)+"\n"+remoteTakes(t, "it")+"r receives "+message("m2", 0)+`
record lacks "kind":"downgrade"`)
}

// A rule about stanzas that reads what is known of the peer hears what is known when the stanza comes, not when its link came up.
func TestRatchetKnownNow(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{prepare: remembering(t, "enforce", 0), rego: `package sallyport.stanza
deny contains {"rule": "other-key", "condition": "not-allowed"} if input.link.known.pin == "other"`})
	s.Do["pin"] = func() error {
		return s.proxy.Ratchet.Pin(remote, []string{"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="})
	}
	xmpptest.Converse(t, s.Stage, include(t, "_remote_proved")+"r sends "+fmt.Sprintf(fromJuliet, "i1")+"\n"+include(t, "_backend_takes")+"b receives "+fmt.Sprintf(fromJuliet, "i1")+
		"\ndo pin\nr sends "+fmt.Sprintf(fromJuliet, "i2")+"\nrecord has \"kind\":\"stanza\" \"rule\":\"other-key\"")
}
