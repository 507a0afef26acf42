package proxy

import (
	"testing"

	"sallyport/internal/stanza"
	"sallyport/policy"
)

func TestBodiesInEveryDress(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ in, body, subject string }{
		{"<message><subject>s</subject><body>b</body></message>", "b", "s"},
		{"<message><body>b</body><body xml:lang='de'>c</body></message>", "b\nc", ""},
		{"<message><body xmlns='jabber:client'>b</body><subject xmlns='jabber:client'>s</subject></message>", "b", "s"},
		{"<message><c:body xmlns:c='jabber:client'>b</c:body></message>", "b", ""},
		{"<message><body>b</body><body xmlns='jabber:client'>hidden</body></message>", "b\nhidden", ""},
		{"<message><body xmlns='urn:x'>b</body><x xmlns='urn:x'><body xmlns='jabber:server'>b</body></x></message>", "", ""},
	} {
		el, err := stanza.ParseOne([]byte(v.in), stanza.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var f policy.StanzaFacts
		fillText(&f, el)
		if f.Body != v.body || f.HasBody != (v.body != "") || f.Subject != v.subject {
			t.Errorf("[C03] %s: policy sees the body %q (%v) and the subject %q", v.in, f.Body, f.HasBody, f.Subject)
		}
	}
	for space, want := range map[string]string{"jabber:client": "jabber:server", "jabber:server": "jabber:server", "urn:x": "urn:x", "": ""} {
		if got := content(space); got != want {
			t.Errorf("a payload in %q is one in %q to policy, want %q", space, got, want)
		}
	}
}
