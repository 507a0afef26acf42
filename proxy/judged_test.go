package proxy

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/content"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

const sieve = `package sallyport.stanza
deny contains {"rule": "no-version", "reason": "not told"} if "disclosure" in input.stanza.class
deny contains {"rule": "not-named", "reason": "is not named outside"} if "board@corp.example" in input.stanza.jids
transform contains {"rule": "states", "do": "strip", "payloads": ["http://jabber.org/protocol/chatstates"]}
transform contains {"rule": "numbers", "do": "mask", "pattern": "[0-9]{4}", "with": "*"} if regex.match("[0-9]{4}", input.stanza.text)
transform contains {"rule": "presence", "do": "fold-presence"} if input.stanza.kind == "presence"`

// FuzzJudged: any stanza goes through scan, classification, decision and transform. Nothing panics, policy does not fail, and what comes
// out is read by ours and by a second parser as what was judged.
func FuzzJudged(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sieve.rego"), []byte(sieve), 0o600); err != nil {
		f.Fatal(err)
	}
	engine, err := policy.New(policy.Config{Dir: dir, Watch: -1}, policy.Data{"federation": "open", "files": map[string]any{"default": "both"}, "calls": map[string]any{"default": "audio"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`<message from='Juliet@remote.example' to='romeo@corp.example'><body>4111</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
		`<presence><status>x</status><c xmlns='http://jabber.org/protocol/caps'/></presence>`, `<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>`,
		`<message><p:body xmlns:p='jabber:client'>a<![CDATA[b]]>&#13;</p:body><x xmlns='jabber:x:conference' jid='BOARD@corp.example.'/></message>`,
		`<iq><jingle xmlns='urn:xmpp:jingle:1'><content><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></content></jingle></iq>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		el, err := stanza.ParseOne(b, stanza.Limits{})
		if err != nil {
			return
		}
		c := through(t, engine, el)
		if c.decision.Rule == policy.RuleEngineError {
			t.Fatalf("%q: %s", b, c.decision.Reason)
		}
		if slices.Contains(c.facts.Class.Names(), "disclosure") && c.decision.Effect == policy.Allow {
			t.Fatalf("%q is allowed as %q", b, c.facts.Class.Names())
		}
		if c.decision.Effect != policy.Allow {
			return
		}
		out := c.changed
		if out == nil {
			out = el.AppendTo(nil, c.rewrite(""))
		}
		again, err := stanza.Reread(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		if _, err := payloads(out); err != nil {
			t.Fatalf("%q became %q, which a second parser refuses: %v", b, out, err)
		}
		if c.changed == nil {
			unchanged(t, b, out, c, again)
		}
	})
}

// through takes a stanza as far as the record.
func through(t *testing.T, engine *policy.Engine, el *stanza.Element) *crossing {
	p := &Proxy{Policy: engine}
	p.settings.Store(&Settings{Limits: Limits{Stanza: stanza.DefaultLimits()}})
	from, to := address(t, "juliet@remote.example/x"), address(t, "romeo@corp.example")
	in := &inbound{p: p, door: Outside, load: &load{}}
	c := &crossing{el: el, dir: In, pair: Pair{Local: to.JID.Domain, Remote: from.JID.Domain}, from: from, to: to,
		proof: &proof{facts: policy.LinkFacts{Channel: "tls", TLSVersion: "1.3", Proof: "pkix"}}}
	c.facts = content.Classify(el, from.JID.Local, to.JID.Local)
	p.judge(context.Background(), engine.Snapshot(), in, c)
	stanzaEvent(in, c)
	return c
}

func address(t *testing.T, s string) *jid.Address {
	a, err := new(jid.Cache).Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// unchanged holds what leaves against what was judged.
func unchanged(t *testing.T, before, after []byte, c *crossing, again *stanza.Element) {
	facts := content.Classify(again, c.from.JID.Local, c.to.JID.Local)
	if facts.Class != c.facts.Class || facts.E2EE != c.facts.E2EE || facts.Label != c.facts.Label {
		t.Errorf("%q was judged as %+v, %q leaves as %+v", before, c.facts, after, facts)
	}
	if was, is := content.Extract(c.el), content.Extract(again); !reflect.DeepEqual(was, is) {
		t.Errorf("%q was judged as %+v, %q leaves as %+v", before, was, after, is)
	}
	was, err := payloads(before)
	is, _ := payloads(after)
	if err != nil || was != is {
		t.Errorf("%q holds %s, %q holds %s to a second parser (%v)", before, was, after, is, err)
	}
}

// payloads are the elements and texts inside a stanza as encoding/xml reads them.
func payloads(b []byte) (string, error) {
	d := xml.NewDecoder(strings.NewReader("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>" + string(b) + "</stream:stream>"))
	var out strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch token := token.(type) {
		case xml.StartElement:
			out.WriteString("<" + token.Name.Space + "|" + token.Name.Local + ">")
		case xml.EndElement:
			out.WriteString("</>")
		case xml.CharData:
			out.Write(token)
		}
	}
}
