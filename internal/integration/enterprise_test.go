package integration_test

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/xmpptest/lab"
)

// scene is one thing that somebody tries, and what the enterprise's policy does about it. In the stanza, TO is the recipient's bare
// address, FULL the full one, ID the stanza's id and MARK a word that is nowhere else.
type scene struct {
	what     string
	from, to string // people
	stanza   string
	address  string // of the recipient, where it is none of the people

	rule      string // that speaks; "" when the stanza passes
	condition string // that the sender is told
	link      bool   // the rule refuses the link itself, so that the sender's own server answers
	without   string // is taken out of what arrives
	with      string // is in what arrives
}

const (
	text    = `<message type='chat' id='ID' to='TO'><body>MARK</body></message>`
	omemo   = `<message type='chat' id='ID' to='TO'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='2'>QUJD</key><iv>QUJD</iv></header><payload>QUJD</payload></encrypted><body>BODY</body></message>`
	label   = `<message type='chat' id='ID' to='TO'><body>MARK</body><securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking fgcolor='black' bgcolor='red'>LABEL</displaymarking><label><esssecuritylabel xmlns='urn:xmpp:sec-label:ess:0'>MQYCAQIGASk=</esssecuritylabel></label></securitylabel></message>`
	link    = `<message type='chat' id='ID' to='TO'><body>https://upload.corp.example/MARK/plan.pdf</body><x xmlns='jabber:x:oob'><url>https://upload.corp.example/MARK/plan.pdf</url></x></message>`
	offer   = `<iq type='set' id='ID' to='FULL'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='MARK'><content creator='initiator' name='file'><description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>plan.pdf</name><size>6144</size></file></description><transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='MARK'/></content></jingle></iq>`
	inband  = `<iq type='set' id='ID' to='FULL'><data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='MARK'>cGxhbg==</data></iq>`
	call    = `<iq type='set' id='ID' to='FULL'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='MARK'><content creator='initiator' name='voice'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='MEDIA'><payload-type id='96' name='opus' clockrate='48000'/></description><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='asd88fgpdd777uzjYhagZg' ufrag='8hhy'><candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='10.0.1.1' network='1' port='8998' priority='2130706431' protocol='udp' type='host'/><candidate component='1' foundation='2' generation='0' id='y3s2b30v3r' ip='192.0.2.3' network='1' port='45664' priority='1694498815' protocol='udp' rel-addr='10.0.1.1' rel-port='8998' type='srflx'/></transport></content></jingle></iq>`
	join    = `<presence id='ID' to='TO/guest'><x xmlns='http://jabber.org/protocol/muc'/></presence>`
	invite  = `<message id='ID' to='TO'><x xmlns='jabber:x:conference' jid='board@conference.corp.example' reason='MARK'/></message>`
	forward = `<message type='chat' id='ID' to='TO'><body>MARK</body><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='carol@corp.example/desk' to='sam@corp.example' type='chat'><body>for the house alone</body></message></forwarded></message>`
	card    = `<message type='chat' id='ID' to='TO'><body>MARK</body><vCard xmlns='vcard-temp'><FN>Carol</FN><JABBERID>Carol@Corp.Example</JABBERID></vCard></message>`
	version = `<iq type='get' id='ID' to='FULL'><query xmlns='jabber:iq:version'/></iq>`
)

// sealed has the hint that clients send for those who cannot decrypt.
var sealed = strings.Replace(omemo, "BODY", "I sent you an OMEMO encrypted message.", 1)

