package policy

import (
	"maps"
	"slices"
	"testing"
)

func TestGrantsAndObserveNameRulesThatAre(t *testing.T) {
	t.Parallel()
	const grant = `  deal: {peers: [x.example], owner: legal, ticket: OPS-7, reason: r, until: 2999-06-30,
    rules: [files, `
	for name, test := range map[string]struct {
		rego, data string
		want       []string
	}{
		"ready-made, whether or not they are loaded": {"", "grants:\n" + grant + "peer-not-listed, peer-ended, archive, ratchet-proof]}\n", nil},
		"misspelt":                      {"", "grants:\n" + grant + "\n      filez]}\n", []string{`d.yaml:4: data.grants["deal"].rules[1]: no rule is named "filez"`}},
		"firm":                          {"", "grants:\n" + grant + "pin]}\n", []string{`d.yaml:3: data.grants["deal"].rules[1]: no grant lifts pin`}},
		"observed":                      {"", "observe:\n  rules:\n    filez: true\n    files: true\n    freeze: true\n", []string{`d.yaml:3: data.observe.rules["filez"]: no rule is named "filez"`, `d.yaml:5: data.observe.rules["freeze"]: this rule is never only observed`}},
		"the operator's":                {`deny contains {"rule": "mine"} if input.stanza.size > 9`, "observe: {rules: {mine: true}}\n", nil},
		"the operator's, by a function": {"deny contains no(\"mine\")\n\nno(name) := {\"rule\": name}", "observe: {rules: {mine: true}}\n", nil},
		"not the operator's":            {`deny contains {"rule": "mine"} if input.stanza.size > 9`, "observe: {rules: {yours: true}}\n", []string{`d.yaml:1: data.observe.rules["yours"]: no rule is named "yours"`}},
		"computed by the operator":      {`deny contains {"rule": concat("-", ["no", input.stanza.kind])}`, "observe: {rules: {no-iq: true}}\n", nil},
		"from elsewhere, of which nothing can be said": {`deny contains member if some member in data.mine`, "observe: {rules: {yours: true}}\nmine: []\n", nil},
	} {
		files := map[string]string{"d.yaml": test.data}
		if test.rego != "" {
			files["p.rego"] = "package sallyport.ready.mine\n\n" + test.rego + "\n"
		}
		if got := faultsOfLoad(t, files, nil); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// What no grant lifts holds also where the whole peer is observed.
func TestFirmRulesAreNotObserved(t *testing.T) {
	t.Parallel()
	watched := Data{"federation": "open", "observe": map[string]any{"peers": map[string]any{crossing().Remote: true}}}
	in := crossing()
	in.Stanza.Class = []string{"forged-envelope"}
	if d := engine(t, Config{}, watched).Snapshot().Stanza(t.Context(), in); d.Effect != Drop || d.Rule != "forged-envelope" {
		t.Errorf("a forged carbon copy: %+v", d)
	}
	for rule, data := range map[string]Data{
		"freeze":          {"freeze": map[string]any{"all": true}},
		"internal-domain": {"internal": map[string]any{"domains": map[string]any{crossing().Local: true}}},
	} {
		maps.Copy(data, watched)
		s := engine(t, Config{}, data).Snapshot()
		if d := s.Stanza(t.Context(), crossing()); d.Effect != Deny || d.Rule != rule {
			t.Errorf("%s: %+v", rule, d)
		}
		if d := s.Link(t.Context(), crossing()); d.Effect != Deny || d.Rule != rule {
			t.Errorf("%s, of a link: %+v", rule, d)
		}
	}
}
