package proxy

import (
	"context"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/internal/content"
	"sallyport/internal/stanza"
	"sallyport/policy"
)

// house is one in which a group may talk to remote.example, with sound, up to INTERNAL.
var house = policy.Data{
	"federation": "open",
	"labels":     map[string]any{"ranks": map[string]any{"PUBLIC": 0, "INTERNAL": 1, "SECRET": 2}, "default": "PUBLIC", "mark": "PUBLIC"},
	"rights":     map[string]any{"groups": map[string]any{"sales": map[string]any{"remote.example": "both"}}, "default": "none"},
	"groups":     map[string]any{"sales": map[string]any{"romeo@corp.example": map[string]any{}}},
	"calls":      map[string]any{"default": "none"},
	"internal":   map[string]any{"rooms": map[string]any{"board@corp.example": true}},
	"peers":      map[string]any{"remote.example": map[string]any{"clearance": "INTERNAL", "calls": "audio"}},
}

// What is forbidden by label, by right, by call or by room is forbidden however it is spelled, in both directions, and what its sender is
// told names neither label nor person.
func TestHostileStanzas(t *testing.T) {
	t.Parallel()
	engine, err := policy.New(policy.Config{Watch: -1, Timeout: time.Minute}, house)
	if err != nil {
		t.Fatal(err)
	}
	label := func(shows string) string {
		return "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking>" + shows + "</displaymarking><label/></securitylabel>"
	}
	copied := func(in string) string {
		return "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>" + in + "</message></forwarded>"
	}
	session := func(action string, in ...string) string {
		return "<jingle xmlns='urn:xmpp:jingle:1' action='" + action + "' sid='s'><content creator='initiator' name='n'>" + strings.Join(in, "</content><content creator='initiator' name='m'>") + "</content></jingle>"
	}
	media := func(attrs string) string { return "<description xmlns='urn:xmpp:jingle:apps:rtp:1'" + attrs + "/>" }
	const body, transport = "<body>secret plan</body>", "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'><candidate ip='192.168.7.7' port='1' type='host'/><candidate ip='192.0.2.1' port='1' type='srflx' rel-addr='192.168.7.7' rel-port='1'/></transport>"
	for _, row := range []struct{ name, kind, payload, rule string }{
		{"no label", "message", body, ""},
		{"what is cleared", "message", body + label("INTERNAL"), ""},
		{"what is not", "message", body + label("SECRET"), "labels"},
		{"by a prefix", "message", body + "<s:securitylabel xmlns:s='urn:xmpp:sec-label:0'><s:displaymarking>SECRET</s:displaymarking></s:securitylabel>", "labels"},
		{"in pieces", "message", body + label("SE<![CDATA[CR]]>&#x45;T"), "labels"},
		{"in another spelling", "message", body + label("Public"), "labels"},
		{"with what is not seen", "message", body + label("PUBLIC\u200b"), "labels"},
		{"nothing", "message", body + label(" "), "labels"},
		{"beside a lower one", "message", body + label("PUBLIC") + label("SECRET"), "labels"},
		{"in a copy, beneath a lower one", "message", body + label("PUBLIC") + copied(body+label("SECRET")), "labels"},
		{"in a copy alone", "message", copied(body + label("SECRET")), "labels"},
		{"in what is published", "message", "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item><entry xmlns='urn:y'>" + label("SECRET") + "</entry></item></items></event>", "labels"},
		{"in an iq", "iq", "<pubsub xmlns='http://jabber.org/protocol/pubsub'>" + label("SECRET") + "</pubsub>", "labels"},

		{"sound", "iq", session("session-initiate", media(" media='audio'")+transport), ""},
		{"sound, by the name of pictures", "iq", session("session-initiate", media(" media='AUDIO'")), "calls"},
		{"pictures", "iq", session("session-initiate", media(" media='video'")), "calls"},
		{"pictures behind sound", "iq", session("session-initiate", media(" media='audio'"), media(" media='video'")), "calls"},
		{"pictures that are added", "iq", session("content-add", media(" media='video'")), "calls"},
		{"no medium", "iq", session("session-initiate", media("")), "calls"},
		{"a medium of another namespace", "iq", session("session-initiate", media(" xmlns:y='urn:y' y:media='audio'")), "calls"},
		{"a later version", "iq", session("session-initiate", "<description xmlns='urn:xmpp:jingle:apps:rtp:9' media='video'/>"), "calls"},
		{"an application that nobody knows", "iq", session("session-initiate", "<description xmlns='urn:y'/>"), "calls"},
		{"a proposal", "message", "<propose xmlns='urn:xmpp:jingle-message:0' id='1'>" + media(" media='audio'") + media(" media='video'") + "</propose>", "calls"},
		{"an invitation", "message", "<invite xmlns='urn:xmpp:call-invites:0' video='1'/>", "calls"},
		{"Google's", "iq", "<session xmlns='http://www.google.com/session' type='initiate'><description xmlns='http://www.google.com/session/video'/></session>", "calls"},
		{"in a copy", "message", copied("<propose xmlns='urn:xmpp:jingle-message:0' id='1'>" + media(" media='video'") + "</propose>"), "calls"},
	} {
		for _, dir := range []Direction{In, Out} {
			c := crossed(t, engine, dir, "romeo@corp.example/pc", "juliet@remote.example/x", row.kind, "", row.payload)
			if got := c.decision.Rule; (c.decision.Effect == policy.Allow) != (row.rule == "") || row.rule != "" && got != row.rule {
				t.Errorf("%s, %s: %v by %s: %s", row.name, dir, c.decision.Effect, got, c.decision.Reason)
				continue
			}
			if told := heard(c); strings.Contains(told, "SECRET") || strings.Contains(told, "plan") || strings.Contains(told, "juliet") {
				t.Errorf("%s, %s: its sender is told %q", row.name, dir, told)
			}
			if dir == Out && row.rule == "" {
				if row.kind == "message" && !strings.Contains(string(c.changed)+row.payload, "displaymarking") || strings.Contains(row.payload, "192.168.") && (c.changed == nil || strings.Contains(string(c.changed), "192.168.")) {
					t.Errorf("%s: %s leaves", row.name, c.changed)
				}
			}
		}
	}
}