// day is the enterprise's. Each scene is seen from the sender's client, the recipient's client and the record.
var day = []scene{
	{what: "text to a partner", from: "sam", to: "alan", stanza: text},
	{what: "text from a partner", from: "alan", to: "sam", stanza: text},
	{what: "research may write to alpha", from: "rhea", to: "alan", stanza: text},
	{what: "research may not write to gamma", from: "rhea", to: "greg", stanza: text, rule: "rights", condition: "forbidden"},
	{what: "nor gamma to research", from: "greg", to: "rhea", stanza: text, rule: "rights", condition: "service-unavailable"},
	{what: "a domain in no policy", from: "sam", to: "rik", stanza: text, rule: "peer-not-listed", condition: "not-allowed"},

	{what: "carol writes to nobody", from: "carol", to: "alan", stanza: text, rule: "internal-group", condition: "forbidden"},
	{what: "nobody writes to carol", from: "alan", to: "carol", stanza: text, rule: "internal-group", condition: "service-unavailable"},
	{what: "nobody joins the board's room", from: "alan", address: "board@conference.corp.example", stanza: join, rule: "internal-room", condition: "service-unavailable"},
	{what: "nobody is invited there", from: "sam", to: "alan", stanza: invite, rule: "internal-room", condition: "forbidden"},
	{what: "what carol wrote is not passed on", from: "sam", to: "alan", stanza: forward, rule: "internal-group", condition: "forbidden"},
	{what: "what is in her vCard neither", from: "sam", to: "alan", stanza: card, rule: "internal-group", condition: "forbidden"},
	{what: "nobody joins a room of the other network", from: "alan", address: "#ops%127.0.0.1@irc.corp.example", stanza: join, rule: "internal-domain", link: true},

	{what: "a call to alpha, without inner addresses", from: "sam", to: "alan", stanza: strings.Replace(call, "MEDIA", "audio", 1), without: "10.0.1.1", with: "192.0.2.3"},
	{what: "no pictures to alpha", from: "sam", to: "alan", stanza: strings.Replace(call, "MEDIA", "video", 1), rule: "calls", condition: "policy-violation"},
	{what: "no calls to gamma", from: "sam", to: "greg", stanza: strings.Replace(call, "MEDIA", "audio", 1), rule: "calls", condition: "policy-violation"},

	{what: "no file is offered", from: "sam", to: "alan", stanza: offer, rule: "files", condition: "policy-violation"},
	{what: "no link to a file", from: "sam", to: "alan", stanza: link, rule: "files", condition: "policy-violation"},
	{what: "no bytes of a file", from: "sam", to: "alan", stanza: inband, rule: "files", condition: "policy-violation"},
	{what: "no link to a file in clear", from: "sam", to: "olga", stanza: link, rule: "files", condition: "policy-violation"},

	{what: "beta gets what is encrypted", from: "sam", to: "bea", stanza: sealed},
	{what: "and nothing else", from: "sam", to: "bea", stanza: text, rule: "e2ee", condition: "policy-violation"},
	{what: "nor words beside a cipher", from: "sam", to: "bea", stanza: strings.Replace(omemo, "BODY", "MARK", 1), rule: "e2ee", condition: "policy-violation"},
	{what: "gamma gets nothing encrypted", from: "sam", to: "greg", stanza: sealed, rule: "e2ee", condition: "policy-violation"},
	{what: "but what can be read", from: "sam", to: "greg", stanza: text},

	{what: "a label that may leave", from: "sam", to: "alan", stanza: strings.Replace(label, "LABEL", "PUBLIC", 1)},
	{what: "a label that may not", from: "sam", to: "alan", stanza: strings.Replace(label, "LABEL", "SECRET", 1), rule: "labels", condition: "policy-violation"},
	{what: "a label that stays in any case", from: "sam", to: "alan", stanza: strings.Replace(label, "LABEL", "STRICTLY INTERNAL", 1), rule: "internal-label", condition: "forbidden"},

	{what: "what we run is not told", from: "alan", to: "sam", stanza: version, rule: "surface", condition: "service-unavailable"},
	{what: "the old partner, in clear", from: "sam", to: "olga", stanza: text},
	{what: "and back", from: "olga", to: "sam", stanza: text},
}

// TestEnterprise plays the worked example of the documentation with real servers.
func TestEnterprise(t *testing.T) {
	t.Parallel()
	w := newEnterprise(t)
	for _, s := range day {
		t.Run(s.what, func(t *testing.T) { w.play(t, s) })
	}
	t.Run("the other network is there, inside", w.testGateway)
	t.Run("the wire", w.testClear)
	t.Run("the record", w.testRecord)
}

// decisionID is how a bounce names the decision behind it.
var decisionID = regexp.MustCompile(`\(decision ([0-9A-Z]{26})\)`)

func (w *enterprise) play(t *testing.T, s scene) {
	from, mark := w.people[s.from], rand.Text()
	address, full, recipient := s.address, "", lab.User(nil)
	if s.to != "" {
		recipient = w.people[s.to]
		address, full = lab.Bare(recipient), recipient.JID()
	}
	raw := strings.NewReplacer("TO", address, "FULL", full, "ID", mark, "MARK", mark).Replace(s.stanza)
	ours := func(x *lab.Stanza) bool { return x.Attr("type") != "error" && strings.Contains(x.String(), mark) }
	w.played[mark] = s
	from.Send(t, "%s", raw)
	if s.rule == "" {
		got := recipient.Expect(t, s.what, ours)
		if shown := got.String(); s.without != "" && strings.Contains(shown, s.without) || !strings.Contains(shown, s.with) {
			t.Errorf("what arrived has %q, or not %q: %s", s.without, s.with, shown)
		}
		return
	}
	w.denied = append(w.denied, mark)
	told := from.Expect(t, "the answer to "+s.what, func(x *lab.Stanza) bool { return x.Attr("type") == "error" && x.Attr("id") == mark })
	if s.link {
		if len(w.gate.Audit(t, "--rule", s.rule, "--domain", gateway)) == 0 {
			t.Errorf("the record has no link that was refused by %s", s.rule)
		}
		return
	}
	if told.Condition() != s.condition {
		t.Errorf("the sender is told %q, want %q: %s", told.Condition(), s.condition, told.String())
	}
	if strings.Contains(told.String(), "SECRET") || told.Body() != "" {
		t.Errorf("the answer quotes what it is about: %s", told.String())
	}
	switch id := decisionID.FindStringSubmatch(told.String()); {
	case s.condition == "service-unavailable": // as of an address that does not exist
		if id != nil || len(w.gate.Audit(t, "--rule", s.rule)) == 0 {
			t.Errorf("the answer tells that there is something, or the record has nothing: %s", told.String())
		}
	case id == nil:
		t.Fatalf("the answer names no decision: %s", told.String())
	default:
		explained, code := w.gate.Command(t, "policy", "explain", id[1])
		if code != 0 || !strings.Contains(explained, "rule         "+s.rule+"\n") {
			t.Errorf("explaining %s, exit code %d, does not name the rule %s: %s", id[1], code, s.rule, explained)
		}
	}
	if recipient != nil && recipient.Arrives(t, 100*time.Millisecond, ours) {
		t.Errorf("it arrived nevertheless")
	}
}

