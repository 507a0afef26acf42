package policy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A member of base's sets that is not understood refuses the answer, with a line that names its rule and what is wrong with it.
func TestMembersThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	for rego, want := range map[string]string{
		`transform contains {"do": "fold-presence"}`:                                                                 `transforms: it names no rule`,
		`transform contains "fold-presence"`:                                                                         `transforms: "fold-presence" is no object`,
		`transform contains {"rule": "x", "do": "shout"}`:                                                            `transforms: rule x: do: "shout" is none of`,
		`transform contains {"rule": "x"}`:                                                                           `transforms: rule x: it does not say what to do`,
		`transform contains {"rule": "x", "do": "mask", "pattern": "(", "with": ""}`:                                 `transforms: rule x: pattern: error parsing regexp`,
		`transform contains {"rule": "x", "do": "mask", "pattern": "a", "with": "[a]"}`:                              `transforms: rule x: the pattern finds something in "[a]" too`,
		`transform contains {"rule": "x", "do": "fold-presence", "order": "last"}`:                                   `transforms: rule x: order: "last" is no number`,
		`transform contains {"rule": "x", "do": "strip", "payloads": []}`:                                            `transforms: rule x: payloads: there are none`,
		`transform contains {"rule": "x", "do": "strip", "payloads": ["urn:x", ""]}`:                                 `transforms: rule x: payloads: ["urn:x" ""] must each be`,
		`transform contains {"rule": "x", "do": "label", "text": ""}`:                                                `transforms: rule x: text: it is empty`,
		`audit contains {"rule": "x", "level": "contents"}`:                                                          `audit: rule x: level: "contents" is none of`,
		`audit contains {"level": "content"}`:                                                                        `audit: it names no rule`,
		`audit contains {"rule": "x"}`:                                                                               `audit: rule x: it has no level`,
		"deny contains {\"rule\": \"z\", \"audit\": \"all\"}\naudit contains {\"rule\": \"x\", \"level\": \"link\"}": `audit: rule z: `,
		`retention contains {"class": "7y"}`:                                                                         `retention: it names no rule`,
		`retention contains {"rule": "x", "clas": "7y"}`:                                                             `retention: rule x: clas: is not a part of it`,
		`retention contains {"rule": "x", "class": 7}`:                                                               `retention: rule x: class: 7 is no text`,
		`retention contains {"rule": "x", "class": ""}`:                                                              `retention: rule x: class: it is empty`,
		`notify contains {"rule": "x"}`:                                                                              `notify: rule x: it takes a rule and a text`,
	} {
		// Written down it is found at the load.
		faults := misfitsOf(t, rego)
		if _, wrong, _ := strings.Cut(want, ": "); !strings.Contains(faults.Error(), wrong) {
			t.Errorf("%s: is loaded: %v; want %s", rego, faults, wrong)
		}
		var log bytes.Buffer
		rego = strings.NewReplacer(" contains ", " contains m if m := ").Replace(rego) // and so it is not
		c := Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport.stanza\n" + rego}), Log: slog.New(slog.NewTextHandler(&log, nil))}
		d := engine(t, c, listed()).Snapshot().Stanza(t.Context(), between("out", "juliet@corp.example", "romeo@partner.example"))
		if d.Effect != Deny || d.Rule != RuleEngineError || !strings.Contains(d.Reason, want) {
			t.Errorf("%s: %v by %s, %s; want %s", rego, d.Effect, d.Rule, d.Reason, want)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), want) {
			t.Errorf("%s: the operator reads %s", rego, log.String())
		}
	}
}

// A denial that the gate would not understand is found at the load as well; what depends on the input is none of it.
func TestDenialsThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	for rego, want := range map[string]string{
		`deny contains {"reason": "x"}`:                        "it names no rule",
		`deny contains {"rule": "x", "conditon": "forbidden"}`: "rule x: conditon: is not a part of a decision",
		`deny contains {"rule": "x", "condition": "no"}`:       `rule x: condition: "no" is none of`,
		`deny contains {"rule": "x", "audit": "all"}`:          `rule x: audit: "all" is none of`,
		`deny contains {"rule": "x", "would": "drop"}`:         "rule x: would: is not a part of a denial",
		`deny contains {"rule": "x", "reason": "y", "effect": "drop", "labels": ["z"], "message": "", "audit": "link"}`: "",
		`deny contains {"rule": input.stanza.id}`: "",
	} {
		faults := misfitsOf(t, rego)
		if (len(faults) == 0) != (want == "") || !strings.Contains(faults.Error(), want) {
			t.Errorf("%s: %v, want %s", rego, faults, want)
		}
	}
	_, err := New(Config{Dir: dir(t, map[string]string{"p.rego": "package sallyport.stanza\n\ndeny contains {\"reason\": \"x\"}"}), Watch: -1}, listed())
	if err == nil || !strings.Contains(err.Error(), "p.rego:3: a member of deny is not understood: it names no rule") {
		t.Errorf("the load says %v", err)
	}
}

func misfitsOf(t *testing.T, rego string) Faults {
	t.Helper()
	modules, err := parse([]source{{file: "p.rego", text: []byte("package sallyport.stanza\n" + rego)}})
	if err != nil {
		t.Fatal(err)
	}
	return misfits(modules)
}
