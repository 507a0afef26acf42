package transform

import (
	"errors"
	"testing"

	"sallyport/internal/stanza"
)

// A stanza is stripped whole or not at all, and nothing leaves that is less than a stanza.
func TestStrip(t *testing.T) {
	t.Parallel()
	const (
		body, states, private = "jabber:server|body", "http://jabber.org/protocol/chatstates", "jabber:iq:private"
		active                = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
		signed                = "<x xmlns='jabber:x:signed'>QQ==</x>"
		omemo                 = "<encrypted xmlns='urn:xmpp:omemo:2'><payload/></encrypted>"
		dsig                  = "<Signature xmlns='http://www.w3.org/2000/09/xmldsig#'/>"
		hints                 = "<store xmlns='urn:xmpp:hints'/><origin-id xmlns='urn:xmpp:sid:0' id='1'/><request xmlns='urn:xmpp:receipts'/>"
	)
	for _, test := range []struct {
		name, payload, in, want string
		err                     error
	}{
		{"the namespace of clients, as a name", "jabber:client|subject", "<message><subject>s</subject><body>b</body></message>", "<message><body>b</body></message>", nil},
		{"a signed body", body, "<message><subject>s</subject><body>b</body>" + signed + "</message>", "", ErrSealed},
		{"a signature", "jabber:x:signed", "<message><body>b</body>" + signed + "</message>", "", ErrSealed},
		{"a cipher", "urn:xmpp:omemo:2", "<message><body>b</body>" + omemo + "</message>", "", ErrSealed},
		{"a part of a cipher", "urn:xmpp:omemo:2|payload", "<message>" + omemo + "</message>", "", ErrSealed},
		{"a signal within a cipher", states, "<message><encrypted xmlns='urn:xmpp:omemo:2'>" + active + "</encrypted></message>", "", ErrSealed},
		{"a copy with a cipher", "urn:xmpp:forward:0", "<message><body>b</body><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>" + omemo + "</message></forwarded></message>", "", ErrSealed},
		{"a signal beside a cipher", states, "<message>" + omemo + active + "</message>", "<message>" + omemo + "</message>", nil},
		{"a signal beneath a signature of all", states, "<message><body>b</body>" + active + dsig + "</message>", "", ErrSealed},
		{"nothing of what is sealed", private, "<message><body>b</body>" + signed + "</message>", "<message><body>b</body>" + signed + "</message>", nil},

		{"all but hints", body, "<message><body>b</body>" + hints + "</message>", "", ErrEmpty},
		{"all but a signal", body, "<message><body>b</body>" + active + "</message>", "", ErrEmpty},
		{"a signal but for hints", states, "<message>" + active + hints + "</message>", "", ErrIdle},
		{"one of two bodies", "urn:x|body", "<message><body>b</body><body xmlns='urn:x'>c</body></message>", "<message><body>b</body></message>", nil},
		{"hints of hints", "urn:xmpp:hints", "<message>" + hints + "</message>", "<message><origin-id xmlns='urn:xmpp:sid:0' id='1'/><request xmlns='urn:xmpp:receipts'/></message>", nil},

		{"what an iq asks", private, "<iq type='set' id='1'><query xmlns='jabber:iq:private'/></iq>", "", ErrHollow},
		{"what an iq answers", private, "<iq type='result' id='1'><query xmlns='jabber:iq:private'/></iq>", "<iq type='result' id='1'/>", nil},
		{"within what an iq asks", "jabber:x:data", "<iq type='get' id='1'><query xmlns='jabber:iq:search'><x xmlns='jabber:x:data'/></query></iq>", "<iq type='get' id='1'><query xmlns='jabber:iq:search'/></iq>", nil},
		{"an error", "jabber:server|error", "<iq type='error' id='1'><error type='cancel'/></iq>", "", ErrHollow},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := read(t, test.in)
			if err := s.Strip([]string{test.payload}); !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			} else if err != nil {
				return
			}
			if got := string(s.Append(nil, stanza.Rewrite{})); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// What is left of a presence carries nothing (RFC 6121 §4.7).
func TestFoldedPresenceCarriesNothing(t *testing.T) {
	t.Parallel()
	const in = `<presence from='a@x.example/1' note='in Rome' xml:lang='it'>in Rome<priority note='Rome'>in Rome<x xmlns='urn:x'>Rome</x></priority>` +
		`<priority> +05 </priority><show note='Rome'>dnd<x xmlns='urn:x'>Rome</x></show><show>xa</show><error>Rome</error><x xmlns='http://jabber.org/protocol/muc#rome'/></presence>`
	for in, want := range map[string]string{
		in: `<presence from='a@x.example/1' xml:lang='it'><show>away</show></presence>`,
		`<presence xmlns:q='urn:q' q:note='Rome'><priority> +05 </priority></presence>`:                      `<presence><priority>5</priority></presence>`,
		`<presence><priority>128</priority></presence>`:                                                      `<presence/>`,
		`<presence type='error'><error type='cancel'/></presence>`:                                           `<presence type='error'><error type='cancel'/></presence>`,
		`<presence><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none'/></x></presence>`: `<presence><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none'/></x></presence>`,
	} {
		s := read(t, in)
		s.FoldPresence()
		if got := string(s.Append(nil, stanza.Rewrite{})); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
