package proxy

import (
	"strings"
	"testing"

	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

func TestLanguageOf(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]language{
		"":                                     {},
		"en":                                   {spoken: "en"},
		"EN":                                   {spoken: "EN"},
		"en-GB":                                {spoken: "en-GB", added: "en-GB"},
		"zh-Hant-TW":                           {spoken: "zh-Hant-TW", added: "zh-Hant-TW"},
		"de_AT":                                {},
		"de ":                                  {},
		"-de":                                  {},
		"de--AT":                               {},
		"deutschland":                          {},
		"d\u00e9":                              {},
		"x'/><message":                         {},
		strings.Repeat("abcdefgh-", 4) + "i":   {},
		strings.Repeat("abcdefgh-", 3) + "abc": {spoken: strings.Repeat("abcdefgh-", 3) + "abc", added: strings.Repeat("abcdefgh-", 3) + "abc"},
	} {
		if got := languageOf(tag); got != want {
			t.Errorf("[C16] %q: got %+v, want %+v", tag, got, want)
		}
	}
}

// The way through gives a stanza its language without an allocation.
func TestLanguageCostsNoAllocation(t *testing.T) {
	el, err := stanza.ParseOne([]byte("<message from='a@x.example' to='b@y.example'><body>hi</body></message>"), stanza.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	canonical := &jid.Address{Canonical: true}
	c, lang, out := &crossing{el: el, from: canonical, to: canonical}, languageOf("de"), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { out = c.el.AppendTo(out[:0], c.rewrite(lang.added)) }); n != 0 {
		t.Errorf("[C16] %v allocations a stanza", n)
	}
	if want := "<message xml:lang='de' from='a@x.example' to='b@y.example'><body>hi</body></message>"; string(out) != want {
		t.Errorf("[C16] got %s, want %s", out, want)
	}
}
