package proxy_test

import (
	"testing"

	"sallyport/internal/jid"
	"sallyport/policy"
)

// TestNamesInDisguise: policy is asked with names as internal/jid gives them, in one spelling only, and its documents hold that
// spelling. So no other spelling of a name that is denied, or kept inside, gets by: it is the same name, or none (ABUSE 35, [A06]).
func TestNamesInDisguise(t *testing.T) {
	t.Parallel()
	engine, err := policy.New(policy.Config{Timeout: patience}, policy.Data{"federation": "open",
		"peers": map[string]any{"rival.example": map[string]any{"deny": true}, "müller.example": map[string]any{"deny": true},
			"*.quiet.example": map[string]any{"deny": true}},
		"internal": map[string]any{"users": map[string]any{"ceo@corp.example": true, "žofie@corp.example": true}, "rooms": map[string]any{"board@conference.corp.example": true},
			"domains": map[string]any{"straße.corp.example": true}}})
	must(t, err)
	rules := engine.Snapshot()
	const friend, ours = "romeo@friend.example", "juliet@corp.example"
	for _, c := range []struct {
		rule      string
		spellings []string // of the one whom policy does not let cross; the other is a friend, or one of ours
		kept      bool     // it is one of ours
	}{
		{"peer-denied", []string{"x@rival.example", "x@RIVAL.Example", "x@rival.example.", "x@rival。example", "x@ｒｉｖａｌ.example", "x@riv\u00adal.example", "x@rival\u200b.example",
			"x@rival.example..", "x@ rival.example", "x@rival.example\t", "x@rival%2eexample", "x@ⓡival.example"}, false},
		{"peer-denied", []string{"x@müller.example", "x@MÜLLER.example", "x@mu\u0308ller.example", "x@xn--mller-kva.example", "x@XN--MLLER-KVA.EXAMPLE.", "x@xn--mller-kva。example",
			"x@ｘn--mller-kva.example"}, false},
		{"peer-denied", []string{"x@a.quiet.example", "x@A.B.Quiet.Example.", "x@a．quiet.example"}, false},
		{"internal-user", []string{"ceo@corp.example", "CEO@Corp.Example", "Ceo@corp.example.", "ｃｅｏ@corp.example", "ceo@corp.example/phone", "ceo@corp.example/@x", "ceo@corp。example",
			"c\u0435o@corp.example/", "ceo\u200d@corp.example", "ceo @corp.example", "ce\u00ado@corp.example", "\u202eceo@corp.example"}, true},
		{"internal-user", []string{"žofie@corp.example", "Žofie@corp.example", "z\u030cofie@corp.example", "Z\u030cOFIE@CORP.EXAMPLE."}, true},
		{"internal-room", []string{"board@conference.corp.example/nick", "BOARD@conference.corp.example", "board@Conference.Corp.Example./Nick"}, true},
		{"internal-domain", []string{"a@straße.corp.example", "a@STRAßE.corp.example", "a@xn--strae-oqa.corp.example"}, true},
	} {
		refused := 0
		for _, spelling := range c.spellings {
			name, err := jid.Parse(spelling)
			if err != nil {
				refused++
				continue
			}
			other, _ := jid.Parse(friend)
			if !c.kept {
				other, _ = jid.Parse(ours)
			}
			inside, outside := name, other
			if !c.kept {
				inside, outside = other, name
			}
			for _, in := range []policy.Input{
				{Direction: "out", Local: inside.Domain.String(), Remote: outside.Domain.String(), From: addressOf(inside), To: addressOf(outside)},
				{Direction: "in", Local: inside.Domain.String(), Remote: outside.Domain.String(), From: addressOf(outside), To: addressOf(inside)},
			} {
				if d := rules.Stanza(t.Context(), &in); d.Effect != policy.Deny || d.Rule != c.rule {
					t.Errorf("%+q, read as %+q, crosses %s: %s %s", spelling, name, in.Direction, d.Effect, d.Rule)
				}
			}
		}
		if refused == len(c.spellings) {
			t.Errorf("%s: every spelling is refused: the test shows nothing", c.rule)
		}
	}
}

func addressOf(j jid.JID) policy.Address {
	return policy.Address{Bare: j.Bare().String(), Local: j.Local, Domain: j.Domain.String(), Resource: j.Resource}
}