// testGateway: what stays inside works inside.
func (w *enterprise) testGateway(t *testing.T) {
	sam, mercutio := w.people["sam"], w.IRCUser(t, w.irc, "mercutio", "#ops")
	room := "#ops%" + lab.IRCServer + "@" + gateway
	sam.Send(t, "<presence to='%s/sam'><x xmlns='http://jabber.org/protocol/muc'/></presence>", room)
	mercutio.Expect(t, "sam")
	mercutio.Say(t, "#ops", lab.Canary)
	sam.Expect(t, "mercutio's word", func(s *lab.Stanza) bool { return s.Is("message", "groupchat") && s.Body() == lab.Canary })
}

// said matches a message with a body, and has its id.
var said = regexp.MustCompile(`<message\b[^>]*\bid=['"]([^'"]+)['"][^>]*>\s*<body>`)

// testRecord: the record has each stanza of the day once, with what was decided, and no other with a text; and of the old partner, whose
// wire can be read, the messages that crossed and those that the record has let pass are the same.
func (w *enterprise) testRecord(t *testing.T) {
	recorded, old := map[string]int{}, []string{}
	for _, e := range w.gate.Audit(t, "--kind", "stanza") {
		st, _ := e["stanza"].(map[string]any)
		decision, _ := e["decision"].(map[string]any)
		id, _ := st["id"].(string)
		if class, _ := st["class"].([]any); st["kind"] == "message" && decision["effect"] == "allow" && slices.Contains(class, any("text")) {
			if e["remote"] == "old.example" {
				old = append(old, id)
			}
			if _, known := w.played[id]; !known {
				t.Errorf("the record has a message that nobody sent: %v", e)
			}
		}
		s, known := w.played[id]
		if !known || st["type"] == "error" || st["type"] == "result" {
			continue
		}
		recorded[id]++
		if effect := map[bool]string{true: "allow", false: "deny"}[s.rule == ""]; decision["effect"] != effect || s.rule != "" && decision["rule"] != s.rule {
			t.Errorf("%s is recorded as %v", s.what, decision)
		}
	}
	for mark, s := range w.played {
		if want := map[bool]int{true: 0, false: 1}[s.link]; recorded[mark] != want {
			t.Errorf("%s is %d times in the record, want %d", s.what, recorded[mark], want)
		}
	}
	slices.Sort(old)
	slices.Sort(w.crossed)
	if len(old) == 0 || !slices.Equal(old, w.crossed) {
		t.Errorf("with old.example crossed %v, and the record has %v", w.crossed, old)
	}
}

// testClear: nothing that was refused crossed in clear, where all that crosses is seen; elsewhere nothing is in clear.
func (w *enterprise) testClear(t *testing.T) {
	w.gate.Stop(t)
	old, seen := w.hosts["old"].Addr(lab.Outside), 0
	for _, f := range w.wire.Stop(t).Flows {
		if f.Src.Port() == 53 || f.Dst.Port() == 53 {
			continue
		}
		if f.Src.Addr() == old || f.Dst.Addr() == old {
			seen += bytes.Count(f.Data, []byte("<body>"))
			for _, m := range said.FindAllSubmatch(f.Data, -1) {
				w.crossed = append(w.crossed, string(m[1]))
			}
		} else if exposed := f.Exposed(); exposed != "" && f.Src.Addr() != w.hosts["rival"].Addr(lab.Outside) {
			t.Errorf("in clear on %s: %.300q", f, exposed)
		}
		for _, mark := range w.denied {
			if bytes.Contains(f.Data, []byte(mark)) {
				t.Errorf("what was refused crossed on %s", f)
			}
		}
	}
	if seen == 0 {
		t.Error("the capture has not seen the old partner's messages")
	}
}