// Who has no right, and a room that stays inside, are to a stranger as an address that does not exist: by the same condition, in no words and
// without an id ([A11]). Our own people are told that they may not.
func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	engine, err := policy.New(policy.Config{Watch: -1, Timeout: time.Minute}, house)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ ours, kind, typ, payload, rule string }{
		{"romeo@corp.example", "message", "", "<body>hi</body>", ""},
		{"ROMEO@corp.example.", "message", "", "<body>hi</body>", ""},
		{"romeo@corp.example", "presence", "subscribe", "", ""},
		{"mercutio@corp.example", "message", "", "<body>hi</body>", "rights"},
		{"mercutio@corp.example/romeo@corp.example", "message", "", "<body>hi</body>", "rights"},
		{"mercutio@corp.example", "presence", "subscribe", "", "rights"},
		{"mercutio@corp.example", "iq", "get", "<vCard xmlns='vcard-temp'/>", "rights"},
		{`romeo\20@corp.example`, "message", "", "<body>hi</body>", "rights"},
		{"corp.example/romeo@corp.example", "message", "", "<body>hi</body>", "rights"},
		{"board@corp.example/nick", "presence", "", "<x xmlns='http://jabber.org/protocol/muc'/>", "internal-room"},
		{"Board@CORP.example/nick", "presence", "", "<x xmlns='http://jabber.org/protocol/muc'><password>p</password></x>", "internal-room"},
		{"board@corp.example", "message", "groupchat", "<body>hi</body>", "internal-room"},
		{"nowhere@corp.example/nick", "presence", "", "<x xmlns='http://jabber.org/protocol/muc'/>", "rights"},
	} {
		for _, dir := range []Direction{In, Out} {
			c := crossed(t, engine, dir, row.ours, "juliet@remote.example/x", row.kind, row.typ, row.payload)
			if (c.decision.Effect == policy.Allow) != (row.rule == "") || row.rule != "" && c.decision.Rule != row.rule {
				t.Errorf("%s %s, %s: %v by %s", row.kind, row.ours, dir, c.decision.Effect, c.decision.Rule)
				continue
			}
			if row.rule == "" {
				continue
			}
			switch e := told(c); {
			case dir == In && (e.Condition != stanza.ServiceUnavailable || e.Text != "" || e.By != ""):
				t.Errorf("a stranger who turns to %s is told %+v", row.ours, e)
			case dir == Out && (e.Condition != stanza.Forbidden || !strings.Contains(e.Text, "(decision ")):
				t.Errorf("%s is told %+v", row.ours, e)
			}
		}
	}
}

// crossed is a stanza between one of ours and one of remote.example, judged.
func crossed(t *testing.T, engine *policy.Engine, dir Direction, ours, theirs, kind, typ, payload string) *crossing {
	t.Helper()
	from, to := address(t, theirs), address(t, ours)
	if dir == Out {
		from, to = to, from
	}
	attrs := ""
	if typ != "" {
		attrs = " type='" + typ + "'"
	} else if kind == "iq" {
		attrs = " type='set'"
	}
	el, err := stanza.ParseOne([]byte("<"+kind+" from='"+from.Full+"' to='"+to.Full+"' id='1'"+attrs+">"+payload+"</"+kind+">"), stanza.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	in, c := arriving(t, engine, el)
	c.dir, c.from, c.to, c.link = dir, from, to, &c.proof.facts
	c.facts = content.Classify(el, from.JID.Local, to.JID.Local)
	in.p.judgeOn(context.Background(), engine.Snapshot(), in, c)
	return c
}

func told(c *crossing) stanza.Error {
	e := audit.Event{ID: audit.ID{1}}
	return c.refusal(&e)
}

func heard(c *crossing) string { e := told(c); return string(e.Condition) + " " + e.Text }
