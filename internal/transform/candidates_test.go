package transform

import (
	"errors"
	"strings"
	"testing"

	"sallyport/internal/stanza"
)

func TestCandidates(t *testing.T) {
	t.Parallel()
	for address, stays := range map[string]bool{
		"192.0.2.3": true, "2001:db8::1": true, "proxy.example.org": true,
		"10.0.1.1": false, "192.168.0.9": false, "172.16.0.1": false, "127.0.0.1": false, "169.254.1.1": false, "100.64.0.1": false, "0.0.0.0": false,
		"::1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "::ffff:10.0.0.1": false, "[::1]": false,
		"64:ff9b::192.0.2.1": false, "fec0::1": false, "::10.0.0.1": false, "100::1": false, "5f00::1": false, "240.0.0.1": false, "0.1.2.3": false, "2001:2::1": false,
		"2002:a00:1::1": false, "2002:c000:203::1": true, "2001:0:c000:203::f5ff:fffe": false, "2001:db8::5efe:10.0.0.1": false, "2001:db8::200:5efe:192.168.0.1": false,
		"10.0.0.1 ": false, " 10.0.0.1": false, "&#160;10.0.0.1": false, "10.0.0.1.": false, "10.0.0.1:80": false, "\uFF11\uFF10.0.0.1": false, "10\u30020\u30020\u30021": false,
		"a.localhost": false, "host.local ": false, "HOST.LOCAL": false, "nas.corp": false, "a b.example.org": false, "a@10.0.0.1": false, "192.0.2.3.": true,
		"a1b2c3.local": false, "printer": false, "host.home.arpa.": false, "010.0.0.1": false, "0x0a000001": false, "167772161": false, "10.1": false,
	} {
		for _, form := range []string{
			`<iq><jingle xmlns='urn:xmpp:jingle:1'><content><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'><candidate ip='X'/></transport></content></jingle></iq>`,
			`<iq><jingle xmlns='urn:xmpp:jingle:1'><content><transport xmlns='urn:xmpp:jingle:transports:s5b:1'><candidate host='X'/></transport></content></jingle></iq>`,
			`<iq><query xmlns='http://jabber.org/protocol/bytestreams'><streamhost host='X'/></query></iq>`,
		} {
			s := read(t, strings.Replace(form, "X", address, 1))
			if err := s.StripCandidates(); err != nil {
				t.Fatal(err)
			}
			if got := string(s.Append(nil, stanza.Rewrite{})); strings.Contains(got, address) != stays {
				t.Errorf("%s stays %t: %s", address, !stays, got)
			}
		}
	}
}

// An address is found wherever in a candidate it is written; what is related to it is only taken out (XEP-0176 §5.4).
func TestCandidatesThatTell(t *testing.T) {
	t.Parallel()
	const ice, s5b = "<candidate xmlns='urn:xmpp:jingle:transports:ice-udp:1' ip='192.0.2.3'", "<candidate xmlns='urn:xmpp:jingle:transports:s5b:1' host='192.0.2.3'"
	for in, want := range map[string]string{
		ice + " rel-addr='10.0.1.1' rel-port='8998' type='srflx'/>": ice + " type='srflx'/>",
		ice + " rel-addr='10.0.1.1 ' rel-port='8998'/>":             ice + "/>",
		ice + " rel-addr='192.0.2.9' rel-port='8998'/>":             ice + " rel-addr='192.0.2.9' rel-port='8998'/>",
		ice + " id='el0747fg11' foundation='1' port='45664'/>":      ice + " id='el0747fg11' foundation='1' port='45664'/>",
		ice + " foundation='host-10.0.0.1-udp'/>":                   "",
		ice + " id='fe80::1'/>":                                     "",
		ice + ">10.0.0.1:80</candidate>":                            "",
		ice + "><x xmlns='urn:x' at='10.0.0.1'/></candidate>":       "",
		s5b + " jid='a@x.example/10.0.0.1'/>":                       "",
		s5b + " jid='proxy.local'/>":                                "",
		s5b + " jid='a@x.example/laptop'/>":                         s5b + " jid='a@x.example/laptop'/>",
		s5b + " jid='proxy.example.org'/>":                          s5b + " jid='proxy.example.org'/>",
	} {
		s := read(t, "<iq>"+in+"</iq>")
		if err := s.StripCandidates(); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		want = "<iq>" + want + "</iq>"
		if got := string(s.Append(nil, stanza.Rewrite{})); got != want && got != strings.Replace(want, "<iq></iq>", "<iq/>", 1) {
			t.Errorf("%s: got %s", in, got)
		}
	}
	s := read(t, "<iq>"+ice+" rel-addr='10.0.1.1'/><Signature xmlns='http://www.w3.org/2000/09/xmldsig#'/></iq>")
	if err := s.StripCandidates(); !errors.Is(err, ErrSealed) {
		t.Errorf("beneath a signature: %v", err)
	}
}

// However deep candidates stand in one another, each is looked at once.
func TestNestedCandidates(t *testing.T) {
	t.Parallel()
	const depth = 60
	ice := "<candidate xmlns='urn:xmpp:jingle:transports:ice-udp:1' ip='192.0.2.3'>"
	for inner, want := range map[string]int{"": depth, "<x xmlns='urn:x' at='10.0.0.1'/>": 0} {
		s := read(t, "<iq>"+strings.Repeat(ice, depth)+inner+strings.Repeat("</candidate>", depth)+"</iq>")
		if err := s.StripCandidates(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(s.Append(nil, stanza.Rewrite{})), " ip="); got != want {
			t.Errorf("%q: %d candidates are left, want %d", inner, got, want)
		}
	}
}
