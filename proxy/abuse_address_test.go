package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/xmpptest"
)

// ABUSE 35, 36, [A01]–[A03], [A06] (CVE-2015-2058, jabberd2 #4): addresses that are none, and those that only look like a proved one, end a
// stranger's stream; nothing of the stanza is carried. There is no second reading of a name behind policy's back.
func TestABUSE35BadAddressesOutside(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	good := "juliet@remote.example/x"
	for _, x := range []struct{ id, from, to, condition string }{
		{"36 localpart of 1024 bytes", strings.Repeat("a", 1024) + "@remote.example", local, "improper-addressing"},
		{"36 resource of 1024 bytes", "a@remote.example/" + strings.Repeat("a", 1024), local, "improper-addressing"},
		{"36 domain of 1024 bytes", "a@" + strings.Repeat("a.", 508) + "example", local, "improper-addressing"},
		{"36 domain of 256 bytes", "a@" + strings.Repeat("a.", 125) + "example", local, "improper-addressing"},
		{"36 label of 64 bytes", good, strings.Repeat("a", 64) + ".example", "improper-addressing"},
		{"36 a long to", good, "romeo@" + strings.Repeat("c.", 600) + local, "improper-addressing"},
		{"35 bad UTF-8", good, "rom\xC3\x28eo@corp.example", "unsupported-encoding"},
		{"35 overlong at-sign", good, "romeo\xC1\x80corp.example", "unsupported-encoding"},
		{"35 look-alike letter", "juliet@rem\u043Ete.example/x", "romeo@corp.example", "invalid-from"},
		{"35 look-alike letter as A-label", "juliet@xn--remte-jye.example/x", "romeo@corp.example", "invalid-from"},
		{"35 letter of full width", "juliet@third.example/x", "romeo@\uFF43orp.example", "invalid-from"},
		{"35 localpart turned around", "\u202Etelulj@remote.example", "romeo@corp.example", "improper-addressing"},
		{"35 proved domain as localpart", "remote.example@third.example", "romeo@corp.example", "invalid-from"},
		{"35 proved domain behind a slash", "third.example/@remote.example", "romeo@corp.example", "invalid-from"},
		{"35 proved domain behind two at-signs", "juliet@third.example@remote.example", "romeo@corp.example", "improper-addressing"},
		{"35 domain below the proved one", "juliet@sub.remote.example", "romeo@corp.example", "invalid-from"},
		{"35 domain above the proved one", "juliet@example", "romeo@corp.example", "invalid-from"},
		{"35 two final dots", "juliet@remote.example../x", "romeo@corp.example", "improper-addressing"},
		{"35 nothing but a dot", "juliet@./x", "romeo@corp.example", "improper-addressing"},
		{"35 space", "jul iet@remote.example", "romeo@corp.example", "improper-addressing"},
		{"35 quote as a reference", "jul&#39;iet@remote.example", "romeo@corp.example", "improper-addressing"},
		{"[A01] no to", good, "", "improper-addressing"},
		{"[A01] no from", "", "romeo@corp.example", "improper-addressing"},
		{"[A01] empty localpart", "@remote.example", "romeo@corp.example", "improper-addressing"},
		{"[A01] empty resource", "juliet@remote.example/", "romeo@corp.example", "improper-addressing"},
		{"[A06] address of a machine", "juliet@127.0.0.1", "romeo@corp.example", "invalid-from"},
		{"[A03] to a name below ours", good, "romeo@x.corp.example", "host-unknown"},
		{"[A03] to a look-alike of ours", good, "romeo@c\u043Erp.example", "host-unknown"},
		{"[A05] from our own domain", "romeo@corp.example", "romeo@corp.example", "invalid-from"},
		{"[A05] from below our own domain", "romeo@x.corp.example", "romeo@corp.example", "invalid-from"},
	} {
		t.Log(x.id)
		c := xmpptest.Begin(t, s.Stage)
		c.Play(include(t, "_remote_proved"))
		write(t, c, "r", fmt.Sprintf("<message from='%s' to='%s' id='m1'><body>hi</body></message>", x.from, x.to))
		c.Play(failed("r", x.condition) + "r receives </stream:stream>\nr closed\nrecord lacks \"kind\":\"stanza\"")
		c.End()
	}
}

