package stanza

import (
	"errors"
	"fmt"
	"testing"
)

func parse(t *testing.T, in string) *Element {
	t.Helper()
	e, err := ParseOne([]byte(in), Limits{})
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	return e
}

func TestAnswerable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want bool
	}{
		{`<message/>`, true},
		{`<message type='chat'/>`, true},
		{`<message type='groupchat'/>`, true},
		{`<message type='error'/>`, false},
		{`<message type='err&#111;r'/>`, false},
		{`<message type='headline'/>`, false},
		{`<iq type='get'/>`, true},
		{`<iq type='set'/>`, true},
		{`<iq type='result'/>`, false},
		{`<iq type='error'/>`, false},
		{`<iq/>`, false},
		{`<presence/>`, false},
		{`<presence type='subscribe'/>`, false},
		{`<presence type='unavailable'><x xmlns='http://jabber.org/protocol/muc'/></presence>`, false},
		{`<presence type='error'><x xmlns='http://jabber.org/protocol/muc'/></presence>`, false},
		{`<presence><x xmlns='http://jabber.org/protocol/muc'/></presence>`, true},
		{`<presence><c xmlns='u'/><m:x xmlns:m='http://jabber.org/protocol/muc'/></presence>`, true},
		{`<presence><x xmlns='http://jabber.org/protocol/muc#user'/></presence>`, false},
		{`<presence><y><x xmlns='http://jabber.org/protocol/muc'/></y></presence>`, false},
		{`<message xmlns='u'/>`, false},
	} {
		e := parse(t, c.in)
		if got := Answerable(e); got != c.want {
			t.Errorf("[A07] %s: got %v", c.in, got)
		}
		dst, ok := AppendBounce([]byte("-"), e, "a", "b", Error{Condition: Forbidden}, false)
		if ok != c.want || ok == (string(dst) == "-") {
			t.Errorf("[A07] %s: bounce %q %v", c.in, dst, ok)
		}
	}
}

func TestAppendBounce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in     string
		err    Error
		legacy bool
		want   string
	}{
		{
			`<message id='a&amp;"b' from='X@A' to='B' type='chat'><body>secret</body></message>`,
			Error{Condition: RemoteServerNotFound}, false,
			`<message from='b' to='x@a' id='a&amp;&quot;b' type='error'><error type='cancel'>` +
				`<remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
		}, {
			`<iq type='set'/>`,
			Error{Condition: RemoteServerTimeout, Type: "cancel", Text: "no <TLS>", By: "g"}, true,
			`<iq from='b' to='x@a' type='error'><error code='504' by='g' type='cancel'>` +
				`<remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` +
				`<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no &lt;TLS&gt;</text></error></iq>`,
		}, {
			`<message id=''/>`, Error{}, true,
			`<message from='b' to='x@a' id='' type='error'><error code='500' type='cancel'>` +
				`<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
		},
	} {
		got, ok := AppendBounce(nil, parse(t, c.in), "x@a", "b", c.err, c.legacy)
		if !ok || string(got) != c.want {
			t.Errorf("[A07] %s:\ngot  %s %v\nwant %s", c.in, got, ok, c.want)
		}
		if e := parse(t, string(got)); Answerable(e) {
			t.Errorf("[A07] %s: its error can be answered with an error", c.in)
		}
	}
}

func TestLegacyCodes(t *testing.T) {
	t.Parallel()
	for c, want := range map[Condition]string{
		ItemNotFound: "404 cancel", RemoteServerNotFound: "404 cancel", RemoteServerTimeout: "504 wait", ServiceUnavailable: "503 cancel",
		Forbidden: "403 auth", NotAllowed: "405 cancel", NotAcceptable: "406 modify", NotAuthorized: "401 auth", ResourceConstraint: "500 wait",
		InternalServerError: "500 cancel", PolicyViolation: "406 modify", Gone: "302 cancel", Redirect: "302 modify", BadRequest: "400 modify",
		JIDMalformed: "400 modify", UnexpectedRequest: "400 wait", RecipientUnavailable: "404 wait", RegistrationRequired: "407 auth",
		SubscriptionRequired: "407 auth", Conflict: "409 cancel", FeatureNotImplemented: "501 cancel", UndefinedCondition: "500 cancel",
	} {
		if got := fmt.Sprint(c.LegacyCode(), " ", c.DefaultType()); got != want {
			t.Errorf("[A09] %s: got %s, want %s", c, got, want)
		}
	}
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("asking: %w", Error{Condition: Forbidden, Text: "rule 7"})
	if !errors.Is(err, Forbidden) || !errors.Is(err, Error{Condition: Forbidden}) || errors.Is(err, NotAllowed) {
		t.Errorf("%v is not what it is", err)
	}
	if !errors.Is(Error{}, UndefinedCondition) || errors.Is(Error{}, errors.New("undefined-condition")) {
		t.Error("an Error without condition is undefined-condition")
	}
	if got := err.Error(); got != "asking: forbidden: rule 7" {
		t.Errorf("got %q", got)
	}
}