// ABUSE 35, D8: the same from a backend costs the stanza, not the stream; a sender that can be told is told.
func TestABUSE35BadAddressesInside(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	c := xmpptest.Begin(t, s.Stage)
	c.Play(include(t, "_backend_speaks"))
	for _, x := range []struct{ from, to string }{
		{"romeo@corp.example/pc", ""},
		{"", "juliet@remote.example"},
		{"romeo@c\u043Erp.example", "juliet@remote.example"},
		{"juliet@remote.example", "romeo@corp.example"},
		{"romeo@corp.example/pc", "juliet@" + strings.Repeat("r.", 600) + "example"},
		{"romeo@corp.example/pc", "juliet@conference.corp.example"},
		{"romeo@corp.example/pc", "juliet@x.corp.example"},
	} {
		write(t, c, "l", fmt.Sprintf("<message from='%s' to='%s' id='bad'/>", x.from, x.to))
	}
	c.Play(`
l receives nothing
l sends <message from='romeo@corp.example/pc' to='juliet@rem` + "\u043E" + `te.example' id='m2'/>
l receives nothing
record lacks "kind":"stanza"
record has "kind":"auth.misaddressed"
record has "kind":"auth.misaddressed" conference.corp.example our own
record has "kind":"auth.misaddressed" x.corp.example our own
record has "kind":"auth.spoof" juliet@remote.example
l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3'/>
` + include(t, "_remote_takes") + `
r receives <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m3'/>`)
}

// ABUSE 35, [A06], [B19], [I07]: one domain in all its spellings is one domain: for the header, the key, the certificate, policy, the
// record, and on the wire.
func TestABUSE35OneDomain(t *testing.T) {
	t.Parallel()
	o := options{domains: []string{"bücher.example"}, data: policyData(t, `{"federation":"listed","peers":{"müller.example":{}}}`)}
	for _, spelling := range []struct{ from, to string }{
		{"müller.example", "bücher.example"},
		{"MÜLLER.example.", "BÜCHER.EXAMPLE"},
		{"xn--mller-kva.example", "xn--bcher-kva.example."},
		{"mu\u0308ller.example", "bu\u0308cher.example"},
		{"mül\u200Bler.example", "bü\u00ADcher.example"}, // what IDNA drops is dropped once, for all
		{"m\u00DCller\u3002example", "XN--BCHER-KVA.example"},
	} {
		t.Run(spelling.from, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, o)
			s.Client["good"] = s.ca.client(t, "xn--mller-kva.example")
			s.Client["good"].ServerName = "xn--bcher-kva.example"
			here := strings.NewReplacer(remote, spelling.from, local, spelling.to)
			c := xmpptest.Begin(t, s.Stage)
			c.Play(here.Replace(include(t, "_tls")) + `
r sends <db:result from='` + spelling.from + `' to='` + spelling.to + `'>any</db:result>
r receives <db:result from='` + spelling.to + `' to='` + spelling.from + `' type='valid'/>
r sends <message from='juliet@` + spelling.from + `/x' to='romeo@` + spelling.to + `' id='m1'/>`)
			canonical := strings.NewReplacer(remote, "müller.example", local, "bücher.example")
			c.Play(canonical.Replace(include(t, "_backend_takes") + `
key {k2} inside corp.example remote.example ls-9
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='m1'/>
record has "kind":"stanza" "from":"juliet@remote.example/x" "to":"romeo@corp.example" "effect":"allow"`))
			if c.Value("{k2}") != c.Value("{ki}") {
				t.Error("the inner key is over another spelling")
			}
		})
	}
}
